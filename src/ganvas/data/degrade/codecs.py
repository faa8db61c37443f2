"""Degradations by codecs: films, WebP, AVIF, and colour at a part of the resolution."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import UsageError, UserError, did_you_mean
from ...imaging.resize import resize
from .base import Degradation, RandomStream, Range, check_range

Quantiser = tuple[str, float, float]  # option of the encoder, and its values at severity 0 and 1
ENCODERS: dict[str, tuple[str, dict[str, str], Quantiser]] = {  # by name: of FFmpeg, with options
    "h264": ("libx264", {"preset": "veryfast", "tune": "zerolatency"}, ("crf", 14, 46)),
    "hevc": ("libx265", {"preset": "ultrafast", "tune": "zerolatency"}, ("crf", 16, 48)),
    "mpeg2": ("mpeg2video", {}, ("qmin", 2, 31)),
    "mpeg4": ("mpeg4", {}, ("qmin", 2, 31)),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}, ("crf", 15, 63)),
}
X265 = "log-level=none:pools=none:frame-threads=1:wpp=0"
BLOCK, SMALLEST = 16, 64  # sides are padded to a multiple, and to what every encoder takes
ACCURATE = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000  # swscale: bicubic, full chroma in and out, accurate, bit-exact
SCHEMES = {"4:4:4": (1, 1), "4:4:0": (2, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:1:1": (1, 4), "4:1:0": (4, 4)}
FROM_RGB = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
LUMA_AND_CHROMA = torch.tensor(FROM_RGB, dtype=torch.float64)  # JFIF's Y, Cb, Cr, of BT.601


def check_names(who: object, option: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return names of a list; raises `UsageError` for an unknown one, or none."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names or ("",):
        if name not in known:
            near = did_you_mean(name, known)
            raise UsageError(f"{type(who).__name__} takes {option} of {', '.join(known)}, not {name!r}.{near}")
    return names


class VideoCodec(Degradation):
    """Compression by a video codec: a frame that is predicted from others, each a shift of the image (extra `video`).

    8 bits, colour at half resolution (4:2:0).
    """

    def __init__(
        self,
        *,
        codecs: tuple[str, ...] = ("h264", "hevc", "mpeg2", "mpeg4", "vp9"),  # of which one is drawn for each image
        severity: Range = (
            0.2,
            0.8,
        ),  # from 0, almost without loss, to 1: crf 14 to 46 of h264
        frames: int = 2,  # frames of which the last is kept; 1: a key frame
        motion: int = 3,  # largest shift between two of them, in pixels
    ):
        self.codecs = check_names(self, "codecs", codecs, tuple(ENCODERS))
        self.severity, self.motion = check_range(self, "severity", severity, 0, 1), motion
        if not 1 <= frames <= 30 or not 0 <= motion <= 64:
            raise UsageError(f"VideoCodec takes 1 to 30 frames and a motion of 0 to 64 pixels, not {frames}, {motion}.")
        self.frames = frames
        load_av()

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Encode and decode an image (1, C, H, W) on the CPU."""
        codec, severity = random.choice(self.codecs), random.uniform(*self.severity)
        shifts = [(random.integer(-self.motion, self.motion), random.integer(-self.motion, self.motion))]
        for _ in range(self.frames - 1):
            y, x = shifts[-1]
            step = random.integer(-self.motion, self.motion), random.integer(-self.motion, self.motion)
            shifts.append((y + step[0], x + step[1]))
        levels = to_levels(image)
        height, width = levels.shape[:2]
        sides = [max(-(-side // BLOCK) * BLOCK, SMALLEST) for side in (height, width)]
        padded = np.pad(levels, [(0, sides[0] - height), (0, sides[1] - width), (0, 0)], "edge")
        last = shifts[-1]  # the kept frame is the image itself
        films = [np.roll(padded, (y - last[0], x - last[1]), (0, 1)) for y, x in shifts]
        return from_levels(compress_film(films, codec, severity)[:height, :width], image)


def load_av() -> Any:
    """The package av; raises `UserError` where it is not installed."""
    try:
        import av
    except Exception:
        raise UserError("Video codecs need the package av: pip install 'ganvas[video]'.") from None
    return av


def compress_film(frames: Sequence[np.ndarray], codec: str, severity: float) -> np.ndarray:
    """Encode frames (H, W, 3) uint8 and return the last one as decoded; H and W are multiples of 16 from 64 up."""
    av = load_av()
    encoder, options, (name, fine, coarse) = ENCODERS[codec]
    value = round(fine + (coarse - fine) * severity)
    height, width = frames[0].shape[:2]
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base, context.thread_count = 25, Fraction(1, 25), 1
    context.max_b_frames = 0
    quantiser = {name: str(value)} | ({"qmax": str(value)} if name == "qmin" else {})
    context.options = options | quantiser | ({"x265-params": X265} if codec == "hevc" else {})
    packets = []
    for k, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", interpolation=ACCURATE)
        frame.pts = k
        packets += context.encode(frame)
    packets += context.encode(None)
    decoder = av.CodecContext.create(context.codec.canonical_name, "r")
    decoder.thread_count = 1
    decoder.extradata = context.extradata
    decoded = [image for packet in [*packets, None] for image in decoder.decode(packet)]
    return decoded[-1].reformat(format="rgb24", interpolation=ACCURATE).to_ndarray()


def to_levels(image: Tensor) -> np.ndarray:
    """Convert (1, C, H, W) in [0, 1] to (H, W, 3) uint8; grey becomes three equal channels."""
    levels = image[0].clamp(0, 1).mul(255).round().to(torch.uint8).expand(3, -1, -1)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


def from_levels(array: np.ndarray, image: Tensor) -> Tensor:
    """Convert (H, W, 3) uint8 to the channels, the dtype and the device of an image (1, C, H, W) in [0, 1]."""
    values = torch.from_numpy(np.array(array)).to(image.device).permute(2, 0, 1)[None].to(image.dtype) / 255
    return values if image.shape[1] == 3 else values[:, 1:2]  # green, which is nearest to luma


class WebP(Degradation):
    """WebP compression by the real codec, with colour at half resolution."""

    def __init__(self, *, quality: Range = (10.0, 90.0)):  # quality, from 1 to 100
        self.quality = check_range(self, "quality", quality, 1, 100)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Compress and decompress an image (1, C, H, W) as 8-bit WebP on the CPU."""
        return compress_image(image, "WEBP", quality=round(random.uniform(*self.quality)))


class Avif(Degradation):
    """AVIF compression by the real codec."""

    def __init__(
        self,
        *,
        quality: Range = (10.0, 80.0),  # quality, from 1 to 100
        chroma: tuple[str, ...] = ("4:2:0", "4:2:2", "4:4:4"),  # resolutions of colour, of which one is drawn
    ):
        self.quality = check_range(self, "quality", quality, 1, 100)
        self.chroma = check_names(self, "chroma", chroma, ("4:2:0", "4:2:2", "4:4:4"))

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Compress and decompress an image (1, C, H, W) as 8-bit AVIF on the CPU."""
        quality, chroma = round(random.uniform(*self.quality)), random.choice(self.chroma)
        options = {"codec": "aom", "speed": 8, "max_threads": 1}
        return compress_image(image, "AVIF", quality=quality, subsampling=chroma, **options)


def compress_image(image: Tensor, kind: str, **options: Any) -> Tensor:
    """Compress (1, C, H, W) in [0, 1], clamped, by one of Pillow's codecs and decompress it."""
    file = io.BytesIO()
    Image.fromarray(to_levels(image)).save(file, kind, **options)
    with Image.open(file) as decoded:
        return from_levels(np.asarray(decoded.convert("RGB")), image)


class ChromaSubsampling(Degradation):
    """Colour at a part of the resolution: the mean of Cb and Cr over blocks of J:a:b, brought back by a filter.

    Y, Cb and Cr are those of BT.601 in full range, as in JPEG; grey images stay as they are.
    """

    def __init__(
        self,
        *,
        schemes: tuple[str, ...] = ("4:1:0", "4:1:1", "4:2:0", "4:2:2", "4:4:0", "4:4:4"),  # of which one is drawn
        filters: tuple[str, ...] = ("nearest", "bilinear", "bicubic"),  # that enlarge colour, of which one is drawn
    ):
        self.schemes = check_names(self, "schemes", schemes, tuple(SCHEMES))
        self.filters = check_names(self, "filters", filters, ("nearest", "bilinear", "bicubic"))

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Subsample the colour of an image (1, C, H, W); Y, Cb and Cr are rounded to whole levels."""
        scheme, filter_ = random.choice(self.schemes), random.choice(self.filters)
        first = [random.integer(0, step - 1) for step in SCHEMES[scheme]]
        return subsample_chroma(image, scheme, filter_, (first[0], first[1]), top)


def subsample_chroma(image: Tensor, scheme: str, filter_: str, first: tuple[int, int], top: int) -> Tensor:
    """Subsample the colour of (1, C, H, W) in [0, 1]; the blocks begin `first` rows and columns outside the image."""
    if image.shape[1] == 1:
        return image
    height, width = image.shape[2:]
    matrix = LUMA_AND_CHROMA.to(image.device)
    planes = torch.einsum("ij,njhw->nihw", matrix, image.double())
    planes = planes.mul(top).round().div(top)
    steps = SCHEMES[scheme]
    rows, columns = (
        torch.arange(first_ + side, device=image.device).clamp(first_, first_ + side - 1) - first_
        for first_, side in zip(first, (height, width))
    )
    rows, columns = _fill(rows, steps[0]), _fill(columns, steps[1])
    chroma = planes[:, 1:, rows][..., columns]
    coarse = torch.nn.functional.avg_pool2d(chroma, steps).mul(top).round().div(top)
    size = len(rows), len(columns)
    if filter_ == "nearest":
        fine = coarse.repeat_interleave(steps[0], 2).repeat_interleave(steps[1], 3)
    else:
        fine = resize(coarse, size, kernel=filter_)  # type: ignore[arg-type]
    planes[:, 1:] = fine[..., first[0] : first[0] + height, first[1] : first[1] + width]
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), planes).to(image.dtype)


def _fill(index: Tensor, step: int) -> Tensor:
    """Repeat the last index up to a multiple of the step."""
    return torch.cat([index, index[-1:].expand(-len(index) % step)])
