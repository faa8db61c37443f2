"""Feature networks of metrics, each with the resizer and channels it is published with."""

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..checkpoints import download as weights
from ..errors import UsageError, UserError, did_you_mean
from ..imaging.channels import on_white
from ..policy import is_out_of_memory
from .inception import Inception
from .pocket import SIZE, Pocket
from .vgg import VGG

Resizer = Literal["own", "clean"]
Resize = Callable[[Tensor, int], Tensor]
POCKET = Path(__file__).with_name("pocket.safetensors")
BATCH = 64


def bilinear(images: Tensor, size: int) -> Tensor:
    """Bilinear without antialiasing, as in the public port of FID."""
    return interpolate(images, (size, size), mode="bilinear", align_corners=False)


def clean(images: Tensor, size: int) -> Tensor:
    """Bicubic with antialiasing, in floating point and not cut off (Parmar et al. 2022)."""
    return interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=True)


def pocket() -> Pocket:
    """The embedded network with its weights; raises `UserError` if the installation lacks them."""
    network = Pocket()
    try:
        state = load_file(POCKET)
    except (OSError, SafetensorError) as problem:
        raise UserError(f"The embedded weights {POCKET} cannot be read ({problem}); install ganvas again.") from None
    weights.load(network, {k: v.float() for k, v in state.items()}, "pocket")
    return network.eval()


def inception() -> Inception:
    """The network of FID; raises `UsageError` with the way to get its weights if they are missing."""
    network = Inception()
    weights.load(network, weights.read("inception"), "inception")
    return network.fold()


def vgg(name: str) -> VGG:
    """`vgg16` or `vgg19` with torchvision's weights; raises `UsageError` as `inception` does."""
    network = VGG(name)
    weights.load(network, weights.read(name), name)
    return network.eval()


@runtime_checkable
class Classifies(Protocol):
    """A network that also gives class logits (N, K)."""

    def logits(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Entry:
    """A network by name."""

    build: Callable[[], nn.Module]
    width: int  # features
    size: int  # pixels a side that images are resized to
    resize: Resize  # by default


NETWORKS: dict[str, Entry] = {
    "pocket": Entry(pocket, Pocket.features_size, SIZE, clean),
    "inception": Entry(inception, 2048, 299, bilinear),
    "vgg16": Entry(lambda: vgg("vgg16"), 4096, 224, clean),
    "vgg19": Entry(lambda: vgg("vgg19"), 4096, 224, clean),
}


class Features:
    """Images (N, C, H, W) in [-1, 1] to features (N, D), float32 on the CPU.

    `network` is `pocket`, `inception`, `vgg16`, `vgg19`, or any module of yours that takes images in [-1, 1] (it gets
    them as they are, in whatever channels) and gives (N, D), or maps, whose mean over all places is taken; `name` is
    its name in results.  Networks by name get grey images in three equal channels and transparent images on white.
    `bf16` is the precision of matrix products.
    Raises `UsageError` for a name that is not known or weights that are not here.
    """

    def __init__(
        self,
        network: str | nn.Module = "pocket",
        *,
        name: str | None = None,
        resizer: Resizer = "own",
        device: torch.device | str = "cpu",
        bf16: bool = False,
    ):
        self.device, self.bf16, self.size, self.width = torch.device(device), bf16, 0, 0
        self.resize: Resize = clean
        self.made_by = ""  # SHA-256 of the weights of a named network
        if isinstance(network, nn.Module):
            self.name, self.network = name or type(network).__name__, deepcopy(network).eval()  # theirs may be training
        else:
            entry = find_entry(network)
            self.name, self.network, self.size, self.width = network, entry.build(), entry.size, entry.width
            self.resize = entry.resize if resizer == "own" else clean
            self.made_by = weights.digest(POCKET if network == "pocket" else weights.path(network))
        self.network.to(memory_format=torch.channels_last).to(self.device)  # type: ignore[call-overload]

    def exact(self) -> "Features":
        """A copy with float32 matrix products."""
        other = copy(self)
        other.bf16 = False
        return other

    @property
    def protocol(self) -> dict[str, Any]:
        """Network, resizer and precision; printed with every result."""
        entries: dict[str, Any] = {"features": self.name}
        if self.size:
            way = "antialiased bicubic" if self.resize is clean else "bilinear"
            entries["resizer"] = f"{way} to {self.size}x{self.size}"
        if self.name in weights.FILES and self.made_by not in ("", weights.FILES[self.name].sha256):
            entries["weights"] = f"{self.made_by[:16]}, which are not the published ones"
        return {**entries, "precision": "bf16"} if self.bf16 else entries

    @property
    def stamp(self) -> dict[str, Any]:
        """The protocol of statistics in a file; only statistics of an equal one are compared."""
        made_by = {"weights": self.made_by[:16]} if self.made_by else {}
        return {**self.protocol, "precision": "bf16" if self.bf16 else "fp32", **made_by}

    @property
    def key(self) -> str:
        """Key of features in the cache; empty for a module of the user's, which may change."""
        return f"{self.protocol} {self.made_by}" if self.made_by else ""

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._through(self.network, part) for part in images.split(BATCH)])

    def logits(self, images: Tensor) -> Tensor:
        """Class logits (N, K) of the same images; raises `UsageError` for a network that has none."""
        if not isinstance(self.network, Classifies):
            raise UsageError(f"{self.name} names no classes, so it has no inception score; take inception or pocket.")
        return torch.cat([self._through(self.network.logits, part) for part in images.split(BATCH)])

    @torch.inference_mode()
    def _through(self, use: Callable[[Tensor], Any], images: Tensor) -> Tensor:
        if self.size and images.shape[1] not in (1, 3, 4):
            many = images.shape[1]
            raise UsageError(f"{self.name} looks at grey, RGB or transparent images, not at {many} channels.")
        images = (rgb(images) if self.size else images).to(self.device, memory_format=torch.channels_last)
        if self.size and tuple(images.shape[2:]) != (self.size, self.size):
            images = self.resize(images, self.size)
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                out = use(images)
        except RuntimeError as problem:
            if self.size or is_out_of_memory(problem):
                raise
            reason = str(problem).strip().partition("\n")[0]
            raise UsageError(f"{self.name} does not take images of shape {tuple(images.shape)}: {reason}.") from problem
        out = out[0] if isinstance(out, tuple) else out
        if not isinstance(out, Tensor) or len(out) != len(images):
            raise UsageError(f"{self.name} gives no row of features for every image.")
        return (out.mean((2, 3)) if out.ndim == 4 else out.flatten(1)).float().cpu()


def find_entry(name: str) -> Entry:
    """The network of that name; raises `UsageError` for others."""
    if name not in NETWORKS:
        raise UsageError(
            f"There are no features {name!r}.{did_you_mean(name, NETWORKS)} There are: {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def load_network(name: str) -> nn.Module:
    """The network of that name with its weights; raises `UsageError` if they are missing."""
    return find_entry(name).build()


def rgb(images: Tensor) -> Tensor:
    """Grey, RGB or RGBA images in [-1, 1] as RGB: grey three times, transparency on white."""
    images = on_white(images)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
