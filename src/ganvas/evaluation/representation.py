"""Representation of images by the stages of a run's network, or by a feature network of the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from ..data.batches import iterate_once
from ..data.dataset import CHANNEL_NAMES, Dataset
from ..data.sources import open_source, parse_resolution
from ..errors import UsageError, did_you_mean
from ..features.extractor import NETWORKS, Features
from ..game import BaseDiscriminator
from ..models.folder import model_folder
from ..paths import user_path
from ..policy import Policy
from ..run import Run
from .discriminator import load_task

GRID = 4  # places a side that every map is pooled to
BATCH = 64


class Stages(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to the maps of a network's stages, pooled and joined: (N, D).

    Every map is max-pooled to 4x4 places and flattened (Radford et al. 2015, section 5.1); `last` takes the last
    stage alone.
    """

    def __init__(self, net: BaseDiscriminator, last: bool = False):
        super().__init__()
        self.net, self.last = net, last
        if not net.stages():
            raise UsageError(f"{type(net).__qualname__} has no stages to take features from.")

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = []
        own, stages = set(self.net.modules()), self.net.stages()[-1:] if self.last else self.net.stages()
        ends = [stage if stage in own else list(stage.children())[-1] for stage in stages]  # a slice is no part itself
        hooks = [end.register_forward_hook(lambda module, given, out: maps.append(out)) for end in ends]
        try:
            self.net.forward(x, None)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([pool(h) for h in maps], 1)


def pool(h: Tensor) -> Tensor:
    """A map (N, C, h, w) max-pooled to at most 4x4 and flat, or features (N, F) as they are."""
    if h.ndim != 4:
        return h.flatten(1)
    return adaptive_max_pool2d(h, (min(GRID, h.shape[2]), min(GRID, h.shape[3]))).flatten(1)


@dataclass(frozen=True)
class Representation:
    """A network that describes images, with the images it takes."""

    features: Features
    resolution: tuple[int, int] | None = None  # (height, width); None: any
    channels: int = 0  # 0: any

    def open(self, source: str | Dataset, resolution: str | None = None) -> Dataset:
        """The images to describe; raises `UsageError` for channels or a resolution that the network does not take."""
        if isinstance(source, Dataset):
            data = source
        else:
            size = self.resolution or (parse_resolution(resolution) if resolution else None)
            data = open_source(source, resolution=size)
        if data.facts.kind != "images":
            raise UsageError(f"{data.name} holds points, and features are of images.")
        if self.channels and data.facts.channels != self.channels:
            kinds = [CHANNEL_NAMES.get(n, str(n)) for n in (self.channels, data.facts.channels)]
            raise UsageError(
                f"{self.features.name} was trained on {kinds[0]} images; {data.name} holds {kinds[1]} ones."
            )
        return data

    def parts(self, data: Dataset) -> Iterator[Tensor]:
        """Features (N, D) float32 of all images, a batch at a time."""
        for batch in iterate_once(data, BATCH):
            yield self.features(batch["image"])

    def all(self, data: Dataset) -> Tensor:
        """Features (N, D) of all images at once."""
        return torch.cat(list(self.parts(data)))


def open_representation(of: str, *, last: bool = False, device: str = "auto") -> Representation:
    """The network that `of` names: a run, whose discriminator or classifier is taken, or a feature network.

    Raises `UsageError` for anything else, and for a run whose network has no stages or needs a label.
    """
    place = Policy.choose(device, "fp32").device
    if of in NETWORKS:
        return Representation(Features(of, device=place))
    path = user_path(of)
    if model_folder(path) is None and not Run(path).exists():
        near = did_you_mean(of, NETWORKS)
        raise UsageError(f"{of} is neither a run nor a feature network.{near} There are: {', '.join(NETWORKS)}.")
    with torch.random.fork_rng(devices=[]):  # the random weights are only places for those in the file
        net = load_task(of).feature_network()
    if net is None:
        raise UsageError(f"{of} has no discriminator to take features from; give a run that was trained with one.")
    config: dict[str, Any] = Run(path).config()["data"]
    height, width = config["resolution"]
    stages = Stages(net.eval().requires_grad_(False), last)
    features = Features(stages, name=str(Path(of)), device=place)
    features(torch.zeros(1, config["channels"], height, width))  # a network that needs a label says so
    return Representation(features, (height, width), config["channels"])
