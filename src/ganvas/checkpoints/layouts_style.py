"""Layouts of style transfer networks; see `layouts`."""

import re

from .layouts import Layout, Options, Shapes, numbers, same_name, size

DEEPEST = 12  # most sizes of a decoder's maps
ENCODER = (2, 5, 9, 12, 16, 19, 22, 25, 29)  # numbers of the convolutions in the encoder's code


# --- the network of one style ----------------------------------------------------------------------------------


def transformer_infer(shapes: Shapes) -> Options:
    """Infer TransformerNet's options from the first and last convolution and the number of blocks."""
    return {
        "channels": size(shapes, "deconv3.conv2d.weight", 0, 3),
        "width": size(shapes, "conv1.conv2d.weight", 0, 32),
        "blocks": len(numbers(shapes, r"res(\d+)\.conv1\.conv2d\.weight")),
    }


# --- AdaIN ---------------------------------------------------------------------------------------------------------


def decoder_infer(shapes: Shapes) -> Options:
    """Infer a decoder's options in the layout of AdaIN's code, where an upsampling lies between numbers 4 apart."""
    places, widths, depths = numbers(shapes, r"(\d+)\.weight"), list[int](), list[int]()
    for before, place in zip([None, *places], places):
        if before is None or place - before != 3:
            widths, depths = [size(shapes, f"{place}.weight", 1, 1), *widths], [0, *depths]
        depths[0] += 1
    last = f"{places[-1]}.weight" if places else ""
    return _decoder(shapes, last, widths, depths)


def decoder_infer_ours(shapes: Shapes) -> Options:
    """Infer a decoder's options from our names."""
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
    """The name in AdaIN's code, which numbers padding, convolution, rectifier and upsampling."""
    _, stage, j, kind = name.split(".")
    before = sum(tuple(reversed(o["depths"]))[: int(stage)]) + int(j)
    return f"{1 + 3 * before + int(stage)}.{kind}"


def no_options(shapes: Shapes) -> Options:
    """The encoder has none."""
    return {}


def encoder_name(name: str, o: Options) -> str:
    """The name in the encoder's code, which numbers its modules."""
    part, kind = name.rpartition(".")[::2]
    return f"0.{kind}" if part == "normal" else f"{ENCODER[int(re.sub(r'convs.', '', part))]}.{kind}"


NET, DECODER, ENCODER_NAME = "transformer_net", "adain_decoder", "normalised_vgg"

STATISTICS = r".*\.(running_mean|running_var|num_batches_tracked)"  # of old instance norms, which use none
DEEPER = r"(32|35|38|42|45|48|51)\.(weight|bias)"
TITLE = "a style network (TransformerNet) of PyTorch's examples"
STYLE = (
    Layout("pytorch", NET, TITLE, "conv1.conv2d.weight", transformer_infer, same_name, STATISTICS),
    Layout("ganvas", DECODER, "a style decoder of ganvas", "stages.0.0.weight", decoder_infer_ours, same_name),
    Layout("adain", DECODER, "AdaIN's decoder", "1.weight", decoder_infer, decoder_name),
    Layout(
        "vgg_normalised", ENCODER_NAME, "AdaIN's encoder (normalised VGG)", "0.weight", no_options, encoder_name, DEEPER
    ),
)
