"""Metadata files as records: delimited text as spreadsheets and data sets write it, JSON lines, and dataset.json."""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError

DELIMITERS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas", " ": "spaces"}  # the rarest in text first
DELIMITED = (".csv", ".tsv", ".tab", ".txt")  # suffixes of tables with one record a line
SUFFIXES = (".jsonl", *DELIMITED, ".json")
FILE_COLUMNS = (  # names of the column that names images, best first
    *("file_name", "filename", "file", "image", "image_id", "image_name", "image_path", "img", "img_path"),
    *("path", "filepath", "file_path", "name", "fname", "id"),
)
SAMPLE = 50  # records that columns are recognised by
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Cells = list[tuple[int, list[str]]]  # (line, cells) of a delimited table
NamesImage = Callable[[str], bool]  # true for a cell that names an image of the data


@dataclass
class Records:
    """Rows of a delimited table as dicts, which are made while they are read: many columns take much memory."""

    header: list[str]
    body: Cells

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((line, dict(zip(self.header, row))) for line, row in self.body)


@dataclass
class Table:
    """Records of a metadata file, (line, cells by column); the column of file names is called `file_name`."""

    columns: list[str]
    records: Iterable[tuple[int, dict[str, Any]]]  # may be read more than once
    remarks: list[str] = field(default_factory=list)  # on how the file is read
    standard: bool = True  # the file itself calls the column file_name


def read_table(data: bytes, file: str, where: str, names_image: NamesImage) -> Table:
    """Read a metadata file; raises `UserError` for one that cannot be read or names no images."""
    try:
        if file.endswith(DELIMITED):
            return _read_delimited(*decode_text(data), where, names_image)
        text = data.decode(_encoding(data))
        records = list(_json_lines(text) if file.endswith(".jsonl") else _json_records(json.loads(text), where))
    except (UnicodeDecodeError, csv.Error, RecursionError) as e:
        raise UserError(f"{where} cannot be read: {e}.") from None
    except json.JSONDecodeError as e:
        kind = "one JSON object a line" if file.endswith(".jsonl") else "JSON"
        raise UserError(f"{where} is not {kind}: {e.msg} in {e.doc[:60]!r}.") from None
    for line, record in records:
        if not isinstance(record, dict) or not record.get("file_name") or not isinstance(record["file_name"], str):
            raise UserError(f"{where} has no file_name in line {line}.")
    return Table(list(dict.fromkeys(key for _, record in records for key in record)), records)


def _encoding(data: bytes) -> str:
    if 0 in data[:4] and not data.startswith(tuple(MARKS)):  # UTF-16 without its mark
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    return next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), "utf-8")


def decode_text(data: bytes) -> tuple[str, list[str]]:
    """Decode UTF-8, UTF-16, or else Windows-1252, which a remark names."""
    encoding = _encoding(data)
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise
    return data.decode("cp1252"), ["the text is no UTF-8 and is read as Windows-1252"]


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(io.StringIO(text, newline=""), 1):  # splitlines would break at more characters
        if line.strip():
            yield number, json.loads(line)


def _json_records(content: Any, where: str) -> Iterator[tuple[int, Any]]:
    """Records of StyleGAN's dataset.json, `{"labels": [[file, label], ...]}`, of a map or of a list of objects."""
    content = content.get("labels", content) if isinstance(content, dict) else content
    items = list(content.items()) if isinstance(content, dict) else content or []
    if not isinstance(items, list):
        raise UserError(f'{where} holds no labels; they are written {{"labels": [["a.png", 0], ...]}}.')
    for number, item in enumerate(items, 1):
        pair = isinstance(item, list | tuple) and len(item) == 2
        yield number, {"file_name": item[0], "label": item[1]} if pair else item


def _read_delimited(text: str, remarks: list[str], where: str, names_image: NamesImage) -> Table:
    if separator := re.match(r'"?sep=(.)"?\r?\n', text):  # written by Excel
        text = text[separator.end() :]
    delimiter = separator[1] if separator else choose_delimiter(text)
    cells = list(_split(text, delimiter))
    if not cells:
        return Table([], [])
    header, body = _take_header(cells, names_image, remarks)
    if len(set(header)) < len(header):
        raise UserError(f"{where} has several columns called {max(header, key=header.count)!r}; rename one.")
    place = _file_column(header, body, names_image, where)
    standard, header[place] = "file_name" in header and len(body) == len(cells) - 1, "file_name"
    if delimiter != ",":
        remarks.insert(0, f"columns between {DELIMITERS.get(delimiter, repr(delimiter))}")
        _read_decimal_commas(header, body, remarks, where)
    for line, row in body:
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            counts = f"{len(row)} cells, and the header {len(header)}"
            raise UserError(f"{where} has {counts} in line {line}; put quotes around text that holds the separator.")
        if not row[place : place + 1] or not row[place].strip():
            raise UserError(f"{where} has no file_name in line {line}.")
    return Table(header, Records(header, body), remarks, standard)


def _split(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (last line, cells) of each record; spaces count once, other delimiters as in RFC 4180."""
    if delimiter == " ":
        lines = enumerate(io.StringIO(text), 1)
        yield from ((number, [*map(sys.intern, line.split())]) for number, line in lines if line.strip())
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    yield from ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))


def choose_delimiter(text: str) -> str:
    """The delimiter that splits the header into a known column and others, or all first lines into equally many."""
    head = "".join(io.StringIO(text[: 1 << 16], newline="").readlines()[: SAMPLE + 1])
    even = []
    for delimiter in DELIMITERS:
        try:
            cells = [row for _, row in _split(head, delimiter)]
        except csv.Error:
            continue
        if cells and len(cells[0]) > 1 and {cell.strip().casefold() for cell in cells[0]} & {*FILE_COLUMNS}:
            return delimiter
        counts = {len(row) for row in (cells[2:] if _has_count(cells) else cells)}
        if len(counts) == 1 and counts != {1}:
            even.append(delimiter)
    return even[0] if even else ","


def _has_count(cells: list[list[str]]) -> bool:
    """True for CelebA's layout: a line with the number of images, one with the names of attributes, then rows."""
    return len(cells) > 2 and len(cells[0]) == 1 and cells[0][0].isdecimal() and len(cells[1]) + 1 == len(cells[2])


def _take_header(cells: Cells, names_image: NamesImage, remarks: list[str]) -> tuple[list[str], Cells]:
    """The names of the columns and the rows below them; columns without names are numbered."""
    if _has_count([row for _, row in cells[:3]]):
        return ["file_name", *cells[1][1]], cells[2:]
    first = [cell.strip() for cell in cells[0][1]]
    lower = [cell.casefold() for cell in first]
    standard = {*FILE_COLUMNS, "label", "text"}
    if {*lower} & {*FILE_COLUMNS} or not any(map(names_image, first)):
        return [low if low in standard else name for low, name in zip(lower, first)], cells[1:]
    remarks.append("no header")
    return [f"column {number}" for number in range(1, len(first) + 1)], cells


def _file_column(header: list[str], body: Cells, names_image: NamesImage, where: str) -> int:
    """Place of the column that names images: by its name, or else by its cells."""
    places = [header.index(name) for name in FILE_COLUMNS if name in header]
    if "file_name" in header:
        return places[0]

    def matches(place: int) -> int:
        return sum(names_image(row[place].strip()) for _, row in body[:SAMPLE] if place < len(row))

    place = max(places or range(len(header)), key=matches)
    if not places and not matches(place):
        columns = ", ".join(header[:6])
        raise UserError(f"{where} has no column of file names, only {columns}; call that column file_name.")
    return place


def _read_decimal_commas(header: list[str], body: Cells, remarks: list[str], where: str) -> None:
    """Replace decimal commas in columns of numbers; raises `UserError` where they could separate thousands."""
    for place, name in enumerate(header):
        cells = {row[place].strip() for _, row in body if place < len(row)} - {""}
        commas = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
        if not commas or not all(DECIMAL_COMMA.fullmatch(cell) or NUMBER.fullmatch(cell) for cell in cells):
            continue
        if all(map(THOUSANDS.fullmatch, commas)):
            number = min(commas)
            point, plain = number.replace(",", "."), number.replace(",", "")
            raise UserError(f"{where}: {name} {number} can be {point} or {plain}; write it without the comma.")
        remarks.append(f"decimal commas in {name}")
        for _, row in body:
            if place < len(row):
                row[place] = row[place].replace(",", ".")
