"""Film files from encoded parts: the source's audio, subtitles, chapters and tags are copied beside the new frames."""

import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError, did_you_mean, printable
from ..files import atomic_write
from . import matroska
from .film import CODECS, FilmReader, load_av, reason_of
from .provenance import mark_mp4

MILLISECOND, MICROSECOND = Fraction(1, 1000), Fraction(1, 1_000_000)
BIT_EXACT = {"fflags": "+bitexact"}  # no random identifiers: a resumed run writes the same file
OWN_TAGS = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "number_of_frames"}


@dataclass(frozen=True)
class FilmFormat:
    """A container for films."""

    name: str
    muxer: str
    codecs: tuple[str, ...]  # the first is the default


MKV = FilmFormat("Matroska", "matroska", ("h264", "hevc", "vp9", "ffv1"))
MP4 = FilmFormat("MP4", "mp4", ("h264", "hevc", "vp9"))
FORMATS = {
    ".mkv": MKV,
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": FilmFormat("QuickTime", "mov", ("h264", "hevc")),
    ".webm": FilmFormat("WebM", "webm", ("vp9",)),
}


def choose_codec(output: Path, codec: str) -> str:
    """The codec for a film's file; raises `UsageError` for an unknown one, or one that the container does not hold."""
    form = FORMATS[output.suffix.lower()]
    if codec == "auto":
        return form.codecs[0]
    if codec not in CODECS:
        raise UsageError(f"--codec must be auto, {', '.join(CODECS)}, got {codec!r}.{did_you_mean(codec, CODECS)}")
    if codec not in form.codecs:
        raise UsageError(f"{form.name} is written with {' or '.join(form.codecs)}, not {codec}; .mkv holds it.")
    return codec


@dataclass(frozen=True)
class Copied:
    """Streams to copy from a source, and what is left behind."""

    streams: list[Any]
    notes: list[str]


def streams_to_copy(reader: FilmReader, output: Path) -> Copied:
    """Audio, subtitles and attachments of a film; raises `UsageError` for one that the output's container cannot hold.

    Data streams (timecodes, telemetry) and cover images are left behind, with a note.
    """
    av, form = load_av(), FORMATS[output.suffix.lower()]
    muxer = av.ContainerFormat(form.muxer, "w")
    streams, left = [], []
    for stream in reader.container.streams:
        if stream.type in ("audio", "subtitle") and stream.codec_context is not None:
            _check_stream(stream, form, muxer, output)
            streams.append(stream)
        elif stream.type == "attachment" and form is MKV:
            streams.append(stream)
        elif stream.type not in ("video", "audio", "subtitle") or stream.codec_context is None:
            left.append(stream.type)
    names = ", ".join(dict.fromkeys(left))
    return Copied(streams, [f"its streams of {names} are left behind"] if left else [])


def _check_stream(stream: Any, form: FilmFormat, muxer: Any, output: Path) -> None:
    """Write a header with a stream, and raise `UsageError` if the container does not hold it."""
    av = load_av()
    try:
        with av.open(io.BytesIO(), "w", format=muxer.name) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        kind = f"{stream.type} of the kind {stream.codec_context.name}"
        way_out = "give another container" if form is MKV else "write .mkv"
        raise UsageError(f"{printable(output)}: {form.name} does not hold its {kind}; {way_out}.") from None


@dataclass(frozen=True)
class Part:
    """A file of encoded frames, and their times and durations in units of the source's time base."""

    file: Path
    times: Sequence[tuple[int, int]]


def join_film(
    reader: FilmReader | None,
    parts: Sequence[Part],
    base: Fraction,
    output: Path,
    *,
    cut: bool = False,
    source_type: str | None = None,
) -> list[str]:
    """Write a film from its parts and the streams that are copied from its source; returns notes.

    With `cut`, only what accompanies the frames is copied, and the film begins at zero.  `source_type` is what the film
    says of itself: `imaging.provenance`.
    """
    av, form = load_av(), FORMATS[output.suffix.lower()]
    copied = streams_to_copy(reader, output) if reader else Copied([], [])
    begin = parts[0].times[0][0] * base if cut else Fraction(0)
    clock = Clock.choose(reader, copied.streams, form, begin)
    try:
        with atomic_write(output) as temporary:
            with (
                av.open(str(temporary), "w", format=form.muxer, options=BIT_EXACT) as out,
                av.open(str(parts[0].file)) as first,
            ):
                video = _add_video(out, first.streams.video[0], reader, base)
                others = {s.index: _add_copy(out, s, clock) for s in copied.streams}
                _copy_tags(reader, out, form, cut, source_type)
                packets = [_new_packets(parts, base, video)]
                if reader and others:
                    end = sum(parts[-1].times[-1]) * base
                    packets.append(_copied_packets(reader.file, others, (begin, end) if cut else None))
                for _, index, packet in heapq.merge(*packets, key=lambda item: item[0]):
                    clock.set(packet, index)
                    out.mux(packet)
            clock.finish(temporary)
            if form.muxer in ("mp4", "mov"):
                mark_mp4(temporary, source_type)
    except av.FFmpegError as problem:
        raise UserError(f"{printable(output)} could not be written: {reason_of(problem)}.") from None
    return [*copied.notes, *clock.notes]


@dataclass
class Clock:
    """Times of packets as a container counts them: exact to the microsecond, or as its muxer rounds them."""

    begin: Fraction  # seconds of the source that are zero in the result
    micro: bool = False  # Matroska in microseconds
    shifts: dict[int, Fraction] = field(default_factory=dict)  # seconds to add to a copied stream, by its index
    delays: dict[int, Fraction] = field(default_factory=dict)  # those of them that players subtract again
    notes: list[str] = field(default_factory=list)

    @classmethod
    def choose(cls, reader: FilmReader | None, streams: Sequence[Any], form: FilmFormat, begin: Fraction) -> "Clock":
        """The clock for a container: that of Matroska counts microseconds where the source's is not Matroska's."""
        if form.muxer not in ("matroska", "webm") or reader is None:
            return cls(begin)
        if "matroska" in reader.container.format.name and reader.info.time_base >= MILLISECOND:
            return cls(begin)
        if form.muxer == "webm":
            return cls(begin, notes=["its times are rounded to milliseconds"])
        clock = cls(begin, True)
        starts = _first_times(reader.file, [s.index for s in streams])
        for stream in streams:
            early = max(-starts.get(stream.index, Fraction(0)), Fraction(0))
            early = _opus_delay(stream) or early
            if "matroska" in reader.container.format.name or _opus_delay(stream):
                clock.shifts[stream.index] = early - round(early * 1000) * MICROSECOND  # the muxer adds the rest
            elif early and not begin and early < 4 and matroska.fits(stream.metadata.get("title", "")):
                clock.shifts[stream.index] = clock.delays[stream.index] = early
        return clock

    def set(self, packet: Any, index: int) -> None:
        """Write a packet's times, which are in units of its time base; `index` is its stream's in the source."""
        shift = self.shifts.get(index, Fraction(0)) - self.begin
        base, unit = packet.time_base, MICROSECOND if self.micro else packet.time_base
        for name in ("pts", "dts"):
            value = getattr(packet, name)
            if value is not None:
                setattr(packet, name, round((value * base + shift) / unit))
        packet.duration = round((packet.duration or 0) * base / unit)
        packet.time_base = MILLISECOND if self.micro else base

    def finish(self, file: Path) -> None:
        """Correct the header of a finished file."""
        if self.micro:
            matroska.patch(file, {k: float(t) for k, t in self.delays.items()}, microseconds=True)


def _opus_delay(stream: Any) -> Fraction:
    """Seconds of an Opus stream before its sound begins (RFC 7845, section 5.1), 0 for another codec."""
    head = stream.codec_context.extradata if stream.type == "audio" and stream.codec_context.name == "opus" else None
    return Fraction(int.from_bytes(head[10:12], "little"), 48000) if head and head[:8] == b"OpusHead" else Fraction(0)


Timed = tuple[Fraction, int, Any]  # seconds, index of the source's stream, packet


def _new_packets(parts: Sequence[Part], base: Fraction, stream: Any) -> Iterator[Timed]:
    """The packets of the parts, in order, with the times of their frames."""
    av = load_av()
    for part in parts:
        with av.open(str(part.file)) as container:
            packets = (packet for packet in container.demux(video=0) if packet.size)
            for packet, (pts, duration) in zip(packets, part.times, strict=True):
                packet.time_base, packet.stream = base, stream
                packet.pts = packet.dts = pts
                packet.duration = duration
                yield pts * base, stream.index, packet


def _copied_packets(file: Path, streams: dict[int, Any], span: tuple[Fraction, Fraction] | None) -> Iterator[Timed]:
    """The packets of a file's streams, as they are; with `span`, those that begin in it (in seconds)."""
    for packet in _demux(file, list(streams)):
        index, time = packet.stream.index, packet.dts if packet.dts is not None else packet.pts
        seconds = Fraction(0) if time is None else time * packet.time_base
        start = seconds if packet.pts is None else packet.pts * packet.time_base
        if span and not span[0] <= start < span[1]:
            if start > span[1] + 10:
                return
            continue
        packet.stream = streams[index]
        yield seconds, index, packet


def _demux(file: Path, indices: list[int]) -> Iterator[Any]:
    """Packets of a file's streams up to its end, or to where it is damaged."""
    av = load_av()
    with av.open(str(file)) as container:
        packets = container.demux([container.streams[k] for k in indices])
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return
            if packet is None:
                return
            if packet.size:
                yield packet


def _first_times(file: Path, indices: list[int]) -> dict[int, Fraction]:
    """Seconds at which each stream begins, of those among the first packets of a file."""
    starts: dict[int, Fraction] = {}
    for packet in islice(_demux(file, indices), 1000) if indices else ():
        if packet.pts is not None:
            starts.setdefault(packet.stream.index, packet.pts * packet.time_base)
        if len(starts) == len(indices):
            break
    return starts


def _add_video(out: Any, template: Any, reader: FilmReader | None, base: Fraction) -> Any:
    stream = out.add_stream_from_template(template, opaque=True)
    stream.time_base = base
    if reader:
        if reader.info.matrix:
            stream.set_display_matrix(reader.info.matrix)
        stream.metadata.update(_own_tags(reader.stream.metadata))
        stream.disposition = reader.stream.disposition
    return stream


def _add_copy(out: Any, source: Any, clock: Clock) -> Any:
    stream = out.add_stream_from_template(source, opaque=True)
    if stream.type == "attachment":
        return stream
    tags = _own_tags(source.metadata)
    if source.index in clock.delays:
        tags["title"] = matroska.delay_name(source.index, tags.get("title", ""))
    stream.metadata.update(tags)
    stream.disposition = source.disposition
    return stream


def _own_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags that are the user's, without those that a muxer writes about its file."""
    return {name: value for name, value in tags.items() if name.lower() not in OWN_TAGS and not name.startswith("_")}


def _copy_tags(reader: FilmReader | None, out: Any, form: FilmFormat, cut: bool, source_type: str | None) -> None:
    """Copy the tags and, of a whole film, the chapters, and say in Matroska what the film is."""
    if reader:
        out.metadata.update(_own_tags(reader.container.metadata))
    if reader and not cut and (marks := reader.container.chapters()):
        out.set_chapters(marks)
    if source_type and form.muxer in ("matroska", "webm"):
        out.metadata["DIGITAL_SOURCE_TYPE"] = source_type
