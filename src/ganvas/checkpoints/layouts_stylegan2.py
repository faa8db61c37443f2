"""StyleGAN2's generator in files of three other projects: their tensors under our names, and its layout.

Of a convolution that enlarges, their kernels are mirrored (rosinality, StyleGAN2-ADA) or in our order (TensorFlow).
"""

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from .layouts import Layout, Options, Shapes, numbers, same_name, size

State = dict[str, Tensor]
LARGEST = 12  # most sizes of maps, from 4 pixels on
ANCHORS = {  # tensors by which the projects are recognised
    "ada": ("mapping.fc0.weight", "synthesis.b4.const"),
    "tensorflow": ("mapping/Dense0/weight", "synthesis/4x4/Const/const"),
    "rosinality": ("style.1.weight", "input.input"),
}
FILTER = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8] * 2)  # the only one that is read here


def as_ours(state: State) -> State:
    """The tensors of StyleGAN2's generator by our names; those of anything else stay as they are."""
    for kind, anchors in ANCHORS.items():
        if all(anchor in state for anchor in anchors):
            return _renamed({k: v for k, v in state.items() if isinstance(v, Tensor)}, CONVERSIONS[kind])
    return state


def _renamed(state: State, convert: Callable[[State], State]) -> State:
    try:
        return convert(state)
    except (KeyError, RuntimeError, IndexError, ValueError):  # shapes or names of another network
        return state


def _from_ada(state: State) -> State:
    """Tensors of StyleGAN2-ADA by our names; embeddings of one-hot labels become a table."""
    other = [v for k, v in state.items() if k.endswith("resample_filter")]
    if any(v.shape != FILTER.shape or not torch.allclose(v.float(), FILTER) for v in other):
        return state
    ours: State = {"average": state["mapping.w_avg"], "start": state["synthesis.b4.const"]}
    if "mapping.embed.weight" in state:
        table, bias = state["mapping.embed.weight"], state["mapping.embed.bias"]
        ours["map.embed.weight"] = (table / math.sqrt(table.shape[1])).t() + bias
    for key, value in state.items():
        if match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", key):
            ours[f"map.layers.{match[1]}.{match[2]}"] = value
        elif match := re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", key):
            _put(ours, int(match[1]).bit_length() - 3, match[2], match[3], value)
    return ours


PARTS = {
    "affine.weight": "conv.style.weight",
    "affine.bias": "conv.style.bias",
    "weight": "conv.weight",
    "bias": "bias",
    "noise_strength": "noise.strength",
    "noise_const": "noise.fixed",
}


def _put(ours: State, level: int, layer: str, part: str, value: Tensor) -> None:
    """Put a tensor of ADA's layer at a size, 4 x 2^level, under our name."""
    if part not in PARTS:
        return
    if part == "noise_const":
        value = value[None, None]
    if layer == "torgb":
        ours[f"to_image.{level}.{PARTS[part]}"] = value
        return
    mirrored = layer == "conv0" and part == "weight"
    number = 0 if not level else 2 * level - (layer == "conv0")
    ours[f"layers.{number}.{PARTS[part]}"] = value.flip(2, 3) if mirrored else value


def _from_tensorflow(state: State) -> State:
    """Variables of StyleGAN2's first code: transposed, biases of styles without their 1."""
    ada: State = {"mapping.w_avg": state["dlatent_avg"], "synthesis.b4.const": state["synthesis/4x4/Const/const"][0]}
    names = {"Conv": "conv1", "Conv1": "conv1", "Conv0_up": "conv0", "ToRGB": "torgb"}
    parts = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}
    for key, value in state.items():
        if match := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", key):
            ada[f"mapping.fc{match[1]}.{match[2]}"] = value.t() if match[2] == "weight" else value
        elif match := re.fullmatch(r"mapping/LabelEmbed/(weight|bias)", key):
            ada[f"mapping.embed.{match[1]}"] = value.t() if match[1] == "weight" else value
        elif match := re.fullmatch(r"synthesis/noise(\d+)", key):
            number = int(match[1])
            ada[f"synthesis.b{4 << (number + 1) // 2}.conv{1 - number % 2}.noise_const"] = value[0, 0]
        elif (match := re.fullmatch(r"synthesis/(\d+)x\d+/(\w+)/(\w+)", key)) and match[2] in names:
            part, mirrored = parts.get(match[3], match[3]), match[2] == "Conv0_up"
            ada[f"synthesis.b{match[1]}.{names[match[2]]}.{part}"] = _transposed(value, match[3], mirrored)
    return _from_ada(ada)


def _transposed(value: Tensor, part: str, mirrored: bool) -> Tensor:
    if part == "weight":  # (k, k, inputs, outputs)
        value = value.permute(3, 2, 0, 1)
        return value.flip(2, 3) if mirrored else value
    return value.t() if part == "mod_weight" else value + 1 if part == "mod_bias" else value


def _from_rosinality(state: State) -> State:
    """Tensors of rosinality's code by our names; without `latent_avg` the average style is computed."""
    last = max(numbers(_shapes(state), r"convs\.(\d+)\.conv\.weight"), default=-1)
    ours: State = {"start": state["input.input"][0]}
    for k in numbers(_shapes(state), r"style\.(\d+)\.weight"):
        for kind in ("weight", "bias"):
            ours[f"map.layers.{k - 1}.{kind}"] = state[f"style.{k}.{kind}"]
    for number in range(last + 2):
        name = f"convs.{number - 1}" if number else "conv1"
        _put_rosinality(ours, state, name, f"layers.{number}", f"noises.noise_{number}")
    for level in range((last + 1) // 2 + 1):
        _put_rosinality(ours, state, f"to_rgbs.{level - 1}" if level else "to_rgb1", f"to_image.{level}", "")
    ours["average"] = state["latent_avg"] if "latent_avg" in state else _average(ours)
    return ours


def _put_rosinality(ours: State, state: State, name: str, target: str, noise: str) -> None:
    weight = state[f"{name}.conv.weight"][0]
    ours[f"{target}.conv.weight"] = weight.flip(2, 3) if f"{name}.conv.blur.kernel" in state else weight
    for kind in ("weight", "bias"):
        ours[f"{target}.conv.style.{kind}"] = state[f"{name}.conv.modulation.{kind}"]
    if not noise:
        ours[f"{target}.bias"] = state[f"{name}.bias"].flatten()
        return
    ours[f"{target}.bias"] = state[f"{name}.activate.bias"]
    ours[f"{target}.noise.strength"] = state[f"{name}.noise.weight"].reshape(())
    ours[f"{target}.noise.fixed"] = state[noise]


@torch.no_grad()
def _average(ours: State) -> Tensor:
    """The mean style of 4,096 latents, as rosinality's code computes it, of a fixed seed."""
    x = torch.randn(4096, ours["map.layers.0.weight"].shape[1], generator=torch.Generator().manual_seed(0))
    x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for k in range(len([key for key in ours if key.startswith("map.layers.")]) // 2):
        weight, bias = ours[f"map.layers.{k}.weight"], ours[f"map.layers.{k}.bias"]
        x = torch.nn.functional.linear(x, weight * (0.01 / math.sqrt(weight.shape[1])), bias * 0.01)
        x = torch.nn.functional.leaky_relu(x, 0.2) * math.sqrt(2)
    return x.mean(0)


CONVERSIONS = {"ada": _from_ada, "tensorflow": _from_tensorflow, "rosinality": _from_rosinality}


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def generator_infer(shapes: Shapes) -> Options:
    """Infer the generator's options from our names."""
    layers = [k for k in numbers(shapes, r"layers\.(\d+)\.conv\.weight") if k < 2 * LARGEST]
    last, sizes = max(layers, default=0), max(layers, default=0) // 2
    style = size(shapes, "layers.0.conv.style.weight", 1, 512)
    return {
        "resolution": tuple(side << sizes for side in shapes.get("start", (0, 4, 4))[1:3] if side < 64),
        "channels": size(shapes, f"to_image.{sizes}.bias", 0, 3),
        "classes": size(shapes, "map.embed.weight", 0, 0),
        "latent": size(shapes, "map.layers.0.weight", 1, 512) - (style if "map.embed.weight" in shapes else 0),
        "style": style,
        "mapping": len(numbers(shapes, r"map\.layers\.(\d+)\.weight")),
        "width": size(shapes, f"layers.{last}.conv.weight", 0, 32),
        "max_width": size(shapes, "layers.0.conv.weight", 0, 512),
    }


STYLEGAN2 = (
    Layout("ganvas", "stylegan2_generator", "StyleGAN2's generator", "map.layers.0.weight", generator_infer, same_name),
)
