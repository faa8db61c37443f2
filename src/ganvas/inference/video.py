"""Films and animated images through a model, frame by frame, in parts that an interrupted run keeps.

Only a few frames are in memory at once.  A finished part lies beside the output in a hidden folder, until all of them
are joined with the source's audio and subtitles; a run that is resumed continues after the last one.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError, UserError, did_you_mean, printable
from ..files import atomic_write
from ..imaging.animation import ANIMATED, AnimationReader, is_animation, save_animation
from ..imaging.decode import is_transparent
from ..imaging.encode import check_size
from ..imaging.file_kinds import FILM, kind_of_file
from ..imaging.film import Encoding, FilmReader, Frame, load_av
from ..imaging.film_join import FORMATS, Part, choose_codec, join_film, streams_to_copy
from ..imaging.metadata import Metadata
from ..imaging.photo import Photo, is_neutral

FILM_PART, IMAGE_PART = 100, 10  # frames of a part: a film's is encoded, an animation's is kept without loss
SAME = 2  # levels of 255 by which a frame may differ from that of an earlier run of the same model

Reader = FilmReader | AnimationReader
ChangeFrame = Callable[[Photo], Photo]


@dataclass(frozen=True)
class FilmOptions:
    """Options for films; raises `UsageError` for values out of range."""

    start: float = 0.0  # seconds
    frames: int | None = None  # number of frames from there, None for all
    codec: str = "auto"
    crf: int | None = None  # of lossy codecs: smaller is more faithful; None: the codec's default
    quality: int = 95  # of animated WebP
    lossless: bool = False
    source_type: str | None = None  # what the result says of itself: `imaging.provenance`

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1e7:
            raise UsageError(f"--start is a time in seconds from 0 up, got {self.start:g}.")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames is a number of frames of at least 1, got {self.frames}.")
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise UsageError(f"--crf is from 0 (largest file) to 63, got {self.crf}.")

    @property
    def cut(self) -> bool:
        """True if only a part of the film is changed."""
        return bool(self.start) or self.frames is not None


def is_film(source: Path, output: Path) -> bool:
    """True for a film, and for an animated image whose output can be animated."""
    if kind_of_file(source) is FILM:
        return True
    return output.suffix.lower() in {*ANIMATED, *FORMATS} and is_animation(source)


def output_name(source: Path) -> str:
    """Name of a film's output in a folder: the source's, with .mkv added where films are not written as it is."""
    known = source.suffix.lower() in {*FORMATS, *ANIMATED}
    return source.name if known else source.name + ".mkv"


def open_film(source: Path) -> Reader:
    """Open a film or an animation; raises `UserError` for one that cannot be read."""
    return FilmReader(source) if kind_of_file(source) is FILM else AnimationReader(source)


def check_film(source: Path, output: Path, options: FilmOptions) -> int:
    """Number of frames to change, 0 if unknown; raises `UserError` for what cannot be read, or written there."""
    suffix = output.suffix.lower()
    if suffix not in {*FORMATS, *ANIMATED}:
        known = ", ".join([*FORMATS, *ANIMATED])
        near = did_you_mean(suffix, [*FORMATS, *ANIMATED])
        raise UsageError(f"{printable(output)}: films and animations are written as {known}.{near}")
    codec = choose_codec(output, options.codec) if suffix in FORMATS else ""
    if not codec and options.codec != "auto":
        raise UsageError(f"--codec is for films; {printable(output)} is an animated image.")
    if codec:
        load_av()
    with open_film(source) as reader:
        if codec and isinstance(reader, FilmReader):
            streams_to_copy(reader, output)
        left = max(reader.info.frames - round(options.start * float(reader.info.rate)), 0)
        return min(left, options.frames) if options.frames and left else options.frames or left


class PartFiles(Protocol):
    """A form in which the frames of parts are kept."""

    suffix: str
    length: int  # frames of a part

    def write(self, file: Path, arrays: Iterator[np.ndarray]) -> None:
        """Write the frames (H, W, C) of a part."""

    def join(self, parts: Sequence[Part], reader: Reader, output: Path) -> list[str]:
        """Make the output of all parts; returns notes."""


@dataclass(frozen=True)
class FilmParts:
    """Parts that are encoded as the film will be; each begins with a key frame."""

    encoding: Encoding
    options: FilmOptions
    suffix = ".mkv"
    length = FILM_PART

    def write(self, file: Path, arrays: Iterator[np.ndarray]) -> None:
        """Encode frames; their times are numbers until they are joined."""
        with load_av().open(str(file), "w", format="matroska") as container:
            stream = self.encoding.open(container)
            for k, array in enumerate(arrays):
                frame = self.encoding.frame(array)
                frame.pts = k
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def join(self, parts: Sequence[Part], reader: Reader, output: Path) -> list[str]:
        """Join parts with the source's other streams."""
        film = reader if isinstance(reader, FilmReader) else None
        source_type, cut = self.options.source_type, self.options.cut
        return join_film(film, parts, reader.info.time_base, output, cut=cut, source_type=source_type)


@dataclass(frozen=True)
class ImageParts:
    """Parts of an animated image, without loss."""

    options: FilmOptions
    suffix = ".npz"
    length = IMAGE_PART

    def write(self, file: Path, arrays: Iterator[np.ndarray]) -> None:
        """Write frames as an archive of arrays."""
        with file.open("wb") as stream:
            np.savez_compressed(stream, frames=np.stack(list(arrays)))

    def join(self, parts: Sequence[Part], reader: Reader, output: Path) -> list[str]:
        """Write the animation."""
        frames = (frame for part in parts for frame in np.load(part.file, allow_pickle=False)["frames"])
        times, loop = [time for part in parts for time in part.times], reader.info.loop
        if isinstance(reader, FilmReader):
            loop = 0
        quality, lossless = self.options.quality, self.options.lossless
        base = reader.info.time_base
        options: dict[str, Any] = {"quality": quality, "lossless": lossless, "source_type": self.options.source_type}
        return save_animation(frames, times, base, output, loop, **options)


class Workshop:
    """The folder of finished parts beside an output, and the facts on which they depend."""

    def __init__(self, output: Path, facts: dict[str, Any], *, resume: bool):
        self.folder, self.facts = output.parent / f".ganvas-film-{output.name}", facts
        self.parts: list[Part] = []
        if resume and self._read_facts() == facts:
            self.parts = list(self._finished())
        else:
            self.clear()

    def begin(self, result: np.ndarray, suffix: str) -> bool:
        """Keep the first changed frame; False if finished parts are of another model, which are removed."""
        first = self.folder / "first.npy"
        same = all(part.file.suffix == suffix for part in self.parts) and _is_near(first, result)
        known = bool(self.parts)
        if known and same:
            return True
        self.clear()
        self.folder.mkdir(parents=True)
        with atomic_write(first) as part, part.open("wb") as stream:
            np.save(stream, result)
        with atomic_write(self.folder / "facts.json") as part:
            part.write_text(json.dumps(self.facts))
        return not known

    def add(self, files: PartFiles, arrays: Iterator[np.ndarray], times: list[tuple[int, int]]) -> None:
        """Write the next part whole; `times` is complete when `arrays` ends."""
        file = self.folder / f"{len(self.parts):06d}{files.suffix}"
        with atomic_write(file) as part:
            files.write(part, arrays)
        with atomic_write(file.with_suffix(".json")) as part:  # last: by it a part is finished
            part.write_text(json.dumps(times))
        self.parts.append(Part(file, times))

    def clear(self) -> None:
        """Remove the folder."""
        self.parts = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_facts(self) -> Any:
        try:
            return json.loads((self.folder / "facts.json").read_text())
        except (OSError, ValueError):
            return None

    def _finished(self) -> Iterator[Part]:
        """Finished parts from the first on, up to one that is missing."""
        files = {f.stem: f for f in self.folder.iterdir() if f.suffix in (".mkv", ".npz")}
        for k in range(len(files)):
            name = f"{k:06d}"
            try:
                times = json.loads((self.folder / f"{name}.json").read_text())
                yield Part(files[name], [(pts, duration) for pts, duration in times])
            except (OSError, ValueError, KeyError):
                return


def _is_near(file: Path, result: np.ndarray) -> bool:
    try:
        before = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    if (before.shape, before.dtype) != (result.shape, result.dtype):
        return False
    top = np.iinfo(result.dtype).max
    return int(np.abs(before.astype(np.int32) - result).max()) <= SAME * top / 255


def change_film(
    source: Path,
    output: Path,
    change: ChangeFrame,
    options: FilmOptions = FilmOptions(),
    *,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[str]]:
    """Change every frame of a film or an animation; returns the number of frames, and notes.

    `progress` is called with the number of frames that are done and that of all, as far as it is known.  The output is
    written whole or not at all; with `resume`, finished parts of an interrupted run of the same model are used.
    """
    total = check_film(source, output, options)
    with open_film(source) as reader:
        facts = {**_facts_of(source), **asdict(options), "output": output.suffix, "version": 1}
        work = Workshop(output, facts, resume=resume)
        film = FilmRun(reader, change, options, progress, total)
        try:
            files = film.write_parts(work, output)
        except UserError as problem:
            finished = sum(len(part.times) for part in work.parts)
            if not finished:
                raise
            raise type(problem)(f"{problem} {finished} frames are kept; --resume continues after them.") from None
        notes = files.join(work.parts, reader, output)
        work.clear()
        return film.count, [*dict.fromkeys([*reader.info.notes, *film.notes, *notes, *_losses(reader, film)])]


def _facts_of(source: Path) -> dict[str, Any]:
    status = source.stat()
    return {"source": source.name, "bytes": status.st_size, "changed": status.st_mtime_ns}


def _losses(reader: Reader, film: "FilmRun") -> list[str]:
    """Notes on what of a film could not be read."""
    notes = [f"{reader.damaged} damaged packets were left out"] if reader.damaged else []
    missing = reader.declared_end() - film.end
    if not film.options.cut and missing > 2 / reader.info.rate:
        notes.append(f"the file ends {float(missing):.2f} s before the end that it declares: it is incomplete")
    return notes


def _lost_colours(chroma: str, encoding: Encoding, transparent: bool) -> Iterator[str]:
    """Notes on what a codec does not keep of transparency and colours."""
    if transparent and not encoding.alpha:
        yield f"{encoding.codec} holds no transparency here, which is laid on white; --codec ffv1 keeps it"
    if chroma == "rgb" and encoding.layout.startswith("yuv420"):
        yield f"its colours have half the resolution (4:2:0) in {encoding.codec}; --codec ffv1 keeps all"
    if chroma in ("420", "422", "rgb") and encoding.layout.startswith("yuv444"):
        yield "a side is odd, so colours have full resolution (4:4:4), which not every player shows"


class FilmRun:
    """One pass over the frames of a film."""

    def __init__(
        self,
        reader: Reader,
        change: ChangeFrame,
        options: FilmOptions,
        progress: Callable[[int, int], None] | None,
        total: int,
    ):
        self.reader, self.change, self.options = reader, change, options
        self.progress, self.total = progress, total
        self.count, self.end = 0, Fraction(0)  # frames that are done, and seconds at which the last one ends
        self.notes: dict[str, None] = {}
        self.shape: tuple[int, ...] = ()  # of the source's frames

    def write_parts(self, work: Workshop, output: Path) -> PartFiles:
        """Write the parts that are missing; returns their form.  Raises `UserError` if there is no frame."""
        frames = iter(islice(self.reader.frames(Fraction(self.options.start)), self.options.frames))
        first = next(frames, None)
        if first is None:
            raise UserError(
                f"{printable(self.reader.file)} has no frame at {self.options.start:g} s; give a smaller --start."
            )
        result = self._change(first)
        files = self._choose_files(output, result)
        output.parent.mkdir(parents=True, exist_ok=True)
        if not work.begin(result, files.suffix):
            self.notes["what an earlier run left is of another model or other options, and is made anew"] = None
        rest = chain([first], frames)
        for part in work.parts:
            self._skip(rest, part, files.length)
        ready = result if not work.parts else None
        while (head := next(rest, None)) is not None:
            times: list[tuple[int, int]] = []
            work.add(files, self._changed(chain([head], islice(rest, files.length - 1)), times, ready), times)
            ready = None
        return files

    def _choose_files(self, output: Path, result: np.ndarray) -> PartFiles:
        if output.suffix.lower() in ANIMATED:
            check_size(output.with_suffix({".apng": ".png"}.get(output.suffix, output.suffix)), *result.shape[:2])
            return ImageParts(self.options)
        codec, deep = choose_codec(output, self.options.codec), result.dtype == np.uint16
        encoding = Encoding.choose(self.reader.info, codec, self.options.crf, result.shape, deep)
        self.notes |= dict.fromkeys(_lost_colours(self.reader.info.chroma, encoding, is_transparent(result)))
        return FilmParts(encoding, self.options)

    def _skip(self, frames: Iterator[Frame], part: Part, length: int) -> None:
        """Pass over the frames of a finished part."""
        times = [(frame.pts, frame.duration) for frame in islice(frames, len(part.times))]
        if times != list(part.times):
            raise UserError(f"{printable(self.reader.file)} has other times than before; run without --resume.")
        self._count(len(times), part.times[-1])

    def _changed(
        self, frames: Iterator[Frame], times: list[tuple[int, int]], ready: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Yield changed frames and note their times; `ready` is the first of them, if it is known."""
        for frame in frames:
            result, ready = (self._change(frame) if ready is None else ready), None
            times.append((frame.pts, frame.duration))
            yield result
            self._count(1, times[-1])

    def _change(self, frame: Frame) -> np.ndarray:
        array = frame.array()
        self.shape = self.shape or array.shape
        if array.shape != self.shape:
            sizes = f"from {self.shape[1]}x{self.shape[0]} to {array.shape[1]}x{array.shape[0]}"
            raise UserError(f"Its frames change their size {sizes}; cut it there, as with --start and --frames.")
        top = float(np.iinfo(array.dtype).max)
        size = array.shape[1], array.shape[0]
        colours = array[..., : array.shape[2] - 1 + array.shape[2] % 2]
        neutral = colours.shape[2] == 1 or is_neutral(colours)
        photo = Photo(np.ascontiguousarray(array), (0.0, top), neutral, Metadata(size=size))
        try:
            result = self.change(photo)
        except (RuntimeError, OSError) as problem:  # which would pass for an error of the disk
            raise UserError(f"Frame {self.count} could not be changed: {problem}") from problem
        self.notes |= dict.fromkeys(result.notes)
        return np.asarray(result.array)

    def _count(self, frames: int, last: tuple[int, int]) -> None:
        self.count += frames
        self.end = (last[0] + last[1]) * self.reader.info.time_base
        if self.progress:
            self.progress(self.count, max(self.total, self.count))
