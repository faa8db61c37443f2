"""`gain`: what is trained on and tested on, the interval, the verdict, and data on which it is known."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from ganvas.data.dataset import Dataset
from ganvas.errors import UsageError
from ganvas.evaluation.comparison import Comparison
from ganvas.evaluation.evaluate import evaluate
from ganvas.evaluation.gain import T_95, describe_gain, interval, join_equally, matching, split


def bars(count, seed, wrong=False, names=("left", "right")):
    """Noisy 8x8 images with a bright bar on the left or right; `wrong`: under the other label."""
    random, labels = np.random.default_rng(seed), np.arange(count) % 2
    images = random.integers(0, 90, (count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[:, 1 + 5 * label] += 120
    return Dataset(images, 1 - labels if wrong else labels, names)


def test_the_interval_is_students():
    differences = [0.01, 0.03, 0.05]
    expected = stats.t.interval(0.95, 2, statistics.mean(differences), stats.sem(differences))
    assert interval(differences)[1:] == pytest.approx(expected, abs=1e-5)
    assert {n: pytest.approx(stats.t.ppf(0.975, n), abs=1e-3) for n in T_95} == T_95
    assert all(abs(1.96 + 2.7 / n - stats.t.ppf(0.975, n)) < 0.03 for n in range(10, 200))


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.01, 0.03, "helps"), (-0.01, 0.03, "no difference"), (-0.3, -0.1, "hurts")]
)
def test_the_verdict_follows_from_the_interval(low, high, word):
    assert f"{word}: +1.0 points" in describe_gain(0.01, low, high, 0.02)


def test_training_and_test_images_are_apart():
    data = bars(60, 0)
    for labels in (None, 10):
        train, test = split(Comparison(data, data), labels, None, 0)
        rows = [{image.tobytes() for image in part.images} for part in (train, test)]
        assert not rows[0] & rows[1]
        assert len(train) + len(test) == 60
    assert (len(train), np.bincount(train.labels).tolist()) == (10, [5, 5])
    with pytest.raises(UsageError, match="give --held-out"):
        split(Comparison(data, data), 60, None, 0)


def test_half_of_both_is_real():
    real, synthetic = bars(6, 0), bars(50, 1)
    both = join_equally(real, synthetic)
    known = {image.tobytes() for image in real.images}
    assert len(both) == 100
    assert sum(image.tobytes() in known for image in both.images) == 50
    assert set(np.bincount(both.labels)) == {50}


def test_classes_are_matched_by_name():
    real, synthetic = bars(4, 0), bars(4, 1, names=("right", "left"))
    assert matching(synthetic, real).labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(UsageError, match="have the class 'up'"):
        matching(bars(4, 1, names=("left", "up")), real)
    with pytest.raises(UsageError, match="give --resolution"):
        matching(Dataset(np.zeros((4, 16, 16, 1), np.uint8), np.arange(4) % 2, ("left", "right")), real)


@pytest.mark.slow
def test_wrong_labels_hurt_and_right_ones_do_not():
    options = {"held_out": bars(100, 3), "labels": 8, "train_images": 384, "repeats": 2, "augment": "noise"}
    results = [evaluate("gain", bars(40, 1), bars(100, 2, wrong), device="cpu", **options) for wrong in (False, True)]
    good, bad = results
    assert good["synthetic"] > 0.95
    assert bad["synthetic"] < 0.05
    assert good["gain"] > -0.05
    assert bad["gain"] < good["gain"] - 0.1
    assert all(math.isfinite(v) for v in good.values() if isinstance(v, float))
    assert good["labelled"] == 8
    assert good["verdict"].startswith(("helps", "no difference"))
