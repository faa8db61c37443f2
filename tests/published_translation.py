"""Networks of published translation files, written anew in functions of named tensors: the tests' second opinion.

Every function takes the tensors by the names that the files use and an image (N, C, H, W) in [-1, 1], and computes in
the tensors' own precision.  Norms go by each image alone, as with a batch of one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def normed(state, name, x):
    """Per image and channel; scaled and shifted if the file says by how much."""
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    x = (x - mean) / (variance + 1e-5).sqrt()
    if f"{name}.weight" not in state:
        return x
    return x * state[f"{name}.weight"].view(1, -1, 1, 1) + state[f"{name}.bias"].view(1, -1, 1, 1)


def conv(state, name, x, stride=1, padding=0, mirrored=0):
    x = F.pad(x, [mirrored] * 4, mode="reflect") if mirrored else x
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride=stride, padding=padding)


def back(state, name, x, extra=0):
    bias = state.get(f"{name}.bias")
    return F.conv_transpose2d(x, state[f"{name}.weight"], bias, stride=2, padding=1, output_padding=extra)


def leaky(x, slope=0.2):
    return torch.where(x > 0, x, slope * x)


def filled(shapes, seed=0, dtype=torch.float32):
    """Random tensors; variances are positive, counters whole."""
    source, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        drawn = torch.randn(shape, generator=source, dtype=dtype)
        state[name] = drawn.abs() if name.endswith("running_var") else 0.2 * drawn
        if name.endswith("tracked"):
            state[name] = torch.tensor(7)
    return state


def statistics(name, width):
    return {f"{name}.running_mean": (width,), f"{name}.running_var": (width,), f"{name}.num_batches_tracked": ()}


def norm_shapes(name, width, norm, tracked):
    found = {f"{name}.weight": (width,), f"{name}.bias": (width,)} if norm == "batch" else {}
    return {**found, **(statistics(name, width) if tracked or norm == "batch" else {})}


# --- CycleGAN's ResNet: the numbers are those of the code's nn.Sequential ---------------------------------------


def resnet_shapes(*, inputs=3, channels=3, width=4, blocks=2, norm="instance", dropout=False, tracked=False):
    w, n, biased = width, blocks, norm == "instance"
    second = 6 if dropout else 5
    shapes = {}
    plan = [("model.1", (w, inputs, 7, 7), w, 2), ("model.4", (2 * w, w, 3, 3), 2 * w, 5)]
    plan += [("model.7", (4 * w, 2 * w, 3, 3), 4 * w, 8)]
    for name, shape, out, place in plan:
        shapes[f"{name}.weight"] = shape
        shapes |= ({f"{name}.bias": (out,)} if biased else {}) | norm_shapes(f"model.{place}", out, norm, tracked)
    for k in range(10, 10 + n):
        for place in (1, second):
            name = f"model.{k}.conv_block"
            shapes[f"{name}.{place}.weight"] = (4 * w, 4 * w, 3, 3)
            shapes |= {f"{name}.{place}.bias": (4 * w,)} if biased else {}
            shapes |= norm_shapes(f"{name}.{place + 1}", 4 * w, norm, tracked)
    for place, i, o in ((10 + n, 4 * w, 2 * w), (13 + n, 2 * w, w)):
        shapes[f"model.{place}.weight"] = (i, o, 3, 3)  # transposed
        shapes |= {f"model.{place}.bias": (o,)} if biased else {}
        shapes |= norm_shapes(f"model.{place + 1}", o, norm, tracked)
    return {**shapes, f"model.{17 + n}.weight": (channels, w, 7, 7), f"model.{17 + n}.bias": (channels,)}


def resnet(state, x, *, blocks=2, dropout=False):
    second, n = (6 if dropout else 5), blocks
    h = normed(state, "model.2", conv(state, "model.1", x, mirrored=3)).clamp(min=0)
    h = normed(state, "model.5", conv(state, "model.4", h, 2, 1)).clamp(min=0)
    h = normed(state, "model.8", conv(state, "model.7", h, 2, 1)).clamp(min=0)
    for k in range(10, 10 + n):
        name = f"model.{k}.conv_block"
        y = normed(state, f"{name}.2", conv(state, f"{name}.1", h, mirrored=1)).clamp(min=0)
        h = h + normed(state, f"{name}.{second + 1}", conv(state, f"{name}.{second}", y, mirrored=1))
    h = normed(state, f"model.{11 + n}", back(state, f"model.{10 + n}", h, 1)).clamp(min=0)
    h = normed(state, f"model.{14 + n}", back(state, f"model.{13 + n}", h, 1)).clamp(min=0)
    return torch.tanh(conv(state, f"model.{17 + n}", h, mirrored=3))


# --- pix2pix's U-Net: blocks within blocks ----------------------------------------------------------------------


def unet_shapes(*, inputs=3, channels=3, width=4, depth=5, norm="batch", tracked=False):
    widths = [width, 2 * width, 4 * width] + [8 * width] * (depth - 3)
    biased, shapes, name = norm == "instance", {}, "model"
    for k in range(depth):
        outer, inner = (k == 0), (k == depth - 1)
        down, up = ("0", "3") if outer else ("1", "3" if inner else "5")
        i, o = (inputs if outer else widths[k - 1]), (channels if outer else widths[k - 1])
        shapes[f"{name}.model.{down}.weight"] = (widths[k], i, 4, 4)
        shapes |= {f"{name}.model.{down}.bias": (widths[k],)} if biased else {}
        if not outer and not inner:
            shapes |= norm_shapes(f"{name}.model.2", widths[k], norm, tracked)
        shapes[f"{name}.model.{up}.weight"] = (widths[k] * (1 if inner else 2), o, 4, 4)
        shapes |= {f"{name}.model.{up}.bias": (o,)} if biased or outer else {}
        if not outer:
            shapes |= norm_shapes(f"{name}.model.{4 if inner else 6}", o, norm, tracked)
        name += ".model.1" if outer else ".model.3"
    return shapes


def unet(state, x, *, depth=5):
    def block(name, x, k):
        if k == 0:
            h = block("model.model.1", conv(state, "model.model.0", x, 2, 1), 1)
            return torch.tanh(back(state, "model.model.3", h.clamp(min=0)))
        h = conv(state, f"{name}.model.1", leaky(x), 2, 1)
        if k == depth - 1:
            h = normed(state, f"{name}.model.4", back(state, f"{name}.model.3", h.clamp(min=0)))
        else:
            h = block(f"{name}.model.3", normed(state, f"{name}.model.2", h), k + 1)
            h = normed(state, f"{name}.model.6", back(state, f"{name}.model.5", h.clamp(min=0)))
        return torch.cat([x, h], 1)

    return block("model", x, 0)


# --- StarGAN: one nn.Sequential called main ---------------------------------------------------------------------


def stargan_shapes(*, channels=3, domains=5, width=4, blocks=2, tracked=True):
    w, n, shapes = width, blocks, {}

    def layer(conv, shape, norm, out):
        shapes[f"{conv}.weight"] = shape
        shapes.update(norm_shapes(norm, out, "batch" if tracked else "", False))
        if not tracked:
            shapes.update({f"{norm}.weight": (out,), f"{norm}.bias": (out,)})

    layer("main.0", (w, channels + domains, 7, 7), "main.1", w)
    layer("main.3", (2 * w, w, 4, 4), "main.4", 2 * w)
    layer("main.6", (4 * w, 2 * w, 4, 4), "main.7", 4 * w)
    for k in range(9, 9 + n):
        for place in (0, 3):
            layer(f"main.{k}.main.{place}", (4 * w, 4 * w, 3, 3), f"main.{k}.main.{place + 1}", 4 * w)
    layer(f"main.{9 + n}", (4 * w, 2 * w, 4, 4), f"main.{10 + n}", 2 * w)
    layer(f"main.{12 + n}", (2 * w, w, 4, 4), f"main.{13 + n}", w)
    return {**shapes, f"main.{15 + n}.weight": (channels, w, 7, 7)}


def stargan(state, x, label, *, blocks=2):
    n = blocks
    label = label[:, :, None, None].expand(-1, -1, *x.shape[2:])
    h = normed(state, "main.1", conv(state, "main.0", torch.cat([x, label], 1), 1, 3)).clamp(min=0)
    h = normed(state, "main.4", conv(state, "main.3", h, 2, 1)).clamp(min=0)
    h = normed(state, "main.7", conv(state, "main.6", h, 2, 1)).clamp(min=0)
    for k in range(9, 9 + n):
        name = f"main.{k}.main"
        y = normed(state, f"{name}.1", conv(state, f"{name}.0", h, 1, 1)).clamp(min=0)
        h = h + normed(state, f"{name}.4", conv(state, f"{name}.3", y, 1, 1))
    h = normed(state, f"main.{10 + n}", back(state, f"main.{9 + n}", h)).clamp(min=0)
    h = normed(state, f"main.{13 + n}", back(state, f"main.{12 + n}", h)).clamp(min=0)
    return torch.tanh(conv(state, f"main.{15 + n}", h, 1, 3))


def critic(state, x, *, depth=3):
    """StarGAN's discriminator: a map of verdicts, and the logits of the domains."""
    h = x
    for k in range(depth):
        h = leaky(conv(state, f"main.{2 * k}", h, 2, 1), 0.01)
    return conv(state, "conv1", h, 1, 1), conv(state, "conv2", h).flatten(1)


def patch(state, x, *, norm=True):
    """pix2pix's discriminator of 70x70 patches; norms by the whole batch, as while it trains."""

    def whole(name, x):
        if f"{name}.weight" not in state:
            return normed(state, name, x) if norm else x
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        weight, bias = (state[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    h = leaky(conv(state, "model.0", x, 2, 1))
    for k, stride in ((2, 2), (5, 2), (8, 1)):
        h = leaky(whole(f"model.{k + 1}", conv(state, f"model.{k}", h, stride, 1)))
    return conv(state, "model.11", h, 1, 1)
