"""The scripts of the gallery and of equal compute: goals, commands, baselines as published, grids that are small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas import catalog
from ganvas.recipes.presets import presets

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, BENCHMARKS)
    try:
        import gallery
        import judge
        import peers
    finally:
        sys.path.remove(BENCHMARKS)
    return gallery, judge, peers


def test_the_lesson_is_as_published(scripts):
    """PyTorch's DCGAN lesson, colour at 64x64: 3,576,704 and 2,765,568 parameters."""
    peers = scripts[2]
    networks = peers.lesson_generator(64, 3), peers.lesson_discriminator(64, 3)
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [3_576_704, 2_765_568]
    images = peers.lesson_generator()(torch.randn(2, 100, 1, 1))
    assert images.shape == (2, 1, 32, 32)
    assert peers.lesson_discriminator()(images).shape == (2, 1, 1, 1)


@pytest.mark.parametrize(("way", "images"), [("lesson", 128), ("wgan_gp", 320), ("light", 32)])
def test_a_baseline_moves_both_players(scripts, way, images):
    peer = scripts[2].PEERS[way]()
    before = [[p.clone() for p in net.parameters()] for net in (peer.g, peer.d)]
    assert peer.step(scripts[2].batches_of(torch.rand(128, 1, 28, 28) * 2 - 1, peer.batch, 0)) == images
    for net, old in zip((peer.g, peer.d), before):
        assert all(not torch.equal(a, b) for a, b in zip(net.parameters(), old))
    assert peer.sample(3, 5).shape == (3, 1, 28, 28)


@pytest.mark.parametrize(("steps", "share"), [(0, 0.9), (80, 0.1), (10**6, 0.001)])
def test_the_average_of_a_baseline_leaves_the_first_weights_and_keeps_no_old_statistics(scripts, steps, share):
    peer = scripts[2].Light()
    peer.steps = steps
    before = [p.clone() for p in peer.average.parameters()]
    for tensor in peer.g.state_dict().values():
        tensor.fill_(2)
    peer.follow()
    for old, kept in zip(before, peer.average.parameters()):
        torch.testing.assert_close(kept, old + share * (2 - old))
    assert all((kept == 2).all() for kept in peer.average.buffers())


def test_batches_are_an_epoch_without_repetition_padded_with_black(scripts):
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 28, 28) / 8
    batches = scripts[2].batches_of(images, 4, 0)
    first, second, third = (next(batches) for _ in range(3))
    assert sorted((torch.cat([first, second])[:, 0, 16, 16] * 8).tolist()) == list(range(8))
    assert first.shape == (4, 1, 32, 32)
    assert (first[:, :, :2] == -1).all()
    assert not torch.equal(first, third)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        ({"sure": 0.86, "least_class": 0.05, "most_class": 0.19}, []),
        ({"sure": 0.84, "least_class": 0.05, "most_class": 0.19}, ["sure"]),
        ({"sure": 0.9, "least_class": 0.03, "most_class": 0.21}, ["least class", "most frequent class"]),
        ({"diversity": 0.9}, []),
    ],
)
def test_goals(scripts, found, missed):
    assert scripts[0].misses(found) == missed


def test_the_page_is_that_of_the_figures(scripts):
    gallery = scripts[0]
    figures = json.loads(gallery.FIGURES.read_text(encoding="utf-8"))
    assert gallery.page(figures) == (gallery.DOCS / "gallery.md").read_text(encoding="utf-8")
    entries = [*gallery.ENTRIES, *gallery.gallery_pairs.ENTRIES]
    assert set(figures) == {file.stem for file in (gallery.DOCS / "gallery").iterdir()} <= {e.key for e in entries}


def test_every_recipe_that_generates_has_an_entry(scripts):
    gallery = scripts[0]
    table = catalog.RECIPES.addresses
    rooms = ("generation", "residual", "stylegan2", "energy", "conditional")
    expected = {name for name, place in table.items() if place.partition(":")[0].rpartition(".")[2] in rooms}
    assert expected | {"infogan", "textgan"} <= {entry.recipe for entry in gallery.ENTRIES}
    assert len({entry.key for entry in gallery.ENTRIES}) == len(gallery.ENTRIES)


def test_the_command_says_how_long_it_trained(scripts):
    gallery = scripts[0]
    entry = next(e for e in gallery.ENTRIES if e.key == "wgan")
    usual = int(presets("wgan")["tiny"].changes["images"].replace("_", ""))
    line = "ganvas train wgan --preset tiny --data MNIST --outdir runs/wgan"
    assert gallery.command_of(entry, {"planned": usual}) == line
    assert gallery.command_of(entry, {"planned": 5000}) == f"{line} --images 5000"


def test_processor_time_adds_up_over_the_sessions_of_an_entry(scripts, tmp_path, monkeypatch):
    gallery = scripts[0]
    entry = next(e for e in gallery.ENTRIES if e.key == "wgan")
    child = ["import time", "while time.process_time() < 0.3: pass"]
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda line, **how: real([sys.executable, "-c", "\n".join(child)], **how))
    gallery.train(entry, tmp_path, minutes=1.0)
    once = gallery.processor_seconds(entry, tmp_path)
    gallery.train(entry, tmp_path, minutes=1.0)
    assert 0.25 < once < 2
    assert gallery.processor_seconds(entry, tmp_path) > once + 0.25


def test_a_baseline_goes_on_and_a_recipe_begins_again(scripts, monkeypatch):
    """Two numbers of minutes: one run of a baseline, measured twice; two runs of ours, each planned for its length."""
    peers = scripts[2]
    planned = []

    class Peer:
        batch = 4

        def __init__(self, *asked):
            planned.append(asked)

        def step(self, batches):
            return 4

        def sample(self, count, seed):
            return torch.zeros(1)

    class Everything:
        @staticmethod
        def measure(parts):
            return {"parts": len(list(parts))}

    monkeypatch.setattr(peers, "Ours", Peer)
    monkeypatch.setitem(peers.PEERS, "lesson", Peer)
    monkeypatch.setattr(peers, "spend", lambda step, seconds: [step() for _ in range(round(seconds))] and seconds)
    found = {
        way: list(peers.compete(way, "dcgan", [2, 1], 0, torch.zeros(8, 1, 28, 28), Everything))
        for way in ("lesson", "ours")
    }
    assert planned == [(), ("dcgan", 2, 0), ("dcgan", 1, 0)]
    assert [(r["minutes"], r["images"]) for r in found["lesson"]] == [(1, 240), (2, 480)]
    assert [(r["way"], r["minutes"], r["images"]) for r in found["ours"]] == [("dcgan", 2, 480), ("dcgan", 1, 240)]


def test_a_recipe_of_ours_takes_changes(scripts):
    recipe = scripts[2].changed("dcgan_small conditional=true batch=7")
    assert (recipe.batch, recipe.task.get("conditional")) == (7, True)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_grid_is_small(scripts, tmp_path, channels):
    coarse = torch.rand(64, channels, 16, 16) * 2 - 1
    scripts[0].save_grid(coarse.repeat_interleave(4, 2).repeat_interleave(4, 3), tmp_path / "x.webp")
    assert (tmp_path / "x.webp").stat().st_size <= 60_000
    assert Image.open(tmp_path / "x.webp").size == (530, 530)


def test_the_judge_knows_its_data_and_noise(scripts, tmp_path):
    """Two classes, dark and bright: their own images are recognised and at a distance of nothing, others are not."""
    judge = scripts[1]
    values = np.random.default_rng(0).integers(0, 60, (256, 8, 8), np.uint8)
    labels = np.arange(256) % 2
    np.savez(
        tmp_path / "data.npz", images=values + np.uint8(180) * labels[:, None, None].astype(np.uint8), labels=labels
    )
    judge.train(str(tmp_path / "data.npz"), tmp_path / "judge", images=4_000)
    found = judge.Judge(tmp_path / "judge", str(tmp_path / "data.npz"))
    real = torch.from_numpy(ganvas.api.open_source(str(tmp_path / "data.npz")).images.copy())
    real = real.permute(0, 3, 1, 2).float() / 127.5 - 1
    of_real = found.measure(iter(real.split(100)), torch.from_numpy(labels))
    of_dark = found.measure(iter([real[::2]]), torch.ones(128, dtype=torch.int64))
    assert of_real["fd_judge"] < 1e-3 < of_dark["fd_judge"]
    assert of_real["sure"] > 0.95
    assert of_real["as_asked"] == 1
    assert (of_real["least_class"], of_real["most_class"]) == (0.5, 0.5)
    assert (of_dark["least_class"], of_dark["most_class"], of_dark["as_asked"]) == (0, 1, 0)
