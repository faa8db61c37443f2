"""What `make demo` promises, measured: all ten digits, readable, a photograph restored; bf16 that trains as float32."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

import ganvas
from ganvas.data.builtin import read_photograph
from ganvas.data.sources import open_source
from ganvas.inference.example import NAME, restore_example
from ganvas.models.cards import EMBEDDED

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_demo_draws_all_ten_digits(seed, tmp_path):
    """A k-nearest-neighbour classifier trained on the real digits assigns 1,000 samples to all ten classes."""
    run = ganvas.train("dcgan_small", data="digits", outdir=tmp_path / "r", seed=seed, device="cpu")
    samples = ganvas.load(run.path, device="cpu").sample(1000).flatten(1).numpy()
    digits = open_source("digits")
    real = np.asarray(digits.images).reshape(len(digits), -1) / 127.5 - 1
    reader = KNeighborsClassifier(5).fit(real, digits.labels)
    shares = np.bincount(reader.predict(samples), minlength=10) / 1000
    assert shares.min() >= 0.03, shares
    # and they are digits: about as near to a real one as real ones are to each other
    apart = KNeighborsClassifier(1).fit(real, digits.labels)
    among_real = np.median(apart.kneighbors(real, 2)[0][:, 1])
    assert np.median(apart.kneighbors(samples, 1)[0]) < 1.6 * among_real


def test_the_photograph_of_the_demo_is_restored(tmp_path):
    """By at least 4 dB, by a model that was not trained on it; the pair shows both."""
    example, truth = restore_example(tmp_path), read_photograph(NAME)
    before, after, both = (np.asarray(Image.open(f)) for f in (example.before, example.after, example.both))
    errors = [np.square(x.astype(float) - truth).mean() for x in (before, after)]
    assert 10 * np.log10(errors[0] / errors[1]) > 4
    assert np.array_equal(both, np.concatenate([before, after], 1))
    assert NAME not in EMBEDDED[example.model].data


def test_scikit_image_without_its_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.inference.example.read_photograph", lambda name: None)
    assert restore_example(tmp_path) is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_bf16_trains_as_float32_does():
    spec = importlib.util.spec_from_file_location("bf16_curves", BENCHMARKS / "bf16_curves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = ["generator.width=16", "discriminator.width=16"]
    args = Namespace(recipe="dcgan", data="digits", resolution=32, batch=32, steps=100, seeds=4, set=small)
    found = module.distances(args)
    assert max(found["bf16_from_its_fp32"]) <= max(found["fp32_seeds_apart"])
