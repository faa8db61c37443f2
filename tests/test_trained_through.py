"""A run is not measured through the feature network that it was trained through."""

from __future__ import annotations

import pytest

import ganvas
from ganvas.data.sources import open_source
from ganvas.errors import UsageError
from ganvas.evaluation.during_training import suitable_metric
from ganvas.evaluation.inputs import trained_through
from ganvas.recipes import few_images, generation
from small import narrow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("through") / "run"
    options = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": narrow("projected")}
    return ganvas.train("projected", data="digits", outdir=folder, images=16, **options)


@pytest.mark.parametrize("metric", ["fd", "kid", "is", "prdc"])
def test_measures_through_its_own_network_are_refused(metric, run):
    """With a model or a run on either side; others measure it, and it measures others."""
    model, more = ganvas.load(run.path, device="cpu"), {"size": 8} if metric == "kid" else {}
    for sides in (("digits", run.path), ("digits", model), (model, "digits")):
        if metric == "is" and sides[1] == "digits":
            continue  # looks at B alone
        with pytest.raises(UsageError, match="trained through the features of pocket.*vgg16 or vgg19"):
            ganvas.evaluate(metric, *sides, samples=8, resolution=8, **more)


def test_others_measure_it(run):
    """Memorisation asks whether samples are copies, which no training makes small."""
    digits = open_source("digits", resolution=(8, 8)).subset(range(100))
    assert ganvas.evaluate("memorisation", digits, run.path, samples=8, held_out=digits)["memorisation"] >= 0


def test_the_option_says_which_network():
    recipe = few_images.projected()
    assert trained_through(recipe.task.to_dict()) == {"pocket"}
    recipe.set("discriminator.network", "vgg16")
    assert trained_through(recipe.task.to_dict()) == {"vgg16"}
    assert suitable_metric("fd", recipe.task.to_dict()) == ("fd", "")
    assert trained_through(generation.dcgan().task.to_dict()) == set()


def test_evaluation_during_training_takes_another_metric(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    task = few_images.projected().task.to_dict()
    assert suitable_metric("fd", task)[0] == "swd"
    assert suitable_metric("diversity", task) == ("diversity", "")
    options = {"resolution": 8, "batch": 8, "device": "cpu", "set": narrow("projected")}
    run = ganvas.train(
        "projected", data="digits", outdir=tmp_path / "run", images=16, eval_images=16, eval_samples=32, **options
    )
    assert run.evaluations()[-1]["swd"] > 0
    from ganvas.checkpoints.download import FILES, folder

    folder().mkdir(parents=True)
    (folder() / FILES["inception"].file).touch()
    metric, notice = suitable_metric("fd", task)
    assert metric == "fid"
    assert "trained through pocket" in notice
