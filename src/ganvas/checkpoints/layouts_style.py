"""How published files of networks that paint name and shape their tensors; see `layouts`."""

from __future__ import annotations

import re

from .layouts import Layout, Options, Shape, Shapes, conv, numbers, same_name, size

DEEPEST = 12  # sizes of a decoder's maps, at most
ENCODER = (2, 5, 9, 12, 16, 19, 22, 25, 29)  # where the encoder's code numbers its convolutions
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512)  # of the encoder


# --- the network of one style ----------------------------------------------------------------------------------


def transformer_own(o: Options) -> dict[str, Shape]:
    """The tensors of `transformer_net.TransformerNet`, which have the names of PyTorch's examples."""
    width, channels = o["width"], o["channels"]
    found: dict[str, Shape] = {}
    for name, outputs, inputs, kernel in (
        ("conv1", width, channels, 9),
        ("conv2", 2 * width, width, 3),
        ("conv3", 4 * width, 2 * width, 3),
        *((f"res{k}.conv{j}", 4 * width, 4 * width, 3) for k in range(1, o["blocks"] + 1) for j in (1, 2)),
        ("deconv1", 2 * width, 4 * width, 3),
        ("deconv2", width, 2 * width, 3),
        ("deconv3", channels, width, 9),
    ):
        found |= conv(f"{name}.conv2d", outputs, inputs, kernel)
    norms = {f"in{k}": f * width for k, f in enumerate((1, 2, 4, 2, 1), 1)}
    norms |= {f"res{k}.in{j}": 4 * width for k in range(1, o["blocks"] + 1) for j in (1, 2)}
    return found | {f"{name}.{kind}": (w,) for name, w in norms.items() for kind in ("weight", "bias")}


def transformer_infer(shapes: Shapes) -> Options:
    """Its options, from the first and last convolution and the number of blocks."""
    return {
        "channels": size(shapes, "deconv3.conv2d.weight", 0, 3),
        "width": size(shapes, "conv1.conv2d.weight", 0, 32),
        "blocks": len(numbers(shapes, r"res(\d+)\.conv1\.conv2d\.weight")),
    }


# --- AdaIN ---------------------------------------------------------------------------------------------------------


def decoder_own(o: Options) -> dict[str, Shape]:
    """The tensors of `adain.Decoder` by our names."""
    found: dict[str, Shape] = {}
    widths = o["widths"]
    for stage, k in enumerate(reversed(range(len(widths)))):
        out, depth = (widths[k - 1] if k else o["channels"]), o["depths"][k]
        for j in range(depth):
            found |= conv(f"stages.{stage}.{j}", out if j == depth - 1 else widths[k], widths[k])
    return found


def decoder_infer(shapes: Shapes) -> Options:
    """Options of a decoder in the layout of AdaIN's code: after a convolution that is enlarged, four modules follow."""
    places, widths, depths = numbers(shapes, r"(\d+)\.weight"), list[int](), list[int]()
    for before, place in zip([None, *places], places):
        if before is None or place - before != 3:
            widths, depths = [size(shapes, f"{place}.weight", 1, 1), *widths], [0, *depths]
        depths[0] += 1
    last = f"{places[-1]}.weight" if places else ""
    return _decoder(shapes, last, widths, depths)


def decoder_infer_ours(shapes: Shapes) -> Options:
    """The same of a decoder by our names."""
    stages = numbers(shapes, r"stages\.(\d+)\.0\.weight")[:DEEPEST]
    depths = [len(numbers(shapes, rf"stages\.{k}\.(\d+)\.weight")) for k in reversed(stages)]
    widths = [size(shapes, f"stages.{k}.0.weight", 1, 1) for k in reversed(stages)]
    last = f"stages.{stages[-1]}.{depths[0] - 1}.weight" if stages else ""
    return _decoder(shapes, last, widths, depths)


def _decoder(shapes: Shapes, last: str, widths: list[int], depths: list[int]) -> Options:
    if not 0 < len(widths) <= DEEPEST:
        widths, depths = [64, 128, 256, 512], [2, 2, 4, 1]
    return {"channels": size(shapes, last, 0, 3), "widths": tuple(widths), "depths": tuple(depths)}


def decoder_name(name: str, o: Options) -> str:
    """A tensor of the decoder as AdaIN's code numbers its modules: mirroring, convolution, rectifier, enlarging."""
    _, stage, j, kind = name.split(".")
    before = sum(tuple(reversed(o["depths"]))[: int(stage)]) + int(j)
    return f"{1 + 3 * before + int(stage)}.{kind}"


def encoder_own(o: Options) -> dict[str, Shape]:
    """The tensors of `adain.NormalisedVGG` by our names."""
    found = conv("normal", 3, 3, 1)
    for k, (inputs, outputs) in enumerate(zip((3, *WIDTHS), WIDTHS)):
        found |= conv(f"convs.{k}", outputs, inputs)
    return found


def encoder_name(name: str, o: Options) -> str:
    """A tensor of the encoder as its code, which numbers its modules, names it."""
    part, kind = name.rpartition(".")[::2]
    return f"0.{kind}" if part == "normal" else f"{ENCODER[int(re.sub(r'convs.', '', part))]}.{kind}"


NET, DECODER, ENCODES = "transformer_net", "adain_decoder", "normalised_vgg"

PAINTERS = (
    Layout(
        "pytorch",
        NET,
        "a style network (TransformerNet) of PyTorch's examples",
        transformer_infer,
        transformer_own,
        same_name,
        r".*\.(running_mean|running_var|num_batches_tracked)",
    ),
    Layout("ganvas", DECODER, "a style decoder of ganvas", decoder_infer_ours, decoder_own, same_name),
    Layout("adain", DECODER, "AdaIN's decoder", decoder_infer, decoder_own, decoder_name),
    Layout(
        "vgg_normalised",
        ENCODES,
        "AdaIN's encoder (normalised VGG)",
        lambda shapes: {},
        encoder_own,
        encoder_name,
        r"(32|35|38|42|45|48|51)\.(weight|bias)",
    ),
)
