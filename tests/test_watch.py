"""Evaluating while it trains: the numbers, the best model, and when to stop."""

from __future__ import annotations

import pytest
import torch

import ganvas
from ganvas.catalog import METRICS
from ganvas.data.sources import open_source
from ganvas.errors import UsageError
from ganvas.evaluation.during_training import Goal, Watch, watchable
from ganvas.evaluation.evaluate import evaluate
from ganvas.files import read_json
from ganvas.run import Run, weights_hash

TINY = {"resolution": 8, "batch": 16, "device": "cpu", "precision": "fp32", "snapshot_images": 64}
SMALL = {"generator.width": 4, "discriminator.width": 4}


def train(place, images, **options):
    return ganvas.train("dcgan_small", data="digits", outdir=place, images=images, set=SMALL, **TINY, **options)


def test_numbers_are_those_of_the_evaluator(tmp_path):
    heard = []
    run = train(tmp_path / "run", 128, eval_images=64, eval_samples=48, on_event=heard.append)
    lines = run.evaluations()
    assert [line["trained_images"] for line in lines] == [64, 128]
    assert [e.numbers for e in heard if type(e).__name__ == "Evaluated"] == lines
    expected = evaluate("fd", "digits", run.path, samples=48, resolution=8)
    assert lines[-1]["fd"] == pytest.approx(expected["fd"], rel=1e-3)  # a rounded pixel may differ
    assert lines[-1]["features"] == "pocket"


def test_watching_changes_nothing_of_the_training(tmp_path):
    plain = train(tmp_path / "plain", 96)
    watched = train(tmp_path / "watched", 96, eval_images=32, eval_samples=16)
    states = [r.load_state()["trainer"] for r in (plain, watched)]
    for name in ("task", "average"):
        for key, value in states[0][name].items():
            assert torch.equal(value, states[1][name][key]), key
    assert torch.equal(states[0]["rng"]["cpu"], states[1]["rng"]["cpu"])


@pytest.fixture
def scripted(monkeypatch):
    """Evaluations that come from a list."""

    def use(*values):
        left = iter(values)
        monkeypatch.setattr(Watch, "rehearse", lambda *_: None)
        monkeypatch.setattr(METRICS["fd"], "function", lambda _: {"fd": next(left)})

    return use


def best_of(run):
    return read_json(run.best / "config.json")["images"]


def test_the_best_is_kept(tmp_path, scripted):
    scripted(3.0, 1.0, 2.0)
    run = train(tmp_path / "run", 96, eval_images=32)
    assert best_of(run) == 64
    assert ganvas.load(run.best).sample(2).shape == (2, 1, 8, 8)
    assert not torch.equal(ganvas.load(run.best).sample(2), ganvas.load(run.path).sample(2))


@pytest.mark.parametrize(
    ("values", "options", "reason", "images"),
    [
        ((3.0, 1.0, 2.0, 4.0), {"stop_when": "fd<2"}, "goal", 64),
        ((3.0, 1.0, 2.0, 4.0), {"patience": 2}, "patience", 128),
        ((3.0, 2.0, 1.0, 0.5, 0.4), {"patience": 2}, "done", 160),
        ((3.0, 4.0, 2.0, 5.0, 1.0), {"patience": 2}, "done", 160),  # a best one in between begins the count anew
    ],
)
def test_when_it_stops(values, options, reason, images, tmp_path, scripted):
    scripted(*values)
    heard = []
    run = train(tmp_path / "run", 160, eval_images=32, on_event=heard.append, **options)
    assert heard[-1].reason == reason
    assert run.log()[-1]["images"] <= images
    assert run.load_state()["trainer"]["images"] == images


def test_a_resumed_run_remembers(tmp_path, scripted):
    """Killed and resumed: the same numbers, the same best, the same weights."""
    scripted(3.0, 1.0, 2.0, 5.0)
    whole = train(tmp_path / "whole", 128, eval_images=32, patience=3)
    scripted(3.0, 1.0)

    def die(event):
        if type(event).__name__ == "Snapshot" and event.images == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "half", 128, eval_images=32, patience=3, on_event=die)
    half = Run(tmp_path / "half")
    half.append_evaluation({"metric": "fd", "trained_images": 96, "fd": 9.0})  # after the state: it will be done again
    scripted(2.0, 5.0)
    resumed = ganvas.train(outdir=half.path, resume=True)
    assert [line["fd"] for line in resumed.evaluations()] == [3.0, 1.0, 2.0, 5.0]
    assert best_of(resumed) == best_of(whole) == 64
    assert weights_hash(resumed) == weights_hash(whole)
    assert Run(half.path).config()["evaluation"]["patience"] == 3


def test_less_is_not_always_better(tmp_path, scripted, monkeypatch):
    left = iter([0.2, 0.6, 0.4])
    monkeypatch.setattr(Watch, "rehearse", lambda *_: None)
    monkeypatch.setattr(METRICS["prdc"], "function", lambda _: {"coverage": next(left)})
    run = train(tmp_path / "run", 96, eval_images=32, eval_metric="prdc", stop_when="coverage>0.9")
    assert best_of(run) == 64


def test_points_are_watched_by_their_modes(tmp_path):
    run = ganvas.train(
        "gan_points", data="ring", outdir=tmp_path / "run", images=128, batch=64, set=SMALL, eval_images=64,
        eval_metric="modes", eval_samples=100,
    )  # fmt: skip
    assert [line["total_modes"] for line in run.evaluations()] == [8, 8]


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("fd<12", Goal("fd", "<", 12)),
        (" coverage >= 0.5 ", Goal("coverage", ">=", 0.5)),
        ("kid<-1e-3", Goal("kid", "<", -1e-3)),
        ("good>0.9", Goal("high_quality", ">", 0.9)),  # as configs of earlier versions name it
    ],
)
def test_goals(text, goal):
    assert Goal.read(text) == goal


@pytest.mark.parametrize(("sign", "holds"), [("<", (True, False, False)), ("<=", (True, True, False)),
                                             (">", (False, False, True)), (">=", (False, True, True))])  # fmt: skip
def test_what_reaches_a_goal(sign, holds):
    assert tuple(Goal("fd", sign, 2).reached(v) for v in (1, 2, 3)) == holds


BAD = {
    "goal": ({"eval_images": 32, "stop_when": "fd"}, "as fd<12; got 'fd'"),
    "a number that is not there": ({"eval_images": 32, "stop_when": "kid<1"}, "asks for kid, and fd gives fd"),
    "a measure of something else": ({"eval_images": 32, "eval_metric": "psnr"}, "psnr cannot be measured while"),
    "modes of images": ({"eval_images": 32, "eval_metric": "modes"}, "counted for ring, grid, gaussians alone"),
    "weights": ({"eval_images": 32, "eval_metric": "fid"}, "ganvas weights fetch inception"),
    "metric": ({"eval_images": 32, "eval_metric": "fdd"}, "Did you mean 'fd'"),
    "nothing to go by": ({"stop_when": "fd<1"}, "give --eval-images"),
    "patience": ({"patience": 2}, "give --eval-images"),
    "too few": ({"eval_images": 32, "eval_samples": 1}, "--eval-samples must be at least 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_watched_is_a_sentence(name, tmp_path):
    options, said = BAD[name]
    with pytest.raises(UsageError, match=said):
        train(tmp_path / "run", 64, **options)
    assert not (tmp_path / "run").exists()


def test_only_what_changes_is_in_the_state():
    watch = Watch(open_source("digits"), every=1)
    watch.best, watch.since = 2.0, 3
    other = Watch(open_source("digits"), every=1)
    other.load_state_dict(watch.state_dict())
    assert (other.best, other.since) == (2.0, 3)


@pytest.mark.parametrize(
    ("metric", "kept"), [("fd", True), ("kid", True), ("is", False), ("prdc", False), ("diversity", False)]
)
def test_no_best_of_an_earlier_formula_is_kept(metric, kept):
    """States of version 0.1.0 do not say how their best was measured; three formulas changed since."""
    watch = Watch(open_source("digits"), every=1, metric=metric)
    watch.load_state_dict({"best": 0.5, "last": 0.5, "since": 2})
    assert (watch.best, watch.since) == ((0.5, 2) if kept else (None, 0))
    again = Watch(open_source("digits"), every=1, metric=metric)
    watch.best = 0.7
    again.load_state_dict(watch.state_dict())
    assert again.best == 0.7


def test_a_number_that_is_not_one_is_not_the_best(tmp_path, scripted):
    scripted(float("nan"), 3.0, float("nan"))
    run = train(tmp_path / "run", 96, eval_images=32)
    assert best_of(run) == 64


def test_modes_can_be_a_goal(tmp_path, monkeypatch):
    left = iter([5, 8, 8])
    monkeypatch.setattr(Watch, "rehearse", lambda *_: None)
    modes = lambda _: {"modes": next(left), "total_modes": 8, "high_quality": 1.0, "reverse_kl": 0.1}  # noqa: E731
    monkeypatch.setattr(METRICS["modes"], "function", modes)
    options = {"batch": 64, "set": SMALL, "eval_images": 64, "eval_metric": "modes"}
    run = ganvas.train("gan_points", data="ring", outdir=tmp_path / "run", images=256, stop_when="modes>=8", **options)
    assert run.load_state()["trainer"]["images"] == 128
    with pytest.raises(UsageError, match="--eval-metric modes"):
        ganvas.train("gan_points", data="ring", outdir=tmp_path / "no", images=256, batch=64, eval_images=64)


def test_few_images_make_small_subsets(tmp_path):
    run = train(tmp_path / "run", 32, eval_images=32, eval_metric="kid", eval_samples=40)
    assert run.evaluations()[0]["subset_size"] == 40


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(m, marks=pytest.mark.slow if m in ("kid", "prdc") else ())
        for m in sorted(watchable().keys() - {"fid"})
    ],
)
def test_what_is_watched_is_there(metric, tmp_path):
    """Every number that can be a goal is among those that the measure gives."""
    if metric == "modes":
        recipe, data, options = "gan_points", "ring", {"batch": 64}
    else:
        recipe, data, options = "dcgan_small", "digits", {**TINY, "resolution": 16}
    watching = {"eval_images": 64, "eval_metric": metric, "eval_samples": 20}
    run = ganvas.train(recipe, data=data, outdir=tmp_path / "run", images=64, set=SMALL, **options, **watching)
    assert all(isinstance(run.evaluations()[0][key], float | int) for key in METRICS[metric].watch)
