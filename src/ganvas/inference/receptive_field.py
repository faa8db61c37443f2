"""Receptive field of a network, followed through its operations by tensors without memory.

Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", section 2, with operations that
enlarge.  An operation that is not known here counts as global, so that its image is never tiled.
"""

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

from ..policy import spare_dynamo

PROBE = 256  # side of the image that is followed: a multiple of every stride of networks


@dataclass(frozen=True)
class Reach:
    """Reach of a feature map: along each axis its pixel i depends on pixels `step i + low` to `step i + high`."""

    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    def through(self, ratio: Fraction, low: Fraction | int, high: Fraction | int) -> "Reach":
        """Reach of a map whose pixel i depends on pixels `ratio i + low` to `ratio i + high` of this one."""
        return Reach(self.step * ratio, self.low + self.step * low, self.high + self.step * high)

    def join(self, other: "Reach") -> "Reach | None":
        """Reach of a map that depends on both; None if they do not lie on the same grid."""
        if self.step != other.step:
            return None
        return Reach(self.step, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class ReceptiveField:
    """Facts about a network that tiling needs."""

    radius: int  # pixels around a tile
    multiple: int  # tiles begin at multiples of it, and whole images are padded to one
    scale: Fraction  # output pixels for one of the input, along each axis
    global_operation: str  # the operation that looks at the whole image, or nothing
    bytes_per_pixel: float  # peak of temporaries in float32 for a pixel of the input
    channels: int  # of the output

    @property
    def is_global(self) -> bool:
        """True if a tile cannot be computed without the whole image."""
        return bool(self.global_operation)


def trace_receptive_field(network: nn.Module, channels: int = 3) -> ReceptiveField:
    """Trace the receptive field of a network from (N, channels, H, W) to (N, C, scale H, scale W).

    Nothing is computed: it runs on meta tensors, which have a shape and no memory.  The network stays as it is.
    """
    state = {k: v.to("meta") for k, v in network.state_dict(keep_vars=True).items()}
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    image = torch.empty(1, channels, PROBE, PROBE, device="meta", dtype=dtype)
    trace = Trace(image)
    try:
        with torch.no_grad(), spare_dynamo(), trace:
            out = functional_call(network, state, image)
        reach, operation = trace.reach.get(out), trace.global_operation
        scale = Fraction(out.shape[-1], PROBE)
    except Exception as problem:  # it asks for numbers, or for another size: then nothing is known of it
        operation = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
        return ReceptiveField(0, 1, Fraction(1), operation, 0.0, channels)
    if reach is None or scale * reach.step != 1:
        operation = operation or "a map of its own"
        reach = Reach(1 / scale)
    radius = max(math.floor(-reach.low), math.floor(reach.high - reach.step + 1), 0)
    return ReceptiveField(radius, trace.multiple, scale, operation, trace.peak / PROBE**2, out.shape[1])


class Trace(TorchDispatchMode):
    """Follows an image through the operations of a network."""

    def __init__(self, image: Tensor):
        super().__init__()
        self.reach: Any = WeakIdKeyDictionary()  # of every map that depends on the image
        self.reach[image] = Reach()
        self.global_operation, self.multiple, self.live, self.peak = "", 1, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        outputs = [t for t in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(t, Tensor)]
        inputs = list(_tensors(args))
        maps = [t for t in inputs if t in self.reach]
        self._count(outputs, inputs)
        if maps:
            reach = self._follow(func.overloadpacket.__name__, args, maps, inputs, outputs[0])
            if reach is not None:
                for t in outputs:
                    self.reach[t] = reach
                self.multiple = max(self.multiple, math.ceil(reach.step))
                self._share_with_views(func, outputs[0], reach)
        return out

    def _share_with_views(self, func: Any, output: Tensor, reach: Reach) -> None:
        """Give the reach of a map that is written in place to every other view of its memory."""
        if not func._schema.is_mutable:
            return
        for other in list(self.reach):
            if other is not output and other.untyped_storage()._cdata == output.untyped_storage()._cdata:
                joined = reach.join(self.reach[other])
                if self._note_unknown(joined, func.overloadpacket.__name__):
                    self.reach[other] = joined

    def _follow(self, name: str, args: Any, maps: list[Tensor], inputs: list[Tensor], out: Tensor) -> Reach | None:
        """Reach of an operation's result; None, and a note, if it depends on the whole image."""
        together: Reach | None = self.reach[maps[0]]
        for other in maps[1:]:
            together = together and together.join(self.reach[other])
        spatial = any(t.ndim > 2 and min(t.shape[-2:]) > 1 for t in inputs if t not in self.reach)
        rule = RULES.get(name)
        if name in POINTWISE and not spatial and out.shape[-2:] == maps[0].shape[-2:]:
            return self._note_unknown(together, name)
        change = rule(args, maps[0], out) if rule else None
        return self._note_unknown(together and change and together.through(*change), name)

    def _note_unknown(self, reach: Reach | None, name: str) -> Reach | None:
        """Note the first operation without a reach, and return the reach."""
        if reach is None:
            self.global_operation = self.global_operation or name
        return reach

    def _count(self, outputs: list[Tensor], inputs: list[Tensor]) -> None:
        """Count the bytes of new tensors as live until they are freed."""
        existing = {t.untyped_storage()._cdata for t in inputs}
        for t in outputs:
            if t.untyped_storage()._cdata not in existing:
                size = t.numel() * t.element_size()
                self.live += size
                weakref.finalize(t, self._free, size)
        self.peak = max(self.peak, self.live)

    def _free(self, size: int) -> None:
        self.live -= size


def _tensors(args: Any) -> Any:
    for a in args:
        if isinstance(a, Tensor):
            yield a
        elif isinstance(a, (tuple, list)):
            yield from _tensors(a)


# --- rules: (arguments, first map, result) to (ratio, low, high), or None for a global operation ---------------------

Change = tuple[Fraction, "Fraction | int", "Fraction | int"]
HERE: Change = (Fraction(1), 0, 0)


def convolution(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Convolution (input, weight, bias, stride, padding, dilation, transposed): the wider of both axes."""
    weight, (stride, padding, dilation, transposed) = args[1], args[3:7]
    if len(set(stride)) > 1 or weight.ndim != 4:
        return None
    spans = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation)]
    before, after = max(padding), max(s - p for s, p in zip(spans, padding))
    if not transposed:
        return Fraction(stride[0]), -before, after
    return Fraction(1, stride[0]), Fraction(-after, stride[0]), Fraction(before, stride[0])


def pooling(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Pooling (input, kernel, stride, padding)."""
    kernel, stride, padding = (list(args[k]) if len(args) > k else [] for k in (1, 2, 3))
    step = set(stride or kernel)
    if len(step) > 1:
        return None
    return Fraction(step.pop()), -max(padding or [0]), max(kernel) - 1 - min(padding or [0])


def interpolation(reach: int) -> Callable[[Any, Tensor, Tensor], Change | None]:
    """Rule of an interpolation between `reach` pixels on both sides; shrinking without antialiasing only skips."""

    def rule(args: Any, x: Tensor, out: Tensor) -> Change | None:
        ratio = Fraction(x.shape[-1], out.shape[-1])
        if ratio != Fraction(x.shape[-2], out.shape[-2]):
            return None
        place = ratio / 2 - Fraction(1, 2)  # of the first pixel's centre
        widest = reach * max(ratio, Fraction(1))
        return ratio, place - widest, place + widest

    return rule


def nearest(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Nearest neighbour by a whole factor f: pixel i is pixel floor(i / f), or, shrinking, pixel f i."""
    ratio = Fraction(x.shape[-1], out.shape[-1])
    if ratio != Fraction(x.shape[-2], out.shape[-2]) or 1 not in (ratio.numerator, ratio.denominator):
        return None
    return ratio, ratio - 1 if ratio < 1 else 0, 0


def unshuffle(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Pixel unshuffle (input, factor)."""
    return Fraction(args[1]), 0, args[1] - 1


def reshape(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """View or reshape; pointwise if rows and columns stay, else global."""
    return HERE if out.shape[-2:] == x.shape[-2:] and out.numel() == x.numel() else None


def expansion(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Expand; pointwise along channels or images, else global."""
    return HERE if out.shape[-2:] == x.shape[-2:] else None


def padding(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Padding (left, right, top, bottom); unequal sides may mirror pixels further inside than the next kernel."""
    sides = args[1][:4]
    slack = 0 if len(set(sides)) == 1 else 2 * max(sides)
    return Fraction(1), -max(sides) - slack, -min(sides) + slack


def slicing(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Slice of channels, or of all but the first rows or columns."""
    dim, start = (args[1] if len(args) > 1 else 0) % x.ndim, args[2] if len(args) > 2 else 0
    if (args[4] if len(args) > 4 else 1) != 1:
        return None
    return HERE if dim < x.ndim - 2 or not start else (Fraction(1), 0, start)


def over_channels(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Sum, mean or maximum along the channels."""
    dims = args[1] if len(args) > 1 else None
    dims = [dims] if isinstance(dims, int) else dims
    return HERE if dims and x.ndim == 4 and all(d % 4 in (0, 1) for d in dims) else None


def batch_norm(args: Any, x: Tensor, out: Tensor) -> Change | None:
    """Batch norm; pointwise in evaluation, global with the statistics of the image itself."""
    return None if args[5] else HERE


POINTWISE = {
    *("add", "sub", "rsub", "mul", "div", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "pow", "square", "lerp"),
    *("add_", "sub_", "mul_", "div_", "clamp", "clamp_", "clamp_min", "clamp_max", "maximum", "minimum"),
    *("where", "ge", "gt", "le", "ne", "bitwise_and"),
    *(
        "relu",
        "relu_",
        "leaky_relu",
        "leaky_relu_",
        "_prelu_kernel",
        "sigmoid",
        "sigmoid_",
        "tanh",
        "tanh_",
        "gelu",
        "mish",
    ),
    *("silu", "silu_", "elu", "elu_", "hardtanh", "hardtanh_", "softplus", "alias", "detach", "clone", "_to_copy"),
    *("cat", "addcmul", "native_dropout", "contiguous", "_native_batch_norm_legit_no_training", "round", "floor"),
}

RULES: dict[str, Callable[[Any, Tensor, Tensor], Change | None]] = {
    **{"convolution": convolution, "pixel_unshuffle": unshuffle, "slice": slicing, "expand": expansion},
    **dict.fromkeys(["max_pool2d_with_indices", "avg_pool2d"], pooling),
    **dict.fromkeys(["upsample_nearest2d", "_upsample_nearest_exact2d", "pixel_shuffle"], nearest),
    **dict.fromkeys(["upsample_bilinear2d", "_upsample_bilinear2d_aa"], interpolation(1)),
    **dict.fromkeys(["upsample_bicubic2d", "_upsample_bicubic2d_aa"], interpolation(2)),
    **dict.fromkeys(["constant_pad_nd", "reflection_pad2d", "replication_pad2d"], padding),
    **dict.fromkeys(["view", "_unsafe_view", "squeeze", "unsqueeze"], reshape),
    **dict.fromkeys(["sum", "mean", "amax"], over_channels),
    **dict.fromkeys(["native_batch_norm", "_native_batch_norm_legit"], batch_norm),
}
