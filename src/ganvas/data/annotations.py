"""Labels and captions of image files, from their folders or from a metadata file.

Labels are the first-level sub-folders, if every image lies in one, or a column of `metadata.jsonl` or a CSV: words,
integers, or lists of numbers (label_0, label_1, ... in a CSV).
"""

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ..errors import UserError
from ..imaging.decode import SUFFIXES, BadImage
from ..imaging.file_kinds import count_kinds, kind_of_name
from .cache import Annotations
from .dataset import index_classes
from .files import Tree, is_image

NO_IMAGE = "is not an image"
UNLABELLED = {"unlabelled", "unlabeled"}  # a sub-folder of this name holds no class
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


@dataclass
class AnnotatedFiles(Annotations):
    """Image files of a tree in order, with their labels and captions."""

    files: list[str] = field(default_factory=list)


@dataclass
class Row:
    """Line of a metadata file."""

    file: str
    label: str | tuple[float, ...] | None
    text: str


def annotate_files(tree: Tree, metadata: str | None = None) -> AnnotatedFiles:
    """List the images of a tree with their labels and captions.

    `metadata` names the metadata file; None searches for one.  Raises `UserError` if there is no image, if two class
    names differ only in case, or if the metadata names files that do not exist.
    """
    images = [f for f in tree.files if is_image(f)]
    top = _common_folder(tree.files, images)
    metadata = metadata or _find_metadata(tree, top)
    if metadata:
        layout = _from_metadata(tree, metadata, images, top)
    else:
        layout = AnnotatedFiles(files=images)
        layout.labels, layout.class_names = _labels_from_folders(images, top, layout.notes)
    if not layout.files:
        raise _no_image_error(tree)
    used = {*layout.files, metadata}
    others = [(f, NO_IMAGE) for f in tree.files if f not in used]
    layout.skipped = [*tree.skipped, *others]
    _refuse_case_duplicates(tree.name, layout.class_names)
    return layout


def _no_image_error(tree: Tree) -> UserError:
    others = [*tree.files, *(f for f, _ in tree.skipped)]
    if not others:
        return UserError(f"{tree.name} is empty; it should hold images ({', '.join(SUFFIXES[:7])}, ...).")
    first = f"{others[0]} {tree.skipped[0][1]}" if not tree.files else others[0]
    known = count_kinds(tree.files) or f"images end in {', '.join(SUFFIXES[:7])}, ..."
    return UserError(
        f"{tree.name} holds no image, only {len(others):,} other file{'s'[: len(others) > 1]} (first: {first}); {known}"
    )


def _common_folder(files: list[str], images: list[str]) -> str:
    """Path of the folder that holds everything, relative to the root: a zip often holds a single folder."""
    top = ""
    while True:
        below = {f[len(top) :].partition("/")[0] for f in images}
        described = any(f.endswith((".jsonl", ".csv")) and "/" not in f[len(top) :] for f in files if f.startswith(top))
        if described or len(below) != 1 or any("/" not in f[len(top) :] for f in images):
            return top
        top += below.pop() + "/"


def _labels_from_folders(images: list[str], top: str, notes: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    parts = [f[len(top) :].partition("/") for f in images]
    loose = sum(not slash for _, slash, _ in parts)
    if loose:
        if loose < len(parts):
            notes.append(f"no labels: {loose:,} of {len(parts):,} images lie outside the sub-folders")
        return None, ()
    names = sorted({name for name, _, _ in parts})
    unlabelled = [name for name in names if name.casefold() in UNLABELLED] if len(names) > 1 else []
    names = [name for name in names if name not in unlabelled]
    if {n.casefold() for n in names} <= SPLITS:
        notes.append(f"the sub-folders {', '.join(names)} became classes; to use one of them alone, give its path")
    index = {name: i for i, name in enumerate(names)} | dict.fromkeys(unlabelled, -1)
    return np.array([index[name] for name, _, _ in parts], np.int64), tuple(names)


def _refuse_case_duplicates(where: str, names: Iterable[str]) -> None:
    """Raise `UserError` for class names that differ only in case: some disks take them for one folder."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UserError(
                f"{where} has the classes {other!r} and {name!r}, which differ only in case; rename or merge them."
            )


def _find_metadata(tree: Tree, top: str) -> str | None:
    here = [f for f in tree.files if f.startswith(top) and "/" not in f[len(top) :]]
    for name in ("metadata.jsonl", "metadata.csv"):
        if top + name in here:
            return top + name
    tables = [f for f in here if f.endswith((".jsonl", ".csv")) and "file_name" in _first_line(tree, f)]
    if len(tables) > 1:
        raise UserError(f"{tree.name} has several files with a file_name column ({', '.join(tables)}); keep one.")
    return tables[0] if tables else None


def _first_line(tree: Tree, file: str) -> str:
    with _open_text(tree, file) as lines:
        try:
            return lines.readline(10_000)
        except UnicodeDecodeError:
            return ""


def _open_text(tree: Tree, file: str) -> io.TextIOWrapper:
    try:
        return io.TextIOWrapper(tree.open(file), "utf-8-sig", newline="")
    except BadImage as e:
        raise UserError(f"{tree.name}: {file} {e.reason}.") from None


def _from_metadata(tree: Tree, metadata: str, images: list[str], top: str) -> AnnotatedFiles:
    """Read labels and captions from a metadata file; images that it does not name have neither."""
    where = f"{tree.name}: {metadata}"
    folder = metadata.rpartition("/")[0]
    rows: dict[str, Row] = {}
    repeated = 0
    for row in _read_rows(tree, metadata, where):
        row.file = _resolve_path(row.file, folder, where)
        repeated += row.file in rows
        rows.setdefault(row.file, row)
    present = set(tree.files)
    missing = [f for f in rows if f not in present]
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(f"{where} names {len(missing):,} of {len(rows):,} files that are not there: {first}")
    layout = AnnotatedFiles(files=sorted({*images, *rows}))
    if repeated:
        layout.notes.append(f"{repeated:,} lines of {metadata} repeat a file name; the first counts")
    unnamed = len(layout.files) - len(rows)
    if unnamed:
        layout.notes.append(f"{unnamed:,} images are not named in {metadata}: they have no label and no caption")
    known = [rows.get(f, Row(f, None, "")) for f in layout.files]
    labels = [row.label for row in known]
    if any(isinstance(label, tuple) for label in labels):
        layout.vectors = _stack_vectors(labels, where)
    elif any(label is not None for label in labels):
        layout.labels, layout.class_names = _index_words([None if v is None else str(v) for v in labels])
    else:
        layout.labels, layout.class_names = _labels_from_folders(layout.files, top, [])
    if any(row.text for row in known):
        layout.captions = [row.text for row in known]
    return layout


def _read_rows(tree: Tree, file: str, where: str) -> Iterator[Row]:
    with _open_text(tree, file) as lines:
        try:
            for number, record in _csv_records(lines) if file.endswith(".csv") else _jsonl_records(lines):
                name = record.get("file_name") if isinstance(record, dict) else None
                if not name or not isinstance(name, str):
                    raise UserError(f"{where} has no file_name in line {number}.")
                label, text = _parse_label(record, f"{where}: the label in line {number}"), record.get("text")
                yield Row(name, label, "" if text is None else str(text))
        except (UnicodeDecodeError, csv.Error) as e:
            raise UserError(f"{where} cannot be read: {e}.") from None
        except json.JSONDecodeError as e:
            raise UserError(f"{where} is not one JSON object a line: {e.msg} in {e.doc[:60]!r}.") from None


def _csv_records(lines: io.TextIOWrapper) -> Iterator[tuple[int, dict[Any, Any]]]:
    reader = csv.DictReader(lines, skipinitialspace=True)
    for record in reader:
        yield reader.line_num, record


def _jsonl_records(lines: io.TextIOWrapper) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, json.loads(line)


def _parse_label(record: dict[Any, Any], what: str) -> str | tuple[float, ...] | None:
    """Label of a line: a word, a vector, or None."""
    value = record.get("label")
    columns = [k for k in record if isinstance(k, str) and re.fullmatch(r"label_\d+", k)]
    if value is None and columns:
        value = [record.get(f"label_{i}") for i in range(len(columns))]
        if all(cell is None or not str(cell).strip() for cell in value):
            return None
    if isinstance(value, list):
        return _parse_vector(value, what)
    if not isinstance(value, (str, int, float, type(None))):
        raise UserError(f"{what} must be a word, a number or a list of numbers, not {value!r}.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or not str(value).strip() else str(value).strip()


def _parse_vector(values: list[Any], what: str) -> tuple[float, ...]:
    try:
        vector = tuple(float(v) for v in values if not isinstance(v, bool))
    except (TypeError, ValueError):
        vector = ()
    if not values or len(vector) != len(values) or not all(math.isfinite(v) for v in vector):
        raise UserError(f"{what} must be a word, a number or a list of numbers, not {values!r}.")
    return vector


def _stack_vectors(labels: list[str | tuple[float, ...] | None], where: str) -> np.ndarray:
    """Stack labels to (N, D) float32, with NaN where there is none; raises `UserError` for different lengths."""
    given = [label for label in labels if label is not None]
    sizes = sorted({len(label) if isinstance(label, tuple) else 0 for label in given})
    if len(sizes) > 1:
        given_as = "some labels are words" if not sizes[0] else f"lists of {sizes[0]} and of {sizes[-1]} numbers"
        raise UserError(f"{where}: labels must all be lists of numbers of one length; {given_as}.")
    nothing = (math.nan,) * sizes[0]
    return np.array([nothing if label is None else label for label in labels], np.float32)


def _index_words(labels: list[str | None]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices and names; classes are ordered as numbers if all are integers, else as words."""
    if all(label is None or label.lstrip("-").isdecimal() for label in labels):
        return index_classes([-1 if label is None else int(label) for label in labels])
    names = tuple(sorted({label for label in labels if label is not None}))
    index = {name: i for i, name in enumerate(names)}
    return np.array([-1 if label is None else index[label] for label in labels], np.int64), names


def _resolve_path(file: str, folder: str, where: str) -> str:
    """Resolve a path of a metadata file to one of the tree; raises `UserError` if it leads out of the folder."""
    path = PurePosixPath(file.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{where} names {file!r}; paths must stay inside the folder.")
    return str(PurePosixPath(folder, path))


def select_usable(layout: AnnotatedFiles, usable: np.ndarray) -> AnnotatedFiles:
    """Drop images that cannot be used (`usable` is (N,) bool) and classes that become empty."""
    chosen = np.flatnonzero(usable)
    labels, names = layout.labels, layout.class_names
    notes = list(layout.notes)
    if labels is not None:
        labels = labels[chosen]
        present = np.unique(labels[labels >= 0])
        empty = [name for i, name in enumerate(names) if i not in set(present.tolist())]
        if empty:
            notes.append(f"no usable image in {', '.join(empty)}: left out of the classes")
        labels = np.where(labels < 0, -1, np.searchsorted(present, labels)).astype(np.int64)
        names = tuple(names[i] for i in present)
    captions = None if layout.captions is None else [layout.captions[i] for i in chosen]
    vectors = None if layout.vectors is None else layout.vectors[chosen]
    return AnnotatedFiles(labels, names, captions, notes, layout.skipped, vectors, [layout.files[i] for i in chosen])


def summarize_skipped(skipped: Iterable[tuple[str, str]], most: int = 3) -> str:
    """Summarize reasons of skipped files, most frequent first: `a.png is empty (and 2 more); ...`."""
    groups = defaultdict(list)
    for file, reason in skipped:
        kind = kind_of_name(file) if reason == NO_IMAGE else None  # not in the reason: the cache's key has it
        groups[f"is {kind.name}, which is not read: {kind.way_out}" if kind else reason].append(file)
    largest = sorted(groups.items(), key=lambda g: -len(g[1]))
    more = [f" (and {len(files) - 1:,} more)" if files[1:] else "" for _, files in largest]
    return "; ".join(f"{files[0]} {reason}{rest}" for (reason, files), rest in zip(largest[:most], more))
