"""Data sets from .npy and .npz files, which hold all images in one array."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..archives import explain_damage, open_npz
from ..errors import UsageError, UserError
from ..imaging.decode import scale_and_crop, to_8bit, whiten_hidden
from ..imaging.levels import Levels, stretch, usual_range
from .cache import (
    OWN,
    Annotations,
    ArrayWriter,
    SourceOptions,
    choose_resolution,
    content_key,
    file_digest,
    load_or_build,
)
from .dataset import Dataset, index_classes, keeps_negative
from .labels import arrange_labels, explain_negative
from .memory import CHANNELS, MOST_CHANNELS, channel_axis

IMAGE_KEYS = ("images", "image", "x", "x_train", "data", "arr_0", "points")
LABEL_KEYS = ("labels", "label", "y", "y_train", "targets")
Conversion = Callable[[np.ndarray], np.ndarray]

PURPOSE = "an array of numbers"
CHUNK = 64  # images converted at a time


Sizes = tuple[Counter[tuple[int, int]], int]  # how many images of each (height, width), and their channels


def write_images(
    file: Path, images: Iterable[np.ndarray], shape: tuple[int, ...] | Sizes, dtype: type, options: SourceOptions
) -> list[str]:
    """Write images of `shape` (N, H, W, C), or of several sizes, to an .npy file at the resolution of `options`.

    Returns notes.
    """
    if isinstance(shape[0], Counter):
        sizes, channels = shape[0], shape[1]
    else:
        count, height, width, channels = shape
        sizes = Counter({(height, width): count})
    count = sizes.total()
    size, notes = choose_resolution(sizes, options.resolution, options.name)
    with ArrayWriter(file, (*size, channels), dtype) as rows:
        for done, image in enumerate(images, 1):
            scaled = scale_and_crop(image, size)
            rows.append(whiten_hidden(scaled) if channels == 4 else scaled)
            if options.progress and (done % CHUNK == 0 or done == count):
                options.progress(done, count)
    return notes


def open_arrays(path: Path, options: SourceOptions) -> Dataset:
    """Open an .npy, or an .npz with `images` and optional `labels`, as a data set.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) of 1 to 64 channels; uint8, uint16 (grey), or numbers read by
    their range; (N, 2) floats in [-1, 1] are points in the plane.  Labels are (N,) classes or (N, D) floats, where NaN
    means unlabelled.
    """
    if _declared_shape(path)[1:] == (2,):
        return _open_points(path, options)

    def build(file: Path) -> Annotations:
        images, notes = _channels_last(_load(path, IMAGE_KEYS), path)
        dtype, convert, assumptions = choose_conversion(
            images.dtype, images.shape[3], _limits(images), path=path, levels=options.levels
        )
        annotations = _read_labels(labels, len(images), path)
        converted = (convert(p) for i in range(0, len(images), CHUNK) for p in np.asarray(images[i : i + CHUNK]))
        sized = write_images(file, converted, images.shape, dtype, options)
        annotations.notes = [*notes, *assumptions, *sized, *annotations.notes]
        return annotations

    labels = _load(path, LABEL_KEYS)
    signed = labels is not None and labels.dtype.kind == "i" and labels.ndim == 1 and keeps_negative(labels)
    more = ["negative classes"] * signed + ([options.levels] if options.levels else [])
    key = content_key("arrays", file_digest(path), options.resolution, *more)
    return load_or_build(key, build, options)


def _open_points(path: Path, options: SourceOptions) -> Dataset:
    """Open points (N, 2) in the plane, which are held in memory."""
    points = _load(path, IMAGE_KEYS)
    assert points is not None
    if options.levels or options.resolution not in (None, OWN):
        raise UsageError(f"{path} holds points in the plane, which have no levels and no --resolution; leave them out.")
    largest = float(np.abs(points).max(initial=0)) if points.dtype.kind == "f" else np.nan
    if not len(points) or not largest <= 1:
        what = f"{len(points):,} points of {points.dtype}" + (f" as far out as {largest:g}" if largest > 1 else "")
        raise UserError(f"{path} holds {what}; points are floats in [-1, 1], at least one, and none is NaN.")
    labels = _read_labels(_load(path, LABEL_KEYS), len(points), path)
    images = points.astype(np.float32).reshape(-1, 1, 1, 2)
    return Dataset(
        images, labels.labels, labels.class_names, name=options.name, notes=labels.notes, vectors=labels.vectors
    )


def _declared_shape(path: Path) -> tuple[int, ...]:
    """Shape of the images or points of a file, without reading them; () if it names none."""
    if path.suffix.lower() == ".npy":
        images = _load(path, IMAGE_KEYS)
        return () if images is None else images.shape
    with open_npz(path, PURPOSE) as archive:
        name = next((k for k in IMAGE_KEYS if k in archive.names), None)
        return archive.shape(name) if name else ()


def _load(path: Path, names: tuple[str, ...]) -> np.ndarray | None:
    """Array of an .npz by the first of `names` that it holds, or None; an .npy is its images."""
    if path.suffix.lower() == ".npy":
        with explain_damage(path, PURPOSE):
            return np.load(path, mmap_mode="r", allow_pickle=False) if names == IMAGE_KEYS else None
    with open_npz(path, PURPOSE) as archive:
        name = next((k for k in names if k in archive.names), None)
        if name is None and names == IMAGE_KEYS:
            raise UserError(
                f"{path} holds {', '.join(archive.names) or 'nothing'}; the images should be called 'images'."
            )
        return archive.read(name) if name else None


def _channels_last(images: np.ndarray | None, path: Path) -> tuple[np.ndarray, list[str]]:
    assert images is not None
    if images.size and images.ndim == 3:
        return images[..., None], []
    axis = channel_axis(images.shape) if images.size and images.ndim == 4 else None
    if axis is None:
        raise UserError(
            f"{path} holds an array of shape {images.shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W)"
            f" with 1 to {MOST_CHANNELS} channels, and points (N, 2) floats."
        )
    count = images.shape[axis]
    which = "" if count in CHANNELS else f" of {count} channels"
    if axis == 3:
        return images, [f"the array is read as (N, H, W, C){which}"] if which else []
    return images.transpose(0, 2, 3, 1), [f"the array is read as (N, C, H, W){which}"]


def choose_conversion(
    own: np.dtype, channels: int, limits: tuple[float, float], *, path: Path, levels: Levels | None
) -> tuple[type, Conversion, list[str]]:
    """Stored dtype, the function that converts images to it, and notes on what is assumed.

    `own` is the type of the numbers, `limits` their smallest and largest.
    """
    if levels and own.kind in "iufb":
        dtype = np.uint16 if own != np.uint8 and channels == 1 else np.uint8
        return dtype, lambda p: stretch(p, levels) if dtype == np.uint16 else to_8bit(stretch(p, levels)), []
    if own == np.uint8:
        return np.uint8, lambda p: p, []
    if own == np.uint16 and channels == 1:
        return np.uint16, lambda p: p.astype(np.uint16), []
    if own == np.uint16:
        return np.uint8, to_8bit, ["16 bits reduced to 8"]
    kind, (low, high) = own.kind, limits
    if reach := usual_range(kind, low, high):
        name = "levels from 0 to 255" if reach[1] == 255 else f"[{reach[0]:g}, 1] and kept with 8 bits"
        black, step = reach[0], 255 / (reach[1] - reach[0])
        note = f"numbers from {low:g} to {high:g} are read as {name}"
        if reach[1] == 255:
            return np.uint8, _round_levels, [note]
        return np.uint8, lambda p: _round_levels((p.astype(np.float64) - black) * step), [note]
    content = f"{own} from {low:g} to {high:g}" if kind in "iufb" else str(own)
    raise UserError(
        f"{path} holds {content}; images are uint8, uint16, or numbers in [0, 1] or [-1, 1]; for others"
        " give the range from black to white: --data levels:LOW:HIGH:PATH."
    )


def _limits(images: np.ndarray) -> tuple[float, float]:
    """The smallest and largest number, where these decide how it is read."""
    if images.dtype.kind not in "iufb" or images.dtype in (np.uint8, np.uint16):
        return 0.0, 0.0
    return float(images.min()), float(images.max())


def _round_levels(image: np.ndarray) -> np.ndarray:
    return np.floor(image + 0.5).clip(0, 255).astype(np.uint8)


def _read_labels(labels: np.ndarray | None, count: int, path: Path) -> Annotations:
    """Labels of an array: (N,) classes, words or numbers, as in a table, or (N, D) numbers."""
    if labels is None:
        return Annotations()
    if labels.shape == (count, 1) and labels.dtype.kind != "f":
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.shape[0] == count and labels.shape[1] and labels.dtype.kind in "iubf":
        vectors = labels.astype(np.float32)
        return Annotations(vectors=np.where(np.isnan(vectors).any(1, keepdims=True), np.float32(np.nan), vectors))
    if labels.shape != (count,) or labels.dtype.kind not in "iubUSf":
        raise UserError(
            f"{path} holds labels of shape {labels.shape} and type {labels.dtype} for {count:,} images;"
            f" they should be ({count},) numbers or words, or ({count}, D) numbers."
        )
    if labels.dtype.kind in "iub":
        return Annotations(*index_classes(labels), notes=explain_negative(labels.astype(np.int64)))
    if labels.dtype.kind in "US":
        names, indices = np.unique(labels, return_inverse=True)
        words = names if labels.dtype.kind == "U" else np.char.decode(names, "utf-8", "replace")
        return Annotations(indices.astype(np.int64), tuple(words.tolist()))
    remarks: list[str] = []
    arranged = arrange_labels([f"{value:.9g}" for value in labels.tolist()], str(path), remarks)
    return Annotations(arranged.indices, arranged.names, notes=remarks, vectors=arranged.vectors)
