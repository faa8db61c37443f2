"""Measures over features against other implementations and definitions in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from ganvas.errors import UsageError
from ganvas.metrics import prdc
from ganvas.metrics.frechet import Gaussian, Moments, bootstrap, extrapolate, frechet_distance, trace_of_root
from ganvas.metrics.inception_score import inception_score
from ganvas.metrics.kid import kernel_distance, squared_mmd


def features(n, d=6, *, seed=0, shift=0.0, scale=1.0):
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d))
    return torch.from_numpy(scale * random.normal(size=(n, d)) @ mixing + shift)


def textbook(a, b):
    """Heusel et al. 2017, eq. 6, through the general matrix square root."""
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root))


def test_frechet_is_the_textbooks():
    a, b = features(500), features(400, seed=1, shift=0.3, scale=1.4)
    assert frechet_distance(Gaussian.of(a), Gaussian.of(b)) == pytest.approx(textbook(a.numpy(), b.numpy()), rel=1e-8)


def test_frechet_of_gaussians_that_are_known():
    """Of diagonal ones: |m - n|^2 + sum (sqrt a - sqrt b)^2; of turned ones the same."""
    a, b = torch.tensor([1.0, 4.0, 0.25]).double(), torch.tensor([9.0, 1.0, 2.0]).double()
    m, n = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, -1.0]).double()
    expected = 10 + (a.sqrt() - b.sqrt()).square().sum().item()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    for q in (torch.eye(3).double(), turn):
        one, two = Gaussian(q @ m, q @ a.diag() @ q.t(), 9), Gaussian(q @ n, q @ b.diag() @ q.t(), 9)
        assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-8)
        assert frechet_distance(one, one) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("n", "m", "d"), [(5, 7, 30), (20, 100, 30), (100, 20, 30), (2, 2, 3)])
def test_fewer_images_than_dimensions(n, m, d):
    """Singular covariances: the root's trace is the nuclear norm of the centred rows' products."""
    a, b = features(n, d), features(m, d, seed=1, shift=0.5)
    x, y = a - a.mean(0), b - b.mean(0)
    nuclear = torch.linalg.svdvals(x @ y.t()).sum() / math.sqrt((n - 1) * (m - 1))
    found = trace_of_root(Gaussian.of(a).covariance, Gaussian.of(b).covariance)
    assert found.item() == pytest.approx(nuclear.item(), rel=1e-5)
    assert frechet_distance(Gaussian.of(a), Gaussian.of(a)) >= 0
    assert frechet_distance(Gaussian.of(a), Gaussian.of(b)) > 0


def test_a_constant_set_has_a_distance():
    flat = torch.ones(10, 4).double()
    assert frechet_distance(Gaussian.of(flat), Gaussian.of(flat + 2)) == pytest.approx(16)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_the_size_of_parts_changes_nothing(size):
    rows = features(333, shift=1e4)  # far from zero: naive sums of squares lose their digits here
    found = Gaussian.of(rows.split(size))
    np.testing.assert_allclose(found.covariance, np.cov(rows.numpy().T), rtol=1e-8)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    assert found.count == 333


def test_bootstrap_holds_the_truth():
    """The interval of the distance of two samples of known Gaussians, less its known bias, holds the true distance."""
    a, b = features(2000, 2), features(2000, 2, seed=5, shift=1.0)
    found = bootstrap(a, b, repeats=60)
    assert found.low < found.value < found.high
    assert found.low < 2.0 < found.high  # the same covariance, means (1, 1) apart
    assert found.high - found.low < 0.6
    assert bootstrap(a, b, repeats=5) == bootstrap(a, b, repeats=5)


def test_bootstrap_is_the_basic_interval():
    """2 v - q of sets drawn again, each by the textbook: what repeated images add is taken off."""
    a, b = features(25), features(30, seed=5, shift=0.5)
    source, drawn = torch.Generator().manual_seed(4), []
    for _ in range(12):
        rows = [x[torch.randint(len(x), (len(x),), generator=source)].numpy() for x in (a, b)]
        drawn.append(textbook(*rows))
    value = textbook(a.numpy(), b.numpy())
    low, high = np.quantile(drawn, [0.1, 0.9])
    found = bootstrap(a, b, repeats=12, confidence=0.8, seed=4)
    expected = [value, max(2 * value - high, 0), max(2 * value - low, 0)]
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-8)


def test_unlimited_samples_have_no_bias():
    real = Gaussian(torch.zeros(20).double(), torch.eye(20).double(), 10**9)
    fake = torch.randn(2000, 20, generator=torch.Generator().manual_seed(1)).double()
    raw = frechet_distance(real, Gaussian.of(fake))
    assert raw > 0.05
    assert abs(extrapolate(real, fake)) < 0.3 * raw


def test_kid_is_its_definition():
    """Eq. 4 of Binkowski et al., in loops."""
    x, y = features(6, 3), features(5, 3, seed=2)

    def k(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    xx = np.mean([k(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y).item() == pytest.approx(xx + yy - 2 * xy, rel=1e-10)


def test_kid_of_subsets():
    a, b = features(60), features(50, seed=1, shift=0.5)
    whole = kernel_distance(a, a.clone(), subsets=3, size=60)
    assert whole.std == pytest.approx(0, abs=1e-9)  # a subset of all is the same each time
    found = kernel_distance(a, b, subsets=200, size=40)
    assert found.value == pytest.approx(squared_mmd(a, b).item(), rel=0.1)
    assert found.std > 0
    with pytest.raises(UsageError, match="at least 1000 images of A, got 60"):
        kernel_distance(a, b)


def test_inception_score_is_its_definition():
    logits = torch.randn(23, 5, generator=torch.Generator().manual_seed(0)).double() * 3
    p = torch.softmax(logits, 1).numpy()
    scores = []
    for part in (p[k * 23 // 4 : (k + 1) * 23 // 4] for k in range(4)):  # 5, 6, 6, 6, as in the authors' code
        scores.append(np.exp(np.mean([np.sum(row * np.log(row / part.mean(0))) for row in part])))
    found = inception_score(logits, splits=4)
    assert found.value == pytest.approx(np.mean(scores), rel=1e-10)
    assert found.std == pytest.approx(np.std(scores), rel=1e-10)
    sure = 100 * torch.eye(5).double().repeat(10, 1)
    assert inception_score(sure, splits=1).value == pytest.approx(5)
    assert inception_score(sure, splits=10).value == pytest.approx(5)
    assert inception_score(torch.zeros(50, 5)).value == pytest.approx(1)
    ordered = 100 * torch.eye(5).double().repeat_interleave(10, 0)
    assert inception_score(ordered, splits=5).value == pytest.approx(1)  # a split of one class
    assert inception_score(ordered, splits=5, seed=0).value > 2


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbourhoods_are_their_definitions(k):
    """Against scikit-learn's neighbours."""
    a, b = features(70).numpy(), features(50, seed=3, shift=0.8).numpy()

    def radius(x):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]

    between = np.linalg.norm(b[:, None] - a[None], axis=2)  # (fakes, reals)
    found = prdc.precision_recall(torch.from_numpy(a), torch.from_numpy(b), k=k)
    assert found.precision == (between <= radius(a)).any(1).mean()
    assert found.recall == (radius(b) >= between.T).any(1).mean()
    assert found.density == pytest.approx((between < radius(a)).sum() / (k * len(b)))
    assert found.coverage == (between.min(0) < radius(a)).mean()


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [  # k = 1; precision, recall as Kynkaanniemi et al. (<=), density, coverage as Naeem et al. (<)
        ([0, 2, 4], [2, 6], (1, 1, 1 / 2, 1 / 3)),  # 6 lies on the surface of the ball about 4
        ([0, 2, 4], [-2, 6], (1, 1, 0, 0)),  # all on surfaces
        ([0, 0, 5], [0, 20], (1 / 2, 1, 0, 0)),  # duplicates: a ball of radius 0 holds its centre, or nothing
        ([0, 3, 7], [1, 1], (1, 0, 2, 2 / 3)),  # one point twice, inside two balls
    ],
)
def test_neighbours_at_the_same_distance(real, fake, expected):
    found = prdc.precision_recall(*(torch.tensor(x, dtype=torch.float64)[:, None] for x in (real, fake)), k=1)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


def test_neighbourhoods_of_sets_that_are_known(monkeypatch):
    a = features(200)
    same = prdc.precision_recall(a, a.clone())
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    far = prdc.precision_recall(a, a + 1000)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    one_mode = prdc.precision_recall(a, a[:1] + 1e-6 * features(200, seed=4))
    assert one_mode.precision == 1
    assert one_mode.recall < 0.1
    assert one_mode.coverage < 0.1
    b = features(90, seed=8, shift=0.4)
    whole = prdc.precision_recall(a, b)
    monkeypatch.setattr(prdc, "BLOCK", 17)  # parts of one row
    assert prdc.precision_recall(a, b) == whole


def test_memorisation_tells_copies_from_new_images():
    training, held_out = features(300), features(200, seed=1)
    new = prdc.memorisation(features(250, seed=2), training, held_out)
    assert 0.42 < new.share < 0.58
    copies = prdc.memorisation(training[40:50] + 1e-9, training, held_out)
    assert copies.share == 1
    assert copies.neighbour.tolist() == list(range(40, 50))
    torch.testing.assert_close(copies.distance, torch.full((10,), 1e-9 * 6**0.5).double(), rtol=1e-3, atol=0)
    assert prdc.memorisation(training + 1000, training, held_out).share == 0
    assert prdc.memorisation(held_out, training, held_out).share == pytest.approx(0.5, abs=1e-9)  # ties count half


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Gaussian.of(torch.ones(1, 3)), "at least 2 images, got 1"),
        (lambda: frechet_distance(Gaussian.of(features(9, 3)), Gaussian.of(features(9, 4))), "of 3 and of 4 numbers"),
        (lambda: Gaussian.of([features(4, 3), features(4, 5)]), "5 numbers follow features of 3"),
        (lambda: Gaussian.of(torch.full((4, 2), math.nan)), "not finite"),
        (lambda: Gaussian.of(torch.ones(4)), "rows of numbers"),
        (lambda: prdc.precision_recall(features(5), features(9), k=5), "at least 6 images of A, got 5"),
        (lambda: prdc.precision_recall(features(9, 3), features(9, 4)), "of 3 and of 4 numbers"),
        (lambda: inception_score(torch.ones(4, 3)), "at least 10 images of the samples, got 4"),
        (lambda: prdc.memorisation(features(2), features(2), features(0)), "held-out images, got 0"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(call, said):
    with pytest.raises(UsageError, match=said):
        call()


def test_moments_take_any_format_of_number():
    moments = Moments()
    moments.add(features(50).float())
    moments.add(features(50, seed=1).bfloat16())
    assert moments.gaussian().covariance.dtype == torch.float64
