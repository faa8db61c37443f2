"""Mode counts against distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

import ganvas
from ganvas.data.sources import open_source
from ganvas.data.toy import modes
from ganvas.metrics.modes import class_coverage, coverage, reverse_kl


@pytest.mark.parametrize(("name", "count"), [("ring", 8), ("grid", 25)])
def test_the_real_points_cover_every_mode(name, count):
    points = np.asarray(open_source(name).images).reshape(-1, 2)
    found = coverage(points, *modes(name))
    assert (found.modes, found.total_modes) == (count, count)
    assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=2e-3)  # a Gaussian in the plane within 3 sigma
    assert found.reverse_kl < 1e-3


def test_a_collapsed_generator_is_seen():
    centres, sigma = modes("grid")
    points = np.repeat(centres[:2], [75, 25], axis=0)
    found = coverage(points, centres, sigma)
    assert (found.modes, found.high_quality) == (2, 1.0)
    assert found.reverse_kl == pytest.approx(entropy([0.75, 0.25, *[0] * 23], [1 / 25] * 25))


def test_points_between_the_modes_belong_to_none():
    centres, sigma = modes("ring")
    outside = centres[0] + np.array([[0.0, 3.01 * sigma], [0.0, 2.99 * sigma]])
    found = coverage(outside, centres, sigma)
    assert (found.modes, found.high_quality) == (1, 0.5)


def test_classes_are_modes():
    source = np.random.RandomState(0)
    labels, real = source.randint(0, 7, 500), source.randint(1, 50, 10)
    found = class_coverage(labels, 10, real)
    assert (found.modes, found.total_modes) == (7, 10)
    assert "high_quality" not in found.to_dict()
    counts = np.bincount(labels, minlength=10)
    assert found.reverse_kl == pytest.approx(entropy(counts / counts.sum(), real / real.sum()))


def test_no_samples_and_impossible_classes():
    assert np.isnan(reverse_kl(np.zeros(3)))
    assert reverse_kl(np.array([1, 1]), np.array([1, 0])) == np.inf


def test_points_are_computed_in_float32(tmp_path):
    """bf16 cannot tell the middle of a mode from its edge; a person may still ask for it."""
    run = ganvas.train("gan_points", data="ring", outdir=tmp_path / "r", images=256, batch=64)
    assert run.config()["precision"] == "fp32"
    points = ganvas.load(run.path).sample(64).flatten()
    assert not torch.equal(points, points.bfloat16().float())
    asked = ganvas.load(run.path, precision="bf16").policy
    assert asked.precision == "bf16"
