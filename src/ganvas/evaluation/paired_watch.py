"""Paired measures during training: held-out images through the averaged generator, beside their originals."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..catalog import METRICS
from ..data.pair_files import PairFiles
from ..errors import UsageError, did_you_mean
from ..imaging.decode import to_8bit, to_channels, to_float
from ..imaging.grid import grid
from ..models.model import Model
from .comparison import ImagePairs, Metric, Numbers
from .during_training import Evaluation, paired

if TYPE_CHECKING:
    from ..training.trainer import Trainer

ON_SHEET = 4  # pairs
SIDE = 192  # pixels of a crop on the sheet
NOT_LOGGED = ("per_image", "fake")


class PairedWatch(Evaluation):
    """Measures a model on pairs of images, each at its own size and as a whole; images are rounded as files are."""

    def __init__(
        self,
        pairs: PairFiles,
        *,
        every: int = 0,  # images; 0: by what an evaluation costs
        metric: str = "psnr",
        stop_when: str | None = None,
        patience: int | None = None,
    ):
        super().__init__(find_paired(metric), every=every, stop_when=stop_when, patience=patience)
        self.pairs = pairs
        self.measure = {"metric": metric, "result": self.key, "pairs": pairs.name, "count": len(pairs)}
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # source, result and target on the sheet

    @torch.no_grad()
    def rehearse(self, trainer: "Trainer", config: dict[str, Any]) -> None:
        if not trainer.task.translates:
            raise UsageError("--eval-data holds pairs, and this recipe makes images from noise; leave it out.")
        with torch.random.fork_rng(), trainer.use_average() as task:
            model = Model(task, trainer.policy, config)
            self.function(ImagePairs(self.pairs.name, images=self._images(model, range(1))))

    def numbers(self, model: Model) -> Numbers:
        self._rows = []
        numbers = self.function(ImagePairs(self.pairs.name, images=self._images(model, range(len(self.pairs)))))
        return {name: value for name, value in numbers.items() if name not in NOT_LOGGED}

    def _images(self, model: Model, places: range) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Original and result of each pair, one at a time; raises `UsageError` for sizes that do not match."""
        spread = {round(k * (len(self.pairs) - 1) / max(ON_SHEET - 1, 1)) for k in range(ON_SHEET)}
        for k in places:
            source, target = self.pairs.read(k)
            source = to_channels(source, model.input_channels())
            result = _to_depth(model.apply(to_float(source)[None]), target.dtype)
            target = to_channels(target, result.shape[2])
            if result.shape != target.shape:
                sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (source, result, target)]
                raise UsageError(
                    f"--eval-data: {self.pairs.names[k]} is {sizes[0]}, of which the recipe makes {sizes[1]}, and its"
                    f" target is {sizes[2]}."
                )
            if k in spread:
                self._rows.append(_crops(source, result, target))
            yield self.pairs.names[k], _to_levels(target), _to_levels(result)

    def sheet(self) -> Image.Image | None:
        """Source, result and target of up to four pairs of the last evaluation: crops of their centres."""
        if not self._rows:
            return None
        side = [min(image.shape[axis] for row in self._rows for image in row) for axis in (0, 1)]
        parts = [image[: side[0], : side[1]] for row in self._rows for image in row]
        return grid(to_float(np.stack(parts)), columns=3)


def find_paired(name: str) -> Metric:
    """The paired metric of that name; raises `UsageError` for another."""
    known = paired()
    if name not in known:
        raise UsageError(
            f"With --eval-data, --eval-metric takes {', '.join(known)}, not {name!r}.{did_you_mean(name, known)}"
        )
    metric: Metric = METRICS[name]
    return metric


def _to_depth(images: Tensor, dtype: Any) -> np.ndarray:
    """The first of images (1, C, H, W) in [-1, 1] as (H, W, C), rounded to 8 or 16 bits as a file holds it."""
    top = np.iinfo(dtype).max
    levels = images[0].permute(1, 2, 0).double().add(1).mul(top / 2).round().clamp(0, top)
    return levels.numpy().astype(dtype)


def _to_levels(array: np.ndarray) -> Tensor:
    """(H, W, C) of 8 or 16 bits as (1, C, H, W) float64 in [0, 255]."""
    scale = 257.0 if array.dtype == np.uint16 else 1.0
    return torch.from_numpy(array.astype(np.float64) / scale).permute(2, 0, 1)[None]


def _crops(source: np.ndarray, result: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The centres of three images at one place, as 8-bit RGB of one size.

    Of more than four channels the first three are shown; pixels of a smaller source are repeated.
    """
    scale = max(target.shape[0] // source.shape[0], 1)
    small = [to_channels(to_8bit(x[..., :3] if x.shape[2] > 4 else x), 3) for x in (source, result, target)]
    small[0] = small[0].repeat(scale, 0).repeat(scale, 1)
    height, width = (min(x.shape[axis] for x in small) for axis in (0, 1))
    top, left = max(height - SIDE, 0) // 2 // scale * scale, max(width - SIDE, 0) // 2 // scale * scale
    first, second, third = (x[top : min(top + SIDE, height), left : min(left + SIDE, width)] for x in small)
    return first, second, third
