"""Paired measures while a model trains: the numbers of the evaluator, the best model, the interval, the report."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas.data.pair_files import PairFiles
from ganvas.errors import UsageError, UserError
from ganvas.evaluation.during_training import MOST, SHARE
from ganvas.evaluation.evaluate import evaluate
from ganvas.evaluation.paired_watch import PairedWatch
from ganvas.files import read_json
from ganvas.imaging.decode import read_image, save_png
from ganvas.run import weights_hash

SMALL = {"generator.width": 4, "generator.convolutions": 1, "degradation.scale": 2}
OPTIONS = {"resolution": 16, "batch": 4, "device": "cpu", "precision": "fp32", "snapshot_images": 16}


def pixels(height, width, seed, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pairs of several sizes, and images to train on."""
    place = tmp_path_factory.mktemp("pairs")
    for name in ("lr", "hr", "train"):
        (place / name).mkdir()
    for k, (height, width) in enumerate([(12, 16), (20, 14), (13, 13)]):
        target = pixels(2 * height, 2 * width, k)
        save_png(target, place / "hr" / f"{k}.png")
        save_png(np.asarray(Image.fromarray(target).resize((width, height))), place / "lr" / f"{k}.png")
    for k in range(6):
        save_png(pixels(32, 32, 10 + k), place / "train" / f"{k}.png")
    return place


def train(place, folders, images=32, **options):
    data = f"source={folders / 'lr'},target={folders / 'hr'}"
    options = {"eval_data": data, **OPTIONS, "set": SMALL, **options}
    return ganvas.train("compact", data=str(folders / "train"), outdir=place, images=images, **options)


def test_numbers_are_those_of_the_evaluator(folders, tmp_path):
    heard = []
    run = train(tmp_path / "run", folders, eval_images=16, on_event=heard.append)
    lines = run.evaluations()
    assert [line["trained_images"] for line in lines] == [16, 32]
    assert [e.numbers for e in heard if type(e).__name__ == "Evaluated"] == lines
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    (tmp_path / "out").mkdir()
    for file in (folders / "lr").iterdir():
        save_png(model(read_image(file).array), tmp_path / "out" / file.name)
    expected = evaluate("psnr", folders / "hr", tmp_path / "out")
    assert lines[-1]["psnr"] == pytest.approx(expected["psnr"], abs=1e-9)
    assert (lines[-1]["images"], lines[-1]["channel"]) == (3, "rgb")
    sheet = Image.open(run.validation / "last.png")
    assert sheet.width > sheet.height / 2
    assert sheet.mode == "RGB"
    page = (run.path / "report.html").read_text()
    assert 'id="validation"' in page
    assert "after 32 images" in page


def test_evaluating_changes_nothing_of_the_training(folders, tmp_path):
    hashes = {
        weights_hash(train(tmp_path / str(every), folders, eval_images=every, **options))
        for every, options in ((8, {}), (16, {}), (None, {"eval_data": None}))
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(("metric", "better"), [("psnr", max), ("ssim", max)])
def test_the_best_is_kept(metric, better, folders, tmp_path):
    run = train(tmp_path / "run", folders, 48, eval_images=16, eval_metric=metric, set={**SMALL, "g_optimizer.lr": 0.1})
    values = {line["trained_images"]: line[metric] for line in run.evaluations()}
    best = better(values, key=values.get)
    assert read_json(run.best / "config.json")["images"] == best
    same = (run.validation / "best.png").read_bytes() == (run.validation / "last.png").read_bytes()
    assert same or best != 48


def test_a_goal_ends_the_run_and_a_resumed_run_keeps_its_pairs(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    heard = []
    options = {"eval_data": "source=lr,target=hr", "eval_images": 16, "stop_when": "psnr>1"}
    run = train(tmp_path / "run", folders, 64, on_event=heard.append, **options)
    assert (heard[-1].reason, run.load_state()["trainer"]["images"]) == ("goal", 16)
    monkeypatch.chdir(tmp_path)
    assert run.config()["evaluation"]["eval_data"] == f"source={folders / 'lr'},target={folders / 'hr'}"
    resumed = ganvas.train(outdir=run.path, resume=True, stop_when="none", images=32)
    assert [line["trained_images"] for line in resumed.evaluations()] == [16, 32]


def test_the_interval_follows_from_the_cost(folders, tmp_path):
    watch = PairedWatch(PairFiles(f"source={folders / 'lr'},target={folders / 'hr'}"))
    assert watch.due(0, 8, 8)
    assert not watch.due(8, 15, 8)
    for seconds, cost in ((10_000, 1), (1000, 5), (100, 30), (1e9, 1e-3)):
        watch.choose_interval(1_000_000, seconds, cost)
        count = 1_000_000 / watch.every
        assert count <= MOST
        assert count == 1 or count * cost <= SHARE * seconds * 1.001
    again = PairedWatch(watch.pairs)
    again.load_state_dict(watch.state_dict())
    assert again.every == watch.every
    lines = train(tmp_path / "run", folders, 32).evaluations()
    assert [line["trained_images"] for line in lines] in ([4, 32], [4, 8, 12, 16, 20, 24, 28, 32], [4, 16, 32])


def test_halves_and_sixteen_bits(folders, tmp_path):
    (tmp_path / "ab").mkdir()
    deep = np.random.default_rng(0).integers(0, 65536, (8, 24, 1)).astype(np.uint16)
    Image.fromarray(deep[..., 0]).save(tmp_path / "ab" / "one.png")
    pairs = PairFiles(f"BA:{tmp_path / 'ab'}")
    source, target = pairs.read(0)
    assert np.array_equal(target, deep[:, :12])
    assert np.array_equal(source, deep[:, 12:])


BAD = {
    "no pairs": ({"eval_data": "digits"}, "--eval-data takes pairs of images, source=DIR,target=DIR or AB:DIR"),
    "a measure of sets": ({"eval_metric": "fd"}, "With --eval-data, --eval-metric takes psnr, ssim"),
    "another result": ({"stop_when": "ssim>1"}, "asks for ssim, and psnr gives psnr"),
    "sizes": ({"eval_data": "source=hr,target=hr"}, "0 is 32x24, of which the recipe makes 64x48, and its target"),
    "missing": ({"eval_data": "source=lr,target=nowhere"}, "'nowhere' is neither a folder nor a zip"),
    "weights": ({"eval_metric": "lpips"}, "ganvas weights fetch lpips"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_measured_is_a_sentence(name, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    monkeypatch.setitem(os.environ, "GANVAS_WEIGHTS", str(tmp_path / "none"))
    options, sentence = BAD[name]
    with pytest.raises(UserError, match=sentence):
        train(tmp_path / "run", folders, **options)
    assert not (tmp_path / "run").exists()


def test_a_generator_of_noise_has_no_pairs(folders, tmp_path):
    with pytest.raises(UsageError, match="makes images from noise"):
        ganvas.train(
            "dcgan_small", data="digits", outdir=tmp_path / "run", images=32, eval_data=f"AB:{folders / 'hr'}",
            set={"generator.width": 4, "discriminator.width": 4}, **{**OPTIONS, "resolution": 8},
        )  # fmt: skip


def test_psnr_without_pairs_names_the_way(folders, tmp_path):
    with pytest.raises(UsageError, match="psnr cannot be measured while training without --eval-data"):
        train(tmp_path / "run", folders, eval_data=None, eval_images=16, eval_metric="psnr")


def test_the_line_is_json(folders, tmp_path):
    run = train(tmp_path / "run", folders, eval_images=32, eval_samples=2)
    [line] = [json.loads(text) for text in run.evaluation_file.read_text().splitlines()]
    assert list(line) == ["metric", "trained_images", "psnr", "channel", "border", "images", "real"]
    assert line["images"] == 2
