"""Labels and captions from tables as people and programs write them: what is read, what is said, what is refused."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data import open_source
from ganvas.errors import UserError

ABC = ("a.png", "b.png", "c.png")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


def make_folder(root: Path, files=ABC) -> Path:
    """Images that are darker the later they stand in the list."""
    for k, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 255 - 60 * k).save(root / file, "PNG")
    return root


def by_image(data) -> list:
    """Class names, vectors or captions of the images in the order in which they were made."""
    order = np.argsort([-int(image[0, 0, 0]) for image in data.images])
    if data.vectors is not None:
        return [data.vectors[i].tolist() for i in order]
    if data.labels is not None:
        return [data.class_names[data.labels[i]] if data.labels[i] >= 0 else None for i in order]
    return [data.captions[i] for i in order] if data.captions else [None for _ in order]


def excel(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("cp1252")


NFD = unicodedata.normalize("NFD", "café")
CELEBA = "3\nBald Smiling Young\na.png  1 -1  1\nb.png -1 -1  1\nc.png -1  1 -1\n"
TABLES = {
    # name: (file, content, images, labels, said)
    "commas": ("metadata.csv", "file_name,label\na.png,x\nb.png,y\nc.png,x\n", ABC, "xyx", "2 classes"),
    "semicolons": ("metadata.csv", "file_name;label\na.png;x\nb.png;y\nc.png;x\n", ABC, "xyx", "semicolons"),
    "tabs": ("metadata.csv", "file_name\tlabel\na.png\tx\nb.png\ty\nc.png\tx\n", ABC, "xyx", "tabs"),
    "bars": ("metadata.csv", "file_name|label\na.png|x\nb.png|y\nc.png|x\n", ABC, "xyx", "bars"),
    "tsv": ("metadata.tsv", "file_name\tlabel\na.png\tx\nb.png\ty\nc.png\tx\n", ABC, "xyx", "tabs"),
    "sep line of Excel": ("metadata.csv", "sep=;\r\nfile_name;label\r\na.png;x\r\nb.png;y\r\nc.png;x", ABC, "xyx", ""),
    "Windows-1252": ("metadata.csv", excel("file_name;label\na.png;Käse\nb.png;Öl\n"), ABC[:2], ["Käse", "Öl"], "1252"),
    "UTF-16 with mark": ("metadata.csv", "file_name\tlabel\na.png\tä\nb.png\tö\n".encode("utf-16"), ABC[:2], "äö", ""),
    "UTF-16 without": ("metadata.csv", "file_name\tlabel\na.png\tä\nb.png\tö\n".encode("utf-16-be"), ABC[:2], "äö", ""),
    "quotes": (
        "metadata.csv",
        'file_name,text\na.png,"one, ""two""\nthree"\nb.png,b\n',
        ABC[:2],
        ['one, "two"\nthree', "b"],
        "",
    ),
    "no header": ("labels.csv", "a.png,x\nb.png,y\nc.png,x\n", ABC, "xyx", "no header"),
    "spaces": ("identity.txt", "a.png 2880\nb.png 17\nc.png 2880\n", ABC, ["2880", "17", "2880"], "2 classes"),
    "CelebA": ("list_attr.txt", CELEBA, ABC, [[1, -1, 1], [-1, -1, 1], [-1, 1, -1]], "3 attributes in {-1, 1}"),
    "CelebA as CSV": (
        "attr.csv",
        "image_id,Bald,Young\na.png,-1,1\nb.png,1,1\n",
        ABC[:2],
        [[-1, 1], [1, 1]],
        "2 attributes",
    ),
    "booleans": (
        "attr.csv",
        "image,hat,hair\na.png,TRUE,no\nb.png,false,Yes\n",
        ABC[:2],
        [[1, 0], [0, 1]],
        "in {0, 1}",
    ),
    "one boolean": ("metadata.csv", "file_name,label\na.png,yes\nb.png,no\n", ABC[:2], ["yes", "no"], "2 classes"),
    "-1 and 1": ("metadata.csv", "file_name,label\na.png,-1\nb.png,1\nc.png,\n", ABC, ["-1", "1", None], "classes"),
    "-1 beside others": (
        "metadata.csv",
        "file_name,label\na.png,-1\nb.png,0\nc.png,1\n",
        ABC,
        [None, "0", "1"],
        "no label",
    ),
    "leading zeros": (
        "metadata.csv",
        "file_name,label\na.png,0010\nb.png,0002\n",
        ABC[:2],
        ["0010", "0002"],
        "2 classes",
    ),
    "numbers": (
        "metadata.csv",
        "file_name,label\na.png,0.5\nb.png,90\nc.png,0\n",
        ABC,
        [[0.5], [90], [0]],
        "1 number from 0 to 90",
    ),
    "decimal commas": (
        "metadata.csv",
        "file_name;label\na.png;0,5\nb.png;1,25\nc.png;-3\n",
        ABC,
        [[0.5], [1.25], [-3]],
        "decimal commas",
    ),
    "nan among numbers": ("metadata.csv", "file_name,label\na.png,nan\nb.png,2\nc.png,1\n", ABC, [None, "2", "1"], ""),
    "nan in a vector": (
        "metadata.csv",
        "file_name,label_0,label_1\na.png,NaN,nan\nb.png,2,1\n",
        ABC[:2],
        [[np.nan] * 2, [2, 1]],
        "",
    ),
    "other columns": ("metadata.csv", "file_name,width,label\na.png,8,x\nb.png,8,y\n", ABC[:2], "xy", "2 classes"),
    "another name of the column": (
        "metadata.csv",
        "File_Name,Class\na.png,x\nb.png,y\n",
        ABC[:2],
        "xy",
        "label from Class",
    ),
    "column by its cells": ("t.csv", "kind,photograph\nx,a.png\ny,b.png\n", ABC[:2], "xy", "2 classes"),
    "captions": (
        "captions.txt",
        "a.png\ta dog in the snow\nb.png\ta red car at night\n",
        ABC[:2],
        ["a dog in the snow", "a red car at night"],
        "2 captions",
    ),
    "no suffix": ("metadata.csv", "file_name,label\na,x\nb,y\n", ABC[:2], "xy", "another suffix or none"),
    "another suffix": ("metadata.csv", "file_name,label\na.jpg,x\nb.jpg,y\n", ABC[:2], "xy", "another suffix or none"),
    "another case": ("metadata.csv", "file_name,label\nA.PNG,x\nB.png,y\n", ABC[:2], "xy", "another case"),
    "NFD": ("metadata.csv", f"file_name,label\n{NFD}.png,x\nb.png,y\n", ("café.png", "b.png"), "xy", "Unicode form"),
    "Windows paths": (
        "metadata.csv",
        "file_name,label\nin\\a.png,x\n.\\in\\b.png,y\n",
        ("in/a.png", "in/b.png"),
        "xy",
        "2 classes",
    ),
    "files in a folder": (
        "attr.txt",
        "a.png 1\nb.png 0\n",
        ("images/a.png", "images/b.png"),
        ["1", "0"],
        "without its folder",
    ),
    "folder of elsewhere": (
        "metadata.csv",
        "file_name,label\ntrain/a.png,x\ntrain/b.png,y\n",
        ABC[:2],
        "xy",
        "without its folder",
    ),
    "repeated rows": (
        "metadata.csv",
        "file_name,label\na.png,x\na.png,x\nb.png,y\n",
        ABC[:2],
        "xy",
        "repeat a file name",
    ),
    "files without rows": (
        "metadata.csv",
        "file_name,label\nb.png,y\n",
        ABC[:2],
        [None, "y"],
        "1 images are not named",
    ),
    "trailing commas": ("metadata.csv", "file_name,label\na.png,x,,\nb.png,y,,\n", ABC[:2], "xy", ""),
    "lines of JSON": (
        "metadata.jsonl",
        '{"file_name": "a.png", "text": "\u2028 one\\ntwo"}\n{"file_name": "b.png"}\n',
        ABC[:2],
        ["\u2028 one\ntwo", ""],
        "1 captions",
    ),
    "captions of Hugging Face": (
        "metadata.jsonl",
        '{"file_name": "a.png", "caption": "x"}\n',
        ABC[:1],
        ["x"],
        "text from caption",
    ),
    "no number in JSON": (
        "metadata.jsonl",
        '{"file_name": "a.png", "label": NaN}\n{"file_name": "b.png", "label": 4}\n',
        ABC[:2],
        [None, "4"],
        "",
    ),
    "dataset.json": (
        "dataset.json",
        json.dumps({"labels": [["a.png", 3], ["b.png", 0]]}),
        ABC[:2],
        ["3", "0"],
        "2 classes",
    ),
    "vectors of dataset.json": (
        "dataset.json",
        json.dumps({"labels": [["a.png", [1, 0.5]], ["b.png", [0, 1]]]}),
        ABC[:2],
        [[1, 0.5], [0, 1]],
        "2 numbers",
    ),
    "shards": (
        "dataset.json",
        json.dumps({"labels": [["00001/b.png", 3], ["00000/a.png", 0]]}),
        ("00000/a.png", "00001/b.png"),
        ["0", "3"],
        "2 classes",
    ),
    "shards without labels": (
        "dataset.json",
        '{"labels": null}',
        ("00000/a.png", "00001/b.png"),
        [None, None],
        "no labels",
    ),
    "one shard": (
        "dataset.json",
        '{"labels": [["00000/a.png", 1], ["00000/b.png", 0]]}',
        ("00000/a.png", "00000/b.png"),
        ["1", "0"],
        "",
    ),
    "map of JSON": ("labels.json", '{"a.png": "x", "b.png": "y"}', ABC[:2], "xy", "2 classes"),
    "objects of JSON": (
        "labels.json",
        '[{"file_name": "a.png", "label": "x"}, {"file_name": "b.png"}]',
        ABC[:2],
        ["x", None],
        "1 class",
    ),
}
AUTOMATIC = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "dataset.json")


FORMS = [(case, form) for case in TABLES for form in ("folder", "zip") if form == "folder" or "shard" in case]


@pytest.mark.parametrize(("case", "form"), FORMS)
def test_tables(case, form, tmp_path):
    file, content, images, labels, sentence = TABLES[case]
    root = make_folder(tmp_path / "x", images)
    (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = str(root if file in AUTOMATIC else root / file)
    if form == "zip":
        source = str(tmp_path / "x.zip")
        with zipfile.ZipFile(source, "w") as archive:
            for member in root.rglob("*.*"):
                archive.write(member, member.relative_to(root))
    data = open_source(source)
    np.testing.assert_equal(by_image(data), list(labels))
    assert sentence in " ".join(data.notes), data.notes


REFUSALS = {
    "decimal or thousands": ("metadata.csv", "file_name;label\na.png;1,250\nb.png;2,500\n", "can be 1.250 or 1250"),
    "classes or numbers": (
        "metadata.csv",
        "file_name,label\na.png,2.5\nb.png,2.5\nc.png,2.5\n",
        "as x2.5; for numbers",
    ),
    "nan among words": (
        "metadata.csv",
        "file_name,label\na.png,cat\nb.png,nan\n",
        "leave it empty for no label, or name",
    ),
    "two label columns": ("metadata.csv", "file_name,class,target\na.png,x,y\n", "the columns class and target; call"),
    "unnamed columns": (
        "t.csv",
        "n,picture,kind\n1,a.png,x\n2,b.png,y\n",
        "the columns n, kind; call the one to be read label",
    ),
    "no names": (
        "t.csv",
        "n,kind\n1,x\n2,y\n",
        "has no column of file names, only n, kind; call that column file_name",
    ),
    "two labels of a file": (
        "metadata.csv",
        "file_name,label\na.png,x\na.png,y\n",
        "labels x (line 2) and y (line 3); keep one",
    ),
    "unquoted separator": (
        "metadata.csv",
        "file_name,text\na.png,a dog, running\n",
        "3 cells, and the header 2 in line 2; put quotes",
    ),
    "missing files": (
        "metadata.csv",
        "file_name,label\na.png,x\nz.png,y\n",
        "1 of 2 files that are not there: z.png; add these files",
    ),
    "two files of a name": ("metadata.csv", "file_name,label\nd,x\n", "could be d.bmp or d.png; write the whole name"),
    "half a vector": ("metadata.csv", "file_name,label_0,label_1\na.png,1,nan\n", "label in line 2 must be"),
    "repeated column": (
        "metadata.csv",
        "file_name,label,label\na.png,1,2\n",
        "several columns called 'label'; rename one",
    ),
    "Unicode forms": ("metadata.csv", f"file_name,label\na.png,café\nb.png,{NFD}\n", "differ only in Unicode form"),
    "broken dataset.json": ("dataset.json", '{"labels": [["a.png"', "is not JSON"),
    "labels that are no list": ("dataset.json", '{"labels": 3}', "holds no labels; they are written"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_tables_that_can_be_meant_in_two_ways_or_none(case, tmp_path):
    file, content, sentence = REFUSALS[case]
    root = make_folder(tmp_path / "x", (*ABC, "d.png", "d.bmp"))
    (root / file).write_text(content, "utf-8")
    with pytest.raises(UserError) as problem:
        open_source(str(root if file in AUTOMATIC else root / file))
    assert sentence in str(problem.value)
    assert file in str(problem.value) or case == "Unicode forms"


def test_a_table_that_is_not_read_is_said(tmp_path):
    root = make_folder(tmp_path / "x")
    (root / "list_attr.txt").write_text(CELEBA)
    (root / "notes.txt").write_text("The images were taken in May.\n")
    (note,) = open_source(str(root)).notes
    assert note == f"list_attr.txt names these images and is not read; --data {root}/list_attr.txt"
    assert open_source(str(root / "list_attr.txt")).facts.attributes == 3


def test_shards_without_a_dataset_json_are_doubted(tmp_path):
    root = make_folder(tmp_path / "x", ("00000/a.png", "01000/b.png"))
    data = open_source(str(root))
    assert data.class_names == ("00000", "01000")
    assert '{"labels": null} into dataset.json' in data.notes[0]


@pytest.mark.parametrize(
    ("labels", "classes", "vectors"),
    [
        (np.array([-1, 1, 1]), [0, 1, 1], None),
        (np.array([-1, 0, 1]), [-1, 0, 1], None),
        (np.array([0.0, 2.0, np.nan]), [0, 1, -1], None),
        (np.array([0.5, 2.0, 90.0]), None, [[0.5], [2], [90]]),
        (np.array([[-1, 1], [1, 1], [1, -1]]), None, [[-1, 1], [1, 1], [1, -1]]),
        (np.array([b"dog", b"cat", b"dog"]), [1, 0, 1], None),
        (np.array([True, False, True]), [1, 0, 1], None),
    ],
)
def test_labels_of_an_array(labels, classes, vectors, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=labels)
    data = open_source(str(tmp_path / "x.npz"))
    assert (None if data.labels is None else data.labels.tolist()) == classes
    assert (None if data.vectors is None else data.vectors.tolist()) == vectors


FIRST_VERSION = {  # tables of version 0.1.0, and the fingerprints by which its runs know their data
    "folders": (None, "", "9458858be09a18a711f94b8fbad37de6"),
    "csv": (
        "metadata.csv",
        'file_name,label,text,width\nin\\b.pgm,7,"one, two",8\na.pgm,-1,,8\n',
        "1528653c0bd4a4c0502f74e5c346dc9c",
    ),
    "words": ("x.csv", "file_name,label\na.pgm,b\nb.pgm,a\nb.pgm,a\n", "b7477eb55e985e82711b67090aacc019"),
    "vectors": (
        "metadata.jsonl",
        '{"file_name": "a.pgm", "label": [0.5, 1]}\n{"file_name": "b.pgm"}\n',
        "2c7fac33e2a8ae925c3b0093caf4fc4c",
    ),
    "no label": ("metadata.csv", "file_name,width\nx/a.pgm,4\n", "48b998376ad6a4adb017a7e94a8c696d"),
}
FILES = {
    "folders": ("cat/a.pgm", "dog/b.pgm"),
    "csv": ("a.pgm", "in/b.pgm", "c.pgm"),
    "words": ("a.pgm", "b.pgm", "c.pgm"),
    "vectors": ("a.pgm", "b.pgm"),
    "no label": ("x/a.pgm", "y/b.pgm"),
}


@pytest.mark.parametrize("case", FIRST_VERSION)
def test_data_of_the_first_version_are_the_same_data(case, tmp_path):
    file, content, fingerprint = FIRST_VERSION[case]
    for k, name in enumerate(FILES[case]):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(b"P5 8 8 255\n" + bytes([10 * k]) * 64)
    if file:
        (tmp_path / "x" / file).write_text(content)
    assert open_source(str(tmp_path / "x"), earlier=True).fingerprint == fingerprint
