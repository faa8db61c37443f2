"""Which files are usable, and what size, depth and channels images of different kinds are brought to."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data import Dataset, open_source
from ganvas.errors import UsageError, UserError
from ganvas.imaging.decode import SUFFIXES

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
    assert colours(data) == [(201, 2, 3)]
    found = reasons(data)
    assert "truncated" in found.pop("truncated.jpg")
    assert found == {
        "bomb.png": "refused: 60000x60000 = 3600 megapixels is over the limit of 200; GANVAS_MAX_PIXELS raises it",
        "text.png": "is not an image of a supported format",
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
    from ganvas.data import files as tree

    put(root / "a.png")
    put(root / "locked.png")

    def guarded(path: Path, how: str) -> io.BufferedReader:
        if path.name == "locked.png":  # chmod would not stop root
            raise PermissionError(13, "Permission denied")
        return open(path, "rb")

    monkeypatch.setattr(tree, "open", guarded, raising=False)
    assert reasons(open_source(str(root))) == {"locked.png": "cannot be opened: Permission denied"}


def test_folders_without_images_are_refused(root: Path, tmp_path: Path) -> None:
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


def test_classes_without_a_usable_image_are_left_out(root: Path) -> None:
    for name in ("a", "b", "c"):
        put(root / name / "0.png", (ord(name), 0, 0))
    (root / "b" / "0.png").write_bytes(b"")
    data = open_source(str(root))
    assert data.class_names == ("a", "c")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]
    assert "no usable image in b: left out of the classes" in data.notes


def test_a_zip_is_not_trusted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.data import files as tree

    image = put(tmp_path / "x.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ok.png", "../up.png", "/abs.png", "a/../../up.png"):
            archive.writestr(name, image)
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


def test_damage_inside_a_zip_skips_one_image(root: Path) -> None:
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
def test_the_resolution_follows_from_the_images(case: str, root: Path) -> None:
    sizes, resolution, note = SIZES[case]
    for i, size in enumerate(sizes):
        put(root / f"{i}.png", size=size)
    data = open_source(str(root))
    assert data.facts.resolution == resolution
    assert (note in data.notes[0]) if note else data.notes == []
    asked = open_source(str(root), resolution=(17, 33))
    assert asked.facts.resolution == (17, 33)
    assert asked.fingerprint != data.fingerprint


def test_images_smaller_than_a_network_takes_are_refused(root: Path) -> None:
    put(root / "a.png", size=(30, 6))
    with pytest.raises(UserError, match=r"would become 30x6, .* give --resolution 8 or more"):
        open_source(str(root))
    data = open_source(str(root), resolution=(8, 8))
    assert data.facts.resolution == (8, 8)
    assert data.notes == ["1 of 1 images are enlarged to 8x8"]


RED, GLASS, CLEAR = (255, 0, 0), (0, 0, 255, 128), (9, 9, 9, 0)


def test_channels_follow_from_the_images(root: Path) -> None:
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


def test_a_truncated_image_is_noticed_though_its_header_is_fine(root: Path) -> None:
    """Headers are read first; what fails only when decoded must not leave a hole or another image's label."""
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


def test_a_single_image_is_not_a_data_set(root: Path) -> None:
    with pytest.raises(UsageError, match="not a data source; --data takes digits"):
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
