"""Networks of published super-resolution files, written anew in functions of named tensors: the tests' second opinion.

Every function takes the tensors by the names that the files use and an image (N, C, H, W) in [0, 1], and computes in
the tensors' own precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

ESRGAN = {  # how the three layouts of the same weights call their parts
    "old": {
        "first": "model.0",
        "dense": "model.1.sub.{i}.RDB{j}.conv{k}.0",
        "trunk": "model.1.sub.{blocks}",
        "up": "model.{third}",
        "hr": "model.{third_and_two}",
        "last": "model.{third_and_four}",
    },
    "middle": {
        "first": "conv_first",
        "dense": "RRDB_trunk.{i}.RDB{j}.conv{k}",
        "trunk": "trunk_conv",
        "up": "upconv{u}",
        "hr": "HRconv",
        "last": "conv_last",
    },
    "new": {
        "first": "conv_first",
        "dense": "body.{i}.rdb{j}.conv{k}",
        "trunk": "conv_body",
        "up": "conv_up{u}",
        "hr": "conv_hr",
        "last": "conv_last",
    },
}


def tensors(shapes, seed=0, dtype=torch.float32, scale=0.15):
    """Random weights and biases for convolutions {name: (out, in, k)}, slopes for {name: (n,)}."""
    source, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            state[f"{name}.weight"] = torch.rand(shape, generator=source, dtype=dtype)
            continue
        out, inputs, k = shape
        weight = torch.randn(out, inputs, k, k, generator=source, dtype=dtype)
        state[f"{name}.weight"] = weight * scale
        state[f"{name}.bias"] = torch.randn(out, generator=source, dtype=dtype) * scale
    return state


def conv(state, name, x):
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def leaky(x, slope=0.2):
    return torch.where(x > 0, x, slope * x)


def esrgan_shapes(layout, *, inputs=3, channels=3, width=8, growth=4, blocks=2, ups=2):
    names = ESRGAN[layout]
    place = {"blocks": blocks, "third_and_two": 3 * ups + 2, "third_and_four": 3 * ups + 4}
    shapes = {names["first"]: (width, inputs, 3)}
    for i in range(blocks):
        for j in (1, 2, 3):
            for k in (1, 2, 3, 4, 5):
                outputs = width if k == 5 else growth
                shapes[names["dense"].format(i=i, j=j, k=k)] = (outputs, width + (k - 1) * growth, 3)
    shapes[names["trunk"].format(**place)] = (width, width, 3)
    for u in range(1, ups + 1):
        shapes[names["up"].format(u=u, third=3 * u)] = (width, width, 3)
    shapes[names["hr"].format(**place)] = (width, width, 3)
    shapes[names["last"].format(**place)] = (channels, width, 3)
    return shapes


def esrgan(state, x, layout, *, blocks=2, ups=2, unshuffle=1, step=2):
    """`step` is how much one enlargement enlarges."""
    names = ESRGAN[layout]
    place = {"blocks": blocks, "third_and_two": 3 * ups + 2, "third_and_four": 3 * ups + 4}
    n, c, height, width = x.shape
    if unshuffle > 1:  # every square of pixels becomes channels, colour by colour, row by row
        x = x.view(n, c, height // unshuffle, unshuffle, width // unshuffle, unshuffle)
        x = x.permute(0, 1, 3, 5, 2, 4).reshape(n, c * unshuffle**2, height // unshuffle, width // unshuffle)
    first = h = conv(state, names["first"], x)
    for i in range(blocks):
        block = h
        for j in (1, 2, 3):
            maps = [h]
            for k in (1, 2, 3, 4, 5):
                y = conv(state, names["dense"].format(i=i, j=j, k=k), torch.cat(maps, 1))
                maps.append(leaky(y) if k < 5 else y)
            h = maps[-1] * 0.2 + h
        h = h * 0.2 + block
    h = first + conv(state, names["trunk"].format(**place), h)
    for u in range(1, ups + 1):
        h = h.repeat_interleave(step, 2).repeat_interleave(step, 3)
        h = leaky(conv(state, names["up"].format(u=u, third=3 * u), h))
    return conv(state, names["last"].format(**place), leaky(conv(state, names["hr"].format(**place), h)))


def shuffled(x, step):
    """(N, C r^2, h, w) -> (N, C, r h, r w): c r^2 + r i + j is row i, column j of a square (Shi et al. 2016)."""
    n, channels, h, w = x.shape
    x = x.view(n, channels // step**2, step, step, h, w)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, channels // step**2, step * h, step * w)


def compact_shapes(*, channels=3, width=8, convolutions=3, scale=4, prelu=True):
    shapes = {"body.0": (width, channels, 3)}
    for k in range(1, convolutions + 1):
        shapes[f"body.{2 * k}"] = (width, width, 3)
    if prelu:
        shapes |= {f"body.{2 * k + 1}": (width,) for k in range(convolutions + 1)}
    shapes[f"body.{2 * convolutions + 2}"] = (channels * scale**2, width, 3)
    return shapes


def compact(state, x, *, convolutions=3, scale=4, activation="prelu"):
    h = x
    for k in range(convolutions + 1):
        h = conv(state, f"body.{2 * k}", h)
        if activation == "prelu":
            h = torch.where(h > 0, h, state[f"body.{2 * k + 1}.weight"].view(1, -1, 1, 1) * h)
        else:
            h = leaky(h, {"relu": 0.0, "leakyrelu": 0.1}[activation])
    h = shuffled(conv(state, f"body.{2 * convolutions + 2}", h), scale)
    return h + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


MSRRESNET = {
    "basicsr": {"block": "body.{i}.conv{k}", "up": "upconv{u}"},
    "mmagic": {"block": "trunk_net.{i}.conv{k}", "up": "upsample{u}.upsample_conv"},
}
STEPS = {1: [], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}


def msrresnet_shapes(layout, *, channels=3, width=8, blocks=2, scale=4):
    names = MSRRESNET[layout]
    shapes = {"conv_first": (width, channels, 3)}
    shapes |= {names["block"].format(i=i, k=k): (width, width, 3) for i in range(blocks) for k in (1, 2)}
    shapes |= {names["up"].format(u=u): (width * r**2, width, 3) for u, r in enumerate(STEPS[scale], 1)}
    return {**shapes, "conv_hr": (width, width, 3), "conv_last": (channels, width, 3)}


def msrresnet(state, x, layout, *, blocks=2, scale=4):
    names = MSRRESNET[layout]
    h = leaky(conv(state, "conv_first", x), 0.1)
    for i in range(blocks):
        y = conv(state, names["block"].format(i=i, k=1), h).clamp(min=0)
        h = h + conv(state, names["block"].format(i=i, k=2), y)
    for u, r in enumerate(STEPS[scale], 1):
        h = leaky(shuffled(conv(state, names["up"].format(u=u), h), r), 0.1)
    h = conv(state, "conv_last", leaky(conv(state, "conv_hr", h), 0.1))
    return h + bilinear(x, scale)


def bilinear(x, scale):
    """Each new pixel from its two nearest old ones a side, centres aligned, ends held: as two matrices."""

    def matrix(old):
        rows = torch.zeros(old * scale, old, dtype=x.dtype)
        for k in range(old * scale):
            place = min(max((k + 0.5) / scale - 0.5, 0.0), old - 1.0)
            low = int(place)
            rows[k, low] += 1 - (place - low)
            rows[k, min(low + 1, old - 1)] += place - low
        return rows

    return matrix(x.shape[2]) @ x @ matrix(x.shape[3]).t()


# --- SPAN ---------------------------------------------------------------------------------------------------


def span_shapes(*, channels=3, width=8, scale=4):
    branches = {}
    for name, inputs in {
        "conv_1": channels,
        "conv_2": width,
        **{f"block_{k}.c{j}_r": width for k in range(1, 7) for j in (1, 2, 3)},
    }.items():
        branches |= {f"{name}.sk": (width, inputs, 1), f"{name}.conv.0": (2 * inputs, inputs, 1)}
        branches |= {f"{name}.conv.1": (2 * width, 2 * inputs, 3), f"{name}.conv.2": (width, 2 * width, 1)}
        branches[f"{name}.eval_conv"] = (width, inputs, 3)
    return {**branches, "conv_cat": (width, 4 * width, 1), "upsampler.0": (channels * scale**2, width, 3)}


def span_branches(state, name, x):
    """The branches one after another: the border that the 3x3 convolution sees has been through the first 1x1 one."""
    wide = conv(state, f"{name}.conv.0", F.pad(x, (1, 1, 1, 1)))
    wide = F.conv2d(wide, state[f"{name}.conv.1.weight"], state[f"{name}.conv.1.bias"])
    return conv(state, f"{name}.conv.2", wide) + conv(state, f"{name}.sk", x)


def span(state, x, *, scale=4, norm=False):
    if norm:
        x = (x - torch.tensor([0.4488, 0.4371, 0.4040], dtype=x.dtype)[:, None, None]) * 255
    h = first = span_branches(state, "conv_1", x)
    outs, inner = [], []
    for k in range(1, 7):
        one = span_branches(state, f"block_{k}.c1_r", h)
        two = span_branches(state, f"block_{k}.c2_r", one * torch.sigmoid(one))
        three = span_branches(state, f"block_{k}.c3_r", two * torch.sigmoid(two))
        h = (three + h) * (torch.sigmoid(three) - 0.5)
        outs.append(h)
        inner.append(one * torch.sigmoid(one))  # the published code activates it in place
    h = conv(state, "conv_cat", torch.cat([first, span_branches(state, "conv_2", h), outs[0], inner[5]], 1))
    return F.pixel_shuffle(conv(state, "upsampler.0", h), scale)


# --- RealPLKSR ----------------------------------------------------------------------------------------------


def realplksr_shapes(*, channels=3, width=8, blocks=2, kernel=5, part=2, scale=4, attention=True):
    shapes = {"feats.0": (width, channels, 3), f"feats.{blocks + 2}": (channels * scale**2, width, 3)}
    for k in range(1, blocks + 1):
        shapes |= {f"feats.{k}.channel_mixer.0": (2 * width, width, 3)}
        shapes |= {f"feats.{k}.channel_mixer.2": (width, 2 * width, 3), f"feats.{k}.lk.conv": (part, part, kernel)}
        shapes |= {f"feats.{k}.attn.f.0": (width, width, 3)} if attention else {}
        shapes |= {f"feats.{k}.refine": (width, width, 1)}
    return shapes


def realplksr_tensors(**options):
    state = tensors(realplksr_shapes(**options))
    for k in range(1, options.get("blocks", 2) + 1):
        for kind in ("weight", "bias"):
            state[f"feats.{k}.norm.{kind}"] = torch.rand(
                options.get("width", 8), generator=torch.Generator().manual_seed(k)
            )
    return state


def realplksr(state, x, *, blocks=2, scale=4, attention=True, groups=4):
    h = conv(state, "feats.0", x)
    for k in range(1, blocks + 1):
        y = conv(state, f"feats.{k}.channel_mixer.0", h)
        y = conv(state, f"feats.{k}.channel_mixer.2", y * torch.tanh(torch.log1p(torch.exp(y))))
        part = state[f"feats.{k}.lk.conv.weight"].shape[0]
        y = torch.cat([conv(state, f"feats.{k}.lk.conv", y[:, :part]), y[:, part:]], 1)
        y = y * torch.sigmoid(conv(state, f"feats.{k}.attn.f.0", y)) if attention else y
        y = conv(state, f"feats.{k}.refine", y)
        grouped = y.reshape(len(y), groups, -1)
        centred = grouped - grouped.mean(2, keepdim=True)
        y = (centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()).reshape(y.shape)
        y = y * state[f"feats.{k}.norm.weight"][:, None, None] + state[f"feats.{k}.norm.bias"][:, None, None]
        h = h + y
    every = x.repeat_interleave(scale**2, 1)
    return F.pixel_shuffle(conv(state, f"feats.{blocks + 2}", h) + every, scale)
