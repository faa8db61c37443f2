"""Distances between sets of features, against formulas, other implementations and the definitions in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.stats import mannwhitneyu
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from ganvas.config import UserError
from ganvas.metrics import neighbours
from ganvas.metrics.frechet import bootstrap, extrapolated, frechet_distance, trace_of_root
from ganvas.metrics.inception_score import InceptionScore, inception_score
from ganvas.metrics.kid import kernel_distance, unbiased_mmd2
from ganvas.metrics.moments import BLOCK, Gaussian, Moments, gaussian_of
from ganvas.metrics.neighbours import manifolds, memorisation, nearest_of


def rows(count, size, seed=0, shift=0.0, scale=1.0):
    source = np.random.RandomState(seed)
    mixing = source.randn(size, size) / size**0.5
    return torch.from_numpy(source.randn(count, size) @ mixing * scale + shift)


def orthogonal(size, seed=0):
    return torch.from_numpy(linalg.qr(np.random.RandomState(seed).randn(size, size))[0])


def known(mean, spectrum, basis):
    return Gaussian(mean, basis @ torch.diag(spectrum) @ basis.T, None, 10_000)


def full(gaussian):
    """The same Gaussian told by its matrix alone."""
    return Gaussian(gaussian.mean, gaussian.covariance(), None, gaussian.count)


# --- moments


@pytest.mark.parametrize("count", [2, 7, 40, 41, 1500])
def test_moments_are_those_of_the_rows(count):
    x = rows(count, 40, shift=100.0)
    found = gaussian_of(x)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance(), np.cov(x.numpy(), rowvar=False), rtol=1e-9, atol=1e-12)
    assert (found.factor is not None) == (count <= 40)
    assert found.count == count


@pytest.mark.parametrize("count", [30, 700, 2000])
def test_moments_do_not_depend_on_the_batch_size(count):
    x = rows(count, 32)

    def streamed(batch):
        moments = Moments(32)
        for part in x.split(batch):
            moments.update(part)
        return moments.gaussian()

    once = streamed(count)
    for batch in (1, 17, 64, BLOCK, BLOCK + 1):
        again = streamed(batch)
        assert torch.equal(once.mean, again.mean)
        assert torch.equal(once.covariance(), again.covariance())


def test_moments_of_float32_features_far_from_zero_lose_nothing():
    x = (rows(3000, 8, scale=1e-2) + 1000).float()
    np.testing.assert_allclose(gaussian_of(x).covariance(), np.cov(x.double().numpy(), rowvar=False), rtol=1e-8)


def test_memory_does_not_grow_with_the_number_of_images():
    def held(moments):
        parts = [*moments._waiting, *(moments._kept or []), moments._mean, moments._scatter]
        return sum(t.nelement() for t in parts if t is not None)

    moments, most = Moments(64), []
    for _ in range(40):
        moments.update(torch.randn(100, 64))
        most.append(held(moments))
    assert max(most) <= 64 * (64 + 1) + 64 * 2 * BLOCK
    assert most[-1] <= 64 * (64 + 1) + 64 * BLOCK


def test_features_that_are_not_numbers_are_refused_by_place():
    x = rows(30, 4)
    moments = Moments(4)
    moments.update(x)
    x[7, 2] = np.nan
    with pytest.raises(UserError, match="1 of 30 images have features that are not finite.*image 37"):
        moments.update(x)
    with pytest.raises(UserError, match="shape"):
        moments.update(torch.zeros(3, 5))
    with pytest.raises(UserError, match="at least 2 images, there are 1"):
        gaussian_of(x[:1])


# --- Frechet distance


@pytest.mark.parametrize("size", [1, 5, 64])
def test_frechet_distance_of_commuting_gaussians_is_the_textbooks(size):
    """Covariances of one basis: |m1 - m2|^2 + sum of (sqrt a - sqrt b)^2."""
    source = np.random.RandomState(size)
    a, b = (torch.from_numpy(source.gamma(1.0, 2.0, size) + 0.01) for _ in range(2))
    m, n = (torch.from_numpy(source.randn(size)) for _ in range(2))
    basis = orthogonal(size)
    expected = float((m - n).square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance(known(m, a, basis), known(n, b, basis)) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_general_gaussians_is_scipys():
    a, b = gaussian_of(rows(500, 30, 1)), gaussian_of(rows(400, 30, 2, shift=0.3, scale=1.5))
    root = linalg.sqrtm(a.covariance().numpy() @ b.covariance().numpy())
    expected = ((a.mean - b.mean) ** 2).sum() + a.trace() + b.trace() - 2 * np.trace(root).real
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize(("zero_a", "zero_b"), [(1, 0), (0, 20), (10, 20), (39, 39)])
def test_frechet_distance_of_singular_gaussians_is_exact(zero_a, zero_b):
    """Directions without any variance, as dead features have, told by the matrix alone."""
    source, basis = np.random.RandomState(3), orthogonal(40, 5)
    a, b = (torch.from_numpy(source.gamma(1.0, 2.0, 40) + 0.01) for _ in range(2))
    a[:zero_a] = 0
    b[len(b) - zero_b :] = 0
    zero = torch.zeros(40, dtype=torch.float64)
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance(known(zero, a, basis), known(zero, b, basis)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 3000), (3000, 20), (2, 2)])
def test_fewer_images_than_dimensions(n, m):
    """The cheap way through the few rows is the way through the matrices, and is real and never negative."""
    a, b = gaussian_of(rows(n, 100, 1)), gaussian_of(rows(m, 100, 2))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(full(a), full(b)), rel=1e-8)
    eigenvalues = np.linalg.eigvals(a.covariance().numpy() @ b.covariance().numpy())
    expected = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    assert float(trace_of_root(a, b)) == pytest.approx(expected, rel=1e-4)  # the general matrix's own rounding


@pytest.mark.parametrize("count", [2, 3, 50, 99, 100, 101, 102, 400])
def test_a_set_is_at_no_distance_from_itself(count):
    x = rows(count, 100)
    for a in (gaussian_of(x), full(gaussian_of(x))):
        distance = frechet_distance(a, a)
        assert 0 <= distance < 1e-8 * float(a.trace())


def test_two_halves_of_one_image_each():
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    y = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    assert frechet_distance(gaussian_of(x), gaussian_of(y)) == 25.0
    assert frechet_distance(full(gaussian_of(x)), full(gaussian_of(y))) == 25.0


def test_other_dimensions_are_refused():
    with pytest.raises(UserError, match="features of 3 and of 4|Features of 3 and of 4"):
        frechet_distance(gaussian_of(rows(9, 3)), gaussian_of(rows(9, 4)))


def test_the_bootstrap_interval_covers_repetitions():
    """In about 95 of 100 experiments the interval holds the mean of the distance over experiments of that size."""
    distances, intervals = [], []
    for seed in range(60):
        source = np.random.RandomState(seed)
        a, b = (torch.from_numpy(source.randn(120, 3) + shift) for shift in (0.0, 0.4))
        interval = bootstrap(a, b, replicates=60, seed=seed)
        assert interval.low <= interval.value <= interval.high
        distances.append(interval.value)
        intervals.append((interval.low, interval.high))
    centre = np.mean(distances)
    covered = np.mean([low <= centre <= high for low, high in intervals])
    assert 0.85 <= covered <= 1.0
    width = np.mean([high - low for low, high in intervals])
    assert width == pytest.approx(4 * np.std(distances), rel=0.3)  # 2 * 1.96 standard deviations


def test_extrapolation_removes_the_bias_of_few_samples():
    reference = Gaussian(torch.zeros(20).double(), torch.eye(20).double(), None, 10**9)
    source = np.random.RandomState(0)
    found = []
    for seed in range(8):
        x = torch.from_numpy(source.randn(2000, 20)) + 0.1  # the truth: 20 * 0.1^2
        found.append((frechet_distance(gaussian_of(x), reference), extrapolated(x, reference, seed=seed)))
    plain, infinite = np.mean(found, 0)
    assert plain - 0.2 > 0.05
    assert abs(infinite - 0.2) < 0.25 * (plain - 0.2)
    with pytest.raises(UserError, match="at least 20 images, there are 5"):
        extrapolated(x[:5], reference)


# --- kernel distance


def test_kernel_discrepancy_is_the_definition():
    x, y = rows(30, 7, 1), rows(25, 7, 2, shift=0.5)
    k = {(p, q): polynomial_kernel(u, v, degree=3, gamma=1 / 7, coef0=1)
         for p, u in (("x", x), ("y", y)) for q, v in (("x", x), ("y", y))}  # fmt: skip
    xs, ys = ~np.eye(30, dtype=bool), ~np.eye(25, dtype=bool)
    expected = k["x", "x"][xs].mean() + k["y", "y"][ys].mean() - 2 * k["x", "y"].mean()
    assert unbiased_mmd2(x, y) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_has_no_bias():
    found = [kernel_distance(rows(100, 4, 1)[:, :4] * 0 + torch.randn(100, 4), torch.randn(100, 4), subsets=5,
                             subset_size=20, seed=s).mean for s in range(80)]  # fmt: skip
    assert abs(np.mean(found)) < 4 * np.std(found) / 80**0.5
    assert min(found) < 0


def test_kernel_distance_takes_subsets():
    x, y = rows(50, 4, 1), rows(60, 4, 2, shift=0.2)
    whole = kernel_distance(x, y, subsets=3, subset_size=50)
    assert (whole.subsets, whole.subset_size) == (3, 50)
    large = kernel_distance(x, y, subset_size=10_000)
    assert large.subset_size == 50
    a, b = (kernel_distance(x, y, subsets=4, subset_size=10, seed=s) for s in (1, 1))
    assert a == b
    assert a.std > 0
    with pytest.raises(UserError, match="at least 2 images"):
        kernel_distance(x[:1], y)


# --- Inception score


def test_inception_score_is_the_definition():
    logits = torch.from_numpy(np.random.RandomState(0).randn(600, 12) * 3)
    p = logits.softmax(1)
    marginal = p.mean(0)
    expected = torch.exp((p * (p.log() - marginal.log())).sum(1).mean())
    assert inception_score(logits, splits=1).mean == pytest.approx(float(expected), rel=1e-12)
    parts = inception_score(logits, splits=10)
    assert parts.std > 0
    assert parts.mean < expected * 1.02


def test_inception_score_of_sure_and_even_answers_counts_the_classes():
    logits = torch.eye(10).repeat_interleave(50, 0) * 1000.0  # sorted by class, as folders are
    assert inception_score(logits, splits=1).mean == pytest.approx(10.0)
    assert inception_score(logits, splits=10).mean > 9.0
    assert inception_score(torch.zeros(100, 10)).mean == pytest.approx(1.0)


def test_inception_score_streams():
    logits = torch.randn(100, 5)
    whole = inception_score(logits)
    for batch in (1, 7, 100):
        score = InceptionScore(100)
        for part in logits.split(batch):
            score.update(part)
        assert score.score().mean == pytest.approx(whole.mean, rel=1e-12)
    with pytest.raises(UserError, match="at least 10 images, there are 9"):
        InceptionScore(9)
    with pytest.raises(UserError, match="not finite"):
        InceptionScore(10).update(torch.full((1, 3), torch.nan))


# --- neighbours


@pytest.mark.parametrize("block", [7, 1024])
def test_manifolds_are_the_definitions(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    fake, real = rows(60, 3, 1, shift=0.6).numpy(), rows(80, 3, 2).numpy()
    between = pairwise_distances(fake, real)

    def reach(x, k):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]

    found = manifolds(torch.from_numpy(fake), torch.from_numpy(real))
    assert found.precision == (between <= reach(real, 3)).any(1).mean()
    assert found.recall == (between <= reach(fake, 3)[:, None]).any(0).mean()
    assert found.density == pytest.approx((between <= reach(real, 5)).sum() / (5 * 60), rel=1e-12)
    assert found.coverage == (between.min(0) <= reach(real, 5)).mean()
    assert 0.2 < found.precision < 0.95
    assert found.precision != found.recall


def test_a_set_covers_itself():
    x = rows(100, 5)
    x[50:60] = x[0]  # repeated images have balls of no size
    found = manifolds(x, x)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    far = manifolds(x + 1000, x)
    assert (far.precision, far.recall, far.density, far.coverage) == (0.0, 0.0, 0.0, 0.0)
    with pytest.raises(UserError, match="at least 6 images, there are 5"):
        manifolds(x, x[:5])


def test_neighbours_compare_blocks_alone(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 16)
    largest = max(d2.nelement() for _, _, d2 in neighbours.distances(rows(100, 3), rows(90, 3)))
    assert largest == 256


@pytest.mark.parametrize("block", [7, 1024])
def test_nearest_images(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = rows(40, 6, 1), rows(50, 6, 2)
    distance, index = nearest_of(x, y)
    expected, places = NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x)
    np.testing.assert_allclose(distance, expected[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(index, places[:, 0])


def test_memorised_images_are_found():
    source = torch.Generator().manual_seed(0)
    train, held_out, honest = (torch.randn(400, 8, generator=source) for _ in range(3))
    found = memorisation(honest, train, held_out)
    assert found.share == pytest.approx(0.05, abs=0.03)
    assert found.nearer == pytest.approx(0.5, abs=0.05)
    thief = torch.cat([honest[:200], train[:200] + 1e-3])
    caught = memorisation(thief, train, held_out)
    assert caught.share == pytest.approx(0.525, abs=0.03)
    assert torch.equal(caught.index[200:], torch.arange(200))
    far = [NearestNeighbors(n_neighbors=1).fit(train).kneighbors(x)[0][:, 0] for x in (thief, held_out)]
    rank = mannwhitneyu(far[1], far[0]).statistic / 400**2  # P(held-out farther)
    assert caught.nearer == pytest.approx(rank, abs=1e-9)
    with pytest.raises(UserError, match="at least 20; there are 19"):
        memorisation(honest, train, held_out[:19])
