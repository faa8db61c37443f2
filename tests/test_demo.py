"""What `make demo` promises, measured: all ten digits, readable; and bf16 that trains as float32 does."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

import ganvas
from ganvas.data.sources import open_source

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


@pytest.mark.slow
def test_bf16_trains_as_float32_does():
    spec = importlib.util.spec_from_file_location("bf16_curves", BENCHMARKS / "bf16_curves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = ["generator.width=16", "discriminator.width=16"]
    args = Namespace(recipe="dcgan", data="digits", resolution=32, batch=32, steps=100, seeds=4, set=small)
    found = module.distances(args)
    assert max(found["bf16_from_its_fp32"]) <= max(found["fp32_seeds_apart"])
