"""Tar shards: samples, labels, splits, damage; the same order and images from the cache and streamed; exact resume."""

import io
import itertools
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data import open_source, order
from ganvas.data.batches import Batches
from ganvas.data.order import Order
from ganvas.data.shards import choose_split, expand_braces
from ganvas.data.streamed import Streamed
from ganvas.errors import UserError
from ganvas.run import weights_hash
from ganvas.training.recorder import Snapshot

PIXELS = np.random.RandomState(0).randint(0, 256, (30, 9, 8, 3), np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(file, members):
    """A tar of members by name, as the tools of WebDataset write it."""
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def sample(k, **more):
    return {f"d/{k:04d}.png": png(PIXELS[k]), **{f"d/{k:04d}.{kind}": text.encode() for kind, text in more.items()}}


@pytest.fixture
def shards(tmp_path):
    """Six shards of five images with classes and captions."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(6):
        members = {}
        for k in range(5 * shard, 5 * shard + 5):
            members |= sample(k, cls=str(k % 3), txt=f"image {k}")
        write_tar(folder / f"{shard:04d}.tar", members)
    return folder


@pytest.fixture
def streamed(monkeypatch):
    """From here on nothing fits into the cache, and eight images are shuffled together."""
    monkeypatch.setenv("GANVAS_CACHE_GB", "0")
    monkeypatch.setattr(order, "BUFFER", 8)


def test_images_labels_and_captions_are_those_of_the_samples(shards, tmp_path):
    for name in (str(shards), f"{shards}/{{0000..0005}}.tar"):
        data = open_source(name, cache=tmp_path / "cache")
        assert np.array_equal(data.images, PIXELS)
        assert data.labels.tolist() == [k % 3 for k in range(30)]
        assert data.class_names == ("0", "1", "2")
        assert data.captions[7] == "image 7"
    assert len(open_source(f"{shards}/0002.tar", cache=tmp_path / "cache")) == 5
    assert len(open_source(f"edges:{shards}", cache=tmp_path / "cache")) == 30


def test_json_beside_an_image_holds_its_label(tmp_path):
    members = sample(0, json='{"label": [0.5, 1], "caption": "one"}') | sample(1, json='{"label": [1, -2]}')
    write_tar(tmp_path / "a.tar", members | {"readme.txt": b"x", "d/0002.cls": b"4"})
    data = open_source(str(tmp_path / "a.tar"), cache=tmp_path / "cache")
    assert data.vectors.tolist() == [[0.5, 1], [1, -2]]
    assert data.captions == ["one", ""]


def test_streamed_images_and_their_order_are_those_of_the_cache(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(order, "BUFFER", 8)
    cached = open_source(str(shards), cache=tmp_path / "cache", resolution=(8, 8))
    monkeypatch.setenv("GANVAS_CACHE_GB", "1e-9")
    streaming = open_source(str(shards), cache=tmp_path / "cache", resolution=(8, 8))
    assert isinstance(streaming.images, Streamed)
    assert not isinstance(cached.images, Streamed)
    assert streaming.fingerprint == cached.fingerprint
    assert np.array_equal(streaming.images[:], cached.images)
    assert any("streamed" in note for note in streaming.notes)
    for workers in (0, 2):
        one, two = (Batches(data, seed=3, workers=workers, hold_out=2) for data in (cached, streaming))
        for a, b in zip(*(itertools.islice(b.stream(itertools.count(0, 7), 7), 9) for b in (one, two))):
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["label"], b["label"])
            assert a["text"] == b["text"]
        one.close(), two.close()


def test_an_epoch_draws_every_image_once_and_few_shards_at_a_time(monkeypatch):
    shards = np.repeat(np.arange(40), 5).astype(np.int32)
    plain = Order(200, 7).indices(0, 400)
    assert np.array_equal(Order(200, 7, shards).indices(0, 400), plain)  # all fit into the buffer
    monkeypatch.setattr(order, "BUFFER", 20)
    drawn = Order(200, 7, shards)
    epochs = [drawn.indices(200 * e, 200) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(200))
        windows = epoch.reshape(10, 20)
        assert all(len(set(shards[window])) == 4 for window in windows)
        assert any(np.diff(window).min() < 0 for window in windows)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert np.array_equal(Order(200, 7, shards).indices(250, 50), epochs[1][50:100])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_streamed_run_resumes_exactly(workers, shards, streamed, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    small = {"generator.width": 4, "discriminator.width": 4}
    options = {"resolution": 8, "batch": 4, "device": "cpu", "precision": "fp32", "set": small, "workers": workers}
    options |= {"snapshot_images": 12, "images": 44, "data": f"{shards}/{{0000..0005}}.tar"}
    whole = ganvas.train("dcgan", outdir=tmp_path / "whole", **options)

    def die(event):
        if isinstance(event, Snapshot) and event.images == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ganvas.train("dcgan", outdir=tmp_path / "run", on_event=die, **options)
    run = ganvas.train("dcgan", outdir=tmp_path / "run", resume=True, **options)
    assert weights_hash(run) == weights_hash(whole)
    monkeypatch.delenv("GANVAS_CACHE_GB")
    assert weights_hash(ganvas.train("dcgan", outdir=tmp_path / "cached", **options)) == weights_hash(whole)


# --- damage ------------------------------------------------------------------------------------------------


def test_a_shard_that_is_cut_off_is_named_with_the_member(shards, tmp_path):
    whole = (shards / "0003.tar").read_bytes()
    places = [k for k in range(0, len(whole), 512) if whole[k : k + 4] == b"d/00" and b".png" in whole[k : k + 99]]
    for end in (places[2] + 600, places[2] + 300, places[2] + 1):
        (shards / "0003.tar").write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"0003\.tar is cut off or damaged: d/001[67]\.(png|txt)"):
            open_source(str(shards), cache=tmp_path / "cache")
    (shards / "0003.tar").write_bytes(whole[: places[2]] + b"\7" * 512 + whole[places[2] + 512 :])
    with pytest.raises(UserError, match=r"0003\.tar is cut off or damaged: d/0016\.txt is the last"):
        open_source(str(shards), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\x1f\x8b\x08rest", "compressed.*gunzip"), (b"", "empty file"), (b"x" * 2000, "not a tar")],
)
def test_what_is_no_shard_is_said(content, sentence, tmp_path):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        open_source(str(tmp_path / "a.tar"), cache=tmp_path / "cache")


def test_a_damaged_image_is_left_out_of_the_cache_and_ends_a_stream(tmp_path, monkeypatch):
    broken = png(np.random.RandomState(0).randint(0, 256, (9, 8, 3), np.uint8))
    members = sample(0) | {"d/broken.png": broken[:150], "d/tiny.png": png(PIXELS[0, :2, :2])} | sample(1)
    write_tar(tmp_path / "a.tar", members)
    data = open_source(str(tmp_path / "a.tar"), cache=tmp_path / "cache")
    assert np.array_equal(data.images, PIXELS[:2])
    assert [file.rpartition(": ")[2] for file, _ in data.skipped] == ["d/tiny.png", "d/broken.png"]
    monkeypatch.setenv("GANVAS_CACHE_GB", "0")
    streaming = open_source(str(tmp_path / "a.tar"), cache=tmp_path / "cache")
    assert np.array_equal(streaming.images[[0, 2]], PIXELS[:2])
    for workers in (0, 1):
        batches = Batches(streaming, seed=0, workers=workers)
        with pytest.raises(UserError, match=r"^[^\n]*a\.tar: d/broken\.png[^\n]*; take it out of the shard\.$"):
            next(iter(batches.stream([0], 3)))
        batches.close()


def test_members_are_no_paths_and_sizes_are_limited(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("pipe.png", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name, content in (
            ("../../out.png", png(PIXELS[0])),
            ("a.cls", b"0" * (2 << 20)),
            ("a.png", png(PIXELS[1])),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(UserError, match=r"a\.cls has 2,097,152 bytes"):
        open_source(str(tmp_path / "a.tar"), cache=tmp_path / "cache")
    write_tar(tmp_path / "b.tar", {"../../out.png": png(PIXELS[0])})
    data = open_source(str(tmp_path / "b.tar"), cache=tmp_path / "cache")
    assert (len(data), (tmp_path.parent / "out.png").exists()) == (1, False)
    write_tar(tmp_path / "c.tar", {"a.png": png(PIXELS[0]), "a.json": b'{"label": {"x": 1}}'})
    with pytest.raises(UserError, match=r"c\.tar: a\.json: the label must be"):
        open_source(str(tmp_path / "c.tar"), cache=tmp_path / "cache")


def test_a_changed_shard_makes_another_data_set(shards, tmp_path):
    before = open_source(str(shards), cache=tmp_path / "cache").fingerprint
    write_tar(shards / "0005.tar", sample(3))
    assert open_source(str(shards), cache=tmp_path / "cache").fingerprint != before


def test_names_of_shards():
    assert expand_braces("a/{008..011}.tar") == [f"a/{k:03d}.tar" for k in range(8, 12)]
    assert expand_braces("{0..1}/{1..2}") == ["0/1", "0/2", "1/1", "1/2"]
    names = ["x-train-0.tar", "x-train-1.tar", "x-val-0.tar"]
    assert choose_split(names, "", "d") == (names[:2], ["the split train; there are also validation"])
    assert choose_split(names, "val", "d")[0] == names[2:]
    with pytest.raises(UserError, match="no split 'test', only"):
        choose_split(names, "test", "d")
    with pytest.raises(UserError, match=r"\{9\.\.3\}"):
        expand_braces("a{9..3}")
