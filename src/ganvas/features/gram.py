"""Content and style of an image: maps and Gram matrices of a frozen classifier (Gatys et al. 2016)."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..checkpoints import download as weights
from ..errors import UsageError
from ..policy import full_precision, wide
from . import extractor as features

NetworkName = Literal["pocket", "vgg16", "vgg19"]

LAYERS: dict[str, tuple[list[str], list[str]]] = {  # content and style
    "pocket": (["relu3"], ["relu1", "relu2", "relu3", "relu4"]),
    "vgg16": (["relu3_3"], ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]),  # Johnson et al. 2016, as their code
    "vgg19": (["relu4_2"], [f"relu{k}_1" for k in range(1, 6)]),  # Gatys et al. 2016
}


class StyleFeatures(NamedTuple):
    """Content and style of a batch of images."""

    content: list[Tensor]  # maps (N, C, h, w), one a layer
    style: list[Tensor]  # Gram matrices (N, C, C), one a layer


class Perception(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to maps and Gram matrices, by layers with weights.

    A layer is a name, or a name and a weight: `relu3=0.5`.  `vgg16` and `vgg19` need their file (`ganvas weights`);
    `pocket` is built in.  Raises `UsageError` for an unknown layer or a weight that is no number.  The network
    is no part of the state: it never changes.
    """

    def __init__(
        self,
        *,
        network: NetworkName = "pocket",  # the frozen classifier
        content: list[str] = [],  # layers that say what is shown; nothing: the usual ones
        style: list[str] = [],  # layers that say how it is painted; nothing: the usual ones
    ):
        super().__init__()
        usual = LAYERS[network]
        self.network = network
        self.content = dict(map(parse_layer, content or usual[0]))
        self.style = dict(map(parse_layer, style or usual[1]))
        if not sum(self.style.values()) > 0:
            raise UsageError("Of the layers of style one at least must count something; give a weight above 0.")
        classifier = features.load_network(network)
        self.hidden = [classifier.requires_grad_(False)]  # in a list, so that it is no submodule
        self.reach = {name: receptive_field(classifier, name) for name in {**self.content, **self.style}}

    def maps(self, x: Tensor, names: Sequence[str] = ()) -> dict[str, Tensor]:
        """The maps of those names, or of the layers of style; transparent images (N, 4, H, W) are laid on white."""
        network = self.hidden[0].to(x.device)
        return network.maps(features.rgb(x), list(names) or list(self.style))  # type: ignore[operator]

    def forward(self, x: Tensor) -> StyleFeatures:
        maps = self.maps(x, [*{**self.content, **self.style}])
        return StyleFeatures([maps[name] for name in self.content], [gram(maps[name]) for name in self.style])

    def check(self, image: Tensor, name: str) -> None:
        """Raise `UsageError` for a style image (1, C, H, W) smaller than what a layer of style looks at."""
        height, width = image.shape[2:]
        wide, least = max(self.style, key=self.reach.__getitem__), max(self.reach[k] for k in self.style)
        if min(height, width) < least:
            raise UsageError(
                f"{name} has {width}x{height} pixels where it is looked at, and {wide} of {self.network} looks at"
                f" {least}x{least}: give a larger image, or layers that look at less."
            )

    def content_loss(self, features: StyleFeatures, target: StyleFeatures) -> Tensor:
        """Content loss: half the mean squared difference of maps, weighted (Gatys et al. 2016, eq. 1).

        As of a network scaled so that the mean square of each target map is one, which makes weights mean the same for
        every network and layer.
        """
        terms = [
            w * (f.float() - p.float()).square().mean() / (2 * p.float().square().mean()).clamp_min(TINY)
            for w, f, p in zip(self.content.values(), features.content, target.content)
        ]
        return torch.stack(terms).sum()

    def style_loss(self, features: StyleFeatures, target: StyleFeatures) -> Tensor:
        """Style loss over Gram matrices, in `target` (1, C, C) or one per image (Gatys et al. 2016, eq. 4 and 5).

        Sides of images may differ, and the network is scaled as for the content: a Gram matrix is divided by its
        trace, where the paper divides by the number of channels.  Weights add up to one.
        """
        whole = sum(self.style.values())
        terms = [w / whole * gram_loss(g, a) for w, g, a in zip(self.style.values(), features.style, target.style)]
        return torch.stack(terms).sum()


TINY = 1e-12
EPS = 1e-5  # added to variances, as in published code of AdaIN


def gram(maps: Tensor) -> Tensor:
    """Products of channels, averaged over all places: (N, C, h, w) to (N, C, C), in float32 or wider."""
    with full_precision(maps.device):
        product: Tensor = Products.apply(wide(maps).flatten(2))
        return product


class Products(Function):
    """Rows (N, C, D) times themselves over D: (N, C, C); one product less in backward than for two inputs."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return rows @ rows.transpose(1, 2) / rows.shape[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return ((gradient + gradient.transpose(1, 2)) / rows.shape[2]) @ rows


def gram_loss(style: Tensor, target: Tensor) -> Tensor:
    """A quarter of the squared difference, with the trace of the target scaled to one; averaged over images."""
    trace = target.diagonal(dim1=1, dim2=2).sum(1).clamp_min(TINY)
    return ((style - target).square().sum((1, 2)) / (4 * trace.square())).mean()


def moments(maps: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every channel over all places, each (N, C, 1, 1), in float32 or wider.

    The variance is unbiased, as in published code.  `share` (N, 1, h, w) in [0, 1] says how much a place counts.
    """
    maps = wide(maps)
    if share is None:
        spare = min(1, maps[0, 0].numel() - 1)  # a single place does not vary
        return maps.mean((2, 3), keepdim=True), (maps.var((2, 3), keepdim=True, correction=spare) + EPS).sqrt()
    whole = share.sum((2, 3), keepdim=True).clamp_min(EPS)
    mean = (maps * share).sum((2, 3), keepdim=True) / whole
    square = ((maps - mean).square() * share).sum((2, 3), keepdim=True) / (whole - 1).clamp_min(1)
    return mean, (square + EPS).sqrt()


def adapt(content: Tensor, style: tuple[Tensor, Tensor], share: Tensor | None = None) -> Tensor:
    """A map with the mean and deviation of a style in every channel (Huang and Belongie 2017, eq. 8)."""
    mean, deviation = moments(content, share)
    return (content - mean) / deviation * style[1] + style[0]


def mix_styles(several: Sequence[StyleFeatures], shares: Sequence[float]) -> StyleFeatures:
    """Target of several styles: their Gram matrices averaged by shares, and the content of the first."""
    whole = sum(shares)
    grams = zip(*(one.style for one in several))
    means = [torch.stack([s / whole * g for s, g in zip(shares, each)]).sum(0) for each in grams]
    return StyleFeatures(several[0].content, means)


def total_variation(x: Tensor) -> Tensor:
    """Mean squared difference between neighbours, down and across (Johnson et al. 2016, section 3.2)."""
    down, across = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    return down.square().mean() + across.square().mean()


def parse_layer(text: str) -> tuple[str, float]:
    """`relu3` or `relu3=0.5` as a name and a weight; raises `UsageError` for a weight that is none."""
    name, _, weight = text.partition("=")
    if weight and not re.fullmatch(r"\d+(\.\d+)?([eE][-+]?\d+)?", weight):
        raise UsageError(f"A layer is a name, or a name and a weight such as relu3=0.5, not {text!r}.")
    return name.strip(), float(weight or 1)


def receptive_field(network: nn.Module, name: str) -> int:
    """Side in pixels of the receptive field of a map, from all convolutions and pools before it.

    Raises `UsageError` for an unknown layer.
    """
    side, step = 1, 1

    def passed(part: nn.Module, *_: object) -> None:
        nonlocal side, step
        assert isinstance(part, (nn.Conv2d, nn.MaxPool2d))
        kernel, stride = (v if isinstance(v, int) else v[0] for v in (part.kernel_size, part.stride))
        side, step = side + (kernel - 1) * step, step * stride

    parts = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.MaxPool2d))]
    hooks = [m.register_forward_hook(passed) for m in parts]
    try:
        with torch.no_grad():
            network.maps(next(network.parameters()).new_zeros(1, 3, 32, 32), [name])  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    return side


def choose_network(network: NetworkName | Literal["auto"]) -> tuple[NetworkName, str]:
    """The network and the reason for it; `auto` takes `vgg19` if its file is on this machine, else `pocket`."""
    if network != "auto":
        return network, "as asked for"
    known = weights.known("vgg19")
    if (weights.folder() / known.file).is_file():
        return "vgg19", "its file is here"
    return "pocket", "embedded; `ganvas weights fetch vgg19` gets the one of the papers"
