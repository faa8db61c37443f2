"""Folders and zips: which files are images, and what their arrangement says about labels and captions."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data import Dataset, open_source
from ganvas.errors import UserError

Colour = tuple[int, ...]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def put(file: Path, colour: Colour = (201, 2, 3), size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Path:
    """An image of one colour; `size` is (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(file)
    return file


def colours(data: Dataset) -> list[tuple[int, ...]]:
    return [tuple(image[0, 0].tolist()) for image in data.images]


def zipped(folder: Path, **how: str) -> Path:
    out = folder.with_suffix(".zip")
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, how.get("inside", "") + str(file.relative_to(folder)))
    return out


def as_folder(folder: Path) -> Path:
    return folder


def as_nested_zip(folder: Path) -> Path:
    return zipped(folder, inside="everything/in/here/")


@pytest.mark.parametrize("form", [as_folder, zipped, as_nested_zip])
def test_sub_folders_become_labels(root: Path, form: Callable[[Path], Path]) -> None:
    for i, name in enumerate(("dogs/1.png", "cats/deep/down/2.png", "cats/0.PNG", "cats/10.bmp")):
        put(root / name, (i, 0, 0))
    put(root / ".hidden/no.png")
    put(root / "__MACOSX/no.png")
    (root / "cats" / "._0.png").write_bytes(b"resource fork")
    (root / "cats" / "notes.txt").write_text("not an image")
    data = open_source(str(form(root)))
    assert data.class_names == ("cats", "dogs")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1]
    assert data.labels.dtype == np.int64
    assert colours(data) == [(2, 0, 0), (3, 0, 0), (1, 0, 0), (0, 0, 0)]  # in the order of the names
    assert data.facts.resolution == (16, 16)
    assert data.facts.channels == 3
    assert data.facts.classes == 2
    assert [reason for _, reason in data.skipped] == ["is not an image"]
    assert isinstance(data.images, np.memmap)
    rows = dict(data.summary())
    assert rows["classes"] == "2: cats 3, dogs 1"
    assert rows["images"] == "4"
    assert rows["size"] == "16x16"
    assert "notes.txt" in rows["skipped"]


def test_loose_images_have_no_labels(root: Path) -> None:
    put(root / "a.png")
    assert open_source(str(root)).labels is None
    put(root / "b" / "b.png")
    data = open_source(str(root))
    assert data.labels is None
    assert data.facts.classes == 0
    assert data.notes == ["no labels: 1 of 2 images lie outside the sub-folders"]


def test_splits_that_look_like_classes_are_said(root: Path) -> None:
    for name in ("train", "test"):
        put(root / name / "cat" / "0.png")
    assert "the sub-folders test, train became classes" in open_source(str(root)).notes[0]


def test_class_names_that_differ_only_in_case_are_refused(root: Path) -> None:
    put(root / "Cats" / "0.png")
    put(root / "cats" / "1.png")
    with pytest.raises(UserError, match="'Cats' and 'cats', which differ only in case"):
        open_source(str(zipped(root)))
    with pytest.raises(UserError, match="'Cats' and 'cats'"):
        open_source(str(root))


METADATA = {
    "metadata.jsonl": '{"file_name": "b.png", "label": "x", "text": "a bee"}\n\n'
    '{"file_name": "./in/c.png", "label": "w"}\n',
    "metadata.csv": "\ufefffile_name,label,text\nb.png,x,a bee\nin\\c.png,w,\n",
    "about.csv": 'label,text,file_name\nx,"a bee",b.png\nw,,in/c.png\n',
}


@pytest.mark.parametrize("form", [as_folder, zipped, as_nested_zip])
@pytest.mark.parametrize("name", METADATA)
def test_metadata_gives_labels_and_captions(root: Path, name: str, form: Callable[[Path], Path]) -> None:
    for file in ("a.png", "b.png", "in/c.png"):
        put(root / file, (ord(file[-5]), 0, 0))
    (root / name).write_text(METADATA[name], "utf-8")
    data = open_source(str(form(root)))
    assert [c[0] for c in colours(data)] == [ord(c) for c in "abc"]
    assert data.class_names == ("w", "x")
    assert data.labels is not None
    assert data.labels.tolist() == [-1, 1, 0]
    assert data.captions == ["", "a bee", ""]
    assert data.skipped == []
    assert "1 images are not named" in data.notes[0]
    assert dict(data.summary())["classes"] == "2: w 1, x 1; 1 unlabelled"
    assert dict(data.summary())["captions"] == "1"
    if form is as_folder:  # the metadata file itself may be named, too
        assert open_source(str(root / name)).captions == data.captions


def test_of_two_descriptions_the_one_that_is_named_counts(root: Path) -> None:
    put(root / "a.png")
    (root / "coarse.csv").write_text("file_name,label\na.png,animal\n")
    (root / "fine.csv").write_text("file_name,label\na.png,cat\n")
    with pytest.raises(UserError, match=r"several files with a file_name column \(coarse.csv, fine.csv\); keep one"):
        open_source(str(root))
    assert open_source(str(root / "coarse.csv")).class_names == ("animal",)
    assert open_source(str(root / "fine.csv")).class_names == ("cat",)


def test_labels_that_are_numbers_are_ordered_as_numbers(root: Path) -> None:
    lines = []
    for i, label in enumerate([10, 2, "2", None, 2.0, 0]):
        put(root / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png", "label": label}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    data = open_source(str(root))
    assert data.class_names == ("0", "2", "10")
    assert data.labels is not None
    assert data.labels.tolist() == [2, 1, 1, -1, 1, 0]
    assert data.captions is None


WRONG_METADATA = {
    "names 4 of 5 files that are not there: m0.png, m1.png, m2.png, ...": [f"m{i}.png" for i in range(4)],
    "names '../set/a.png'; paths must stay inside": ["../set/a.png"],
    "names '/etc/a.png'; paths must stay inside": ["/etc/a.png"],
    "has no file_name in line 2": [None],
}


@pytest.mark.parametrize("sentence", WRONG_METADATA)
def test_metadata_that_cannot_be_right_is_refused(root: Path, sentence: str) -> None:
    put(root / "a.png")
    lines = [json.dumps({"file_name": f}) for f in ["a.png", *WRONG_METADATA[sentence]]]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError) as refused:
        open_source(str(root))
    assert sentence in str(refused.value)


def test_metadata_that_cannot_be_read_is_refused(root: Path) -> None:
    put(root / "a.png")
    for text, sentence in ((b'{"file_name": ', "not one JSON object a line"), (b"\xff\xfe\x00", "cannot be read")):
        (root / "metadata.jsonl").write_bytes(text)
        with pytest.raises(UserError, match=sentence):
            open_source(str(root))
    (root / "metadata.jsonl").write_text('{"file_name": "a.png", "label": ["x"]}')
    with pytest.raises(UserError, match="label in line 1 must be a word, a number or a list of numbers"):
        open_source(str(root))
