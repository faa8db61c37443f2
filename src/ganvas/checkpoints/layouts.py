"""Layouts: the names of tensors in published weight files, here those of super-resolution.

A layout is two functions: the options of a network from the shapes in a file, and our names of its tensors to the
file's.  The shapes of a file may be anything: `models.recognise` compares the network of such options with all of them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Options = dict[str, Any]

SCALES = (1, 2, 3, 4, 8)


@dataclass(frozen=True)
class Layout:
    """One way to name the tensors of one network."""

    name: str  # as --layout: old, middle, new, ...
    network: str  # name in the catalogue
    title: str  # for messages
    anchor: str  # a tensor that every such file has
    infer: Callable[[Shapes], Options]  # the network's options, defaults where shapes leave them open; never raises
    rename: Callable[[str, Options], str]  # our name to the file's
    unused: str = ""  # pattern of further tensors in a file that the network does not need


def numbers(shapes: Shapes, pattern: str) -> list[int]:
    """The different numbers in the group of a pattern that whole keys match, in order."""
    matches = (re.fullmatch(pattern, key) for key in shapes)
    return sorted({int(m[1]) for m in matches if m and len(m[1]) < 6})


def numbered(name: str) -> str:
    """The pattern of a key in which `{}` stands for a number."""
    return re.escape(name).replace(r"\{\}", r"(\d+)")


def size(shapes: Shapes, key: str, place: int, default: int) -> int:
    """One side of a tensor, or the default if there is none."""
    shape = shapes.get(key, ())
    return shape[place] if len(shape) > place and shape[place] > 0 else default


# --- ESRGAN ------------------------------------------------------------------------------------------------


def ups_of(o: Options) -> int:
    """The number of upsampling convolutions of an RRDBNet."""
    return 1 if o["scale"] == 3 else (o["scale"] * o["unshuffle"]).bit_length() - 1


def rrdb_infer(first: str, last: str, dense: str, ups: Callable[[Shapes], int]) -> Callable[[Shapes], Options]:
    """A function that infers RRDBNet's options; the arguments are names in the file, `{}` stands for a number."""

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
    """The upsampling convolutions of a file in the old layout: its last convolution is number 3 ups + 4."""
    places = [k for k in numbers(shapes, r"model\.(\d+)\.weight") if k <= 13]
    return max(0, (max(places, default=10) - 4) // 3)


def old_name(name: str, o: Options) -> str:
    """The name of RRDBNet's tensor in the layout of ESRGAN's first code, which numbers its modules."""
    name, _, kind = name.rpartition(".")
    ups = ups_of(o)
    fixed = {"conv_first": 0, "conv_body": f"1.sub.{o['blocks']}", "conv_hr": 3 * ups + 2, "conv_last": 3 * ups + 4}
    if name.startswith("conv_up"):
        fixed[name] = 3 * int(name.removeprefix("conv_up"))
    dense = re.sub(r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"1.sub.\1.RDB\2.conv\3.0", name)
    return f"model.{fixed.get(name, dense)}.{kind}"


MIDDLE = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}


def middle_name(name: str, o: Options) -> str:
    """The name of RRDBNet's tensor in the layout of ESRGAN's released code."""
    name, _, kind = name.rpartition(".")
    name = re.sub(r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", MIDDLE.get(name, name))
    return f"{name.replace('conv_up', 'upconv')}.{kind}"


def same_name(name: str, o: Options) -> str:
    """The name itself: the file has our names."""
    return name


# --- the others --------------------------------------------------------------------------------------------


def compact_infer(shapes: Shapes) -> Options:
    """Infer Compact's options; without PReLU's slopes the activation is unknown, and LeakyReLU is the default."""
    last = min(max(numbers(shapes, r"body\.(\d+)\.weight"), default=34), 2 * len(shapes) + 2)
    channels = size(shapes, "body.0.weight", 1, 3)
    return {
        "channels": channels,
        "scale": max(1, math.isqrt(size(shapes, f"body.{last}.weight", 0, 16 * channels) // channels)),
        "width": size(shapes, "body.0.weight", 0, 64),
        "convolutions": max(0, (last - 2) // 2),
        "activation": "prelu" if "body.1.weight" in shapes else "leakyrelu",
    }


def span_infer(shapes: Shapes) -> Options:
    """Infer SPAN's options; published files without the mean colour hold `no_norm`."""
    channels = size(shapes, "conv_1.sk.weight", 1, 3)
    return {
        "channels": channels,
        "scale": max(1, math.isqrt(size(shapes, "upsampler.0.weight", 0, 16 * channels) // channels)),
        "width": size(shapes, "conv_1.sk.weight", 0, 48),
        "norm": "no_norm" not in shapes,
    }


def realplksr_infer(shapes: Shapes) -> Options:
    """Infer RealPLKSR's options; files do not say the groups of its norm."""
    channels, width = size(shapes, "feats.0.weight", 1, 3), size(shapes, "feats.0.weight", 0, 64)
    last = min(max(numbers(shapes, r"feats\.(\d+)\.weight"), default=30), len(shapes))
    return {
        "channels": channels,
        "scale": max(1, math.isqrt(size(shapes, f"feats.{last}.weight", 0, 16 * channels) // channels)),
        "width": width,
        "blocks": max(0, last - 2),
        "kernel": size(shapes, "feats.1.lk.conv.weight", 2, 17),
        "part": size(shapes, "feats.1.lk.conv.weight", 0, max(width // 4, 1)),
        "attention": "feats.1.attn.f.0.weight" in shapes,
    }


def resnet_infer(first: str, block: str, up: str) -> Callable[[Shapes], Options]:
    """A function that infers a residual network's options; the arguments are names in the file, `{}` is a number.

    An upsampling convolution with nine times the width enlarges by 3, any other by 2.
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
    """MMagic's name of MSRResNet's tensor."""
    return re.sub(r"^upconv(\d)", r"upsample\1.upsample_conv", name.replace("body.", "trunk_net."))


def counted(prefix: str) -> Callable[[Shapes], int]:
    """A function that counts the upsampling convolutions of that name, three at most."""
    return lambda shapes: min(3, len(numbers(shapes, prefix + r"(\d)\.weight")))


rrdb_new = rrdb_infer("conv_first.weight", "conv_last.weight", "body.{}.rdb1.conv1.weight", counted("conv_up"))
rrdb_old = rrdb_infer("model.0.weight", "model.{}.weight", "model.1.sub.{}.RDB1.conv1.0.weight", old_ups)
rrdb_middle = rrdb_infer("conv_first.weight", "conv_last.weight", "RRDB_trunk.{}.RDB1.conv1.weight", counted("upconv"))
basicsr = resnet_infer("conv_first.weight", "body.{}.conv1.weight", "upconv{}.weight")
mmagic = resnet_infer("conv_first.weight", "trunk_net.{}.conv1.weight", "upsample{}.upsample_conv.weight")
srresnet = resnet_infer("first.0.weight", "body.{}.conv1.weight", "larger.{}.bias")

LAYOUTS = (
    Layout("new", "rrdb", "ESRGAN in Real-ESRGAN's layout", "conv_body.weight", rrdb_new, same_name),
    Layout("old", "rrdb", "ESRGAN in the old layout", "model.0.weight", rrdb_old, old_name),
    Layout(
        "middle", "rrdb", "ESRGAN in the layout of its released code", "trunk_conv.weight", rrdb_middle, middle_name
    ),
    Layout("compact", "compact", "Compact (SRVGGNetCompact)", "body.0.weight", compact_infer, same_name),
    Layout("basicsr", "msrresnet", "MSRResNet in BasicSR's layout", "conv_first.weight", basicsr, same_name),
    Layout("mmagic", "msrresnet", "MSRResNet in MMagic's layout", "conv_first.weight", mmagic, mmagic_name),
    Layout("span", "span", "SPAN", "conv_1.sk.weight", span_infer, same_name),
    Layout("realplksr", "realplksr", "RealPLKSR", "feats.1.channel_mixer.0.weight", realplksr_infer, same_name),
    Layout("ganvas", "srresnet", "SRResNet in ganvas' own layout", "first.0.weight", srresnet, same_name),
)

DISCRIMINATORS = {  # keys by which they are recognised
    "Real-ESRGAN's U-Net discriminator": ("conv0.weight", "conv1.weight_orig"),
    "ESRGAN's discriminator": ("conv0_0.weight", "linear1.weight"),
    "ESRGAN's discriminator in the old layout": ("features.0.weight", "classifier.0.weight"),
    "pix2pix's or CycleGAN's discriminator": ("model.0.weight", "model.2.weight", "model.5.weight"),
    "StarGAN's discriminator": ("main.0.weight", "conv1.weight", "conv2.weight"),
}
