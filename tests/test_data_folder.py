"""Folders and zips: layouts, labels, captions, sizes, channels, and every kind of file that cannot be used."""

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.config import UsageError, UserError
from ganvas.data import Dataset, open_source
from ganvas.pixels import SUFFIXES

Colour = tuple[int, ...]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def put(file: Path, colour: Colour = (1, 2, 3), size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Path:
    """A picture of one colour; `size` is (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(file)
    return file


def reasons(data: Dataset) -> dict[str, str]:
    return dict(data.skipped)


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
    (root / "cats" / "notes.txt").write_text("not a picture")
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


def test_loose_pictures_have_no_labels(root: Path) -> None:
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
    with pytest.raises(UserError, match="label in line 1 must be a word or a number"):
        open_source(str(root))


def test_an_unreadable_file_beside_good_ones_is_skipped_with_its_reason(root: Path) -> None:
    good = put(root / "good.png")
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (16, 16, 3), np.uint8))
    noise.save(jpeg := io.BytesIO(), "JPEG", quality=98)
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    ihdr = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (root / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + ihdr + struct.pack(">I", 0) + b"IDAT\x35\xaf\x06\x1e")
    (root / "text.png").write_text("these are words")
    (root / "empty.png").write_bytes(b"")
    (root / "truncated.jpg").write_bytes(jpeg.getvalue()[:-200])
    (root / "readme.md").write_text("words")
    put(root / "dot.png", size=(1, 1))
    put(root / "line.png", size=(100, 3))
    (root / "directory.png").mkdir()
    (root / "gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "pipe.png")  # opening it would wait for ever
    (root / "loop").symlink_to(root)
    data = open_source(str(root))
    assert len(data) == 1
    assert colours(data) == [(1, 2, 3)]
    found = reasons(data)
    assert "truncated" in found.pop("truncated.jpg")
    assert found == {
        "bomb.png": "refused: 60000x60000 = 3600 megapixels is over the limit of 200",
        "text.png": "is not a picture in a format that is known here",
        "empty.png": "is empty (0 bytes)",
        "readme.md": "is not an image",
        "dot.png": "is 1x1, smaller than 4x4",
        "line.png": "is 100x3, smaller than 4x4",
        "directory.png": "is a folder, though called like an image",
        "gone.png": "cannot be opened: No such file or directory",
        "pipe.png": "is not a regular file",
    }
    assert dict(data.summary())["skipped"].startswith("10 files; ")
    good.unlink()
    with pytest.raises(UserError) as refused:
        open_source(str(root))
    assert "none of its 6 images can be used" in str(refused.value)
    assert "is empty (0 bytes)" in str(refused.value)


def test_a_file_that_must_not_be_read_is_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.data import tree

    put(root / "a.png")
    put(root / "locked.png")

    def guarded(path: Path, how: str) -> io.BufferedReader:
        if path.name == "locked.png":  # chmod would not stop root
            raise PermissionError(13, "Permission denied")
        return open(path, "rb")

    monkeypatch.setattr(tree, "open", guarded, raising=False)
    assert reasons(open_source(str(root))) == {"locked.png": "cannot be opened: Permission denied"}


def test_folders_without_pictures_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set is empty; it should hold images \(\.png"):
        open_source(str(root))
    (root / "words.txt").write_text("words")
    (root / "more.txt").write_text("words")
    with pytest.raises(UserError, match=r"holds no image, only 2 other files \(first: more.txt\)"):
        open_source(str(root))
    with pytest.raises(UserError, match=r"only 2 other files"):
        open_source(str(zipped(root)))
    (tmp_path / "broken.zip").write_bytes(b"PK, but no zip")
    with pytest.raises(UserError, match="not a zip that can be read"):
        open_source(str(tmp_path / "broken.zip"))
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_classes_without_a_usable_picture_are_left_out(root: Path) -> None:
    for name in ("a", "b", "c"):
        put(root / name / "0.png", (ord(name), 0, 0))
    (root / "b" / "0.png").write_bytes(b"")
    data = open_source(str(root))
    assert data.class_names == ("a", "c")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]
    assert "no usable image in b: left out of the classes" in data.notes


def test_a_zip_is_not_trusted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.data import tree

    picture = put(tmp_path / "x.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ok.png", "../up.png", "/abs.png", "a/../../up.png"):
            archive.writestr(name, picture)
        archive.writestr("large.png", bytes(3 << 20))  # 3 kB in the archive
    monkeypatch.setattr(tree, "MAX_MEMBER", 2 << 20)
    data = open_source(str(tmp_path / "bad.zip"))
    assert len(data) == 1
    outside = "refused: its path leads out of the archive"
    assert reasons(data) == {
        "../up.png": outside,
        "/abs.png": outside,
        "a/../../up.png": outside,
        "large.png": "refused: 3 MiB unpacked is over the limit of 2",
    }
    monkeypatch.setattr(tree, "MAX_TOTAL", 10)
    with pytest.raises(UserError, match="over the limit of 0; unpack it yourself"):
        open_source(str(tmp_path / "bad.zip"))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["bad.zip", "cache", "set", "x.png"]  # nothing was extracted


def test_damage_inside_a_zip_skips_one_picture(root: Path) -> None:
    for name in ("a.png", "b.png"):
        put(root / name)
    file = zipped(root)
    data = bytearray(file.read_bytes())
    data[data.index(b"b.png") + 40] ^= 255
    file.write_bytes(data)
    assert "damaged in the archive" in reasons(open_source(str(file)))["b.png"]


SIZES = {
    "one size": ([(20, 12)] * 2, (12, 20), ""),
    "one large size": ([(1024, 768)] * 2, (96, 128), "2 images of 1024x768 are scaled to 128x96; --resolution chooses"),
    "exactly the longest": ([(100, 128)], (128, 100), ""),
    "several small sizes": ([(20, 30), (24, 22), (40, 40)], (22, 22), "3 images of 3 sizes from 24x22 to 40x40"),
    "several large sizes": ([(200, 300), (240, 220)], (64, 64), "scaled and cropped to 64x64"),
}


@pytest.mark.parametrize("case", SIZES)
def test_the_resolution_follows_from_the_pictures(case: str, root: Path) -> None:
    sizes, resolution, note = SIZES[case]
    for i, size in enumerate(sizes):
        put(root / f"{i}.png", size=size)
    data = open_source(str(root))
    assert data.facts.resolution == resolution
    assert (note in data.notes[0]) if note else data.notes == []
    asked = open_source(str(root), resolution=(17, 33))
    assert asked.facts.resolution == (17, 33)
    assert asked.fingerprint != data.fingerprint


def test_pictures_smaller_than_a_network_takes_are_refused(root: Path) -> None:
    put(root / "a.png", size=(30, 6))
    with pytest.raises(UserError, match=r"would become 30x6, .* give --resolution 8 or more"):
        open_source(str(root))
    data = open_source(str(root), resolution=(8, 8))
    assert data.facts.resolution == (8, 8)
    assert data.notes == ["1 of 1 images are enlarged to 8x8"]


RED, GLASS, CLEAR = (255, 0, 0), (0, 0, 255, 128), (9, 9, 9, 0)


def test_channels_follow_from_the_pictures(root: Path) -> None:
    put(root / "1.png", (7,), mode="L")
    assert open_source(str(root)).images.shape == (1, 16, 16, 1)
    put(root / "2.png", RED)
    data = open_source(str(root))
    assert colours(data) == [(7, 7, 7), (255, 0, 0)]
    assert data.notes == ["1 of 2 images are grey and become RGB"]
    put(root / "3.png", GLASS, mode="RGBA")
    data = open_source(str(root))
    assert colours(data)[2] == (127, 127, 255)  # on white
    assert "1 of 3 images are transparent and are laid on white" in data.notes
    put(root / "4.png", CLEAR, mode="RGBA")
    data = open_source(str(root))
    assert colours(data) == [(7, 7, 7, 255), (255, 0, 0, 255), GLASS, (255, 255, 255, 0)]
    assert "2 of 4 images are opaque and become RGBA" in data.notes


def test_alpha_that_is_not_used_is_no_transparency(root: Path) -> None:
    put(root / "1.png", (1, 2, 3, 255), mode="RGBA")
    assert open_source(str(root)).facts.channels == 3
    put(root / "1.png", (1, 255), mode="LA")
    data = open_source(str(root))
    assert data.facts.channels == 1
    assert colours(data) == [(1,)]


def test_sixteen_bits_are_kept_if_all_have_them(root: Path) -> None:
    for i, level in enumerate((0x0102, 65535)):
        Image.fromarray(np.full((16, 16), level, np.uint16)).save(root / f"{i}.png")
    data = open_source(str(root))
    assert data.images.dtype == np.uint16
    assert colours(data) == [(0x0102,), (65535,)]
    assert dict(data.summary())["channels"] == "grey, 16 bits"
    put(root / "2.png", (7,), mode="L")
    data = open_source(str(root))
    assert colours(data) == [(1,), (255,), (7,)]
    assert data.notes == ["2 of 3 images have 16 bits and are reduced to 8"]


def test_conversions_are_counted(root: Path) -> None:
    for i in range(2):
        put(root / f"{i}.tif", (255, 0, 0, 0), mode="CMYK")
    data = open_source(str(root))
    assert colours(data) == [(0, 255, 255)] * 2
    assert data.notes == ["2 images: CMYK is converted to RGB"]


def test_exif_orientation_decides_the_size(root: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (32, 16)).save(root / "a.png", exif=exif)
    put(root / "b.png", size=(16, 32))
    assert open_source(str(root)).facts.resolution == (32, 16)


def test_a_truncated_picture_is_noticed_though_its_header_is_fine(root: Path) -> None:
    """Headers are read first; what fails only when decoded must not leave a hole or another picture's label."""
    for name in ("a", "b", "c"):
        put(root / name / "0.png", (ord(name), 0, 0))
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (16, 16, 3), np.uint8))
    noise.save(out := io.BytesIO(), "PNG")
    (root / "b" / "1.png").write_bytes(out.getvalue()[:500])
    data = open_source(str(root))
    assert [c[0] for c in colours(data)] == [ord(c) for c in "abc"]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2]
    assert list(reasons(data)) == ["b/1.png"]


def test_a_single_picture_is_not_a_data_set(root: Path) -> None:
    with pytest.raises(UsageError, match="no data source; --data takes digits"):
        open_source(str(put(root / "a.png")))


def test_suffixes_are_those_that_can_be_read(root: Path) -> None:
    written = 0
    for suffix in SUFFIXES:
        try:
            put(root / f"a{suffix}")
            written += 1
        except (ValueError, KeyError, OSError):  # this Pillow cannot write it
            (root / f"a{suffix}").unlink(missing_ok=True)
    data = open_source(str(root))
    assert len(data) == written > 10
