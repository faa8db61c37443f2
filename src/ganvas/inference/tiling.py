"""Images of any size through a network in bounded memory: in parts that overlap by as far as the network looks.

Then the parts are the whole image's, to rounding.  Where that overlap would be too dear, neighbours fade into each
other and the error is measured; a network that looks at the whole image at once is given the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..policy import Policy, free_memory, is_out_of_memory
from .receptive_field import Field, field

BLENDED = 32  # pixels of margin where exactness is too dear
SMALLEST = 16  # pixels: a part of this side that does not fit into memory ends the image
LEAST_MEMORY, MOST_MEMORY = 64 << 20, 512 << 20  # bytes of temporaries; the most is the CPU's
Box = tuple[int, int, int, int]  # top, bottom, left, right, in pixels of what goes in
Finish = Callable[[Tensor], np.ndarray]  # (C, h, w) float32 in [-1, 1] to (h, w, C) of what is wanted


class Source:
    """An image that is read in parts; what lies beyond its edges is mirrored, or repeats with `wrap`."""

    def __init__(self, size: tuple[int, int], part: Callable[[np.ndarray, np.ndarray], Tensor], wrap: bool = False):
        self.size, self.part, self.wrap = size, part, wrap

    @classmethod
    def of(cls, images: Tensor, wrap: bool = False) -> Source:
        """Of (N, C, H, W)."""

        def part(rows: np.ndarray, columns: np.ndarray) -> Tensor:
            if len(rows) and len(columns) and (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all():
                return images[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            return images[:, :, torch.from_numpy(rows)][..., torch.from_numpy(columns)]

        return cls((images.shape[-2], images.shape[-1]), part, wrap)

    def read(self, box: Box) -> Tensor:
        """(N, C, h, w) in [-1, 1]."""
        return self.part(*(self.places(a, b, n) for a, b, n in zip(box[::2], box[1::2], self.size)))

    def places(self, start: int, stop: int, length: int) -> np.ndarray:
        """Indices from `start` to `stop` as they are found in the image."""
        index = np.arange(start, stop)
        if self.wrap:
            return index % length
        index = np.abs(index) % max(2 * length - 2, 1)
        return np.minimum(index, 2 * length - 2 - index) if length > 1 else index * 0


@dataclass(frozen=True)
class Layout:
    """Where an image is cut."""

    rows: tuple[int, ...]  # from the first edge to the last one, in pixels of what goes in
    columns: tuple[int, ...]
    margin: int  # pixels that a part sees beyond its edges
    fade: int  # pixels, half of them on each side of a cut, over which neighbours blend

    @property
    def parts(self) -> int:
        return (len(self.rows) - 1) * (len(self.columns) - 1)


def cuts(length: int, parts: int, multiple: int) -> tuple[int, ...]:
    """Edges of so many parts, as equal as they can be at multiples of `multiple`; the last edge is `length`."""
    steps = math.ceil(length / multiple)
    inner = {round(k * steps / parts) * multiple for k in range(1, parts)}
    return (0, *sorted(e for e in inner if 0 < e < length), length)


def layout(size: tuple[int, int], margin: int, fade: int, multiple: int, pixels: float) -> Layout:
    """The cuts that cost least, margins included, of those whose parts have at most so many pixels.

    If there are none, the parts are as small as they may be.
    """
    (height, width), least = size, max(SMALLEST, fade) + multiple - 1  # fades must not meet
    best = (math.inf, max(height // least, 1), max(width // least, 1))
    for across in range(1, max(width // least, 1) + 1):
        wide = min(math.ceil(width / across) + 2 * margin, width)
        inner = pixels / wide - 2 * margin  # rows of a part
        down = 1 if pixels >= wide * height else math.ceil(height / max(inner, 1))
        if down == 1 or inner >= least:
            down = min(down, max(height // least, 1))
            cost = across * wide * down * min(math.ceil(height / down) + 2 * margin, height)
            best = min(best, (cost, down, across))
    return Layout(cuts(height, best[1], multiple), cuts(width, best[2], multiple), margin, fade)


def ramp(start: int, stop: int, length: int, half: int, scale: Fraction) -> tuple[int, int, Tensor]:
    """A part widened by half a fade at each inner edge: its new edges, and the weights of the pixels made of it."""
    first, last = start - half if start else 0, stop + half if stop < length else length
    at = (torch.arange(int(first * scale), int(last * scale)) + 0.5) / float(scale)  # centres, in pixels that go in
    up = (at - first) / (2 * half) if start else torch.ones_like(at)
    down = (last - at) / (2 * half) if stop < length else torch.ones_like(at)
    return first, last, torch.minimum(up, down).clamp(0, 1)


class Tiler:
    """One network, ready for images of any size.

    `tile` is the side of a part in pixels of what goes in, 0 for the whole image, None for what fits into memory;
    `overlap` is the largest margin to be exact at, None for whatever it takes.
    """

    def __init__(
        self,
        network: nn.Module,
        policy: Policy,
        *,
        channels: int = 3,
        tile: int | None = None,
        overlap: int | None = 64,
        fallback: nn.Module | None = None,
    ):
        self.network, self.policy, self.tile, self.overlap = network, policy, tile, overlap
        self.precise = fallback or network  # the same in float32, for where bf16 is not finite
        self.field: Field = field(self.precise, channels)
        self.bf16, self.limit = policy.bf16, math.inf  # both shrink when something has gone wrong, and stay so
        self.measured = False  # whether an error at a seam has been
        self.notes: list[str] = []

    # --- one image ------------------------------------------------------------------------------------------

    def __call__(self, images: Tensor, *, wrap: bool = False) -> Tensor:
        """(N, C, H, W) in [-1, 1] to (N, C', scale H, scale W), on the CPU."""
        if len(images) != 1:
            return torch.cat([self(image[None], wrap=wrap) for image in images])
        bands = list(self.bands(Source.of(images, wrap), lambda x: x.permute(1, 2, 0).numpy()))
        return torch.from_numpy(np.concatenate(bands)).permute(2, 0, 1)[None]

    def bands(
        self, source: Source, finish: Finish, progress: Callable[[float], None] | None = None
    ) -> Iterator[np.ndarray]:
        """The result from top to bottom, (h, scale W, C') each, so that nobody has to hold all of it.

        `progress` hears the share that is done.  Raises `UserError` if not even a small part fits into memory, or if
        the network's numbers are not finite in float32 either.
        """
        plan = self.plan(source)
        self._say(plan, source)
        parts = self._faded if plan.fade else self._cut
        for k, band in enumerate(parts(plan, source, finish)):
            if progress:
                progress((k + 1) / (len(plan.rows) - 1))
            yield band

    def plan(self, source: Source) -> Layout:
        """Where an image will be cut."""
        f, (height, width) = self.field, source.size
        exact = self.overlap is None or f.radius <= self.overlap
        margin = _up(f.radius if exact else BLENDED, f.multiple)
        if f.whole or self.tile == 0:
            return Layout((0, height), (0, width), margin if source.wrap else 0, 0)
        fade = 0 if exact else margin
        if self.tile is None:
            return layout(source.size, margin, fade, f.multiple, min(self.limit, self.affordable(margin)))
        side = max(self.tile, fade + f.multiple)
        edges = [cuts(n, max(round(n / side), 1), f.multiple) for n in source.size]
        return Layout(edges[0], edges[1], margin, fade)

    def affordable(self, margin: int) -> float:
        """Pixels that a part may have, margin included: by the memory that is free, and no more than is of use.

        With 20 times the margin for a side, a fifth is computed twice; larger parts mostly take more memory.
        """
        free, cpu = free_memory(self.policy.device), self.policy.device.type == "cpu"
        room = min(max(free // 8, LEAST_MEMORY), MOST_MEMORY) if cpu else max(free // 2, LEAST_MEMORY)
        pixels = room / max(self.field.bytes_per_pixel * (0.6 if self.bf16 else 1.0), 1.0)
        return min(pixels, min(max(22 * margin, 256), 640) ** 2) if cpu else pixels

    def _cut(self, plan: Layout, source: Source, finish: Finish) -> Iterator[np.ndarray]:
        """Parts side by side."""
        for top, bottom in zip(plan.rows, plan.rows[1:]):
            band = None
            for left, right in zip(plan.columns, plan.columns[1:]):
                part = finish(self._part((top, bottom, left, right), plan.margin, source)[0])
                if band is None:
                    band = np.empty((len(part), int(source.size[1] * self.field.scale), part.shape[2]), part.dtype)
                band[:, int(left * self.field.scale) : int(right * self.field.scale)] = part
            assert band is not None
            yield band

    def _faded(self, plan: Layout, source: Source, finish: Finish) -> Iterator[np.ndarray]:
        """Parts that reach half a fade over each cut, weighed so that the weights add up to one."""
        s, half, (height, width) = self.field.scale, plan.fade // 2, source.size
        rest = torch.zeros(self.field.channels, 0, int(width * s))
        for top, bottom in zip(plan.rows, plan.rows[1:]):
            first, last, down = ramp(top, bottom, height, half, s)
            band = F.pad(rest, (0, 0, 0, len(down) - rest.shape[1]))
            for edges in zip(plan.columns, plan.columns[1:]):
                left, right, across = ramp(*edges, width, half, s)
                part = self._part((first, last, left, right), plan.margin - half, source)[0]
                band[:, :, int(left * s) : int(right * s)] += part * down[:, None] * across
            done = len(down) if bottom == height else int((bottom - half - first) * s)
            rest = band[:, done:]
            yield finish(band[:, :done])

    # --- one part ---------------------------------------------------------------------------------------------

    def _part(self, box: Box, margin: int, source: Source) -> Tensor:
        """(1, C', scale h, scale w) of a box; in halves, if it does not fit into memory."""
        if self._pixels(box, margin) <= 1.5 * self.limit or not self._can_split(box):
            try:
                return self._run(box, margin, source)
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
            self._remember(box, margin)  # outside the handler, whose traceback holds what did not fit
        top, bottom, left, right = box
        down = bottom - top >= right - left
        start, stop = (top, bottom) if down else (left, right)
        middle = start + _up((stop - start) // 2, self.field.multiple)
        halves = [(start, middle), (middle, stop)]
        boxes = [(*half, left, right) if down else (top, bottom, *half) for half in halves]
        return torch.cat([self._part(b, margin, source) for b in boxes], 2 if down else 3)

    def _pixels(self, box: Box, margin: int) -> int:
        return (box[1] - box[0] + 2 * margin) * (box[3] - box[2] + 2 * margin)

    def _can_split(self, box: Box) -> bool:
        longest = max(box[1] - box[0], box[3] - box[2])
        return not self.field.whole and self.tile != 0 and longest >= 2 * max(SMALLEST, self.field.multiple)

    def _remember(self, box: Box, margin: int) -> None:
        """Take half as much from now on; raises `UserError` if that cannot be."""
        size = f"{box[3] - box[2]}x{box[1] - box[0]}"
        if self.policy.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._can_split(box):
            whole = f", which this network needs to see at once ({self.field.everywhere})" if self.field.whole else ""
            way_out = "let --tile be auto" if self.tile == 0 and not self.field.whole else "scale the image down"
            raise UserError(f"There is too little memory for {size} pixels{whole}; {way_out}.")
        if self.limit == math.inf:
            self.notes.append(f"parts of {size} pixels did not fit into memory and were halved")
        self.limit = self._pixels(box, margin) / 2

    def _run(self, box: Box, margin: int, source: Source) -> Tensor:
        """The network on a box and its margin; what lies beyond the image is for the network's own padding."""
        m, wrap = self.field.multiple, source.wrap
        inside, keep = [], []
        for (a, b), length in zip((box[:2], box[2:]), source.size):
            start = a - margin if wrap else max(a - margin, 0)
            stop = b + margin if wrap or b + margin <= length else length
            stop += (start - stop) % m  # mirrored up to a multiple
            inside += [start, stop]
            keep.append(slice(int((a - start) * self.field.scale), int((b - start) * self.field.scale)))
        out = self._finite(source.read((inside[0], inside[1], inside[2], inside[3])))
        return out[:, :, keep[0], keep[1]].float().cpu()

    @torch.inference_mode()
    def _finite(self, x: Tensor) -> Tensor:
        """In bf16 where it is wanted, in float32 if that overflows; from then on always."""
        x = x.to(self.policy.device, torch.float32).contiguous(memory_format=torch.channels_last)
        if self.bf16:
            with self.policy.autocast():
                out = self.network(x)
            if torch.isfinite(out).all():
                return out
            self.bf16 = False
            self.notes.append("bf16 was not finite, so float32 is used")
        out = self.precise(x)
        if not torch.isfinite(out).all():
            raise UserError("The network's numbers are not finite, even in float32; its weights, or the image, are.")
        return out

    # --- what was not exact ---------------------------------------------------------------------------------------

    def _say(self, plan: Layout, source: Source) -> None:
        """Note what is not exact, or not in parts."""
        f = self.field
        if f.whole:
            self.notes.append(f"the network looks at the whole image ({f.everywhere}), so it is done at once")
        elif plan.fade and plan.parts > 1 and not self.measured:
            self.measured = True
            off = np.abs(127.5 * self.seam_error(plan, source))
            self.notes.append(
                f"the network sees {f.radius} pixels around; parts see {plan.margin} and blend. Against seeing twice as"
                f" far, a seam is off by {np.sqrt(np.square(off).mean()):.2f} of 255 levels, {off.max():.2f} at most"
            )

    def seam_error(self, plan: Layout, source: Source) -> np.ndarray:
        """What blended parts differ by from one part that sees twice as far, around the middle cut of an image."""
        window, edges = [], []
        for cut, length in zip((plan.rows, plan.columns), source.size):
            middle = cut[len(cut) // 2] if len(cut) > 2 else length // 2
            start, stop = max(middle - 2 * plan.margin, 0), min(middle + 2 * plan.margin, length)
            start -= start % self.field.multiple
            window.append((start, stop))
            edges.append((0, middle - start, stop - start) if len(cut) > 2 else (0, stop - start))
        (top, bottom), (left, right) = window
        part = Source((bottom - top, right - left), lambda rows, columns: source.part(rows + top, columns + left))
        at_once = self._run((0, bottom - top, 0, right - left), 0, part)[0]
        bands = self._faded(Layout(edges[0], edges[1], plan.margin, plan.fade), part, lambda x: x.numpy())
        difference: np.ndarray = np.concatenate(list(bands), axis=1) - at_once.numpy()
        return difference


def _up(value: float, multiple: int) -> int:
    """The next multiple."""
    return math.ceil(value / multiple) * multiple
