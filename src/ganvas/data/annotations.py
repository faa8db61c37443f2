"""Labels and captions of image files, from their folders or from a metadata file.

Labels are the first-level sub-folders, if every image lies in one, or columns of a table: `metadata.csv` and others.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from ..errors import UserError
from ..imaging.decode import SUFFIXES, BadImage
from ..imaging.file_kinds import NO_IMAGE, count_kinds, name_other
from . import tables
from .cache import Annotations
from .dataset import describe_vectors
from .files import Folder, Tree, is_image
from .labels import Row, arrange_labels, list_some, read_rows
from .names import NameIndex, fold

UNLABELLED = {"unlabelled", "unlabeled"}  # a sub-folder of this name holds no class
STYLEGAN = "dataset.json"
HEAD = 1 << 16  # bytes that a file is recognised by
LARGEST = 1 << 30  # bytes: largest metadata file
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


@dataclass
class AnnotatedFiles(Annotations):
    """Image files of a tree in order, with their labels and captions."""

    files: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # notes that are no part of the fingerprint


def annotate_files(tree: Tree, metadata: str | None = None) -> AnnotatedFiles:
    """List the images of a tree with their labels and captions.

    `metadata` names the metadata file; None searches for one.  Raises `UserError` if there is no image, if two class
    names differ only in case, or if the metadata names files that do not exist.
    """
    images = [f for f in tree.files if is_image(f)]
    top = _common_folder(tree, images)
    metadata = metadata or _find_metadata(tree, top)
    if metadata:
        layout = _from_metadata(tree, metadata, images, top)
    else:
        layout = AnnotatedFiles(files=images)
        layout.labels, layout.class_names = _labels_from_folders(images, top, layout.notes)
        layout.remarks = [*_doubt_shards(layout.class_names), *_suggest_tables(tree, top)]
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


def _common_folder(tree: Tree, images: list[str]) -> str:
    """Path of the folder that holds everything, relative to the root: a zip often holds a single folder."""
    top = ""
    while True:
        below = {f[len(top) :].partition("/")[0] for f in images}
        here = [f for f in tree.files if f.startswith(top) and "/" not in f[len(top) :]]
        described = any(f.endswith((".jsonl", ".csv")) for f in here) or _is_stylegan(tree, top + STYLEGAN)
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


def _doubt_shards(names: tuple[str, ...]) -> list[str]:
    """Remark on sub-folders that are numbered as those of StyleGAN's tools and FFHQ, which divide the files."""
    if len(names) < 2 or not all(len(name) == 5 and name.isdecimal() for name in names):
        return []
    divided = 'if they only divide the files, write {"labels": null} into dataset.json'
    return [f"the sub-folders {list_some(names)} became {len(names):,} classes; {divided}"]


def _suggest_tables(tree: Tree, top: str) -> list[str]:
    """Remarks on tables that name the images and that are not read, because nothing says which to read."""
    index, remarks = NameIndex(tree.files), []

    def names_image(name: str) -> bool:
        return bool(name and index.candidates(name, top)[1])

    for file in [f for f in tree.files if f.startswith(top) and "/" not in f[len(top) :]]:
        if file.endswith(tables.SUFFIXES):
            try:
                table = tables.read_table(_head(tree, file).encode(), file, file, names_image)
            except UserError:
                continue
            images = [names_image(record["file_name"]) for _, record in itertools.islice(table.records, tables.SAMPLE)]
            if images and 2 * sum(images) > len(images):
                way = f"--data {tree.name}/{file}" if isinstance(tree, Folder) else "to read it, call it metadata.csv"
                remarks.append(f"{file} names these images and is not read; {way}")
    return remarks


def _refuse_case_duplicates(where: str, names: Iterable[str]) -> None:
    """Raise `UserError` for class names that differ only in case or Unicode form: disks take them for one folder."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other != name:
            form = "case" if other.casefold() == name.casefold() else "Unicode form"
            raise UserError(
                f"{where} has the classes {other!r} and {name!r}, which differ only in {form}; rename or merge them."
            )


def _find_metadata(tree: Tree, top: str) -> str | None:
    here = [f for f in tree.files if f.startswith(top) and "/" not in f[len(top) :]]
    for name in ("metadata.jsonl", "metadata.csv", "metadata.tsv"):
        if top + name in here:
            return top + name
    described = [f for f in here if f.endswith((".jsonl", ".csv")) and "file_name" in _head(tree, f).partition("\n")[0]]
    if len(described) > 1:
        raise UserError(f"{tree.name} has several files with a file_name column ({', '.join(described)}); keep one.")
    return described[0] if described else top + STYLEGAN if _is_stylegan(tree, top + STYLEGAN) else None


def _head(tree: Tree, file: str) -> str:
    """Beginning of a text file, in whole lines; empty if it is no text."""
    head = _read(tree, file, HEAD)
    try:
        return tables.decode_text(head[: head.rfind(b"\n") + 1] or head)[0]
    except UnicodeDecodeError:
        return ""


def _is_stylegan(tree: Tree, file: str) -> bool:
    """True for the dataset.json of StyleGAN's tools, whose sub-folders are no classes."""
    return file in tree.files and '"labels"' in _head(tree, file)


def _read(tree: Tree, file: str, most: int) -> bytes:
    try:
        with tree.open(file) as stream:
            return stream.read(most)
    except BadImage as e:
        raise UserError(f"{tree.name}: {file} {e.reason}.") from None


def _from_metadata(tree: Tree, metadata: str, images: list[str], top: str) -> AnnotatedFiles:
    """Read labels and captions from a metadata file; images that it does not name have neither."""
    where, folder = f"{tree.name}: {metadata}", metadata.rpartition("/")[0]
    data, index = _read(tree, metadata, LARGEST + 1), NameIndex(tree.files)
    if len(data) > LARGEST:
        raise UserError(f"{where} is over the limit of {LARGEST >> 20:,} MiB; name fewer images in it.")
    table = tables.read_table(data, metadata, where, lambda name: bool(name and index.candidates(name, folder)[1]))
    rows, repeated = _match_rows(read_rows(table, where), index, folder, where)
    layout = AnnotatedFiles(files=sorted({*images, *rows}))
    if repeated:
        layout.notes.append(f"{repeated:,} lines of {metadata} repeat a file name; the first counts")
    unnamed = len(layout.files) - len(rows)
    if unnamed and (rows or not metadata.endswith(".json")):
        layout.notes.append(f"{unnamed:,} images are not named in {metadata}: they have no label and no caption")
    known = [rows.get(f, Row(0, f, None, "")) for f in layout.files]
    labels = [row.label for row in known]
    if any(label is not None for label in labels):
        arranged = arrange_labels(labels, where, table.remarks)
        layout.labels, layout.class_names, layout.vectors = arranged.indices, arranged.names, arranged.vectors
    elif not metadata.endswith(".json"):
        layout.labels, layout.class_names = _labels_from_folders(layout.files, top, [])
    if any(row.text for row in known):
        layout.captions = [row.text for row in known]
    ways = [f"{count:,} names are read {way}" for way, count in index.ways.items()]
    layout.remarks = [_describe(metadata, layout, [*table.remarks, *ways])]
    return layout


def _match_rows(rows: list[Row], index: NameIndex, folder: str, where: str) -> tuple[dict[str, Row], int]:
    """Rows by the file that they name, and the number of repeated ones; raises `UserError` for missing files."""
    by_file: dict[str, Row] = {}
    missing: list[str] = []
    repeated = 0
    for row in rows:
        path = _resolve_path(row.file, folder, where)
        file = index.find(row.file, folder, where)
        if file is None:
            missing.append(path)
            continue
        first = by_file.setdefault(file, row)
        repeated += first is not row
        if first.label != row.label:
            labels = f"{first.label} (line {first.line}) and {row.label} (line {row.line})"
            raise UserError(f"{where} gives {file} the labels {labels}; keep one of these lines.")
    if missing:
        first_ones, total = list_some([*dict.fromkeys(missing)]), len({*missing}) + len(by_file)
        count = f"{len({*missing}):,} of {total:,}"
        raise UserError(
            f"{where} names {count} files that are not there: {first_ones}; add these files, or remove their lines."
        )
    return by_file, repeated


def _describe(metadata: str, layout: AnnotatedFiles, details: list[str]) -> str:
    """Sentence part with what a metadata file says: `labels.csv: 40 classes, 200 captions (columns between tabs)`."""
    classes = f"{len(layout.class_names):,} class{'es'[: 2 * (len(layout.class_names) != 1)]}"
    parts = [classes] if layout.class_names else []
    parts += [] if layout.vectors is None else [describe_vectors(layout.vectors)]
    parts += [f"{sum(map(bool, layout.captions)):,} captions"] if layout.captions else []
    return f"{metadata}: {', '.join(parts) or 'no labels'}" + (f" ({'; '.join(details)})" if details else "")


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
        groups[name_other(file, reason)].append(file)
    largest = sorted(groups.items(), key=lambda g: -len(g[1]))
    more = [f" (and {len(files) - 1:,} more)" if files[1:] else "" for _, files in largest]
    return "; ".join(f"{files[0]} {reason}{rest}" for (reason, files), rest in zip(largest[:most], more))
