"""Better images from an image: larger, cleaner, whatever its size, depth and transparency, in bounded memory."""

from __future__ import annotations

import contextlib
import copy
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..errors import UsageError, UserError
from ..imaging.photo import Photo, Planes
from ..imaging.resize import resize, resized
from ..models.resolve import ImageModel
from ..policy import Policy, give_back_buffers
from .tiling import Source, Tiler

IN_MEMORY = 256 << 20  # bytes: a larger result lies in a file until it is saved
BROAD = 15  # pixels: what is as broad as that is colour, not detail
LARGEST = 1 << 32  # pixels of a result: PNG's limit is larger, disks' are not

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Target:
    """How large a result is to be; nothing given: as large as the network makes it."""

    outscale: float | None = None  # times larger than the image
    width: int | None = None  # exactly; one side alone keeps the proportions
    height: int | None = None

    def __post_init__(self) -> None:
        if self.outscale is not None and (self.width or self.height):
            raise UsageError("Give --outscale, or --width and --height, not both.")
        if self.outscale is not None and not 1 / 64 <= self.outscale <= 64:
            raise UsageError(f"--outscale must be from 1/64 to 64, got {self.outscale}.")
        for name in ("width", "height"):
            side = getattr(self, name)
            if side is not None and not 1 <= side <= 1_000_000:
                raise UsageError(f"--{name} must be from 1 to 1,000,000 pixels, got {side}.")

    def of(self, height: int, width: int, scale: float) -> tuple[int, int]:
        """The (height, width) that an image becomes; `scale` is the network's own."""
        if self.width or self.height:
            factor = self.width / width if self.width else (self.height or 0) / height
            size = self.height or max(round(height * factor), 1), self.width or max(round(width * factor), 1)
        else:
            factor = self.outscale if self.outscale is not None else scale
            size = max(round(height * factor), 1), max(round(width * factor), 1)
        if size[0] * size[1] > LARGEST:
            raise UserError(f"{size[1]}x{size[0]} pixels are more than can be made; ask for a smaller size.")
        return size


class Blended(nn.Module):
    """A network on colour and, where there is one, on alpha; mixed with something more faithful.

    Images (1, C, H, W) or, with alpha as the last channel, (1, C + 1, H, W), in [-1, 1].
    """

    def __init__(
        self, network: nn.Module, base: nn.Module | None, strength: float, channels: int, faithful: bool = False
    ):
        super().__init__()
        self.network, self.base, self.strength, self.channels = network, base, strength, channels
        self.faithful = faithful
        self.colours = getattr(network, "colours", False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == self.channels:
            return self.mixed(x)
        if self.colours:  # would colour the transparency, too
            return torch.cat([self.mixed(x[:, :-1]), x[:, -1:]], 1)
        colour, alpha = x[:, : self.channels], x[:, self.channels :].expand(-1, self.channels, -1, -1)
        y = self.mixed(torch.cat([colour, alpha]))  # side by side: where colour is white it becomes what alpha becomes
        return torch.cat([y[:1], y[1:].mean(1, keepdim=True)], 1)

    def mixed(self, x: Tensor) -> Tensor:
        """The network's image, `strength` of it; the rest is the base's, or a plain enlargement."""
        y = self.network(x)
        y = broadly_alike(y, x) if self.faithful else y
        if self.strength == 1:
            return y
        if self.base is not None:
            plain = self.base(x)
        else:
            plain = F.interpolate(x, size=y.shape[2:], mode="bicubic", antialias=True) if y.shape != x.shape else x
        return torch.lerp(plain.to(y.dtype), y, self.strength)


def broadly_alike(y: Tensor, x: Tensor) -> Tensor:
    """y (N, C, s H, s W) with the broad colours and brightness of x (N, C, H, W): details stay, shifts go.

    What both differ by, averaged over `BROAD` pixels of x twice, is added.
    """
    difference = x - F.avg_pool2d(y, y.shape[-1] // x.shape[-1])
    for _ in range(2):
        difference = F.avg_pool2d(difference, BROAD, 1, BROAD // 2, count_include_pad=False)
    return y + F.interpolate(difference, size=y.shape[2:], mode="bilinear")


def for_inference(network: nn.Module, policy: Policy) -> nn.Module:
    """Place a network, channels-last; for bf16 a copy whose convolutions are rounded once, not in each call.

    It is to be called inside `policy.autocast()`; norms stay float32.
    """
    if not policy.bf16:
        return policy.place(network)
    rounded = copy.deepcopy(network)
    for layer in rounded.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.PReLU)):
            layer.to(torch.bfloat16)
    return policy.place(rounded)


class Enhancer:
    """A network with everything around it that a person's images need.

    `strength` under 1 mixes in the images of `base`, a more faithful network of the same scale, or a plain
    enlargement; `keep_colours` keeps the image's broad colours and brightness; `grain` is the standard deviation of
    noise to add, in levels of 255; `tile`, `overlap` as `imaging.tiling.Tiler` has them; `wrap` for textures that
    repeat.
    """

    def __init__(
        self,
        found: ImageModel,
        policy: Policy,
        *,
        base: ImageModel | None = None,
        strength: float = 1.0,
        keep_colours: bool = False,
        grain: float = 0.0,
        tile: int | None = None,
        overlap: int | None = 64,
        wrap: bool = False,
    ):
        if not 0 <= strength <= 1:
            raise UsageError(f"--strength must be from 0 (the plain image) to 1 (all of the model), got {strength}.")
        if base is not None and (base.scale, base.channels) != (found.scale, found.channels):
            raise UsageError(
                f"{base.name} (x{base.scale}, {base.channels} channels) cannot be mixed with"
                f" {found.name} (x{found.scale}, {found.channels} channels)."
            )
        if found.masked:
            raise UsageError(f"{found.name} fills holes: ganvas restore --mask MASK says where they are.")
        if found.channels not in (1, 3):
            raise UsageError(f"{found.name} takes images of {found.channels} channels, and these have 1 or 3.")
        if keep_colours and found.colours:
            raise UsageError(f"{found.name} is there to change the colours; leave --keep-colours out.")
        if not 0 <= grain <= 255:
            raise UsageError(f"--grain is a standard deviation from 0 to 255 levels, got {grain:g}.")
        self.found, self.policy, self.wrap, self.grain = found, policy, wrap, grain
        base = base if strength < 1 else None
        rough = [for_inference(f.network, policy) if f else None for f in (found, base)]
        exact = [policy.place(f.network) if f else None for f in (found, base)]
        blend = partial(Blended, strength=strength, channels=found.channels, faithful=keep_colours)
        modules = [blend(n, b) for n, b in (rough, exact)]  # type: ignore[arg-type]
        self.tilers = {
            extra: Tiler(
                modules[0].eval(),
                policy,
                channels=found.channels + extra,
                tile=tile,
                overlap=overlap,
                fallback=modules[1].eval(),
            )
            for extra in (0, 1)
        }

    @property
    def scale(self) -> float:
        """How many times larger the network makes images."""
        return float(self.tilers[0].field.scale)

    def photo(
        self,
        photo: Photo,
        target: Target | None = None,
        *,
        scratch: Path | None = None,
        progress: Progress | None = None,
    ) -> Photo:
        """A better image of the same kind: depth, grey, alpha, metadata.

        A large result lies in an unnamed file in `scratch` until it is let go.  Raises `UserError` for an image with
        colours and a network for grey, too little memory or space, or a network whose numbers are not finite.
        """
        if self.found.channels == 1 and not photo.neutral:
            raise UserError(f"{self.found.name} is for grey images, and this one has colours; take another model.")
        photo = photo.in_colour() if self.found.colours else photo
        height, width = photo.array.shape[:2]
        size = (target or Target()).of(height, width, self.scale)
        tiler = self.tilers[int(photo.alpha)]
        already = len(tiler.notes)
        with Canvas((*size, photo.array.shape[2]), photo.array.dtype, scratch) as canvas:
            if canvas.array is None:
                give_back_buffers()  # what decoding needed
            for band in self._bands(photo, tiler, size, progress):
                canvas.add(band)
                if canvas.array is None:  # memory is short: nothing is kept for later
                    give_back_buffers()
            array = canvas.finished()
        made = photo.with_array(array)
        made.notes.extend(tiler.notes[already:])
        return made

    def _bands(
        self, photo: Photo, tiler: Tiler, size: tuple[int, int], progress: Progress | None
    ) -> Iterator[np.ndarray]:
        """The result from top to bottom, (h, W, C) of the image's kind."""
        height, width = photo.array.shape[:2]
        source = Source((height, width), lambda rows, columns: self._part(photo, rows, columns), self.wrap)
        made = round(height * self.scale), round(width * self.scale)
        if made == size and not self.grain:
            yield from tiler.bands(source, lambda x: self._stored(photo, x), progress)
            return
        bands = tiler.bands(source, lambda x: x.permute(1, 2, 0).numpy(), progress)
        tensors = (torch.from_numpy(b).permute(2, 0, 1) for b in bands)
        random = np.random.default_rng(0)  # whose numbers are the same however many are asked for at once
        for band in resized(tensors, made, size) if made != size else tensors:
            yield self._stored(photo, self._grained(band, random))  # nothing is rounded before

    def _grained(self, band: Tensor, random: np.random.Generator) -> Tensor:
        """The next rows (C, h, W) with the same noise in all colours, as film has it; alpha stays."""
        if not self.grain:
            return band
        noise = torch.from_numpy(random.standard_normal(band.shape[1:], np.float32)) * (self.grain / 127.5)
        colour, alpha = band.split([self.found.channels, len(band) - self.found.channels])
        return torch.cat([colour + noise * (alpha + 1) / 2 if len(alpha) else colour + noise, alpha])  # premultiplied

    def _part(self, photo: Photo, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        planes = photo.planes(_places(rows), _places(columns), self.found.channels)
        return planes.colour if planes.alpha is None else torch.cat([planes.colour, planes.alpha], 1)

    def _stored(self, photo: Photo, x: Tensor) -> np.ndarray:
        x = x[None]
        return photo.pixels(Planes(x[:, :-1], x[:, -1:]) if photo.alpha else Planes(x))

    def __call__(self, image: Any, *, outscale: float | None = None) -> Any:
        """An image as it came: a PIL image, an array (H, W) or (H, W, C), or a tensor (N, C, H, W) in [-1, 1]."""
        target = Target(outscale)
        if isinstance(image, Tensor):
            out = self.tilers[int(image.shape[1] != self.found.channels)](image, wrap=self.wrap)
            size = target.of(image.shape[2], image.shape[3], self.scale)
            out, random = out if out.shape[2:] == size else resize(out, size), np.random.default_rng(0)
            return torch.stack([self._grained(one, random) for one in out])
        if isinstance(image, np.ndarray):
            made = self.photo(as_photo(image.reshape(*image.shape[:2], -1)), target).array
            return made if image.ndim == 3 else made[..., 0]
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        array = np.asarray(image)
        made = self.photo(as_photo(array.reshape(*array.shape[:2], -1)), target).array
        return Image.fromarray(made[..., 0] if made.shape[2] == 1 else made)


def as_photo(array: np.ndarray) -> Photo:
    """(H, W, C) uint8, uint16, or float32 in [0, 1], as an image."""
    top = 1.0 if array.dtype == np.float32 else float(np.iinfo(array.dtype).max)
    colours = array[..., :3] if array.shape[2] > 2 else array[..., :1]
    return Photo(array, (0.0, top), bool((colours == colours[..., :1]).all()))


def _places(index: np.ndarray) -> Any:
    """Consecutive indices as a slice, by which nothing is copied twice."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


class Canvas:
    """An array that is filled from top to bottom: in memory, or, if it is large, in a file without a name."""

    def __init__(self, shape: tuple[int, int, int], dtype: Any, scratch: Path | None):
        self.shape, self.dtype, self.row = shape, np.dtype(dtype), 0
        self.array: np.ndarray | None = None
        self.stack = contextlib.ExitStack()
        if math.prod(shape) * self.dtype.itemsize <= IN_MEMORY:
            self.array = np.empty(shape, dtype)
        else:
            self.file = self.stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *problem: object) -> None:
        self.stack.close()  # a mapping keeps what it needs

    def add(self, band: np.ndarray) -> None:
        """The next rows; raises `UserError` where there is no space left."""
        if self.array is not None:
            self.array[self.row : self.row + len(band)] = band
        else:
            try:
                self.file.write(np.ascontiguousarray(band).data)
            except OSError as problem:
                raise UserError(f"The result cannot be kept while it is made: {problem.strerror}.") from None
        self.row += len(band)

    def finished(self) -> np.ndarray:
        """The whole."""
        if self.row != self.shape[0]:
            raise ValueError(f"{self.row} rows of {self.shape[0]} were made")
        if self.array is not None:
            return self.array
        self.file.flush()
        return np.memmap(self.file, self.dtype, "r", shape=self.shape)
