"""Initialisation by name, and sizes: halvings, padding, cropping."""

import math
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ..errors import UsageError

Init = Literal[  # he, glorot: the same by their authors
    "normal", "kaiming", "he", "xavier", "glorot", "xavier_uniform", "orthogonal"
]

M = TypeVar("M", bound=nn.Module)
WEIGHTS = {
    "normal": lambda w: nn.init.normal_(w, 0.0, 0.02),  # Radford et al. 2015
    "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0.2),  # He et al. 2015, for LeakyReLU 0.2
    "xavier": nn.init.xavier_normal_,  # Glorot and Bengio 2010
    "xavier_uniform": nn.init.xavier_uniform_,  # the default of Keras
    "orthogonal": nn.init.orthogonal_,  # Saxe et al. 2014
}
WEIGHTS |= {"he": WEIGHTS["kaiming"], "glorot": WEIGHTS["xavier"]}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class VectorEmbedding(nn.Linear):
    """A learnt linear map of label vectors (N, attributes) to (N, size), of about the magnitude of an embedding's rows.

    `initialise` leaves it alone, as embeddings: weights of a layer would make a label ten times too small.
    """

    def __init__(self, attributes: int, size: int):
        super().__init__(attributes, size)
        nn.init.normal_(self.weight, std=attributes**-0.5)
        nn.init.zeros_(self.bias)


def initialise(module: M, init: Init | None) -> M:
    """Initialise every weight by the scheme of that name, every bias to zero; returns the module, for None as it is.

    Batch-norm scales are one, or N(1, 0.02) with `normal`, as in DCGAN's code.  Embeddings of labels are
    left as they are, and so are weights of zero, by which a network begins as the identity.
    """
    if init is None:
        return module
    for layer in module.modules():
        if isinstance(layer, VectorEmbedding) or (isinstance(layer, LINEAR) and is_zero(layer.weight)):
            continue
        if isinstance(layer, LINEAR):
            WEIGHTS[init](raw_weight(layer))
        elif isinstance(layer, NORMS) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, 0.02) if init == "normal" else nn.init.ones_(layer.weight)
        if isinstance(layer, LINEAR + NORMS) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


def raw_weight(layer: Any) -> Tensor:
    """The weight that is trained: of a layer with spectral norm, that before the division."""
    return layer.parametrizations.weight.original if is_parametrized(layer, "weight") else layer.weight


def is_zero(weight: Tensor) -> bool:
    """True for a weight of zeros; False on the meta device, where there are no numbers."""
    return not weight.is_meta and not bool(weight.any())


def check_size(resolution: tuple[int, int], need: str, instead: str = "") -> None:
    """Raise `UsageError`, which begins with `need`, for images under 8 pixels a side; `instead` takes smaller ones."""
    if min(resolution) < 8:
        hint = f"; for points and tiny images use the fully connected {instead}" if instead else ""
        raise UsageError(f"{need} of at least 8x8 pixels, these are {resolution[1]}x{resolution[0]}{hint}.")


def halvings(resolution: tuple[int, int], smallest: int = 4) -> int:
    """The number of times the shorter side of (H, W) can be halved before it is under `smallest` pixels."""
    return int(math.log2(min(resolution) / smallest))


def stages_of(body: nn.Sequential) -> list[nn.Module]:
    """The parts of a body, each a convolution and the layers up to the next one."""
    starts = [k for k, layer in enumerate(body) if isinstance(layer, nn.Conv2d)]
    return [body[a:b] for a, b in zip(starts, [*starts[1:], len(body)])]


def as_size(resolution: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A resolution as (height, width); one number means a square."""
    return (resolution, resolution) if isinstance(resolution, int) else (resolution[0], resolution[1])


def crop_center(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop the central (H, W) pixels of (N, C, >= H, >= W)."""
    top, left = ((side - part) // 2 for side, part in zip(image.shape[2:], size))
    return image[:, :, top : top + size[0], left : left + size[1]]


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) evenly, by repeating its edge, to sides that `multiple` divides; `crop_center` undoes it."""
    return pad_evenly(image, [-side % multiple for side in image.shape[2:]])


def pad_for_reflection(image: Tensor) -> Tensor:
    """Pad to a multiple of 4, or of 8 under 5 pixels: reflection needs two pixels after two halvings."""
    return pad_to_multiple(image, 4 if min(image.shape[2:]) >= 5 else 8)


def reflect_conv(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> nn.Conv2d:
    """A convolution with reflection padding that keeps the size."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect", bias=bias)


def pad_evenly(image: Tensor, missing: list[int]) -> Tensor:
    """Pad (N, C, H, W) by so many rows and columns around it, repeating its edge."""
    if not torch.compiler.is_exporting() and not any(missing):  # an exported graph holds for every size
        return image
    (top, left), (down, across) = [m // 2 for m in missing], missing
    return nn.functional.pad(image, (left, across - left, top, down - top), mode="replicate")


def to_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is."""
    return x if x.dtype == torch.float64 else x.float()
