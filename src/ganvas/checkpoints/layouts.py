"""How published files of networks name and shape their tensors; here those of super-resolution.

A layout is three functions: options from the shapes that a file has, the tensors that a network of such options holds
by our own names, and their names in the file.  Everything is read from shapes, and no shape is believed: what is
inferred is compared with the whole file before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Options = dict[str, Any]

STEPS: dict[int, list[int]] = {1: [], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}


@dataclass(frozen=True)
class Layout:
    """One way to name the tensors of one network."""

    name: str  # what a person asks for: old, middle, new, ...
    network: str  # the network's name in the catalogue
    title: str
    infer: Callable[[Shapes], Options]  # the network's options, as far as the shapes tell; never raises
    own: Callable[[Options], dict[str, Shape]]  # the network's tensors, by our names
    rename: Callable[[str, Options], str]  # our name to the file's
    spare: str = ""  # pattern of tensors that a file may also hold, which are of no use

    def wanted(self, options: Options) -> dict[str, Shape]:
        """The tensors of a file of that layout, by the file's names."""
        return {self.rename(name, options): shape for name, shape in self.own(options).items()}


def numbers(shapes: Shapes, pattern: str) -> list[int]:
    """The different numbers in the one group of a pattern that keys match from end to end, in order."""
    found = (re.fullmatch(pattern, key) for key in shapes)
    return sorted({int(m[1]) for m in found if m and len(m[1]) < 6})


def numbered(name: str) -> str:
    """The pattern of a key with `{}` for its number."""
    return re.escape(name).replace(r"\{\}", r"(\d+)")


def size(shapes: Shapes, key: str, place: int, default: int) -> int:
    """One side of a tensor, or what it usually is."""
    shape = shapes.get(key, ())
    return shape[place] if len(shape) > place and shape[place] > 0 else default


def conv(name: str, outputs: int, inputs: int, kernel: int = 3, bias: bool = True) -> dict[str, Shape]:
    """The tensors of a convolution."""
    weight: dict[str, Shape] = {f"{name}.weight": (outputs, inputs, kernel, kernel)}
    return {**weight, f"{name}.bias": (outputs,)} if bias else weight


# --- ESRGAN ------------------------------------------------------------------------------------------------


def rrdb_own(o: Options) -> dict[str, Shape]:
    """RRDBNet's tensors, which have the names of Real-ESRGAN's files."""
    width, growth = o["width"], o["growth"]
    found = conv("conv_first", width, o["channels"] * o["unshuffle"] ** 2)
    for i in range(o["blocks"]):
        for j in (1, 2, 3):
            for k in range(1, 6):
                outputs = width if k == 5 else growth
                found |= conv(f"body.{i}.rdb{j}.conv{k}", outputs, width + (k - 1) * growth)
    for name in ("conv_body", *(f"conv_up{u}" for u in range(1, ups_of(o) + 1)), "conv_hr"):
        found |= conv(name, width, width)
    return found | conv("conv_last", o["channels"], width)


def ups_of(o: Options) -> int:
    """How many convolutions of an RRDBNet enlarge."""
    return 1 if o["scale"] == 3 else (o["scale"] * o["unshuffle"]).bit_length() - 1


def rrdb_infer(first: str, last: str, dense: str, ups: Callable[[Shapes], int]) -> Callable[[Shapes], Options]:
    """Reads RRDBNet's options from a file whose parts are called so; `{}` stands for a number."""

    def infer(shapes: Shapes) -> Options:
        channels = size(shapes, last.format(3 * ups(shapes) + 4), 0, 3)
        folded = {channels * 4: 2, channels * 16: 4}.get(size(shapes, first, 1, channels), 1)
        return {
            "channels": channels,
            "scale": max(1, 2 ** ups(shapes) // folded),
            "width": size(shapes, first, 0, 64),
            "growth": size(shapes, dense.format(0), 0, 32),
            "blocks": len(numbers(shapes, numbered(dense))) or 23,
            "unshuffle": folded,
        }

    return infer


def old_ups(shapes: Shapes) -> int:
    """How often a file of the old layout enlarges: its last convolution is number 3 ups + 4."""
    places = [k for k in numbers(shapes, r"model\.(\d+)\.weight") if k <= 13]
    return max(0, (max(places, default=10) - 4) // 3)


def old_name(name: str, o: Options) -> str:
    """A tensor of RRDBNet in the layout of ESRGAN's first code, which numbers its modules."""
    name, _, kind = name.rpartition(".")
    ups = ups_of(o)
    fixed = {"conv_first": 0, "conv_body": f"1.sub.{o['blocks']}", "conv_hr": 3 * ups + 2, "conv_last": 3 * ups + 4}
    if name.startswith("conv_up"):
        fixed[name] = 3 * int(name.removeprefix("conv_up"))
    dense = re.sub(r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"1.sub.\1.RDB\2.conv\3.0", name)
    return f"model.{fixed.get(name, dense)}.{kind}"


MIDDLE = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}


def middle_name(name: str, o: Options) -> str:
    """A tensor of RRDBNet in the layout of ESRGAN's released code."""
    name, _, kind = name.rpartition(".")
    name = re.sub(r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", MIDDLE.get(name, name))
    return f"{name.replace('conv_up', 'upconv')}.{kind}"


def same_name(name: str, o: Options) -> str:
    """Our names are the file's."""
    return name


# --- the others --------------------------------------------------------------------------------------------


def compact_own(o: Options) -> dict[str, Shape]:
    """Compact's tensors: convolutions at even places, slopes of PReLU at odd ones."""
    width, last = o["width"], 2 * o["convolutions"] + 2
    found = conv("body.0", width, o["channels"])
    for k in range(2, last, 2):
        found |= conv(f"body.{k}", width, width)
    if o["activation"] == "prelu":
        found |= {f"body.{k}.weight": (width,) for k in range(1, last, 2)}
    return found | conv(f"body.{last}", o["channels"] * o["scale"] ** 2, width)


def compact_infer(shapes: Shapes) -> Options:
    """Options of Compact; without PReLU's slopes the activation is unknown, and LeakyReLU stands in for it."""
    last = min(max(numbers(shapes, r"body\.(\d+)\.weight"), default=34), 2 * len(shapes) + 2)
    channels = size(shapes, "body.0.weight", 1, 3)
    return {
        "channels": channels,
        "scale": max(1, math.isqrt(size(shapes, f"body.{last}.weight", 0, 16 * channels) // channels)),
        "width": size(shapes, "body.0.weight", 0, 64),
        "convolutions": max(0, (last - 2) // 2),
        "activation": "prelu" if "body.1.weight" in shapes else "leakyrelu",
    }


def msrresnet_own(o: Options) -> dict[str, Shape]:
    """MSRResNet's tensors, which have the names of BasicSR's files."""
    width = o["width"]
    found = conv("conv_first", width, o["channels"])
    for i in range(o["blocks"]):
        found |= conv(f"body.{i}.conv1", width, width) | conv(f"body.{i}.conv2", width, width)
    for u, step in enumerate(STEPS.get(o["scale"], []), 1):
        found |= conv(f"upconv{u}", width * step**2, width)
    return found | conv("conv_hr", width, width) | conv("conv_last", o["channels"], width)


def resnet_infer(first: str, block: str, up: str) -> Callable[[Shapes], Options]:
    """Reads a residual network's options from a file whose parts are called so; `{}` stands for a number.

    Of the enlarging convolutions one with nine times the width enlarges by 3, any other by 2.
    """

    def infer(shapes: Shapes) -> Options:
        width, ups = size(shapes, first, 0, 64), numbers(shapes, numbered(up))
        three = len(ups) == 1 and size(shapes, up.format(ups[0]), 0, 0) == 9 * width
        return {
            "channels": size(shapes, first, 1, 3),
            "scale": 3 if three else 2 ** min(len(ups), 3),
            "width": width,
            "blocks": len(numbers(shapes, numbered(block))) or 16,
        }

    return infer


def mmagic_name(name: str, o: Options) -> str:
    """A tensor of MSRResNet as MMagic names it."""
    return re.sub(r"^upconv(\d)", r"upsample\1.upsample_conv", name.replace("body.", "trunk_net."))


def norm(name: str, width: int) -> dict[str, Shape]:
    """The tensors of a batch norm."""
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{kind}": (width,) for kind in kinds}, f"{name}.num_batches_tracked": ()}


def srresnet_own(o: Options) -> dict[str, Shape]:
    """SRResNet's tensors; no layout of it is common to several projects, so files have ours."""
    width = o["width"]
    found = {**conv("first.0", width, o["channels"], 9), "first.1.weight": (1,)}
    for i in range(o["blocks"]):
        for k in (1, 2):
            found |= conv(f"body.{i}.conv{k}", width, width, bias=False) | norm(f"body.{i}.norm{k}", width)
        found[f"body.{i}.act.weight"] = (1,)
    found |= conv("after.0", width, width, bias=False) | norm("after.1", width)
    for u, step in enumerate(STEPS.get(o["scale"], [])):
        found |= {**conv(f"larger.{3 * u}", width * step**2, width), f"larger.{3 * u + 2}.weight": (1,)}
    return found | conv("last", o["channels"], width, 9)


def counted(prefix: str) -> Callable[[Shapes], int]:
    """How many convolutions of that name enlarge, three at most."""
    return lambda shapes: min(3, len(numbers(shapes, prefix + r"(\d)\.weight")))


LAYOUTS = (
    Layout(
        "new",
        "rrdb",
        "ESRGAN in Real-ESRGAN's layout",
        rrdb_infer("conv_first.weight", "conv_last.weight", "body.{}.rdb1.conv1.weight", counted("conv_up")),
        rrdb_own,
        same_name,
    ),
    Layout(
        "old",
        "rrdb",
        "ESRGAN in the old layout",
        rrdb_infer("model.0.weight", "model.{}.weight", "model.1.sub.{}.RDB1.conv1.0.weight", old_ups),
        rrdb_own,
        old_name,
    ),
    Layout(
        "middle",
        "rrdb",
        "ESRGAN in the layout of its released code",
        rrdb_infer("conv_first.weight", "conv_last.weight", "RRDB_trunk.{}.RDB1.conv1.weight", counted("upconv")),
        rrdb_own,
        middle_name,
    ),
    Layout("compact", "compact", "Compact (SRVGGNetCompact)", compact_infer, compact_own, same_name),
    Layout(
        "basicsr",
        "msrresnet",
        "MSRResNet in BasicSR's layout",
        resnet_infer("conv_first.weight", "body.{}.conv1.weight", "upconv{}.weight"),
        msrresnet_own,
        same_name,
    ),
    Layout(
        "mmagic",
        "msrresnet",
        "MSRResNet in MMagic's layout",
        resnet_infer("conv_first.weight", "trunk_net.{}.conv1.weight", "upsample{}.upsample_conv.weight"),
        msrresnet_own,
        mmagic_name,
    ),
    Layout(
        "ganvas",
        "srresnet",
        "SRResNet in ganvas' own layout",
        resnet_infer("first.0.weight", "body.{}.conv1.weight", "larger.{}.bias"),
        srresnet_own,
        same_name,
    ),
)

JUDGES = {  # keys by which networks that judge, and do not enlarge, give themselves away
    "Real-ESRGAN's U-Net discriminator": ("conv0.weight", "conv1.weight_orig"),
    "ESRGAN's discriminator": ("conv0_0.weight", "linear1.weight"),
    "ESRGAN's discriminator in the old layout": ("features.0.weight", "classifier.0.weight"),
    "pix2pix's or CycleGAN's discriminator": ("model.0.weight", "model.2.weight", "model.5.weight"),
    "StarGAN's discriminator": ("main.0.weight", "conv1.weight", "conv2.weight"),
}
