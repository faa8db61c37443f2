"""Labels and captions of records: which columns hold them, and classes or vectors from their cells."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import UserError
from .dataset import index_classes, keeps_negative
from .tables import NUMBER, Table

LABEL_COLUMNS = ("labels", "class", "class_name", "class_id", "category", "target")
TEXT_COLUMNS = ("caption", "captions", "description", "prompt", "sentence")
BOOLEANS = {"true": "1", "false": "0", "yes": "1", "no": "0"}  # in columns of several attributes
MISSING = {"nan", "na", "n/a", "null", "none", "-"}  # among numbers; a class may be called so
INTEGER = re.compile(r"-?(0|[1-9]\d*)")  # one with leading zeros, such as 0010, is a word
WORDS_OF_CAPTION = 3  # mean number of words from which texts are no class names

Label = str | tuple[float, ...] | None  # a word, a vector, or nothing


@dataclass
class Row:
    """Line of a metadata file."""

    line: int
    file: str
    label: Label
    text: str


@dataclass
class Labels:
    """Classes or vectors of N images, or neither."""

    indices: np.ndarray | None = None  # (N,) int64; -1: unlabelled
    names: tuple[str, ...] = ()
    vectors: np.ndarray | None = None  # (N, D) float32; NaN: unlabelled


@dataclass
class Roles:
    """Columns by what they hold."""

    label: str = ""
    vector: Sequence[str] = ()
    text: str = ""


def read_rows(table: Table, where: str) -> list[Row]:
    """Labels and captions of all records; `table.remarks` name what is not read by its usual name."""
    roles, rows = choose_roles(table, where), []
    for line, record in table.records:
        label = _parse_label(record, roles, f"{where}: the label in line {line}")
        text = record.get(roles.text)
        rows.append(Row(line, record["file_name"].strip(), label, "" if text is None else str(text)))
    return rows


def choose_roles(table: Table, where: str) -> Roles:
    """Columns of labels and captions: label, label_0, text; else by other usual names; else the only others.

    Raises `UserError` for several columns that could each be meant.
    """
    columns = [name for name in table.columns if isinstance(name, str) and name != "file_name"]
    vector = [f"label_{k}" for k in range(sum(bool(re.fullmatch(r"label_\d+", name)) for name in columns))]
    if vector or {"label", "text"} & {*columns}:
        return Roles("label", vector, "text")
    lower = {name.strip().casefold(): name for name in columns}
    labels, texts = ([lower[n] for n in known if n in lower] for known in (LABEL_COLUMNS, TEXT_COLUMNS))
    if len(labels) > 1 or len(texts) > 1:
        some, word = (labels, "label") if len(labels) > 1 else (texts, "text")
        raise UserError(f"{where} has the columns {' and '.join(some)}; call the one to be read {word}.")
    if labels or texts:
        table.remarks += [f"{word} from {name}" for word, some in (("label", labels), ("text", texts)) for name in some]
        return Roles("".join(labels), text="".join(texts))
    if not table.standard:
        return _roles_of_others(table, columns, where)
    if columns:
        table.remarks.append(f"not read: {list_some(columns)} (call a column label or text to read it)")
    return Roles()


def _roles_of_others(table: Table, columns: list[str], where: str) -> Roles:
    cells: dict[str, set[Any]] = {name: set() for name in columns}
    for _, record in table.records:
        for name in columns:
            cells[name].add(record.get(name))
    cells = {name: {cell for cell in some if _filled(cell)} for name, some in cells.items()}
    columns = [name for name in columns if cells[name]]
    numeric = [name for name in columns if all(_is_number(cell) for cell in cells[name])]
    if len(columns) > 1 and numeric == columns:
        return Roles(vector=columns)
    if len(columns) == 1:
        texts = [str(cell) for cell in cells[columns[0]]]
        words = sum(len(text.split()) for text in texts) / len(texts)
        return Roles(text=columns[0]) if words > WORDS_OF_CAPTION else Roles(columns[0])
    if columns:
        some = list_some(columns)
        raise UserError(f"{where} has the columns {some}; call the one to be read label (a class) or text (a caption).")
    return Roles()


def list_some(items: Sequence[str], most: int = 3) -> str:
    """The first items, with an ellipsis if there are more."""
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")


def _filled(cell: Any) -> bool:
    return cell is not None and bool(str(cell).strip())


def _is_number(cell: Any) -> bool:
    text = str(cell).strip().casefold()
    return text in BOOLEANS or text in MISSING or NUMBER.fullmatch(text) is not None


def _parse_label(record: dict[Any, Any], roles: Roles, what: str) -> Label:
    value = record.get(roles.label)
    if value is None and roles.vector:
        cells = [record.get(name) for name in roles.vector]
        try:
            value = [_read_number(cell) if isinstance(cell, str) else cell for cell in cells]
        except ValueError:
            value = cells
        if all(cell is None for cell in value):
            return None
    if isinstance(value, list):
        return _parse_vector(value, what)
    if not isinstance(value, (str, int, float, type(None))):
        raise UserError(f"{what} must be a word, a number or a list of numbers, not {value!r}.")
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    return str(value).strip() if _filled(value) else None


@lru_cache(maxsize=1 << 16)
def _read_number(cell: str) -> float | None:
    """Number of a cell, 1 or 0 of a truth value, None if it is empty; raises `ValueError` for others."""
    text = cell.strip().casefold()
    return None if not text or text in MISSING else float(BOOLEANS.get(text, text))


def _parse_vector(values: list[Any], what: str) -> tuple[float, ...]:
    try:
        vector = tuple(float(v) for v in values if not isinstance(v, bool))
    except (TypeError, ValueError):
        vector = ()
    if not values or len(vector) != len(values) or not all(math.isfinite(v) for v in vector):
        raise UserError(f"{what} must be a word, a number or a list of numbers, not {values!r}.")
    return vector


def arrange_labels(labels: Sequence[Label], where: str, remarks: list[str]) -> Labels:
    """Classes of words and integers, or vectors of lists and other numbers; None is unlabelled.

    Raises `UserError` for labels that can be meant in two ways.
    """
    if any(isinstance(label, tuple) for label in labels):
        return Labels(vectors=_stack_vectors(labels, where))
    words = [None if label is None or isinstance(label, tuple) else label for label in labels]
    given = {word for word in words if word is not None}
    numbers = {word for word in given if NUMBER.fullmatch(word)}
    missing = {word for word in given if word.casefold() in MISSING}
    if numbers and numbers | missing == given:
        words = [None if word in missing else word for word in words]
        given = numbers
    elif unclear := next((word for word in given if word.casefold() == "nan"), ""):
        raise UserError(f"{where} has the label {unclear} among words; leave it empty for no label, or name the class.")
    if not given:
        return Labels()
    if numbers == given and not all(float(word).is_integer() for word in given):
        return Labels(vectors=_stack_numbers(words, where))
    if all(INTEGER.fullmatch(word) for word in given):
        labelled = np.array([word is not None for word in words])
        indices = np.full(len(words), -1, np.int64)
        values = [int(word) for word in words if word is not None]
        indices[labelled], names = index_classes(values)
        remarks += explain_negative(values)
        return Labels(indices, names)
    names = tuple(sorted(given))
    index = {name: i for i, name in enumerate(names)}
    return Labels(np.array([-1 if word is None else index[word] for word in words], np.int64), names)


def explain_negative(values: Sequence[int] | np.ndarray) -> list[str]:
    """Remark on the meaning of negative labels, if there are any."""
    if not len(values) or min(values) >= 0:
        return []
    if not keeps_negative(values):
        return ["-1 is read as no label; a word makes it a class"]
    return ["negative labels are classes; an empty label, or -1 beside 0 and more, means no label"]


def _stack_vectors(labels: Sequence[Label], where: str) -> np.ndarray:
    """Stack labels to (N, D) float32, with NaN where there is none; raises `UserError` for different lengths."""
    given = [label for label in labels if label is not None]
    sizes = sorted({len(label) if isinstance(label, tuple) else 0 for label in given})
    if len(sizes) > 1:
        given_as = "some labels are words" if not sizes[0] else f"lists of {sizes[0]} and of {sizes[-1]} numbers"
        raise UserError(f"{where}: labels must all be lists of numbers of one length; {given_as}.")
    nothing = (math.nan,) * sizes[0]
    return np.array([nothing if label is None else label for label in labels], np.float32)


def _stack_numbers(words: Sequence[str | None], where: str) -> np.ndarray:
    """Stack numbers to (N, 1) float32; raises `UserError` if they repeat so often that they could be classes."""
    given = [word for word in words if word is not None]
    if 2 * len({*given}) <= len(given):
        example = next(word for word in given if not float(word).is_integer())
        raise UserError(
            f"{where}: labels such as {example} can be {len({*given}):,} classes or numbers to condition on. For"
            f" classes write words, as x{example}; for numbers write lists, as [{example}], or a column label_0."
        )
    return np.array([[math.nan if word is None else float(word)] for word in words], np.float32)
