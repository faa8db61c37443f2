"""Images in rows: parquet files as the Hugging Face Hub writes them, and data sets of the package `datasets`."""

import bisect
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadImage, UsageError, UserError, printable
from ..imaging.levels import Levels
from .annotations import AnnotatedFiles
from .cache import SourceOptions, content_key, file_digest
from .dataset import Dataset
from .folder import open_layout
from .labels import LABEL_COLUMNS, TEXT_COLUMNS, Label, arrange_labels, list_some
from .remote import is_inside
from .shards import as_label

IMAGE_COLUMNS = ("image", "img", "images", "pixel_values", "jpg", "png", "jpeg", "webp")
GROUPS = 3  # row groups of a file that are held in memory
LARGEST_GROUP = 4 << 30  # bytes


@dataclass
class Columns:
    """Columns by what they hold, and the names of classes where the label is their number."""

    image: str
    label: str = ""
    text: str = ""
    names: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)


class Rows:
    """Images of rows as a tree of files; `read(k)` gives the cell of row k: bytes, {bytes, path} or an image."""

    def __init__(self, name: str, count: int, read: Callable[[int], Any], below: Path | None, levels: Levels | None):
        self.name, self.read, self.below, self.levels = name, read, below, levels
        self.files = [f"row {k}" for k in range(count)]
        self.skipped: list[tuple[str, str]] = []

    def open(self, file: str) -> BinaryIO:
        """The bytes of an image; raises `BadImage` for a row without one."""
        cell = self.read(int(file.partition(" ")[2]))
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") if cell.get("bytes") is not None else self._beside(cell.get("path"))
        if hasattr(cell, "save"):  # a Pillow image, which `datasets` has decoded
            buffer = io.BytesIO()
            cell.save(buffer, "PNG")
            cell = buffer.getvalue()
        if not isinstance(cell, bytes):
            raise BadImage("holds no image")
        return io.BytesIO(cell)

    def _beside(self, path: Any) -> bytes | None:
        """The file that a row names, which has to lie below the folder of its table."""
        if not isinstance(path, str) or not path or self.below is None:
            return None
        if not is_inside(path):
            raise BadImage(f"names {printable(path)!r}, which leads out of the folder")
        try:
            return (self.below / path).read_bytes()
        except OSError:
            raise BadImage(f"names {printable(path)!r}, which cannot be read") from None

    def digest(self, files: Any = None) -> str:
        raise NotImplementedError("the fingerprint of rows is that of their tables")


def open_rows(
    rows: Rows, columns: Columns, cells: tuple[Sequence[Any], Sequence[Any]], digest: str, options: SourceOptions
) -> Dataset:
    """A data set of rows with the cells of their labels and captions, prepared in the cache as a folder is."""
    layout = AnnotatedFiles(files=rows.files, remarks=columns.remarks)
    labels, texts = cells
    if len(labels):
        given = [_label_of(value, columns, rows.name) for value in labels]
        arranged = arrange_labels(given, rows.name, layout.remarks)
        layout.labels, layout.class_names, layout.vectors = arranged.indices, arranged.names, arranged.vectors
        if columns.names and arranged.indices is not None:  # in the order of their numbers
            order = [name for name in columns.names if name in arranged.names]
            places = [order.index(name) for name in arranged.names]
            layout.labels = np.array([*places, -1], np.int64)[arranged.indices]
            layout.class_names = tuple(order)
    if any(texts):
        layout.captions = ["" if text is None else str(text) for text in texts]
    return open_layout(rows, layout, options, digest)


def _label_of(value: Any, columns: Columns, where: str) -> Label:
    if isinstance(value, int) and columns.names:
        return columns.names[value] if 0 <= value < len(columns.names) else None
    return as_label(value, where)


def choose_columns(
    names: Sequence[str], images: Sequence[str], classes: Mapping[str, Sequence[str]], where: str
) -> Columns:
    """Columns of image, label and caption among `names`; `images` could hold images, `classes` have names of classes.

    Raises `UserError` for a table without a column of images.
    """
    usual = [name for name in IMAGE_COLUMNS if name in images]
    if not images:
        raise UserError(
            f"{where} has no column of images, only {list_some(names)}; images are bytes, or {{bytes, path}}."
        )
    image = (usual or list(images))[0]
    lower = {name.casefold(): name for name in names if name != image}
    label = next((lower[n] for n in ("label", *LABEL_COLUMNS, "cls", "fine_label") if n in lower), "")
    label = label or next(iter(classes), "")
    text = next((lower[n] for n in ("text", *TEXT_COLUMNS) if n in lower), "")
    remarks = [f"label from {label}"] if label not in ("", "label") else []
    remarks += [f"text from {text}"] if text not in ("", "text") else []
    remarks += [f"images from {image}, not {list_some([n for n in images if n != image])}"] if len(images) > 1 else []
    return Columns(image, label, text, tuple(classes.get(label, ())), remarks)


def import_pyarrow() -> ModuleType:
    """The package pyarrow; raises `UserError` without it."""
    try:
        import pyarrow.parquet
    except Exception:
        raise UserError("Parquet needs the package pyarrow: pip install 'ganvas[parquet]'.") from None
    return pyarrow.parquet


class _Tables:
    """Row groups of parquet files, of which the last few are held."""

    def __init__(self, files: Sequence[Path]):
        self.parquet = import_pyarrow()
        self.files: list[Any] = []
        self.groups: list[tuple[int, int, int]] = []  # (first row, file, group)
        self.count, self.lock = 0, threading.Lock()
        for number, file in enumerate(files):
            try:
                opened = self.parquet.ParquetFile(file)
            except Exception as problem:  # of the package: truncated, no parquet
                reason = str(problem).splitlines()[0].rstrip(".")
                raise UserError(f"{file} is no parquet file that can be read: {reason}; copy it again.") from None
            self.files.append(opened)
            for k in range(opened.num_row_groups):
                facts = opened.metadata.row_group(k)
                if facts.total_byte_size > LARGEST_GROUP:
                    raise UserError(
                        f"{file}: row group {k} has {facts.total_byte_size >> 20:,} MiB; write smaller ones."
                    )
                self.groups.append((self.count, number, k))
                self.count += facts.num_rows
        self._held: dict[int, list[Any]] = {}

    def reader(self, column: str) -> Callable[[int], Any]:
        """A function from a row to its cell in a column."""
        starts = [first for first, _, _ in self.groups]

        def read(row: int) -> Any:
            at = bisect.bisect_right(starts, row) - 1
            with self.lock:
                if at not in self._held:
                    while len(self._held) >= GROUPS:
                        self._held.pop(next(iter(self._held)))
                    self._held[at] = self._read(at, column)
                return self._held[at][row - starts[at]]

        return read

    def _read(self, at: int, column: str) -> list[Any]:
        _, number, group = self.groups[at]
        try:
            cells: list[Any] = self.files[number].read_row_group(group, columns=[column]).column(0).to_pylist()
            return cells
        except Exception:  # damaged pages
            raise UserError(f"Row group {group} of a parquet file is damaged; copy the file again.") from None

    def cells(self, column: str) -> list[Any]:
        """All cells of a small column."""
        if not column:
            return []
        return [cell for file in self.files for cell in file.read(columns=[column]).column(0).to_pylist()]


def open_parquet(files: Sequence[Path], options: SourceOptions, notes: Sequence[str] = ()) -> Dataset:
    """Open parquet files of one schema: images as bytes or {bytes, path}, a label and a caption."""
    tables = _Tables(files)
    schema = tables.files[0].schema_arrow
    columns = choose_columns(schema.names, list(_image_columns(schema)), _class_names(schema), options.name)
    if other := next((f for f, t in zip(files, tables.files) if columns.image not in t.schema_arrow.names), None):
        raise UserError(f"{other} has no column {columns.image}, as {files[0]} has; give files of one kind.")
    rows = Rows(options.name, tables.count, tables.reader(columns.image), files[0].parent, options.levels)
    digest = content_key([file_digest(file) for file in files])
    columns.remarks[:0] = notes
    cells = tables.cells(columns.label), tables.cells(columns.text)
    return open_rows(rows, columns, cells, digest, options)


def _image_columns(schema: Any) -> Iterator[str]:
    for column in schema:
        kind = column.type
        binary = str(kind) in ("binary", "large_binary")
        if binary or (
            str(kind).startswith("struct<") and "bytes" in [kind.field(k).name for k in range(kind.num_fields)]
        ):
            yield column.name


def _class_names(schema: Any) -> dict[str, Sequence[str]]:
    """Names of classes by column, from what `datasets` writes into a file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {k: f["names"] for k, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def is_rows(value: Any) -> bool:
    """True for a data set of the package `datasets`, or a dictionary of its splits."""
    return hasattr(value, "column_names") and (hasattr(value, "features") or hasattr(value, "values"))


def open_datasets(given: Any, resolution: tuple[int, int] | None = None, cache: Path | None = None) -> Dataset:
    """Open a data set of the package `datasets`: its `Image` column, and the labels and captions beside it."""
    options, notes = SourceOptions("a data set of `datasets`", resolution, cache), []
    if not hasattr(given, "features"):  # a dictionary of splits
        split = "train" if "train" in given else next(iter(given))
        if len(given) > 1:
            notes.append(f"the split {split}; there are also {list_some([k for k in given if k != split])}")
        given = given[split]
    if not hasattr(given, "__len__") or not hasattr(given, "cast_column"):
        raise UsageError("A data set that streams has no length; load it without streaming, or give tar shards.")
    kinds = {name: type(feature).__name__ for name, feature in given.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    classes = {name: given.features[name].names for name, kind in kinds.items() if kind == "ClassLabel"}
    columns = choose_columns(given.column_names, images, classes, options.name)
    raw = given.cast_column(columns.image, type(given.features[columns.image])(decode=False))

    def read(row: int) -> Any:
        cell = raw[row][columns.image]
        if cell and cell.get("bytes") is None and cell.get("path"):  # a file of the user's own
            return Path(cell["path"]).read_bytes()
        return cell

    rows = Rows(options.name, len(given), read, None, options.levels)
    digest = content_key([str(getattr(given, "_fingerprint", "")), len(given)])
    columns.remarks[:0] = notes
    return open_rows(rows, columns, (_column(given, columns.label), _column(given, columns.text)), digest, options)


def _column(given: Any, name: str) -> list[Any]:
    return list(given[name]) if name else []
