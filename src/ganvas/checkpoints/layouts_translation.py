"""How published files of networks from images to images name and shape their tensors; see `layouts`."""

from __future__ import annotations

import re
from collections.abc import Callable

from .layouts import LAYOUTS, Layout, Options, Shape, Shapes, conv, norm, numbered, numbers, same_name, size
from .layouts_style import PAINTERS

WIDEST = 8  # times a U-Net's first map, at most
DEEPEST = 14  # halvings: no image has more
STATISTICS = r".*\.(running_mean|running_var|num_batches_tracked)"  # of old instance norms, which look at none


def doubled(name: str, outputs: int, inputs: int, kernel: int, bias: bool) -> dict[str, Shape]:
    """The tensors of a transposed convolution."""
    found = conv(name, outputs, inputs, kernel, bias)
    return {**found, f"{name}.weight": (inputs, outputs, kernel, kernel)}


def normed(name: str, width: int, kind: str) -> dict[str, Shape]:
    """The tensors of a norm, of which an instance norm has none."""
    return norm(name, width) if kind == "batch" else {}


# --- the residual network of CycleGAN ------------------------------------------------------------------------


def resnet_own(o: Options) -> dict[str, Shape]:
    """The tensors of `translation.Generator` by our names."""
    width, kind, bias = o["width"], o["norm"], o["norm"] != "batch"
    widths = [width, 2 * width, 4 * width]
    found = conv("enter.conv", width, o["source_channels"], 7, bias) | normed("enter.norm", width, kind)
    for k, (i, w) in enumerate(zip(widths, widths[1:])):
        found |= conv(f"downs.{k}.conv", w, i, 3, bias) | normed(f"downs.{k}.norm", w, kind)
    for b in range(o["blocks"]):
        for k in (1, 2):
            found |= conv(f"blocks.{b}.conv{k}", widths[-1], widths[-1], 3, bias)
            found |= normed(f"blocks.{b}.norm{k}", widths[-1], kind)
    up = doubled if o["up"] == "transposed" else conv
    for k, (i, w) in enumerate([(widths[2], widths[1]), (widths[1], widths[0])]):
        found |= up(f"ups.{k}.conv", w, i, 3, bias) | normed(f"ups.{k}.norm", w, kind)
    return found | conv("leave", o["channels"], width, 7)


def resnet_infer(first: str, block: str, last: str, norm: str, dropout: float) -> Callable[[Shapes], Options]:
    """Reads the options from a file whose parts are called so; `{}` stands for a number."""

    def infer(shapes: Shapes) -> Options:
        blocks = len(numbers(shapes, numbered(block)))
        end, width = last.format(17 + blocks), size(shapes, first, 0, 64)
        square = shapes.get("ups.0.conv.weight", ())  # ours may repeat pixels instead of transposing
        return {
            "channels": size(shapes, end, 0, 3),
            "source_channels": size(shapes, first, 1, 3),
            "width": width,
            "blocks": blocks,
            "up": "resize" if square[:2] == (2 * width, 4 * width) else "transposed",
            "norm": "batch" if norm in shapes else "instance",
            "dropout": dropout,
        }

    return infer


def resnet_name(second: int) -> Callable[[str, Options], str]:
    """CycleGAN's code numbers its modules; the second convolution of a block follows a dropout, if there is one."""

    def rename(name: str, o: Options) -> str:
        part, kind = name.rpartition(".")[::2]
        places = {"enter.conv": 1, "enter.norm": 2, "leave": 17 + o["blocks"]}
        places |= {f"downs.{k}.{p}": 4 + 3 * k + n for k in (0, 1) for n, p in enumerate(("conv", "norm"))}
        places |= {f"ups.{k}.{p}": 10 + o["blocks"] + 3 * k + n for k in (0, 1) for n, p in enumerate(("conv", "norm"))}
        if part in places:
            return f"model.{places[part]}.{kind}"
        inside = {"conv1": 1, "norm1": 2, "conv2": second, "norm2": second + 1}
        _, block, which = part.split(".")
        return f"model.{10 + int(block)}.conv_block.{inside[which]}.{kind}"

    return rename


# --- the U-Net of pix2pix ------------------------------------------------------------------------------------


def unet_own(o: Options) -> dict[str, Shape]:
    """The tensors of `unet.Generator` by our names."""
    depth, kind, bias = o["depth"], o["norm"], o["norm"] != "batch"
    widths = [o["width"] * min(2**k, WIDEST) for k in range(depth)]
    found: dict[str, Shape] = {}
    for k, (i, w) in enumerate(zip([o["source_channels"], *widths], widths)):
        found |= conv(f"downs.{k}", w, i, 4, bias)
        found |= normed(f"down_norms.{k}", w, kind) if 0 < k < depth - 1 else {}
    for k, w in enumerate([o["channels"], *widths[:-1]]):
        inputs = widths[k] * (2 if k < depth - 1 else 1)  # the innermost has nothing handed across
        found |= doubled(f"ups.{k}", w, inputs, 4, bias or not k)
        found |= normed(f"up_norms.{k}", w, kind) if k else {}
    return found


def unet_infer(down: Callable[[int], str], up: str, norm: str) -> Callable[[Shapes], Options]:
    """Reads the options from a file in which the downward convolutions are called so, by their number."""

    def infer(shapes: Shapes) -> Options:
        depth = next((k for k in range(DEEPEST) if f"{down(k)}.weight" not in shapes), DEEPEST)
        first = f"{down(0)}.weight"
        return {
            "resolution": 2 ** max(depth, 2),
            "channels": size(shapes, up, 1, 3),
            "source_channels": size(shapes, first, 1, 3),
            "width": size(shapes, first, 0, 64),
            "depth": max(depth, 2),
            "norm": "batch" if norm in shapes else "instance",
        }

    return infer


def nested(k: int) -> str:
    """Where pix2pix's code, which nests its blocks, keeps block k."""
    return "model" if not k else "model.model.1" + ".model.3" * (k - 1)


def unet_down(k: int) -> str:
    """Its downward convolution."""
    return f"{nested(k)}.model.{1 if k else 0}"


def unet_name(name: str, o: Options) -> str:
    """A tensor of the U-Net as pix2pix's code names it."""
    part, number, kind = name.split(".")
    k, innermost = int(number), int(number) == o["depth"] - 1
    if part == "downs":
        return f"{unet_down(k)}.{kind}"
    place = {"ups": 3 if innermost or not k else 5, "up_norms": 4 if innermost else 6, "down_norms": 2}[part]
    return f"{nested(k)}.model.{place}.{kind}"


# --- StarGAN -------------------------------------------------------------------------------------------------


def stargan_own(o: Options) -> dict[str, Shape]:
    """The tensors of `stargan.Generator` by our names."""
    widths = [o["width"] * k for k in (1, 2, 4)]
    inputs = o["channels"] + o["attributes"]

    def weighed(name: str, width: int) -> dict[str, Shape]:
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    found = conv("enter.conv", widths[0], inputs, 7, False) | weighed("enter.norm", widths[0])
    for k, (i, w) in enumerate(zip(widths, widths[1:])):
        found |= conv(f"downs.{k}.conv", w, i, 4, False) | weighed(f"downs.{k}.norm", w)
    for b in range(o["blocks"]):
        for part in (f"blocks.{b}.first.", f"blocks.{b}."):
            found |= conv(f"{part}conv", widths[-1], widths[-1], 3, False) | weighed(f"{part}norm", widths[-1])
    for k, (i, w) in enumerate(zip(widths[::-1], widths[-2::-1])):
        found |= doubled(f"ups.{k}.conv", w, i, 4, False) | weighed(f"ups.{k}.norm", w)
    return found | conv("leave", o["channels"], widths[0], 7, False)


def stargan_infer(first: str, block: str, last: str) -> Callable[[Shapes], Options]:
    """Reads the options from a file whose parts are called so; what enters beyond the image are the domains."""

    def infer(shapes: Shapes) -> Options:
        blocks = len(numbers(shapes, numbered(block)))
        channels = size(shapes, last.format(15 + blocks), 0, 3)
        return {
            "channels": channels,
            "attributes": max(1, size(shapes, first, 1, channels + 5) - channels),
            "width": size(shapes, first, 0, 64),
            "blocks": blocks,
        }

    return infer


def stargan_name(name: str, o: Options) -> str:
    """A tensor of StarGAN's generator as its code, which numbers its modules, names it."""
    part, kind = name.rpartition(".")[::2]
    if part == "leave":
        return f"main.{15 + o['blocks']}.{kind}"
    offset = 1 if part.endswith("norm") else 0
    if part.startswith("blocks"):
        return f"main.{9 + int(part.split('.')[1])}.main.{offset + (0 if '.first.' in part else 3)}.{kind}"
    group, _, rest = part.partition(".")
    start = {"enter": 0, "downs": 3, "ups": 9 + o["blocks"]}[group]
    return f"main.{start + offset + (3 * int(rest[0]) if group != 'enter' else 0)}.{kind}"


RESNET, UNET, STARGAN = "translation_generator", "unet_generator", "stargan_generator"

TRANSLATORS = (
    Layout(
        "ganvas",
        RESNET,
        "a residual translator of ganvas",
        resnet_infer("enter.conv.weight", "blocks.{}.conv1.weight", "leave.weight", "enter.norm.weight", 0.0),
        resnet_own,
        same_name,
    ),
    *(
        Layout(
            name,
            RESNET,
            f"CycleGAN's ResNet generator{said}",
            resnet_infer("model.1.weight", r"model.{}.conv_block.1.weight", "model.{}.weight", "model.2.weight", drop),
            resnet_own,
            resnet_name(second),
            STATISTICS,
        )
        for name, said, drop, second in (("cyclegan", "", 0.0, 5), ("cyclegan_dropout", " with dropout", 0.5, 6))
    ),
    Layout(
        "ganvas",
        UNET,
        "a U-Net of ganvas",
        unet_infer("downs.{}".format, "ups.0.weight", "up_norms.1.weight"),
        unet_own,
        same_name,
    ),
    Layout(
        "pix2pix",
        UNET,
        "pix2pix's U-Net generator",
        unet_infer(unet_down, "model.model.3.weight", "model.model.1.model.6.weight"),
        unet_own,
        unet_name,
        STATISTICS,
    ),
    Layout(
        "ganvas",
        STARGAN,
        "a StarGAN generator of ganvas",
        stargan_infer("enter.conv.weight", "blocks.{}.conv.weight", "leave.weight"),
        stargan_own,
        same_name,
    ),
    Layout(
        "stargan",
        STARGAN,
        "StarGAN's generator",
        stargan_infer("main.0.weight", "main.{}.main.0.weight", "main.{}.weight"),
        stargan_own,
        stargan_name,
        STATISTICS,
    ),
)


KNOWN = (*LAYOUTS, *TRANSLATORS, *PAINTERS)


def spared(layout: Layout, options: Options, keys: set[str]) -> set[str]:
    """Those of a file's tensors that its network neither has nor needs."""
    others = keys - layout.wanted(options).keys() if layout.spare else set()
    return {key for key in others if re.fullmatch(layout.spare, key)}
