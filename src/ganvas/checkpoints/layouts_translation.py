"""Layouts of image translation networks; see `layouts`.  `KNOWN` has those of every kind."""

from collections.abc import Callable

from .layouts import LAYOUTS, Layout, Options, Shapes, numbered, numbers, same_name, size
from .layouts_style import STATISTICS, STYLE
from .layouts_stylegan2 import STYLEGAN2

DEEPEST = 14  # most halvings of a U-Net


# --- the residual network of CycleGAN ------------------------------------------------------------------------


def resnet_infer(first: str, block: str, last: str, norm: str, dropout: float) -> Callable[[Shapes], Options]:
    """A function that infers the residual network's options; the arguments are names in the file."""

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
    """A function for the names in CycleGAN's code, which numbers its modules; `second` is that of `conv2`."""

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


def unet_infer(down: Callable[[int], str], up: str, norm: str) -> Callable[[Shapes], Options]:
    """A function that infers the U-Net's options; `down` is the name of a downward convolution by number."""

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
    """The prefix of block k in pix2pix's code, which nests its blocks."""
    return "model" if not k else "model.model.1" + ".model.3" * (k - 1)


def unet_down(k: int) -> str:
    """The name of block k's downward convolution in pix2pix's code."""
    return f"{nested(k)}.model.{1 if k else 0}"


def unet_name(name: str, o: Options) -> str:
    """The name of the U-Net's tensor in pix2pix's code."""
    part, number, kind = name.split(".")
    k, innermost = int(number), int(number) == o["depth"] - 1
    if part == "downs":
        return f"{unet_down(k)}.{kind}"
    place = {"ups": 3 if innermost or not k else 5, "up_norms": 4 if innermost else 6, "down_norms": 2}[part]
    return f"{nested(k)}.model.{place}.{kind}"


# --- StarGAN -------------------------------------------------------------------------------------------------


def stargan_infer(first: str, block: str, last: str) -> Callable[[Shapes], Options]:
    """A function that infers StarGAN's options; input channels beyond the image's are the domains."""

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
    """The name of the tensor in StarGAN's code, which numbers its modules."""
    part, kind = name.rpartition(".")[::2]
    if part == "leave":
        return f"main.{15 + o['blocks']}.{kind}"
    offset = 1 if part.endswith("norm") else 0
    if part.startswith("blocks"):
        return f"main.{9 + int(part.split('.')[1])}.main.{offset + (0 if '.first.' in part else 3)}.{kind}"
    group, _, rest = part.partition(".")
    start = {"enter": 0, "downs": 3, "ups": 9 + o["blocks"]}[group]
    return f"main.{start + offset + (3 * int(rest[0]) if group != 'enter' else 0)}.{kind}"


def cyclegan(name: str, detail: str, dropout: float, second: int) -> Layout:
    """CycleGAN's layout, without or with dropout, which moves the second convolution of a block."""
    infer = resnet_infer("model.1.weight", "model.{}.conv_block.1.weight", "model.{}.weight", "model.2.weight", dropout)
    title, anchor = f"CycleGAN's ResNet generator{detail}", "model.1.weight"
    return Layout(name, RESNET, title, anchor, infer, resnet_name(second), STATISTICS)


RESNET, UNET, STARGAN = "translation_generator", "unet_generator", "stargan_generator"

ENTER = "enter.conv.weight"
resnet = resnet_infer(ENTER, "blocks.{}.conv1.weight", "leave.weight", "enter.norm.weight", 0.0)
unet = unet_infer("downs.{}".format, "ups.0.weight", "up_norms.1.weight")
pix2pix = unet_infer(unet_down, "model.model.3.weight", "model.model.1.model.6.weight")
stargan = stargan_infer(ENTER, "blocks.{}.conv.weight", "leave.weight")
published_stargan = stargan_infer("main.0.weight", "main.{}.main.0.weight", "main.{}.weight")

TRANSLATION = (
    Layout("ganvas", RESNET, "a residual translation network of ganvas", ENTER, resnet, same_name),
    cyclegan("cyclegan", "", 0.0, 5),
    cyclegan("cyclegan_dropout", " with dropout", 0.5, 6),
    Layout("ganvas", UNET, "a U-Net of ganvas", "downs.0.weight", unet, same_name),
    Layout("pix2pix", UNET, "pix2pix's U-Net generator", "model.model.0.weight", pix2pix, unet_name, STATISTICS),
    Layout("ganvas", STARGAN, "a StarGAN generator of ganvas", ENTER, stargan, same_name),
    Layout("stargan", STARGAN, "StarGAN's generator", "main.0.weight", published_stargan, stargan_name, STATISTICS),
)


KNOWN = (*LAYOUTS, *TRANSLATION, *STYLE, *STYLEGAN2)
