"""Upscale and restore images of any size, bit depth and transparency in bounded memory."""

import copy
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..errors import UsageError, UserError
from ..imaging.channels import keep_extremes
from ..imaging.photo import Photo, Planes
from ..imaging.photo import as_photo as as_photo
from ..imaging.resize import resize, resize_bands
from ..models.resolve import PLAIN, ImageModel
from ..policy import Policy, give_back_buffers
from .batch import Share
from .tiling import Source, Tiler, TileRules, as_slice

IN_MEMORY = 256 << 20  # bytes: a larger result lies in a file until it is saved
BROAD = 15  # pixels: structures of that width are colour, not detail
LARGEST = 1 << 32  # pixels of a result: PNG's limit is larger, disks' are not


@dataclass(frozen=True)
class Target:
    """Size of the output; without options, that of the network's output."""

    outscale: float | None = None  # multiple of the input's size
    width: int | None = None  # in pixels; one side alone keeps the proportions
    height: int | None = None

    def __post_init__(self) -> None:
        if self.outscale is not None and (self.width or self.height):
            raise UsageError("Give --outscale, or --width and --height, not both.")
        if self.outscale is not None and not 1 / 64 <= self.outscale <= 64:
            raise UsageError(f"--outscale must be from 1/64 to 64, got {self.outscale}.")
        for name, side in (("width", self.width), ("height", self.height)):
            if side is not None and not 1 <= side <= 1_000_000:
                raise UsageError(f"--{name} must be from 1 to 1,000,000 pixels, got {side}.")

    def of(self, height: int, width: int, scale: float) -> tuple[int, int]:
        """Output (height, width) of an input; `scale` is the network's own."""
        if self.width or self.height:
            factor = self.width / width if self.width else (self.height or 0) / height
        else:
            factor = scale if self.outscale is None else self.outscale
        size = self.height or max(round(height * factor), 1), self.width or max(round(width * factor), 1)
        if size[0] * size[1] > LARGEST:
            raise UserError(f"{size[1]}x{size[0]} pixels exceed the largest output; give a smaller size.")
        return size


@dataclass(frozen=True)
class EnhanceOptions:
    """Options of an `Enhancer`; raises `UsageError` for values out of range."""

    target: Target = Target()
    strength: float = 1.0  # share of the network's image; the rest is the base model's, or a bicubic enlargement
    keep_colours: bool = False  # keep the input's broad colours and brightness
    grain: float = 0.0  # standard deviation of noise to add, in levels of 255
    tile: int | None = None  # side of a tile in pixels, 0 for the whole image, None for what fits into memory
    overlap: int | None = 64  # largest tile overlap in pixels that is computed exactly, None for no limit
    wrap: bool = False  # the image is a texture that repeats
    tta: bool = False  # the average over the eight flips and turns of the image

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            limits = "0 (the plain image) to 1 (all of the model)"
            raise UsageError(f"--strength must be from {limits}, got {self.strength}.")
        if not 0 <= self.grain <= 255:
            raise UsageError(f"--grain is a standard deviation from 0 to 255 levels, got {self.grain:g}.")


class Blended(nn.Module):
    """A network on colour and, where there is one, on alpha, mixed with a more faithful image.

    Images (1, C, H, W) or, with alpha as the last channel, (1, C + 1, H, W), in [-1, 1].
    """

    def __init__(
        self,
        model: ImageModel,
        networks: tuple[nn.Module, nn.Module | None],  # the model's and the base model's, placed
        options: EnhanceOptions,
        plane: bool = False,  # alpha is data, by which colours are not multiplied
    ):
        super().__init__()
        (self.network, self.base), self.plane = networks, plane
        self.channels = model.channels
        self.keeps_alpha = model.network.colours or model.network.keeps_alpha
        self.strength, self.keep_colours = options.strength, options.keep_colours

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == self.channels:
            return self.mix(x)
        if self.keeps_alpha:  # as transparency has neither colour nor noise
            return torch.cat([self.mix(x[:, :-1]), x[:, -1:]], 1)
        colour, alpha = x[:, : self.channels], x[:, self.channels :].expand(-1, self.channels, -1, -1)
        y = self.mix(torch.cat([colour, alpha]))  # side by side: where colour is white it becomes what alpha becomes
        raw = y[1:].mean(1, keepdim=True)
        alpha = keep_extremes(raw, x[:, -1:])
        if self.plane:
            return torch.cat([y[:1], alpha], 1)
        same_colours = (y[:1] + 1) * ((alpha + 1) / (raw + 1).clamp_min(1e-6)) - 1  # after division by alpha
        return torch.cat([torch.where(alpha != raw, same_colours, y[:1]), alpha], 1)

    def mix(self, x: Tensor) -> Tensor:
        """`strength` of the network's image; the rest is the base network's, or bicubic."""
        y = self.network(x)
        y = keep_broad_colours(y, x) if self.keep_colours else y
        if self.strength == 1:
            return y
        if self.base is not None:
            plain = self.base(x)
        else:
            plain = F.interpolate(x, size=y.shape[2:], mode="bicubic", antialias=True) if y.shape != x.shape else x
        return torch.lerp(plain.to(y.dtype), y, self.strength)


def keep_broad_colours(y: Tensor, x: Tensor) -> Tensor:
    """Give y (N, C, s H, s W) the broad colours and brightness of x (N, C, H, W): details stay, shifts go.

    The difference of both, averaged over `BROAD` pixels of x twice, is added.
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
    """An image model for users' images of any size, depth and transparency, with the options of `upscale`.

    `base` is the more faithful model of the same scale that `strength` < 1 mixes in; without one, bicubic.
    """

    def __init__(
        self,
        model: ImageModel,
        policy: Policy,
        options: EnhanceOptions = EnhanceOptions(),
        base: ImageModel | None = None,
    ):
        policy = replace(policy, bf16=policy.bf16 and not model.network.float32_only)
        self.model, self.policy, self.options = model, policy, options
        self._check(base)
        base = base if options.strength < 1 else None
        places = (partial(for_inference, policy=policy), policy.place)

        placed = [(place(model.network), place(base.network) if base else None) for place in places]

        def tiler(alpha: int, plane: bool = False) -> Tiler:
            fast, exact = (Blended(model, networks, options, plane).eval() for networks in placed)
            channels, tile, overlap = model.channels + alpha, options.tile, options.overlap
            about = TileRules(model.network.scale, model.network.multiple, model.network.tileable)
            tta = options.tta
            return Tiler(fast, policy, channels, tile=tile, overlap=overlap, fallback=exact, rules=about, tta=tta)

        self.tilers = {alpha: tiler(alpha) for alpha in (0, 1)}  # by number of alpha channels
        self.plane_tiler = cache(partial(tiler, 1, plane=True))  # which few images need

    def _check(self, base: ImageModel | None) -> None:
        """Raise `UsageError` for a model that cannot be used with the options or the base model."""
        model = self.model
        if model.name == PLAIN and self.options.target == Target():
            raise UsageError(f"{PLAIN} has no scale of its own: give --outscale, or --width or --height.")
        if base is not None and (base.network.scale, base.channels) != (model.network.scale, model.channels):
            raise UsageError(
                f"{base.name} (x{base.network.scale}, {base.channels} channels) cannot be mixed with"
                f" {model.name} (x{model.network.scale}, {model.channels} channels)."
            )
        if model.network.masked:
            raise UsageError(f"{model.name} fills holes; give their places: ganvas restore --mask MASK.")
        if self.options.keep_colours and model.network.colours:
            raise UsageError(f"{model.name} changes the colours; leave --keep-colours out.")

    def check_channels(self) -> None:
        """Raise `UsageError` for a network that takes other channels than images have, which arrays and TIFFs may."""
        channels = self.model.channels
        if channels not in (1, 3):
            raise UsageError(
                f"{self.model.name} takes images of {channels} channels, and these have 1 or 3; stacks of {channels}"
                " are given as -i STACK.npy or STACK.tif."
            )

    @property
    def scale(self) -> float:
        """Side of the network's output as a multiple of its input."""
        return float(self.tilers[0].field.scale)

    def size(self, photo: Photo) -> tuple[int, int]:
        """(height, width) of the result of an image."""
        height, width = photo.array.shape[:2]
        return self.options.target.of(height, width, self.scale)

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """Enhance an image that will be written to `output`: `inference.batch.Change`."""
        return self.photo(photo, scratch=output.parent, progress=progress)

    def photo(
        self, photo: Photo, target: Target | None = None, *, scratch: Path | None = None, progress: Share | None = None
    ) -> Photo:
        """Enhance an image; depth, grey, alpha and metadata are kept.  `target` replaces that of the options.

        A large result lies in an unnamed file in `scratch` until it is let go.  Raises `UserError` for an image with
        colours and a network for grey, too little memory or space, or a network whose numbers are not finite.
        """
        present = photo.array.shape[2]
        if photo.bands and present != self.model.channels:
            raise UserError(f"{self.model.name} takes {self.model.channels} channels, and this image has {present}.")
        if not photo.bands:
            self.check_channels()
        if self.model.channels == 1 and not photo.neutral:
            raise UserError(f"{self.model.name} is for grey images, and this one has colours; take another model.")
        photo = photo.in_colour() if self.model.network.colours else photo
        height, width = photo.array.shape[:2]
        size = (target or self.options.target).of(height, width, self.scale)
        tiler = self.plane_tiler() if photo.alpha and photo.plane else self.tilers[int(photo.alpha)]
        earlier = len(tiler.notes)
        with Canvas((*size, photo.array.shape[2]), photo.array.dtype, scratch) as canvas:
            if canvas.array is None:
                give_back_buffers()  # what decoding needed
            for band in self._bands(photo, tiler, size, progress):
                canvas.add(band)
                if canvas.array is None:  # memory is short: nothing is kept for later
                    give_back_buffers()
            array = canvas.finish()
        result = photo.with_array(array)
        result.notes.extend(tiler.notes[earlier:])
        return result

    def _bands(self, photo: Photo, tiler: Tiler, size: tuple[int, int], progress: Share | None) -> Iterator[np.ndarray]:
        """The result from top to bottom, (h, W, C) in the photo's dtype."""
        height, width = photo.array.shape[:2]
        source = Source((height, width), partial(self._read_crop, photo), self.options.wrap)
        enlarged = round(height * self.scale), round(width * self.scale)
        if enlarged == size and not self.options.grain:
            yield from tiler.bands(source, lambda x: self._to_pixels(photo, x), progress)
            return
        bands = tiler.bands(source, lambda x: x.permute(1, 2, 0).numpy(), progress)
        tensors = (torch.from_numpy(b).permute(2, 0, 1) for b in bands)
        random = np.random.default_rng(0)  # whose numbers are the same however many are drawn at once
        for band in resize_bands(tensors, enlarged, size) if enlarged != size else tensors:
            yield self._to_pixels(photo, self._add_grain(band, random))  # nothing is rounded before

    def _add_grain(self, band: Tensor, random: np.random.Generator) -> Tensor:
        """Add the same noise to all colours of the next rows (C, h, W), as film has it; alpha stays."""
        if not self.options.grain:
            return band
        noise = torch.from_numpy(random.standard_normal(band.shape[1:], np.float32)) * (self.options.grain / 127.5)
        colour, alpha = band.split([self.model.channels, len(band) - self.model.channels])
        return torch.cat([colour + noise * (alpha + 1) / 2 if len(alpha) else colour + noise, alpha])  # premultiplied

    def _read_crop(self, photo: Photo, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        planes = photo.planes(as_slice(rows), as_slice(columns), self.model.channels)
        return planes.colour if planes.alpha is None else torch.cat([planes.colour, planes.alpha], 1)

    def _to_pixels(self, photo: Photo, x: Tensor) -> np.ndarray:
        x = x[None]
        return photo.pixels(Planes(x[:, :-1], x[:, -1:]) if photo.alpha else Planes(x))

    def __call__(self, image: Any, *, outscale: float | None = None) -> Any:
        """Enhance a PIL image, an array (H, W) or (H, W, C), or a tensor (N, C, H, W) in [-1, 1]; the type is kept."""
        target = Target(outscale)
        if isinstance(image, Tensor):
            channels = self.model.channels
            if image.shape[1] not in (channels, channels + (channels in (1, 3))):
                raise UsageError(f"{self.model.name} takes {channels} channels, and this tensor has {image.shape[1]}.")
            out = self.tilers[int(image.shape[1] != self.model.channels)](image, wrap=self.options.wrap)
            size = target.of(image.shape[2], image.shape[3], self.scale)
            out, random = out if out.shape[2:] == size else resize(out, size), np.random.default_rng(0)
            return torch.stack([self._add_grain(one, random) for one in out])
        if isinstance(image, Image.Image):
            if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            return Image.fromarray(self(np.asarray(image), outscale=outscale))
        whole = image.reshape(*image.shape[:2], -1)
        bands = whole.shape[2] > 4 or (whole.shape[2] == self.model.channels and self.model.channels not in (1, 3))
        photo = Photo(whole, (0.0, Photo(whole).top), False, bands=True) if bands else as_photo(whole)
        result = self.photo(photo, target).array
        return result if image.ndim == 3 else result[..., 0]


class Canvas:
    """An array that is filled from top to bottom, in memory or, if it is large, in an unnamed file."""

    def __init__(self, shape: tuple[int, int, int], dtype: Any, scratch: Path | None):
        self.shape, self.dtype, self.row = shape, np.dtype(dtype), 0
        large = math.prod(shape) * self.dtype.itemsize > IN_MEMORY
        self.array = None if large else np.empty(shape, dtype)
        self.file: Any = tempfile.TemporaryFile(dir=scratch) if large else None  # noqa: SIM115

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(self, *problem: object) -> None:
        if self.file:
            self.file.close()  # a mapping keeps what it needs

    def add(self, band: np.ndarray) -> None:
        """Append the next rows; raises `UserError` where there is no space left."""
        if self.array is not None:
            self.array[self.row : self.row + len(band)] = band
        else:
            try:
                self.file.write(np.ascontiguousarray(band).data)
            except OSError as problem:
                raise UserError(f"The unfinished result cannot be stored: {problem.strerror}.") from None
        self.row += len(band)

    def finish(self) -> np.ndarray:
        """Return the whole array; raises `ValueError` if rows are missing."""
        if self.row != self.shape[0]:
            raise ValueError(f"{self.row} rows of {self.shape[0]} were added")
        if self.array is not None:
            return self.array
        self.file.flush()
        return np.memmap(self.file, self.dtype, "r", shape=self.shape)
