"""Films: frames in their own depth with their times, and encoding in the source's colours (extra `video`)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadImage, UserError, printable
from .decode import to_channels

RGB, UNSPECIFIED, BT709, BT601, SMPTE170M = 0, 2, 1, 5, 6  # matrices of ITU-T H.273; swscale has 5 for both of BT.601
LIMITED, FULL = 1, 2  # ranges
ACCURATE = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000  # swscale: bicubic, full chroma in and out, accurate, bit-exact
HDR = {16: "PQ", 18: "HLG"}  # transfer functions
MISSING = "Films need the package av: pip install 'ganvas[video]'."


def load_av() -> Any:
    """The package av; raises `UserError` where it is not installed."""
    try:
        import av
    except Exception:
        raise UserError(MISSING) from None
    return av


@dataclass(frozen=True)
class Colours:
    """Colour tags of a film by their numbers in ITU-T H.273."""

    matrix: int = UNSPECIFIED
    range: int = 0  # 0: unspecified
    transfer: int = UNSPECIFIED
    primaries: int = UNSPECIFIED

    def assumed_matrix(self, width: int, height: int) -> int:
        """The matrix that players assume: the film's own, else by its size BT.709 (HD) or BT.601."""
        if self.matrix not in (UNSPECIFIED, RGB):
            return BT601 if self.matrix == SMPTE170M else self.matrix
        return BT709 if height > 576 or width >= 1280 else BT601


@dataclass(frozen=True)
class FilmInfo:
    """Facts of a film's video stream."""

    width: int
    height: int
    frames: int  # as declared or estimated, 0 if unknown
    time_base: Fraction  # of its times, in seconds
    rate: Fraction  # average, in frames per second
    layout: str = "rgb24"  # pixel format
    depth: int = 8  # bits of a level
    chroma: str = "444"
    grey: bool = False
    alpha: bool = False
    colours: Colours = field(default_factory=Colours)
    aspect: Fraction | None = None  # of a pixel
    matrix: tuple[int, ...] | None = None  # by which players turn the film
    loop: int | None = None  # of an animation: 0 for ever; None: once
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A frame that is converted when it is asked for, and its time in units of the film's time base."""

    image: Any  # av.VideoFrame, or an array
    pts: int
    duration: int
    info: FilmInfo

    def array(self) -> np.ndarray:
        """Pixels (H, W, C) of full range: uint8, or uint16 for more than 8 bits; C = 1, 3 or 4."""
        if isinstance(self.image, np.ndarray):
            return self.image
        info, deep = self.info, self.info.depth > 8
        name = "gray" if info.grey else "rgba" if info.alpha else "rgb24"
        wide = {"gray": "gray16le", "rgba": "rgba64le", "rgb24": "rgb48le"}
        frame, colours = self.image, info.colours
        matrix = colours.assumed_matrix(info.width, info.height)
        converted = frame.reformat(
            format=wide[name] if deep else name,
            interpolation=ACCURATE,
            src_colorspace=matrix,
            src_color_range=colours.range or (FULL if info.layout.startswith("yuvj") else LIMITED),
            dst_color_range=FULL,
        ).to_ndarray()
        return converted[..., None] if converted.ndim == 2 else converted


class FilmReader:
    """A film file, opened: its facts and its frames in the order of their times.

    Raises `BadImage` for a file that is no film, has no video stream, or is damaged where it is described.
    """

    def __init__(self, file: Path):
        self.file, av = file, load_av()
        try:
            self.container = av.open(str(file))
        except (av.FFmpegError, ValueError) as problem:
            reason = f"cannot be read as a film, as it is damaged or incomplete ({reason_of(problem)})"
            raise BadImage(reason, printable(file)) from None
        videos = [s for s in self.container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not videos:
            kinds = stream_kinds(self.container)
            self.container.close()
            raise BadImage(f"has no video stream, only {kinds}", printable(file))
        self.stream = videos[0]
        self.damaged = 0  # packets that could not be decoded
        self.info = self._read_info(len(videos))

    def __enter__(self) -> "FilmReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _read_info(self, videos: int) -> FilmInfo:
        stream, context = self.stream, self.stream.codec_context
        try:
            first = next(iter(self.decode()), None)
        except load_av().FFmpegError as problem:
            raise BadImage(f"cannot be decoded: {reason_of(problem)}", printable(self.file)) from None
        if first is None:
            raise BadImage("has no frame that can be decoded", printable(self.file))
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        notes = [f"its {videos - 1} further video streams are left behind"] if videos > 1 else []
        notes += (
            ["its frames are interlaced; deinterlace it first for a better result"] if first.interlaced_frame else []
        )
        if context.color_trc in HDR:
            notes.append(f"it is HDR ({HDR[context.color_trc]}), whose values the model sees as those of SDR")
        matrix = next((d for d in first.side_data if d.type.name == "DISPLAYMATRIX"), None)
        colours = Colours(context.colorspace, context.color_range, context.color_trc, context.color_primaries)
        aspect = stream.sample_aspect_ratio
        return FilmInfo(
            width=first.width,
            height=first.height,
            frames=stream.frames or self._estimate_frames(rate),
            time_base=stream.time_base,
            rate=rate,
            **layout_facts(first.format),
            colours=colours,
            aspect=aspect if aspect and aspect != 1 else None,
            matrix=None if matrix is None else tuple(np.frombuffer(bytes(matrix), np.int32).tolist()),
            notes=tuple(notes),
        )

    def _estimate_frames(self, rate: Fraction) -> int:
        end = self.declared_end()
        return round(end * rate) if end else 0

    def declared_end(self) -> Fraction:
        """Seconds at which the video ends as the file declares it, 0 if it does not."""
        tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", self.stream.metadata.get("DURATION", ""))
        if tag:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
        if self.stream.duration:
            return (self.stream.duration + (self.stream.start_time or 0)) * self.stream.time_base
        return Fraction(self.container.duration or 0, 1_000_000)

    def decode(self, start: Fraction = Fraction(0)) -> Iterator[Any]:
        """Decode from the last key frame before `start` (in seconds); damaged packets are counted and left out."""
        av = load_av()
        with av.open(str(self.file)) as container:
            stream = container.streams[self.stream.index]
            stream.thread_type = "AUTO"
            if start:
                container.seek(round(start / stream.time_base), stream=stream, backward=True)
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except av.FFmpegError:  # the file ends in the middle of a packet
                    self.damaged += 1
                    packet = None
                if packet is None:
                    return
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self.damaged += 1

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """Yield the frames from `start` (in seconds) on; a frame without a time follows the one before at the rate."""
        base, step = self.info.time_base, max(round(1 / (self.info.rate * self.info.time_base)), 1)
        earliest, before, self.damaged = round(start / base), None, 0
        for image in self.decode(start):
            pts = image.pts if image.pts is not None else 0 if before is None else before.pts + step
            if before is not None:
                if pts <= before.pts:  # two frames of one time, as some cameras write them
                    pts = before.pts + 1
                yield Frame(before.image, before.pts, pts - before.pts, self.info)
            before = Frame(image, pts, image.duration or step, self.info) if pts >= earliest or not start else None
        if before is not None:
            yield before


def layout_facts(layout: Any) -> dict[str, Any]:
    """Facts of a pixel format of av: name, depth, subsampling of chroma, grey, alpha."""
    parts = layout.components
    down = layout.chroma_width(64), layout.chroma_height(64)
    chroma = {(64, 64): "444", (32, 64): "422", (32, 32): "420", (64, 32): "440", (16, 64): "411", (16, 16): "410"}
    rgb = layout.is_rgb or layout.has_palette or layout.name.startswith(("gbr", "pal"))
    return {
        "layout": layout.name,
        "depth": max(part.bits for part in parts),
        "chroma": "rgb" if rgb else chroma.get(down, "444"),
        "grey": layout.name.startswith(("gray", "mono", "ya")) and not any(part.is_alpha for part in parts),
        "alpha": any(part.is_alpha for part in parts) or layout.name == "pal8",
    }


def stream_kinds(container: Any) -> str:
    """The kinds of a container's streams, for a sentence."""
    kinds = list(dict.fromkeys({"video": "cover image"}.get(s.type, s.type) for s in container.streams))
    return ", ".join(kinds) or "nothing"


def reason_of(problem: BaseException) -> str:
    """FFmpeg's reason in a few words."""
    return getattr(problem, "strerror", None) or str(problem).splitlines()[0]


@dataclass(frozen=True)
class Codec:
    """A video codec: its encoder and how faithful it is by default."""

    encoder: str
    options: dict[str, str]
    crf: int | None  # None: without loss


CODECS = {
    "h264": Codec("libx264", {"preset": "medium", "bf": "0"}, 16),
    "hevc": Codec("libx265", {"preset": "medium", "x265-params": "bframes=0:log-level=error"}, 18),
    "vp9": Codec("libvpx-vp9", {"deadline": "good", "cpu-used": "3", "row-mt": "1", "auto-alt-ref": "0"}, 20),
    "ffv1": Codec("ffv1", {"level": "3", "slicecrc": "1"}, None),
}


@dataclass(frozen=True)
class Encoding:
    """An encoder's settings, which follow from the source, the codec and the size of the result."""

    codec: str
    layout: str  # pixel format
    width: int
    height: int
    rate: Fraction
    colours: Colours
    aspect: Fraction | None
    crf: int | None

    @classmethod
    def choose(cls, info: FilmInfo, codec: str, crf: int | None, shape: tuple[int, ...], deep: bool) -> "Encoding":
        """Settings for frames (H, W, C) of 8 bits, or more: the source's depth, chroma and colour tags."""
        height, width, channels = shape
        kind = CODECS[codec]
        depth = max(info.depth, 9) if deep else 8
        known = [f.name for f in load_av().Codec(kind.encoder, "w").video_formats or []]
        lossless = kind.crf is None
        chroma = "grey" if channels < 3 else "420" if info.chroma == "rgb" and not lossless else info.chroma
        if (width % 2 or height % 2) and chroma not in ("444", "grey", "rgb") and not lossless:
            chroma = "444"  # half of an odd side is no whole number
        layout = choose_layout(known, chroma, depth, channels in (2, 4) and lossless)
        return cls(codec, layout, width, height, info.rate, tag_colours(info, layout, width, height), info.aspect, crf)

    @property
    def alpha(self) -> bool:
        """True if the layout holds transparency."""
        return self.layout.startswith(("bgra", "yuva", "gbrap"))

    def open(self, container: Any) -> Any:
        """Add a stream with these settings to a container of av."""
        kind = CODECS[self.codec]
        quality = {} if kind.crf is None else {"crf": str(kind.crf if self.crf is None else self.crf)}
        stream = container.add_stream(
            kind.encoder, rate=self.rate.limit_denominator(1 << 16), options=kind.options | quality
        )
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.layout
        context = stream.codec_context
        context.colorspace, context.color_range = self.colours.matrix, self.colours.range
        context.color_trc, context.color_primaries = self.colours.transfer, self.colours.primaries
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        return stream

    def frame(self, array: np.ndarray) -> Any:
        """A frame of av from (H, W, C) uint8 or uint16 of full range."""
        av, deep = load_av(), array.dtype == np.uint16
        if not self.alpha and array.shape[2] in (2, 4):
            array = to_channels(array[..., [0, 0, 0, 1]] if array.shape[2] == 2 else array, 3)
        elif array.shape[2] == 2:
            array = array[..., [0, 0, 0, 1]]
        grey = self.layout.startswith("gray")
        if not grey and array.shape[2] == 1:
            array = np.repeat(array, 3, 2)
        names = {1: ("gray", "gray16le"), 3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}
        pixels = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
        source = av.VideoFrame.from_ndarray(pixels, format=names[array.shape[2]][deep])
        plain = self.layout.startswith(("bgr", "gbr"))
        limit = self.colours.range or (FULL if plain else LIMITED)
        matrix = self.colours.assumed_matrix(self.width, self.height)
        frame = source.reformat(
            format=self.layout,
            interpolation=ACCURATE,
            dst_colorspace=None if plain else matrix,
            src_color_range=FULL,
            dst_color_range=limit,
        )
        frame.colorspace, frame.color_range = self.colours.matrix, self.colours.range
        frame.color_trc, frame.color_primaries = self.colours.transfer, self.colours.primaries
        return frame


def choose_layout(known: list[str], chroma: str, depth: int, alpha: bool) -> str:
    """The pixel format of an encoder, of those it knows, that keeps most of chroma and depth."""
    depths = [d for d in (8, 9, 10, 12, 14, 16) if d >= depth] + [12, 10, 8]
    chromas = [chroma, "422", "444", "420"]
    for bits in depths:
        deep = "" if bits == 8 else f"{bits}le"
        names = [f"yuva{c}p{deep}" for c in chromas] if alpha else []
        names = [f"gbrap{deep}", *(["bgra"] if bits == 8 else [])] * alpha + names
        names += [f"gray{deep}"] * (chroma == "grey")
        names += [f"gbrp{deep}", *(["bgr0"] if bits == 8 else [])] * (chroma == "rgb")
        names += [f"yuv{c}p{deep}" for c in (["444"] if chroma in ("rgb", "grey") else chromas)]
        for name in names:
            if name in known:
                return name
    return known[0]


def tag_colours(info: FilmInfo, layout: str, width: int, height: int) -> Colours:
    """Colour tags of the result: the source's, and the assumed matrix where players would assume another one."""
    own = info.colours
    if layout.startswith(("bgr", "gbr")):
        return Colours(RGB, FULL, own.transfer, own.primaries)
    if own.matrix == RGB or info.chroma == "rgb":
        return Colours(BT709, LIMITED, own.transfer, own.primaries)
    matrix = own.assumed_matrix(info.width, info.height)
    same = own.assumed_matrix(width, height) == matrix
    full = FULL if info.layout.startswith("yuvj") else own.range
    return Colours(
        own.matrix if same else (SMPTE170M if matrix == BT601 else matrix), full, own.transfer, own.primaries
    )
