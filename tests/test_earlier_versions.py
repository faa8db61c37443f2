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
from ganvas import cli
from ganvas.run import Run

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
