"""Runs and models that earlier versions wrote: they load, sample, resume and report as they did.

`tests/data/version_0.1.0` was written by the last commit that named components by their classes: `run` is dcgan_small
(4 channels wide, ADA, flips, an evaluation) as a kill shortly before its end left it, `stylegan2` a model folder,
`samples.npz` what both drew then.  On the processor that wrote them the results are the same bits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ganvas
from ganvas import api, cli
from ganvas.api import find_recipe
from ganvas.run import Run, weights_hash
from ganvas.training.session import resolve_recipe

OLD = Path(__file__).parent / "data/version_0.1.0"


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(OLD / "run", tmp_path / "run")


@pytest.mark.parametrize(("folder", "name"), [("run", "dcgan"), ("stylegan2", "stylegan2")])
def test_a_model_draws_the_same_images(folder, name):
    expected = torch.from_numpy(np.load(OLD / "samples.npz")[name])
    samples = ganvas.load(OLD / folder, device="cpu", precision="fp32").sample(len(expected), seed=0)
    torch.testing.assert_close(samples, expected, rtol=1e-4, atol=1e-5)


def test_a_killed_run_goes_on_to_the_same_weights(run):
    expected = load_file(run / "model/generator.safetensors")
    ganvas.train(outdir=run, resume=True, device="cpu")
    weights = load_file(run / "model/generator.safetensors")
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    before, after = (Run(folder).evaluations()[-1] for folder in (OLD / "run", run))
    assert after["diversity"] == pytest.approx(before["diversity"], rel=1e-3)


def test_a_config_is_read_with_present_names(run):
    text = json.dumps(Run(run).config())
    assert "ganvas.losses" not in text
    assert '"()": "non_saturating"' in text


def test_a_run_is_sampled_judged_and_reported(run, tmp_path, capsys):
    cli.app(
        ["sample", str(run), "-o", str(tmp_path / "x.png"), "--seeds", "0-3", "--device", "cpu"], standalone_mode=False
    )
    assert (tmp_path / "x.png").stat().st_size > 1000
    cli.app(["doctor", str(run), "--json"], standalone_mode=False)
    assert "findings" in capsys.readouterr().out
    page = ganvas.report(run, output=tmp_path / "x.html").path.read_text()
    assert "dcgan_small" in page
    assert "non_saturating" in page


def train(folder, recipe=None, **options):
    """A run without its report."""
    session = api.prepare(api.TrainRequest(recipe, outdir=folder, device="cpu", **options))
    for _ in session:
        pass
    session.close()
    return session.run


@pytest.mark.parametrize(
    ("recipe", "option", "earlier", "present"),
    [("r3gan", "taps", [1, 2, 1], [1, 3, 3, 1]), ("stylegan2", "average_rate", 0.002, 0.005)],
)
def test_a_run_goes_on_with_the_defaults_of_its_time(recipe, option, earlier, present, tmp_path):
    """Configs did not name the option then: with the earlier value and without the name a run is the same bits."""
    parts = ["generator", *(["discriminator"] if recipe == "r3gan" else [])]
    small = ["generator.width=4", "discriminator.width=4", "augment=[]", "generator.latent=4"]
    small += [f"{part}.cardinality=2" for part in parts] if recipe == "r3gan" else ["generator.max_width=8"]
    small += [f"{part}.{option}={earlier}" for part in parts]
    options = {"data": "digits", "resolution": 8, "batch": 8, "images": 16, "set": small}
    whole = train(tmp_path / "whole", recipe, **options)
    old = train(tmp_path / "old", recipe, minutes=0, **options)
    for file in (old.path / "config.json", old.path / "model/config.json"):
        config = json.loads(file.read_text())
        task = config.get("task") or config["recipe"]["task"]
        assert [task[part].pop(option) for part in parts] == [earlier] * len(parts)
        file.write_text(json.dumps(config))
    for source in (
        old.path,
        old.path / "model",
    ):  # and so do those that begin with its weights
        for changes, value in (([], earlier), ([f"generator.{option}={present}"], present)):
            request = api.TrainRequest(recipe, None, tmp_path / "next", init_from=source, set=changes)
            assert resolve_recipe(request).to_dict()["task"]["generator"][option] == value
    train(old.path, data=None, resume=True)
    assert weights_hash(old) == weights_hash(whole)
    models = [ganvas.load(run.path, device="cpu") for run in (old, whole)]
    assert torch.equal(*(model.sample_seeds([0, 1], trunc=0.5) for model in models))
    assert find_recipe(recipe).to_dict()["task"]["generator"][option] == present
