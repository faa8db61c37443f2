"""StyleGAN2's generator written anew in functions of named tensors, after the code of its three projects."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])


def ada_tensors(resolution=16, *, latent=6, style=8, widths=(10, 8, 4), mapping=2, classes=0, channels=3, seed=0):
    """Random tensors of StyleGAN2-ADA's generator; `widths` from 4 pixels on."""
    source = torch.Generator().manual_seed(seed)

    def r(*shape):
        return torch.randn(shape, generator=source)

    state = {"mapping.w_avg": r(style), "synthesis.b4.const": r(widths[0], 4, 4)}
    inputs = latent + (style if classes else 0)
    for k in range(mapping):
        state[f"mapping.fc{k}.weight"], state[f"mapping.fc{k}.bias"] = r(style, inputs) * 100, r(style) * 10
        inputs = style
    if classes:
        state |= {"mapping.embed.weight": r(style, classes), "mapping.embed.bias": r(style)}
    for level, width in enumerate(widths):
        side = 4 << level
        layers = {"conv1": (width, width, 3), "torgb": (channels, width, 1)}
        layers |= {"conv0": (width, widths[level - 1], 3)} if level else {}
        for name, (outputs, width_in, kernel) in layers.items():
            at = f"synthesis.b{side}.{name}"
            state |= {f"{at}.weight": r(outputs, width_in, kernel, kernel), f"{at}.bias": r(outputs)}
            state |= {f"{at}.affine.weight": r(width_in, style), f"{at}.affine.bias": r(width_in) + 1}
            if name != "torgb":
                state |= {f"{at}.noise_const": r(side, side), f"{at}.noise_strength": r(1)[0]}
                state[f"{at}.resample_filter"] = torch.outer(TAPS / 8, TAPS / 8)
    assert 4 << (len(widths) - 1) == resolution
    return state


def upfirdn(x, before, after):
    """Zeros between the pixels, zeros around, the filter with a gain of 4."""
    n, c, h, w = x.shape
    wide = torch.zeros(n, c, h, 2, w, 2, dtype=x.dtype)
    wide[:, :, :, 0, :, 0] = x
    wide = F.pad(wide.reshape(n, c, 2 * h, 2 * w), (before, after, before, after))
    kernel = torch.outer(TAPS / 8, TAPS / 8).to(x.dtype) * 4
    return F.conv2d(wide, kernel.expand(c, 1, 4, 4), groups=c)


def modulated(x, weight, styles, demodulate):
    """Weights (N, O, I, k, k) of every image: scaled by its style, and divided by their norm."""
    w = weight[None] / math.sqrt(weight[0].numel()) * styles[:, None, :, None, None]
    return w * (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt() if demodulate else w


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def ada_mapping(state, z, label=None):
    x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    if label is not None:
        weight = state["mapping.embed.weight"]
        hot = F.one_hot(label, weight.shape[1]).to(z.dtype)
        y = hot @ (weight / math.sqrt(weight.shape[1])).t() + state["mapping.embed.bias"]
        x = torch.cat([x, y * (y.square().mean(1, keepdim=True) + 1e-8).rsqrt()], 1)
    for k in range(len([key for key in state if key.startswith("mapping.fc")]) // 2):
        weight, bias = state[f"mapping.fc{k}.weight"], state[f"mapping.fc{k}.bias"]
        x = lrelu(x @ (weight * 0.01 / math.sqrt(weight.shape[1])).t() + bias * 0.01)
    return x


def layer(state, at, x, w, *, up, image=False):
    affine = state[f"{at}.affine.weight"]
    styles = w @ (affine / math.sqrt(affine.shape[1])).t() + state[f"{at}.affine.bias"]
    weights = modulated(x, state[f"{at}.weight"], styles, demodulate=not image)
    if up:
        x, weights = upfirdn(x, 3, 2), weights.flip(3, 4)
        x = torch.cat([F.conv2d(one[None], weight) for one, weight in zip(x, weights)])
    else:
        pad = weights.shape[-1] // 2
        x = torch.cat([F.conv2d(one[None], weight, padding=pad) for one, weight in zip(x, weights)])
    if image:
        return x + state[f"{at}.bias"][:, None, None]
    x = x + state[f"{at}.noise_const"] * state[f"{at}.noise_strength"]
    return lrelu(x + state[f"{at}.bias"][:, None, None])


def ada(state, z, label=None, psi=1.0):
    """Images of latents (N, latent), not clipped, with constant noise."""
    w = state["mapping.w_avg"] + psi * (ada_mapping(state, z, label) - state["mapping.w_avg"])
    x, image, side = state["synthesis.b4.const"].expand(len(z), -1, -1, -1), None, 4
    while f"synthesis.b{side}.conv1.weight" in state:
        if side > 4:
            x = layer(state, f"synthesis.b{side}.conv0", x, w, up=True)
            image = upfirdn(image, 2, 1)
        x = layer(state, f"synthesis.b{side}.conv1", x, w, up=False)
        part = layer(state, f"synthesis.b{side}.torgb", x, w, up=False, image=True)
        image = part if image is None else image + part
        side *= 2
    return image


def as_rosinality(state, average=True):
    """The same weights by rosinality's names, with its buffers."""
    ours = {"input.input": state["synthesis.b4.const"][None]}
    levels = len([key for key in state if key.endswith("torgb.weight")])
    for k in range(len([key for key in state if key.startswith("mapping.fc")]) // 2):
        for kind in ("weight", "bias"):
            ours[f"style.{k + 1}.{kind}"] = state[f"mapping.fc{k}.{kind}"]
    names = {"conv1": "b4.conv1", "to_rgb1": "b4.torgb"}
    for level in range(1, levels):
        block = f"b{4 << level}"
        names |= {f"convs.{2 * level - 2}": f"{block}.conv0", f"convs.{2 * level - 1}": f"{block}.conv1"}
        names[f"to_rgbs.{level - 1}"] = f"{block}.torgb"
    for name, at in names.items():
        at = f"synthesis.{at}"
        ours[f"{name}.conv.weight"] = state[f"{at}.weight"][None]
        ours[f"{name}.conv.modulation.weight"] = state[f"{at}.affine.weight"]
        ours[f"{name}.conv.modulation.bias"] = state[f"{at}.affine.bias"]
        if at.endswith("torgb"):
            ours[f"{name}.bias"] = state[f"{at}.bias"][None, :, None, None]
            ours |= {f"{name}.upsample.kernel": torch.outer(TAPS, TAPS) / 16} if "rgbs" in name else {}
            continue
        ours[f"{name}.activate.bias"], ours[f"{name}.noise.weight"] = (
            state[f"{at}.bias"],
            state[f"{at}.noise_strength"][None],
        )
        ours |= {f"{name}.conv.blur.kernel": torch.outer(TAPS, TAPS) / 16} if at.endswith("conv0") else {}
        number = 0 if name == "conv1" else int(name.split(".")[1]) + 1
        ours[f"noises.noise_{number}"] = state[f"{at}.noise_const"][None, None]
    return {"g_ema": ours, **({"latent_avg": state["mapping.w_avg"]} if average else {})}


def as_tensorflow(state):
    """The same weights by the names and in the order of axes of StyleGAN2's first code."""
    tf = {"dlatent_avg": state["mapping.w_avg"], "synthesis/4x4/Const/const": state["synthesis.b4.const"][None]}
    for key, value in state.items():
        parts = key.split(".")
        if parts[1].startswith("fc"):
            tf[f"mapping/Dense{parts[1][2:]}/{parts[2]}"] = value.t() if parts[2] == "weight" else value
        elif parts[1] == "embed":
            tf[f"mapping/LabelEmbed/{parts[2]}"] = value.t() if parts[2] == "weight" else value
        elif len(parts) > 3 and parts[-1] != "resample_filter":
            side = int(parts[1][1:])
            name = {"conv0": "Conv0_up", "conv1": "Conv1" if side > 4 else "Conv", "torgb": "ToRGB"}[parts[2]]
            at, part = f"synthesis/{side}x{side}/{name}", ".".join(parts[3:])
            if part == "noise_const":
                number = int(math.log2(side)) * 2 - (5 if parts[2] == "conv0" else 4)
                tf[f"synthesis/noise{number}"] = value[None, None]
            elif part == "weight":
                value = value.flip(2, 3) if parts[2] == "conv0" else value
                tf[f"{at}/weight"] = value.permute(2, 3, 1, 0)
            elif part == "affine.weight":
                tf[f"{at}/mod_weight"] = value.t()
            elif part == "affine.bias":
                tf[f"{at}/mod_bias"] = value - 1
            else:
                tf[f"{at}/{part}"] = value
    return tf
