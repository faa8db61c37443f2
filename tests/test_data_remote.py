"""Data at addresses: fetched once into the cache, tar shards one by one; what a storage answers is a sentence."""

import http.server
import io
import shutil
import sys
import tarfile
import threading
import time
import zipfile

import fsspec
import numpy as np
import pytest
from fsspec.registry import _registry as opened
from PIL import Image

from ganvas.data import fetched, open_source, order, shard_index
from ganvas.data.batches import Batches
from ganvas.data.sources import absolute_source
from ganvas.errors import UserError

pytestmark = pytest.mark.slow  # run by make test-reach

PIXELS = np.random.RandomState(0).randint(0, 256, (12, 9, 8, 3), np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar_of(numbers):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for k in numbers:
            info = tarfile.TarInfo(f"{k:03d}.png")
            info.size = len(content := png(PIXELS[k]))
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """Storage in memory with folders of images, pairs and shards; the calls that read files are counted."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for k in range(4):
        system.pipe_file(f"/bucket/pics/{'ab'[k % 2]}/{k}.png", png(PIXELS[k]))
        system.pipe_file(f"/bucket/pairs/a/{k}.png", png(PIXELS[k]))
        system.pipe_file(f"/bucket/pairs/b/{k}.png", png(PIXELS[k + 4]))
    for k in range(4):
        system.pipe_file(f"/bucket/shards/{k:02d}.tar", tar_of(range(3 * k, 3 * k + 3)))
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    calls, get = [], type(system).get_file

    def count(self, path, *rest, **options):
        calls.append(path)
        return get(self, path, *rest, **options)

    monkeypatch.setattr(type(system), "get_file", count)
    yield system, calls
    system.store.clear()


def test_a_folder_is_fetched_once_and_again_when_it_has_changed(memory, tmp_path):
    system, calls = memory
    data = open_source("memory://bucket/pics")
    assert (len(data), data.class_names, len(calls)) == (4, ("a", "b"), 4)
    assert open_source("memory://bucket/pics/").fingerprint == data.fingerprint
    assert len(calls) == 4
    system.pipe_file("/bucket/pics/a/0.png", png(PIXELS[9])[:-1] + b"\x82")
    time.sleep(0.01)
    assert open_source("memory://bucket/pics").fingerprint != data.fingerprint
    assert len(calls) == 8
    system.pipe_file("/bucket/pics/../../evil.png", png(PIXELS[0]))
    open_source("memory://bucket/pics")
    assert not list(tmp_path.rglob("evil.png"))


def test_every_source_of_files_may_be_an_address(memory):
    system, _ = memory
    pairs = open_source("source=memory://bucket/pairs/a,target=memory://bucket/pairs/b")
    assert (len(pairs), pairs.paired) == (4, True)
    assert len(open_source("edges:memory://bucket/pics")) == 4
    with system.open("/bucket/x.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0.png", png(PIXELS[0]))
    assert len(open_source("memory://bucket/x.zip")) == 1
    assert len(open_source("memory://bucket/x.zip", patch=8)) == 2  # 9x8 pixels: rows 0 to 7 and 1 to 8
    assert absolute_source("edges:memory://bucket/pics") == "edges:memory://bucket/pics"
    assert absolute_source("hf:user/set:test") == "hf:user/set:test"


def test_shards_are_fetched_one_by_one_and_the_cache_stays_small(memory, monkeypatch, tmp_path):
    _, calls = memory
    name = "memory://bucket/shards/{00..03}.tar"
    data = open_source(name)
    assert np.array_equal(data.images, PIXELS)
    assert len(calls) == 4
    open_source(name)
    assert len(calls) == 4
    monkeypatch.setenv("GANVAS_CACHE_GB", "0")
    monkeypatch.setattr(order, "BUFFER", 3)
    monkeypatch.setattr(shard_index, "BUFFER", 3)
    streaming = open_source(name)
    assert streaming.images.read.shards.least == 3
    shutil.rmtree(tmp_path / "cache" / "shards")
    calls.clear()
    epochs = Batches(streaming, seed=1)
    seen = np.concatenate([epochs.at(3 * k, 3)["index"] for k in range(4)])
    assert sorted(seen) == list(range(12))
    assert len(calls) <= 4
    assert len(list(streaming.images.read.shards.folder.glob("*.tar"))) == 3
    assert np.array_equal(streaming.images[:], PIXELS)


def test_what_was_fetched_serves_while_the_storage_is_silent(memory, monkeypatch):
    system, _ = memory
    data = open_source("memory://bucket/pics")

    def fail(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(type(system), "info", fail)
    again = open_source("memory://bucket/pics")
    assert again.fingerprint == data.fingerprint
    assert "does not answer" in again.notes[0]
    with pytest.raises(UserError, match="memory://bucket/pairs/a does not answer"):
        open_source("memory://bucket/pairs/a")


def test_what_is_not_there_or_does_not_fit_is_said(memory, monkeypatch):
    for name in ("memory://bucket/none", "memory://bucket/{0..1}.tar"):
        with pytest.raises(UserError, match="does not exist"):
            open_source(name)
    monkeypatch.setattr(fetched.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(UserError, match=r"more than is free in .*GANVAS_CACHE"):
        open_source("memory://bucket/pics")


def test_without_the_package_it_is_a_sentence(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"gs:// needs a package that is not installed: pip install gcsfs"):
        open_source("gs://bucket/pics")
    assert time.perf_counter() - start < 1
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(opened, "s3", raising=False)  # where an earlier test has opened a bucket
    with pytest.raises(UserError, match=r"pip install 'ganvas\[remote\]'"):
        open_source("s3://bucket/pics")


@pytest.fixture
def site(tmp_path):
    """The address of a web server with a zip and a shard."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("0.png", png(PIXELS[0]))
    (tmp_path / "a.tar").write_bytes(tar_of(range(3)))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http(site, tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    assert np.array_equal(open_source(f"{site}/x.zip").images, PIXELS[:1])
    assert np.array_equal(open_source(f"{site}/a.tar").images, PIXELS[:3])
    with pytest.raises(UserError, match=r"none\.zip does not exist"):
        open_source(f"{site}/none.zip")
    start = time.perf_counter()
    with pytest.raises(UserError, match="does not answer"):
        open_source("http://127.0.0.1:9/x.zip")
    assert time.perf_counter() - start < 10


@pytest.mark.slow
def test_s3(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    import s3fs

    system = s3fs.S3FileSystem(skip_instance_cache=True)
    for k in range(3):
        system.pipe_file(f"bucket/pics/{k}.png", png(PIXELS[k]))
        system.pipe_file(f"bucket/shards/{k}.tar", tar_of([k]))
    assert np.array_equal(open_source("s3://bucket/pics").images, PIXELS[:3])
    monkeypatch.setenv("GANVAS_CACHE_GB", "0")
    streaming = open_source("s3://bucket/shards/{0..2}.tar")
    for workers in (0, 2):
        batches = Batches(streaming, seed=0, workers=workers)
        assert sorted(next(iter(batches.stream([0], 3)))["index"].tolist()) == [0, 1, 2]
        batches.close()
    with pytest.raises(UserError, match="none/x does not exist"):
        open_source("s3://none/x")
