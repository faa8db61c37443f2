"""Published networks that paint: their files' names and shapes, and independent forward passes over a state dict."""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d, interpolate, pad

from published_translation import filled as filled


def conv(state, name, x, stride=1):
    """Mirrored at the edges by half the kernel."""
    weight = state[f"{name}.weight"]
    side = weight.shape[2] // 2
    x = pad(x, (side,) * 4, mode="reflect") if side else x
    return conv2d(x, weight, state[f"{name}.bias"], stride)


def instance(state, name, x):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    weight, bias = (state[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("weight", "bias"))
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


# --- TransformerNet of pytorch/examples, fast_neural_style ------------------------------------------------------


def transformer_shapes(*, width=4, obsolete=True):
    w, shapes = width, {}

    def add(name, outputs, inputs, size):
        shapes[f"{name}.conv2d.weight"], shapes[f"{name}.conv2d.bias"] = (outputs, inputs, size, size), (outputs,)

    def norm(name, channels):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)
        if obsolete:
            shapes[f"{name}.running_mean"] = shapes[f"{name}.running_var"] = (channels,)

    for k, (o, i, size) in enumerate([(w, 3, 9), (2 * w, w, 3), (4 * w, 2 * w, 3)], 1):
        add(f"conv{k}", o, i, size)
        norm(f"in{k}", o)
    for k in range(1, 6):
        for j in (1, 2):
            add(f"res{k}.conv{j}", 4 * w, 4 * w, 3)
            norm(f"res{k}.in{j}", 4 * w)
    add("deconv1", 2 * w, 4 * w, 3)
    norm("in4", 2 * w)
    add("deconv2", w, 2 * w, 3)
    norm("in5", w)
    add("deconv3", 3, w, 9)
    return shapes


def transformer(state, x):
    """Images in 0..255 to images in about 0..255."""
    h = x
    for k, stride in ((1, 1), (2, 2), (3, 2)):
        h = instance(state, f"in{k}", conv(state, f"conv{k}.conv2d", h, stride)).clamp(min=0)
    for k in range(1, 6):
        y = instance(state, f"res{k}.in1", conv(state, f"res{k}.conv1.conv2d", h)).clamp(min=0)
        h = h + instance(state, f"res{k}.in2", conv(state, f"res{k}.conv2.conv2d", y))
    for k in (1, 2):
        h = conv(state, f"deconv{k}.conv2d", interpolate(h, scale_factor=2, mode="nearest"))
        h = instance(state, f"in{k + 3}", h).clamp(min=0)
    return conv(state, "deconv3.conv2d", h)


# --- AdaIN of naoto0804/pytorch-AdaIN ----------------------------------------------------------------------------

DECODER = {1: (256, 512), 5: (256, 256), 8: (256, 256), 11: (256, 256), 14: (128, 256), 18: (128, 128)}
DECODER |= {21: (64, 128), 25: (64, 64), 28: (3, 64)}
ENCODER = {2: (64, 3), 5: (64, 64), 9: (128, 64), 12: (128, 128), 16: (256, 128), 19: (256, 256), 22: (256, 256)}
ENCODER |= {25: (256, 256), 29: (512, 256)}
DEEPER = dict.fromkeys((32, 35, 38, 42, 45, 48, 51), (512, 512))


def numbered(layers):
    weights = {f"{k}.weight": (o, i, 3, 3) for k, (o, i) in layers.items()}
    return weights | {f"{k}.bias": (o,) for k, (o, _) in layers.items()}


def decoder_shapes():
    return numbered(DECODER)


def encoder_shapes(whole=True):
    return {"0.weight": (3, 3, 1, 1), "0.bias": (3,), **numbered(ENCODER), **(numbered(DEEPER) if whole else {})}


def decoder(state, h):
    """relu4_1 to an image in 0..1."""
    for k in DECODER:
        h = conv(state, str(k), h)
        h = h if k == 28 else h.clamp(min=0)
        h = interpolate(h, scale_factor=2, mode="nearest") if k in (1, 14, 21) else h
    return h


def encoder(state, x):
    """An image in 0..1 to relu4_1."""
    h = conv(state, "0", x)
    for k in ENCODER:
        h = conv(state, str(k), h).clamp(min=0)
        if k in (5, 12, 25):
            h = torch.nn.functional.max_pool2d(h, 2, 2, 0, ceil_mode=True)
    return h


def adapted(content, style):
    """`adaptive_instance_normalization` of function.py."""

    def statistics(x):
        rows = x.flatten(2)
        return rows.mean(2)[..., None, None], (rows.var(2) + 1e-5).sqrt()[..., None, None]

    (mean, deviation), (wanted, target) = statistics(content), statistics(style)
    return (content - mean) / deviation * target + wanted
