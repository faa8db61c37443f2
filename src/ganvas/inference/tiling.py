"""Images of any size through a network in bounded memory: tiles that overlap by the network's receptive field.

Then the tiles are those of the whole image, to rounding.  Where that overlap would cost too much, neighbouring tiles
are blended and the error is measured; a network with a global operation is given the whole image.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..policy import Policy, free_memory, is_out_of_memory
from .receptive_field import ReceptiveField, trace_receptive_field

BLEND_MARGIN = 32  # pixels of margin where the exact one is too large
UNTRACED_BYTES = 30_000.0  # of temporaries for a pixel, where they are unknown: a transformer of 180 channels
MIN_TILE = 16  # pixels: if a tile of this side does not fit into memory, the image fails
MIN_MEMORY, MAX_MEMORY = 64 << 20, 512 << 20  # bytes of temporaries; the maximum is for the CPU
Box = tuple[int, int, int, int]  # top, bottom, left, right, in pixels of the input
ToPixels = Callable[[Tensor], np.ndarray]  # (C, h, w) float32 in [-1, 1] to (h, w, C) of any dtype


class Source:
    """An image that is read in crops; beyond its edges it is mirrored, or repeats with `wrap`."""

    def __init__(self, size: tuple[int, int], crop: Callable[[np.ndarray, np.ndarray], Tensor], wrap: bool = False):
        self.size, self.crop, self.wrap = size, crop, wrap

    @classmethod
    def from_tensor(cls, images: Tensor, wrap: bool = False) -> "Source":
        """Crops of a tensor (N, C, H, W)."""
        size = images.shape[-2], images.shape[-1]
        return cls(size, lambda rows, columns: images[:, :, as_slice(rows)][..., as_slice(columns)], wrap)

    def read(self, box: Box) -> Tensor:
        """Read a box as (N, C, h, w) in [-1, 1]."""
        return self.crop(*(self.indices(a, b, n) for a, b, n in zip(box[::2], box[1::2], self.size)))

    def indices(self, start: int, stop: int, length: int) -> np.ndarray:
        """Indices of the image for the places from `start` to `stop`, which may lie beyond its edges."""
        index = np.arange(start, stop)
        if self.wrap:
            return index % length
        index = np.abs(index) % max(2 * length - 2, 1)
        return np.minimum(index, 2 * length - 2 - index) if length > 1 else index * 0


def as_slice(index: np.ndarray) -> Any:
    """Turn consecutive indices into a slice, by which nothing is copied twice; others stay."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


@dataclass(frozen=True)
class Grid:
    """Edges of the tiles of an image."""

    rows: tuple[int, ...]  # from the first edge to the last one, in pixels of the input
    columns: tuple[int, ...]
    margin: int  # pixels that a tile reads beyond its edges
    fade: int  # pixels, half of them on each side of an edge, over which neighbours are blended; 0: none

    @property
    def tiles(self) -> int:
        return (len(self.rows) - 1) * (len(self.columns) - 1)


def tile_edges(length: int, count: int, multiple: int) -> tuple[int, ...]:
    """Edges of `count` tiles, as equal as multiples of `multiple` allow; the last edge is `length`."""
    steps = math.ceil(length / multiple)
    inner = {round(k * steps / count) * multiple for k in range(1, count)}
    return (0, *sorted(e for e in inner if 0 < e < length), length)


def choose_grid(size: tuple[int, int], margin: int, fade: int, multiple: int, pixels: float) -> Grid:
    """Choose the cheapest grid, margins included, whose tiles have at most that many pixels.

    If there is none, the tiles are as small as they may be.
    """
    (height, width), least = size, max(MIN_TILE, fade) + multiple - 1  # fades must not meet
    best = (math.inf, max(height // least, 1), max(width // least, 1))
    for across in range(1, max(width // least, 1) + 1):
        wide = min(math.ceil(width / across) + 2 * margin, width)
        inner = pixels / wide - 2 * margin  # rows of a tile
        down = 1 if pixels >= wide * height else math.ceil(height / max(inner, 1))
        if down == 1 or inner >= least:
            down = min(down, max(height // least, 1))
            cost = across * wide * down * min(math.ceil(height / down) + 2 * margin, height)
            best = min(best, (cost, down, across))
    return Grid(tile_edges(height, best[1], multiple), tile_edges(width, best[2], multiple), margin, fade)


def fade_weights(start: int, stop: int, length: int, half: int, scale: Fraction) -> tuple[int, int, Tensor]:
    """Widen a tile by half a fade at each inner edge: its new edges, and the weights of its output pixels."""
    first, last = start - half if start else 0, stop + half if stop < length else length
    at = (torch.arange(int(first * scale), int(last * scale)) + 0.5) / float(scale)  # centres, in pixels of the input
    up = (at - first) / (2 * half) if start else torch.ones_like(at)
    down = (last - at) / (2 * half) if stop < length else torch.ones_like(at)
    return first, last, torch.minimum(up, down).clamp(0, 1)


def average_turns(network: nn.Module, x: Tensor) -> Tensor:
    """Mean of a network's images of the eight flips and turns of x (N, C, H, W), each turned back.

    Lim et al. 2017, section 3.4: the self-ensemble.
    """
    total: Tensor | None = None
    for turns in range(4):
        for flipped in (False, True):
            turned = x.rot90(turns, (2, 3))
            y = network((turned.flip(3) if flipped else turned).contiguous(memory_format=torch.channels_last))
            y = (y.flip(3) if flipped else y).rot90(-turns, (2, 3))
            total = y.clone() if total is None else total.add_(y)
    assert total is not None
    return total.div_(8)


@dataclass(frozen=True)
class TileRules:
    """Facts about a network that tiling needs where its operations do not show them."""

    scale: int = 1  # side of the output as a multiple of the input's
    multiple: int = 1  # tiles begin at multiples of it
    tileable: bool = False  # tiles may be blended though the network looks at the whole image

    def complete(self, field: ReceptiveField) -> ReceptiveField:
        """The field with the rules: all that is known of a network that cannot be traced."""
        if field.is_global and not field.bytes_per_pixel:
            field = replace(field, scale=Fraction(self.scale), bytes_per_pixel=UNTRACED_BYTES)
        return replace(field, multiple=math.lcm(field.multiple, self.multiple))


class Tiler:
    """A network applied to images of any size, tile by tile.

    `tile` is the side of a tile in pixels of the input, 0 for the whole image, None for what fits into memory;
    `overlap` is the largest margin that is computed exactly, None for no limit; `fallback` is the network in float32;
    `tta` averages the images of the eight flips and turns of a tile.
    """

    def __init__(
        self,
        network: nn.Module,
        policy: Policy,
        channels: int = 3,
        *,
        tile: int | None = None,
        overlap: int | None = 64,
        fallback: nn.Module | None = None,
        rules: TileRules = TileRules(),
        tta: bool = False,
    ):
        self.network, self.policy, self.tile, self.overlap, self.tta = network, policy, tile, overlap, tta
        self.exact = fallback or network  # in float32, for where bf16 is not finite
        self.field: ReceptiveField = rules.complete(trace_receptive_field(self.exact, channels))
        self.tileable = rules.tileable or not self.field.is_global
        self.bf16, self.limit = policy.bf16, math.inf  # both shrink after a failure, and stay so
        self.measured = False  # the error at a seam
        self.notes: list[str] = []

    def __call__(self, images: Tensor, *, wrap: bool = False) -> Tensor:
        """Apply the network to (N, C, H, W) in [-1, 1]; (N, C', scale H, scale W) on the CPU."""
        if len(images) != 1:
            return torch.cat([self(image[None], wrap=wrap) for image in images])
        bands = list(self.bands(Source.from_tensor(images, wrap), lambda x: x.permute(1, 2, 0).numpy()))
        return torch.from_numpy(np.concatenate(bands)).permute(2, 0, 1)[None]

    def bands(
        self, source: Source, to_pixels: ToPixels, progress: Callable[[float], None] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the result from top to bottom, (h, scale W, C') each, so that it need not be in memory at once.

        `progress` is called with the share that is done.  Raises `UserError` if not even a small tile fits into memory,
        or if the network's numbers are not finite in float32 either.
        """
        grid = self.grid_for(source)
        self._add_notes(grid, source)
        bands = self._blended_bands if grid.fade else self._exact_bands
        for k, band in enumerate(bands(grid, source, to_pixels)):
            if progress:
                progress((k + 1) / (len(grid.rows) - 1))
            yield band

    def grid_for(self, source: Source) -> Grid:
        """Choose the tiles of an image."""
        f, (height, width) = self.field, source.size
        exact = not f.is_global and (self.overlap is None or f.radius <= self.overlap)
        margin = _round_up(f.radius if exact else BLEND_MARGIN, f.multiple)
        if self.tile == 0 or not self.tileable or (f.is_global and self._fits(height * width)):
            return Grid((0, height), (0, width), margin if source.wrap and not f.is_global else 0, 0)
        fade = 0 if exact else margin
        if self.tile is None:
            return choose_grid(source.size, margin, fade, f.multiple, min(self.limit, self.pixels_per_tile(margin)))
        side = max(self.tile, fade + f.multiple)
        counts = (n // side if fade else round(n / side) for n in source.size)  # fades must not meet
        edges = [tile_edges(n, max(count, 1), f.multiple) for n, count in zip(source.size, counts)]
        return Grid(edges[0], edges[1], margin, fade)

    def _fits(self, pixels: int) -> bool:
        """True if an image is computed at once: no tile size is given, and it takes a third of the memory at most."""
        needed = pixels * self.field.bytes_per_pixel
        return self.tile is None and pixels <= self.limit and needed <= free_memory(self.policy.device) // 3

    def pixels_per_tile(self, margin: int) -> float:
        """Pixels that a tile may have, margin included, by the free memory and no more than is of use.

        With 20 times the margin for a side, a fifth is computed twice; larger tiles mostly take more memory.
        """
        free, cpu = free_memory(self.policy.device), self.policy.device.type == "cpu"
        room = min(max(free // 8, MIN_MEMORY), MAX_MEMORY) if cpu else max(free // 2, MIN_MEMORY)
        pixels = room / max(self.field.bytes_per_pixel * (0.6 if self.bf16 else 1.0), 1.0)
        return min(pixels, min(max(22 * margin, 256), 640) ** 2) if cpu else pixels

    def _exact_bands(self, grid: Grid, source: Source, to_pixels: ToPixels) -> Iterator[np.ndarray]:
        for top, bottom in zip(grid.rows, grid.rows[1:]):
            band = None
            for left, right in zip(grid.columns, grid.columns[1:]):
                tile = to_pixels(self._tile((top, bottom, left, right), grid.margin, source)[0])
                if band is None:
                    band = np.empty((len(tile), int(source.size[1] * self.field.scale), tile.shape[2]), tile.dtype)
                band[:, int(left * self.field.scale) : int(right * self.field.scale)] = tile
            assert band is not None
            yield band

    def _blended_bands(self, grid: Grid, source: Source, to_pixels: ToPixels) -> Iterator[np.ndarray]:
        """Tiles that reach half a fade over each edge, with weights that add up to one."""
        s, half, (height, width) = self.field.scale, grid.fade // 2, source.size
        rest = torch.zeros(self.field.channels, 0, int(width * s))
        for top, bottom in zip(grid.rows, grid.rows[1:]):
            first, last, down = fade_weights(top, bottom, height, half, s)
            band = F.pad(rest, (0, 0, 0, len(down) - rest.shape[1]))
            for edges in zip(grid.columns, grid.columns[1:]):
                left, right, across = fade_weights(*edges, width, half, s)
                tile = self._tile((first, last, left, right), grid.margin - half, source)[0]
                band[:, :, int(left * s) : int(right * s)] += tile * down[:, None] * across
            done = len(down) if bottom == height else int((bottom - half - first) * s)
            rest = band[:, done:]
            yield to_pixels(band[:, :done])

    def _tile(self, box: Box, margin: int, source: Source) -> Tensor:
        """Apply the network to a box: (1, C', scale h, scale w); in halves, if it does not fit into memory."""
        if self._pixels(box, margin) <= 1.5 * self.limit or not self._can_split(box):
            try:
                return self._run(box, margin, source)
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
            self._shrink(box, margin)  # outside the handler, whose traceback holds what did not fit
        top, bottom, left, right = box
        down = bottom - top >= right - left
        start, stop = (top, bottom) if down else (left, right)
        middle = start + _round_up((stop - start) // 2, self.field.multiple)
        halves = [(start, middle), (middle, stop)]
        boxes = [(*half, left, right) if down else (top, bottom, *half) for half in halves]
        return torch.cat([self._tile(b, margin, source) for b in boxes], 2 if down else 3)

    def _pixels(self, box: Box, margin: int) -> int:
        return (box[1] - box[0] + 2 * margin) * (box[3] - box[2] + 2 * margin)

    def _can_split(self, box: Box) -> bool:
        longest = max(box[1] - box[0], box[3] - box[2])
        return self.tileable and self.tile != 0 and longest >= 2 * max(MIN_TILE, self.field.multiple)

    def _shrink(self, box: Box, margin: int) -> None:
        """Halve the size of tiles from now on; raises `UserError` if they are the smallest already."""
        size = f"{box[3] - box[2]}x{box[1] - box[0]}"
        if self.policy.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._can_split(box):
            f = self.field
            whole = "" if self.tileable else f", which this network needs to see at once ({f.global_operation})"
            way_out = "let --tile be auto" if self.tile == 0 and self.tileable else "scale the image down"
            raise UserError(f"There is too little memory for {size} pixels{whole}; {way_out}.")
        if self.limit == math.inf:
            self.notes.append(f"tiles of {size} pixels did not fit into memory and were halved")
        self.limit = self._pixels(box, margin) / 2

    def _run(self, box: Box, margin: int, source: Source) -> Tensor:
        """Apply the network to a box with its margin; beyond the image the network's own padding applies."""
        m, wrap = self.field.multiple, source.wrap
        inside, crops = [], []
        for (a, b), length in zip((box[:2], box[2:]), source.size):
            start = a - margin if wrap else max(a - margin, 0)
            stop = b + margin if wrap or b + margin <= length else length
            stop += (start - stop) % m  # mirrored up to a multiple
            inside += [start, stop]
            crops.append(slice(int((a - start) * self.field.scale), int((b - start) * self.field.scale)))
        out = self._finite(source.read((inside[0], inside[1], inside[2], inside[3])))
        return out[:, :, crops[0], crops[1]].float().cpu()

    @torch.inference_mode()
    def _finite(self, x: Tensor) -> Tensor:
        """Apply the network in bf16 if the policy says so, and in float32 from the first overflow on."""
        x = x.to(self.policy.device, torch.float32).contiguous(memory_format=torch.channels_last)
        if self.bf16:
            with self.policy.autocast():
                out = self._apply(self.network, x)
            if torch.isfinite(out).all():
                return out
            self.bf16 = False
            self.notes.append("bf16 was not finite, so float32 is used")
        out = self._apply(self.exact, x)
        if not torch.isfinite(out).all():
            raise UserError("The network's numbers are not finite, even in float32; its weights, or the image, are.")
        return out

    def _apply(self, network: nn.Module, x: Tensor) -> Tensor:
        """Images of x by a network, or with `tta` the mean over its flips and turns."""
        out: Tensor = average_turns(network, x) if self.tta else network(x)
        return out

    def _add_notes(self, grid: Grid, source: Source) -> None:
        """Note that the whole image is processed at once, or the error of blended tiles."""
        f = self.field
        if f.is_global and grid.tiles == 1:
            self.notes.append(f"the network looks at the whole image ({f.global_operation}), so it is not tiled")
        elif grid.fade and grid.tiles > 1 and not self.measured:
            self.measured = True
            off = np.abs(127.5 * self.seam_error(grid, source))
            sees = f"the whole image ({f.global_operation})" if f.is_global else f"{f.radius} pixels around"
            self.notes.append(
                f"the network sees {sees}; tiles see {grid.margin} and blend. Against seeing twice as"
                f" far, a seam is off by {np.sqrt(np.square(off).mean()):.2f} of 255 levels, {off.max():.2f} at most"
            )

    def seam_error(self, grid: Grid, source: Source) -> np.ndarray:
        """Difference of blended tiles from one tile that sees twice as far, around the middle edge of an image."""
        window, edges = [], []
        for inner, length in zip((grid.rows, grid.columns), source.size):
            middle = inner[len(inner) // 2] if len(inner) > 2 else length // 2
            start, stop = max(middle - 2 * grid.margin, 0), min(middle + 2 * grid.margin, length)
            start -= start % self.field.multiple
            window.append((start, stop))
            edges.append((0, middle - start, stop - start) if len(inner) > 2 else (0, stop - start))
        (top, bottom), (left, right) = window
        size, crop = (bottom - top, right - left), lambda rows, columns: source.crop(rows + top, columns + left)
        part, part_grid = Source(size, crop), Grid(edges[0], edges[1], grid.margin, grid.fade)
        at_once = self._run((0, size[0], 0, size[1]), 0, part)[0]
        bands = self._blended_bands(part_grid, part, lambda x: x.numpy())
        difference: np.ndarray = np.concatenate(list(bands), axis=1) - at_once.numpy()
        return difference


def _round_up(value: float, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
