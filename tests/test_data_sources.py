"""Named sources, IDX and array files, and what a wrong --data or --resolution is told."""

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganvas.catalog import SOURCES
from ganvas.data import BUILT_IN, Dataset, open_source, parse_resolution
from ganvas.data.builtin import read_photographs
from ganvas.data.toy import modes
from ganvas.errors import UsageError, UserError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


def test_digits_are_the_real_ones() -> None:
    from sklearn.datasets import load_digits

    truth = load_digits()
    data = open_source("digits", resolution=(8, 8))
    assert data.images.dtype == np.uint8
    np.testing.assert_allclose(data.images[..., 0], truth.images * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(data.labels, truth.target)
    assert data.class_names == tuple("0123456789")
    large = open_source("digits")
    assert large.images.shape == (1797, 32, 32, 1)
    back = large.images.reshape(-1, 8, 4, 8, 4).mean((2, 4))
    assert np.corrcoef(back.ravel(), truth.images.ravel())[0, 1] > 0.98
    assert open_source("digits", resolution=(16, 24)).images.shape == (1797, 16, 24, 1)
    assert large.fingerprint != data.fingerprint == open_source("digits", resolution=(8, 8)).fingerprint


def test_photos_are_tiles_of_photographs() -> None:
    images = dict(read_photographs())
    assert {"china", "flower", "astronaut", "coffee"} <= set(images)
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in images.values())
    data = open_source("photos", resolution=(64, 64))
    assert len(data) > 2000
    assert data.facts == open_source("photos").facts
    assert data.images.std((1, 2, 3)).min() > 1
    first = data.images[0]
    assert any((p[:64, :64] == first).all() for p in images.values())  # native pixels, in RGB order
    assert open_source("photos", resolution=(40, 100)).images.shape[1:] == (40, 100, 3)
    with pytest.raises(UserError, match="embedded photographs is as large as 4096x4096; give a smaller --resolution"):
        open_source("photos", resolution=(4096, 4096))


def test_missing_photographs_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.data import builtin as embedded

    somewhere = {("sklearn", "datasets/images"): ("china.jpg", "gone.jpg"), ("nowhere_at_all", "data"): ("x.png",)}
    monkeypatch.setattr(embedded, "PHOTOGRAPHS", somewhere)
    assert [name for name, _ in read_photographs()] == ["china"]


@pytest.mark.parametrize(("name", "count"), [("ring", 8), ("grid", 25)])
def test_points_lie_around_their_modes(name: str, count: int) -> None:
    data = open_source(name)
    assert data.images.dtype == np.float32
    assert data.images.shape == (50_000, 1, 1, 2)
    assert (data.facts.kind, data.facts.channels, data.facts.classes) == ("points", 2, count)
    centres, sigma = modes(name)
    assert centres.shape == (count, 2)
    points = data.images.reshape(-1, 2)
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_array_equal(nearest, data.labels)
    np.testing.assert_array_equal(np.bincount(nearest), 50_000 // count)
    np.testing.assert_allclose((points - centres[nearest]).std(), sigma, rtol=0.02)
    assert abs(points).max() <= 1
    assert dict(data.summary())["points"] == "50,000 in 2 dimensions"
    assert open_source(name).fingerprint == data.fingerprint


def test_modes_are_the_published_ones_scaled() -> None:
    ring, sigma = modes("ring")
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1) / sigma, 2 / 0.02)
    np.testing.assert_allclose(np.linalg.norm(ring - np.roll(ring, 1, 0), axis=1), 0.8 * np.sqrt(2 - np.sqrt(2)))
    grid, sigma = modes("grid")
    assert sorted(np.unique((grid / sigma * 0.05).round(6))) == [-4, -2, 0, 2, 4]
    with pytest.raises(UsageError, match="ring, grid, gaussians do"):
        modes("swissroll")


def test_the_swiss_roll_is_a_spiral() -> None:
    points = open_source("swissroll").images.reshape(-1, 2) * 15
    radius, angle = np.linalg.norm(points, axis=1), np.arctan2(points[:, 1], points[:, 0])
    off = (radius - angle + np.pi) % (2 * np.pi) - np.pi  # on the spiral radius = angle, up to whole turns
    assert abs(off).max() < 0.7
    assert 1.5 * np.pi - 0.6 < radius.min() < radius.max() < 4.5 * np.pi + 0.6


def test_the_line_and_the_gaussians_lie_where_their_page_says() -> None:
    x, y = open_source("line").images.reshape(-1, 2).T
    assert abs(x.min() + 0.7) < 0.1
    assert abs(x.max() - 0.7) < 0.1
    assert (x - y).std() == pytest.approx(0.02 * np.sqrt(2), rel=0.02)
    data = open_source("gaussians")
    centres, sigma = modes("gaussians")
    for k, centre in enumerate(centres):
        points = data.images.reshape(-1, 2)[data.labels == k]
        np.testing.assert_allclose(points.mean(0), centre, atol=0.005)
        np.testing.assert_allclose(points.std(0), sigma, rtol=0.03)


@pytest.mark.parametrize("name", ["ring", "grid", "gaussians", "swissroll", "line"])
def test_points_have_no_resolution(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is points .* no --resolution"):
        open_source(name, resolution=(64, 64))


@pytest.mark.parametrize(
    ("given", "size"), [("64", (64, 64)), ("64x48", (48, 64)), (" 8X9 ", (9, 8)), (32, (32, 32)), ((16, 24), (16, 24))]
)
def test_resolutions_are_width_by_height_in_text(given: str | int | tuple[int, int], size: tuple[int, int]) -> None:
    assert parse_resolution(given) == size


@pytest.mark.parametrize("given", ["7", "64x7", 7, (7, 64), "4097", "0", "wide", "64x", "6.4", "-8", ""])
def test_wrong_resolutions_are_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--resolution"):
        parse_resolution(given)
    if isinstance(given, tuple):
        with pytest.raises(UsageError, match="64x7: each side must be from 8 to 4096"):
            open_source("digits", resolution=given)


def test_what_is_no_source_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no data source, folder or file 'digit'. Did you mean 'digits'\?"):
        open_source("digit")
    for name in ("", "no/such/folder", "a=x,b=y"):
        with pytest.raises(UsageError, match="digits, photos, ring, .* swissroll, line, a folder of images, a zip"):
            open_source(name)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(UsageError, match="not a data source; --data takes"):
        open_source(str(tmp_path / "x.bin"))


def test_every_source_says_what_it_is() -> None:
    assert list(BUILT_IN) == ["digits", "photos", "ring", "grid", "gaussians", "swissroll", "line"]
    assert all(s and "\n" not in s for s in SOURCES.values())


def test_importing_the_data_layer_imports_nothing_heavy() -> None:
    heavy = ("torch", "kornia", "sklearn", "skimage", "scipy")
    code = f"import sys, ganvas.data; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


PIXELS = np.random.RandomState(0).randint(0, 256, (6, 9, 10), np.uint8)


def write_idx(
    folder: Path, pile: str, array: np.ndarray, suffix: str = "", shape: tuple[int, ...] | None = None
) -> Path:
    what = "labels-idx1" if array.ndim == 1 else "images-idx3"
    shape = shape or array.shape
    data = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()
    file = folder / f"{pile}{what}-ubyte{suffix}"
    file.write_bytes(gzip.compress(data) if suffix else data)
    return file


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_of_mnist(suffix: str, tmp_path: Path) -> None:
    labels = np.array([3, 1, 0, 2, 3, 1], np.uint8)
    images = write_idx(tmp_path, "train-", PIXELS, suffix)
    write_idx(tmp_path, "train-", labels, "" if suffix else ".gz")  # labels may be packed otherwise
    data = open_source(str(images))
    np.testing.assert_array_equal(data.images[..., 0], PIXELS)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.class_names == ("0", "1", "2", "3")
    assert (data.facts.resolution, data.facts.channels, data.notes) == ((9, 10), 1, [])
    test = write_idx(tmp_path, "t10k-", PIXELS[:2], suffix)
    data = open_source(str(tmp_path))
    assert len(data) == 6
    assert data.notes == [f"train-images-idx3-ubyte{suffix} is used; to use {test.name} instead, give its path"]
    data = open_source(str(test), resolution=(12, 12))
    assert data.images.shape == (2, 12, 12, 1)
    assert data.labels is None
    assert f"no labels: there is no t10k-labels-idx1-ubyte{suffix}" in data.notes


def test_idx_files_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    def refused(sentence: str, file: Path = tmp_path / "images-idx3-ubyte") -> None:
        with pytest.raises(UserError, match=sentence):
            open_source(str(file))

    write_idx(tmp_path, "", PIXELS, shape=(7, 9, 10))
    refused("promises 7 images of 10x9, and the data ends after 6")
    write_idx(tmp_path, "", PIXELS, shape=(5, 9, 10))
    refused("promises 5 images of 10x9, and more data follows")
    write_idx(tmp_path, "", PIXELS, shape=(6, 2**31, 2**31))
    refused("makes no sense")
    file = write_idx(tmp_path, "", PIXELS)
    write_idx(tmp_path, "", np.zeros(5, np.uint8))
    refused("declares 5 labels and images-idx3-ubyte holds 6 images")
    file.write_bytes(b"\x89PNG")
    refused("not an IDX file of bytes in 3 dimensions: it begins with 89 50 4e 47, not 00 00 08 03")
    packed = write_idx(tmp_path, "x-", PIXELS, ".gz")
    packed.write_bytes(packed.read_bytes()[:-30])
    refused("cannot be read", packed)
    packed.write_bytes(b"not gzipped")
    refused("cannot be read", packed)
    with pytest.raises(UsageError, match="several sets of IDX images"):
        open_source(str(tmp_path))
    assert not list((tmp_path / "cache").rglob("*.npy"))


RGB = np.random.RandomState(1).randint(0, 256, (4, 9, 10, 3), np.uint8)
DEEP = np.array([0, 1, 65535], np.uint16).repeat(90).reshape(3, 9, 10)
ARRAYS: dict[str, tuple[np.ndarray, np.ndarray, str]] = {
    "NHWC": (RGB, RGB, ""),
    "NCHW": (RGB.transpose(0, 3, 1, 2), RGB, "read as (N, C, H, W)"),
    "NHW": (RGB[..., 0], RGB[..., :1], ""),
    "16 bits": (DEEP, DEEP[..., None], ""),
    "0 to 1": ((RGB / 255).astype(np.float32), RGB, "numbers from 0 to 1 are read as [0, 1] and kept with 8 bits"),
    "-1 to 1": (RGB / 127.5 - 1, RGB, "numbers from -1 to 1 are read as [-1, 1] and kept with 8 bits"),
    "float levels": (RGB.astype(np.float64), RGB, "levels from 0 to 255"),
    "integers": (RGB.astype(np.int64), RGB, "levels from 0 to 255"),
    "yes and no": (RGB > 127, np.where(RGB > 127, 255, 0), "[0, 1]"),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("save", [np.save, lambda f, a: np.savez_compressed(f, images=a)], ids=["npy", "npz"])
def test_arrays(kind: str, save: Callable[[Path, np.ndarray], None], tmp_path: Path) -> None:
    array, pixels, note = ARRAYS[kind]
    file = tmp_path / ("x.npy" if save is np.save else "x.npz")
    save(file, array)
    data = open_source(str(file))
    np.testing.assert_array_equal(data.images, pixels)
    assert data.images.dtype == (np.uint16 if kind == "16 bits" else np.uint8)
    assert note in "".join(data.notes)
    assert bool(data.notes) == bool(note)


def test_archives_with_labels(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, x=RGB, y=np.array([5, 7, 5, -1]))
    data = open_source(str(file))
    assert data.class_names == ("5", "7")
    np.testing.assert_array_equal(data.labels, [0, 1, 0, -1])
    np.savez(file, arr_0=RGB, labels=np.array(["b", "a", "b", "b"]))
    data = open_source(str(file), resolution=(18, 20))
    assert data.class_names == ("a", "b")
    np.testing.assert_array_equal(data.labels, [1, 0, 1, 1])
    assert data.images.shape == (4, 18, 20, 3)


WRONG_ARRAYS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "objects": ({"images": np.array([{}, {}])}, "cannot be read as an array of numbers: it holds Python objects"),
    "wrong shape": ({"images": np.zeros((3, 66, 67, 65), np.uint8)}, "shape (3, 66, 67, 65); images are"),
    "nothing": ({"images": np.zeros((0, 9, 9))}, "shape (0, 9, 9)"),
    "wrong range": ({"images": np.full((3, 9, 9), 300.0)}, "float64 from 300 to 300; images are uint8"),
    "not numbers": ({"images": np.full((3, 9, 9), np.nan)}, "float64 from nan to nan"),
    "words": ({"images": np.full((3, 9, 9), "a")}, "<U1; images are"),
    "another name": ({"weights": RGB}, "holds weights; the images should be called 'images'"),
    "other labels": ({"images": RGB, "labels": np.zeros(3, int)}, "labels of shape (3,) and type int64 for 4 images"),
    "too small": ({"images": RGB[:, :5]}, "would become 10x5"),
    "points far out": ({"points": np.array([[0.0, 0.5], [1.5, 0.0]])}, "as far out as 1.5; points are floats"),
    "points that are not numbers": ({"points": np.full((4, 2), np.nan)}, "4 points of float64; points are floats"),
    "whole points": ({"points": np.zeros((4, 2), int)}, "4 points of int64; points are floats"),
    "no points": ({"points": np.zeros((0, 2))}, "0 points of float64; points are floats"),
    "points that are objects": ({"points": np.array([[{}, 0]])}, "it holds Python objects"),
}


@pytest.mark.parametrize("kind", WRONG_ARRAYS)
def test_arrays_that_are_no_images_are_refused(kind: str, tmp_path: Path) -> None:
    arrays, sentence = WRONG_ARRAYS[kind]
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError) as refused:
        open_source(str(tmp_path / "x.npz"))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("save", [np.save, lambda f, a: np.savez_compressed(f, points=a)], ids=["npy", "npz"])
def test_points_of_a_file(save: Callable[[Path, np.ndarray], None], tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    file = tmp_path / ("x.npy" if save is np.save else "x.npz")
    save(file, points)
    data = open_source(str(file))
    np.testing.assert_array_equal(data.images.reshape(-1, 2), points)
    assert data.facts.kind == "points"
    assert (data.fingerprint, data.name) == (Dataset(points).fingerprint, str(file))
    save(file, points.astype(np.float64))
    assert open_source(str(file)).fingerprint == data.fingerprint
    for name, size in ((str(file), (16, 16)), (f"levels:0:1:{file}", None)):
        with pytest.raises(UsageError, match="points in the plane, which have no levels and no --resolution"):
            open_source(name, resolution=size)


def test_points_with_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", points=np.zeros((3, 2)), labels=np.array(["b", "a", "b"]))
    data = open_source(str(tmp_path / "x.npz"))
    assert data.class_names == ("a", "b")
    np.testing.assert_array_equal(data.labels, [1, 0, 1])


def test_damaged_arrays_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=RGB)
    np.save(tmp_path / "x.npy", RGB)
    for name in ("x.npz", "x.npy"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(UserError, match="cannot be read as an array"):
            open_source(str(file))


def test_a_subset_keeps_what_belongs_together() -> None:
    labels = np.array([0, 1, 0, 1], np.int64)
    data = Dataset(RGB, labels, ("a", "b"), list("wxyz"), "name")
    part = data.subset([2, 0])
    np.testing.assert_array_equal(part.images, RGB[[2, 0]])
    np.testing.assert_array_equal(part.labels, [0, 0])
    assert part.captions == ["y", "w"]
    assert part.facts == data.facts
    assert len({data.fingerprint, part.fingerprint, data.subset([0, 2]).fingerprint}) == 3
    assert np.shares_memory(data.subset(range(1, 4)).images, RGB)
    for wrong in ([], [4], [-1]):
        with pytest.raises(IndexError):
            data.subset(wrong)


def test_long_lists_are_shortened_in_a_summary() -> None:
    labels = np.arange(20, dtype=np.int64)
    skipped = [(f"{i}.png", "is empty (0 bytes)") for i in range(3)] + [("x.txt", "is not an image")]
    data = Dataset(np.zeros((20, 8, 8, 4), np.uint8), labels, tuple(f"c{i}" for i in range(20)), skipped=skipped)
    rows = dict(data.summary())
    assert rows["classes"].endswith("c11 1, and 8 more")
    assert rows["channels"] == "RGBA, 8 bits"
    assert rows["skipped"] == "4 files; is empty (0 bytes): 3 (0.png, ...); is not an image: 1 (x.txt)"


@pytest.mark.slow
@pytest.mark.shared_data
def test_real_data(shared_data: Path) -> None:
    mnist = open_source(str(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz"))
    assert (len(mnist), mnist.facts.resolution, mnist.facts.classes) == (10_000, (28, 28), 10)
    np.testing.assert_allclose(mnist.images.mean(), 33.8, atol=0.3)  # the published mean of the test set is 0.1325
    faces = open_source(str(shared_data / "faces.zip"))
    assert (len(faces), faces.facts.resolution, faces.facts.channels, faces.facts.classes) == (400, (112, 92), 1, 40)
    emoji = open_source(str(shared_data / "emoji.zip"))
    assert (len(emoji), emoji.facts.channels, len(emoji.captions or [])) == (3545, 4, 3545)
