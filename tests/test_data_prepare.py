"""The cache of prepared images: decoded once, found again, never half, never large in memory."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data import folder as folder_module
from ganvas.data import open_source
from ganvas.data.cache import ArrayWriter, cache_folder, load_cached, map_in_order
from ganvas.errors import UserError

COUNT = 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.RandomState(0)
    for i in range(COUNT):
        file = tmp_path / "set" / f"class{i % 2}" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 256, (12, 10, 3), np.uint8)).save(file)
    return tmp_path / "set"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image that is decoded."""
    calls: list[int] = []
    real = folder_module.read_image
    monkeypatch.setattr(folder_module, "read_image", lambda stream, **more: calls.append(1) or real(stream, **more))
    return calls


def keys(cache: Path) -> list[str]:
    return sorted(f.name for f in cache.iterdir())


def test_the_second_time_nothing_is_decoded(root: Path, cache: Path, decoded: list[int]) -> None:
    steps: list[tuple[int, int]] = []
    first = open_source(str(root), progress=lambda done, total: steps.append((done, total)))
    assert len(decoded) == COUNT
    assert steps == [(i + 1, COUNT) for i in range(COUNT)]
    second = open_source(str(root))
    assert len(decoded) == COUNT
    assert keys(cache) == [first.fingerprint]
    assert sorted(os.listdir(cache / first.fingerprint)) == ["images.npy", "labels.npy", "meta.json"]
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.facts, first.summary(), first.name) == (second.facts, second.summary(), second.name)
    names = sorted(root.rglob("*.png"), key=lambda f: str(f.relative_to(root)))
    np.testing.assert_array_equal(second.images, [np.asarray(Image.open(f)) for f in names])


def test_whatever_changes_the_data_changes_the_key(root: Path, cache: Path, decoded: list[int]) -> None:
    seen = {open_source(str(root)).fingerprint}

    def new() -> bool:
        before = len(seen)
        seen.add(open_source(str(root)).fingerprint)
        return len(seen) == before + 1

    file = root / "class0" / "0.png"
    stamp = file.stat()
    content = np.asarray(Image.open(file)).copy()
    content[0, 0] ^= 1
    Image.fromarray(content).save(file)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the content counts, not the clock
    assert new(), "a pixel"
    file.rename(root / "class1" / "0.png")
    assert new(), "a label"
    (root / "class1" / "0.png").unlink()
    assert new(), "an image less"
    (root / "metadata.csv").write_text("file_name,text\nclass0/2.png,a caption\n")
    assert new(), "a caption"
    assert not new(), "nothing"
    assert open_source(str(root), resolution=(8, 8)).fingerprint not in seen
    touched = len(decoded)
    os.utime(root / "class0" / "2.png")
    assert not new(), "the clock"
    assert len(decoded) == touched


KILL = """
import os, sys
from ganvas.data import open_source
open_source(sys.argv[1], progress=lambda done, total: os._exit(9) if done == total // 2 else None)
"""


def test_killed_half_way_is_not_taken_for_good(root: Path, cache: Path, decoded: list[int]) -> None:
    assert subprocess.run([sys.executable, "-c", KILL, str(root)], check=False).returncode == 9
    (left,) = keys(cache)
    assert left.startswith(".")
    data = open_source(str(root))
    assert len(decoded) == COUNT
    assert len(data) == COUNT
    assert keys(cache) == [data.fingerprint]  # and what was left is gone


def test_another_process_at_work_is_left_alone(root: Path, cache: Path) -> None:
    from platform import node

    theirs = cache / f".0123.{node()}.{os.getppid()}"
    theirs.mkdir(parents=True)
    abandoned = cache / ".0123.another.host.17"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    data = open_source(str(root))
    assert keys(cache) == [theirs.name, data.fingerprint]


def test_an_interruption_leaves_nothing(root: Path, cache: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_source(str(root), progress=stop)
    assert keys(cache) == []


def rewrite(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


DAMAGES = {
    "cut short": lambda f: os.truncate(f / "images.npy", 2000),
    "too long": lambda f: (f / "images.npy").open("ab").write(b"more"),
    "gone": lambda f: (f / "images.npy").unlink(),
    "another shape": lambda f: np.save(f / "images.npy", np.zeros((COUNT, 2, 2, 3), np.uint8)),
    "no meta": lambda f: (f / "meta.json").write_text('{"format": 1}'),
    "no JSON": lambda f: (f / "meta.json").write_text("\0" * 50),
    "an older format": lambda f: rewrite(f / "meta.json", '"format": 2', '"format": 1'),
    "other labels": lambda f: np.save(f / "labels.npy", np.zeros(3, np.int64)),
    "pickled labels": lambda f: np.save(f / "labels.npy", np.array([{}] * COUNT), allow_pickle=True),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_built_again(damage: str, root: Path, cache: Path, decoded: list[int]) -> None:
    good = np.array(open_source(str(root)).images)
    (key,) = keys(cache)
    DAMAGES[damage](cache / key)
    assert load_cached(cache / key) is None
    data = open_source(str(root))
    assert len(decoded) == 2 * COUNT
    np.testing.assert_array_equal(data.images, good)
    assert keys(cache) == [key]


def test_a_full_disk_is_said_and_cleaned_up(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(rows: ArrayWriter, image: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArrayWriter, "append", full)
    with pytest.raises(UserError, match=f"The disk is full: prepared data is kept in {cache}.* GANVAS_CACHE"):
        open_source(str(root))
    assert keys(cache) == []


def test_a_cache_that_cannot_be_written_is_said(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be kept in .*file/data: Not a directory.* GANVAS_CACHE"):
        open_source(str(root), cache=tmp_path / "file")


def test_the_cache_is_where_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", "/from/the/environment")
    assert cache_folder(tmp_path) == tmp_path / "data"
    assert cache_folder() == Path("/from/the/environment/data")
    monkeypatch.delenv("GANVAS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ganvas" / "data"


def test_rows_know_their_number_only_at_the_end(tmp_path: Path) -> None:
    for count in (1, 9, 12345):
        with ArrayWriter(tmp_path / "rows.npy", (2, 1, 1), np.uint16) as rows:
            for i in range(count):
                rows.append(np.full((2, 1, 1), i, np.uint16))
        array = np.load(tmp_path / "rows.npy", mmap_mode="r")
        np.testing.assert_array_equal(array[:, 1, 0, 0], np.arange(count))
        assert array.shape == (count, 2, 1, 1)


def test_threads_keep_the_order_and_do_not_run_ahead() -> None:
    import time

    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        time.sleep(0.002 if i % 3 else 0.004)
        return i

    taken = 0
    for result in map_in_order(work, range(100), ahead=8):
        assert result == taken
        taken += 1
        assert len(begun) <= taken + 8
    assert taken == 100


MEMORY = """
import sys
from ganvas.data import open_source
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
peak = []
data = open_source(sys.argv[1], resolution=(128, 128), progress=lambda done, total: peak.append(anonymous()))
assert data.images.shape[1:] == (128, 128, 3)
sys.stdout.write(str(max(peak)))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, cache: Path) -> None:
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (160, 160, 3), np.uint8))
    peaks = []
    for count in (80, 480):
        folder = tmp_path / str(count)
        folder.mkdir()
        noise.save(folder / "0.bmp")
        for i in range(1, count):
            os.link(folder / "0.bmp", folder / f"{i}.bmp")
        run = subprocess.run([sys.executable, "-c", MEMORY, str(folder)], check=True, capture_output=True, text=True)
        peaks.append(int(run.stdout) * 1024)
    assert peaks[1] - peaks[0] < 0.3 * 400 * 128 * 128 * 3, peaks
