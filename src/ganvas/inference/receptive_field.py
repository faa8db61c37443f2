"""How far a network looks: the receptive field, followed through its operations by tensors without numbers.

Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", section 2, with operations that
enlarge.  Whatever is not known here counts as looking everywhere, so that an unknown operation is never cut in pieces.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

PROBE = 256  # the side of the image that is followed: a multiple of every step that networks take


@dataclass(frozen=True)
class Reach:
    """Along each axis pixel i of a map takes from pixels `step * i + low` to `step * i + high` of the image."""

    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    def through(self, ratio: Fraction, low: Fraction | int, high: Fraction | int) -> Reach:
        """Of a map whose pixel i takes from `ratio * i + low` to `ratio * i + high` of this one."""
        return Reach(self.step * ratio, self.low + self.step * low, self.high + self.step * high)

    def joined(self, other: Reach) -> Reach | None:
        """Of a map that takes from both; None if they do not lie on the same grid."""
        if self.step != other.step:
            return None
        return Reach(self.step, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Field:
    """What a network needs to know of an image for a part of it."""

    radius: int  # pixels around a part
    multiple: int  # parts begin at multiples of it, and whole images are filled up to one
    scale: Fraction  # pixels made for one
    everywhere: str  # the operation that looks at the whole image, or nothing
    bytes_per_pixel: float  # of temporaries at their most, in float32, for a pixel of the image
    channels: int  # of what comes out

    @property
    def whole(self) -> bool:
        """Whether a part cannot be made without the whole image."""
        return bool(self.everywhere)


def field(network: nn.Module, channels: int = 3) -> Field:
    """The receptive field of a network that maps (N, channels, H, W) to (N, C, scale H, scale W).

    Nothing is computed: it runs on tensors that have a shape and no memory.  The network is left as it was.
    """
    state = {k: v.to("meta") for k, v in network.state_dict(keep_vars=True).items()}
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    image = torch.empty(1, channels, PROBE, PROBE, device="meta", dtype=dtype)
    trace = Trace(image)
    try:
        with torch.no_grad(), trace:
            out = functional_call(network, state, image)
        reach, strange = trace.reach.get(out), trace.everywhere
        scale = Fraction(out.shape[-1], PROBE)
    except Exception as problem:  # it asks for numbers, or for another size: then nothing is known of it
        strange = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
        return Field(0, 1, Fraction(1), strange, 0.0, channels)
    if reach is None or scale * reach.step != 1:
        strange = strange or "a map of its own"
        reach = Reach(1 / scale)
    radius = max(math.floor(-reach.low), math.floor(reach.high - reach.step + 1), 0)
    return Field(radius, trace.multiple, scale, strange, trace.peak / PROBE**2, out.shape[1])


class Trace(TorchDispatchMode):
    """Follows an image through a network."""

    def __init__(self, image: Tensor):
        super().__init__()
        self.reach: Any = WeakIdKeyDictionary()  # of every map that depends on the image
        self.reach[image] = Reach()
        self.everywhere, self.multiple, self.live, self.peak = "", 1, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [t for t in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(t, Tensor)]
        tensors = list(_tensors(args))
        maps = [t for t in tensors if t in self.reach]
        self._count(made, tensors)
        if maps:
            found = self._after(func.overloadpacket.__name__, args, maps, tensors, made[0])
            if found is not None:
                for t in made:
                    self.reach[t] = found
                self.multiple = max(self.multiple, math.ceil(found.step))
                self._spread(func, made[0], found)
        return out

    def _spread(self, func: Any, written: Tensor, found: Reach) -> None:
        """What is written in place through a view is also in every other view of the same memory."""
        if not func._schema.is_mutable:
            return
        for other in list(self.reach):
            if other is not written and other.untyped_storage()._cdata == written.untyped_storage()._cdata:
                joined = found.joined(self.reach[other])
                if self._known(joined, func.overloadpacket.__name__):
                    self.reach[other] = joined

    def _after(self, name: str, args: Any, maps: list[Tensor], tensors: list[Tensor], out: Tensor) -> Reach | None:
        """Where the result of an operation takes from; None, and a note, if from everywhere."""
        together: Reach | None = self.reach[maps[0]]
        for other in maps[1:]:
            together = together and together.joined(self.reach[other])
        spread = any(t.ndim > 2 and min(t.shape[-2:]) > 1 for t in tensors if t not in self.reach)
        rule = RULES.get(name)
        if name in POINTWISE and not spread and out.shape[-2:] == maps[0].shape[-2:]:
            return self._known(together, name)
        change = rule(args, maps[0], out) if rule else None
        return self._known(together and change and together.through(*change), name)

    def _known(self, reach: Reach | None, name: str) -> Reach | None:
        if reach is None:
            self.everywhere = self.everywhere or name
        return reach

    def _count(self, made: list[Tensor], given: list[Tensor]) -> None:
        """Add what was made to what is alive, until it is not."""
        known = {t.untyped_storage()._cdata for t in given}
        for t in made:
            if t.untyped_storage()._cdata not in known:
                size = t.numel() * t.element_size()
                self.live += size
                weakref.finalize(t, self._freed, size)
        self.peak = max(self.peak, self.live)

    def _freed(self, size: int) -> None:
        self.live -= size


def _tensors(args: Any) -> Any:
    for a in args:
        if isinstance(a, Tensor):
            yield a
        elif isinstance(a, (tuple, list)):
            yield from _tensors(a)


# --- rules: (arguments, first map, result) to (ratio, low, high), or None for everywhere -----------------------------

Change = tuple[Fraction, "Fraction | int", "Fraction | int"]
HERE: Change = (Fraction(1), 0, 0)


def convolution(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Input, weight, bias, stride, padding, dilation, transposed: the widest of both axes."""
    weight, (stride, padding, dilation, transposed) = args[1], args[3:7]
    if len(set(stride)) > 1 or weight.ndim != 4:
        return None
    spans = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation)]
    before, after = max(padding), max(s - p for s, p in zip(spans, padding))
    if not transposed:
        return Fraction(stride[0]), -before, after
    return Fraction(1, stride[0]), Fraction(-after, stride[0]), Fraction(before, stride[0])


def pooling(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Input, kernel, stride, padding."""
    kernel, stride, padding = (list(args[k]) if len(args) > k else [] for k in (1, 2, 3))
    step = set(stride or kernel)
    if len(step) > 1:
        return None
    return Fraction(step.pop()), -max(padding or [0]), max(kernel) - 1 - min(padding or [0])


def interpolation(reach: int) -> Callable[[Any, Tensor, Tensor], Change | None]:
    """Between pixels: so many on both sides of the place in between; shrinking without antialiasing only skips."""

    def rule(args: Any, x: Tensor, out: Tensor) -> Change | None:
        ratio = Fraction(x.shape[-1], out.shape[-1])
        if ratio != Fraction(x.shape[-2], out.shape[-2]):
            return None
        place = ratio / 2 - Fraction(1, 2)  # of the first pixel's centre
        widest = reach * max(ratio, Fraction(1))
        return ratio, place - widest, place + widest

    return rule


def nearest(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Whole factors only: pixel i is pixel floor(i / f), or, shrinking, pixel f i."""
    ratio = Fraction(x.shape[-1], out.shape[-1])
    if ratio != Fraction(x.shape[-2], out.shape[-2]) or 1 not in (ratio.numerator, ratio.denominator):
        return None
    return ratio, ratio - 1 if ratio < 1 else 0, 0


def unshuffle(args: Any, x: Tensor, out: Tensor) -> Change | None:
    return Fraction(args[1]), 0, args[1] - 1


def reshape(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Fine as long as rows and columns stay what they are."""
    return HERE if out.shape[-2:] == x.shape[-2:] and out.numel() == x.numel() else None


def expansion(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Fine as long as it is along channels or images."""
    return HERE if out.shape[-2:] == x.shape[-2:] else None


def padding(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Left, right, top, bottom; unequal sides may mirror what lies further inside than the kernel that follows."""
    sides = args[1][:4]
    slack = 0 if len(set(sides)) == 1 else 2 * max(sides)
    return Fraction(1), -max(sides) - slack, -min(sides) + slack


def cut(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Some channels, or all but the first so many rows or columns."""
    dim, start = (args[1] if len(args) > 1 else 0) % x.ndim, args[2] if len(args) > 2 else 0
    if (args[4] if len(args) > 4 else 1) != 1:
        return None
    return HERE if dim < x.ndim - 2 or not start else (Fraction(1), 0, start)


def over_channels(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """A sum, mean or choice along the channels."""
    dims = args[1] if len(args) > 1 else None
    dims = [dims] if isinstance(dims, int) else dims
    return HERE if dims and x.ndim == 4 and all(d % 4 in (0, 1) for d in dims) else None


def batch_norm(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """With the statistics it was trained to; with those of the image itself it looks everywhere."""
    return None if args[5] else HERE


POINTWISE = {
    *("add", "sub", "rsub", "mul", "div", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "pow", "square", "lerp"),
    *("add_", "sub_", "mul_", "div_", "clamp", "clamp_", "clamp_min", "clamp_max", "maximum", "minimum", "where"),
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "_prelu_kernel", "sigmoid", "sigmoid_", "tanh", "tanh_", "gelu"),
    *("silu", "silu_", "elu", "elu_", "hardtanh", "hardtanh_", "softplus", "alias", "detach", "clone", "_to_copy"),
    *("cat", "addcmul", "native_dropout", "contiguous", "_native_batch_norm_legit_no_training", "round", "floor"),
}

RULES: dict[str, Callable[[Any, Tensor, Tensor], Change | None]] = {
    "convolution": convolution,
    "max_pool2d_with_indices": pooling,
    "avg_pool2d": pooling,
    "upsample_nearest2d": nearest,
    "_upsample_nearest_exact2d": nearest,
    "pixel_shuffle": nearest,
    "pixel_unshuffle": unshuffle,
    "upsample_bilinear2d": interpolation(1),
    "upsample_bicubic2d": interpolation(2),
    "_upsample_bilinear2d_aa": interpolation(1),
    "_upsample_bicubic2d_aa": interpolation(2),
    "constant_pad_nd": padding,
    "reflection_pad2d": padding,
    "replication_pad2d": padding,
    "slice": cut,
    "expand": expansion,
    "view": reshape,
    "_unsafe_view": reshape,
    "squeeze": reshape,
    "unsqueeze": reshape,
    "sum": over_channels,
    "mean": over_channels,
    "amax": over_channels,
    "native_batch_norm": batch_norm,
    "_native_batch_norm_legit": batch_norm,
}
