"""Penalties against the published equations, computed here in float64 by another way, and what they remember."""

from __future__ import annotations

import copy
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.augment import Augment
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import BaseDiscriminator, Draw, Match, Progress, Scores
from ganvas.losses.gradient_penalties import DRAGAN, R1, R2, GradientPenalty
from ganvas.losses.realness import Realness
from ganvas.losses.score_penalties import Consistency, FeatureMatching, LeCam, PullingAway
from ganvas.losses.weight_penalties import HistoricalAveraging, OrthogonalRegularisation, WeightClipping
from ganvas.networks import dcgan
from ganvas.schedule import Anneal
from ganvas.tasks.base import Adversary
from test_losses import numeric_gradient
from test_trainer import assert_same, small, trainer

N, SHAPE, SIZE = 5, (3, 2, 2), 12


class Quadratic(BaseDiscriminator):
    """D(x) = x' A x / 2, whose gradient is known: (A + A') x / 2; it shows the features x A."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.randn(SIZE, SIZE, dtype=torch.float64) / 3)

    def forward(self, x, label=None):
        x = x.flatten(1)
        return Scores(((x @ self.a) * x).sum(1, keepdim=True) / 2, features=(x @ self.a,))


def verdict(a, x):
    return np.array([row @ a @ row / 2 for row in x])


def slope(a, x):
    return np.stack([(a + a.T) @ row / 2 for row in x])


def norms(a, x):
    return np.array([np.sqrt((row**2).sum()) for row in slope(a, x)])


class Halve(Augment):
    """A change that is known."""

    def forward(self, images):
        return images / 2 + 0.1


def on_lines(x, y, rand):
    return rand[0] * x + (1 - rand[0]) * y


def around(x, rand, spread=0.5):
    return x + rand[1] * spread * x.std() * rand[0]


# (name, options), what it is of (A, real, fake, the random numbers it draws), and the shapes of those
ON_D = [
    ("r1", {"gamma": 3.0}, lambda a, x, y, u: 3 / 2 * (slope(a, x) ** 2).sum(1).mean(), []),
    ("r1", {"gamma": Spec(Anneal, start=4.0, end=1.0)}, lambda a, x, y, u: (slope(a, x) ** 2).sum(1).mean() / 2, []),
    ("r2", {"gamma": 3.0, "every": 4}, lambda a, x, y, u: 4 * 3 / 2 * (slope(a, y) ** 2).sum(1).mean(), []),
    ("gradient_penalty", {}, lambda a, x, y, u: 10 * ((norms(a, on_lines(x, y, u)) - 1) ** 2).mean(), [1]),
    (
        "gradient_penalty",
        {"centre": 0.0, "weight": 2.0, "every": 3},
        lambda a, x, y, u: 3 * 2 * (norms(a, on_lines(x, y, u)) ** 2).mean(),
        [1],
    ),
    (
        "gradient_penalty",
        {"one_sided": True, "centre": 2.0},
        lambda a, x, y, u: 10 * (np.maximum(norms(a, on_lines(x, y, u)) - 2, 0) ** 2).mean(),
        [1],
    ),
    ("dragan", {}, lambda a, x, y, u: 10 * ((norms(a, around(x, u)) - 1) ** 2).mean(), [SIZE, 1]),
    (
        "dragan",
        {"spread": 2.0, "one_sided": True, "weight": 1.0},
        lambda a, x, y, u: (np.maximum(norms(a, around(x, u, 2)) - 1, 0) ** 2).mean(),
        [SIZE, 1],
    ),
    (
        "consistency",
        {"augment": Spec(Halve), "real_weight": 3.0, "fake_weight": 2.0},
        lambda a, x, y, u: (
            3 * ((verdict(a, x / 2 + 0.1) - verdict(a, x)) ** 2).mean()
            + 2 * ((verdict(a, y / 2 + 0.1) - verdict(a, y)) ** 2).mean()
        ),
        [],
    ),
]


def images():
    source = np.random.default_rng(1)
    return source.normal(0.2, 1, (N, SIZE)), source.normal(-0.5, 1.5, (N, SIZE))


def tensor(x):
    return torch.from_numpy(x).view(len(x), *SHAPE)


def match_of(net, real, fake, **more):
    return Match(real, fake, net(real), net(fake), net, net, **more)


END = Progress(images=1, total=1)


@pytest.mark.parametrize(("name", "options", "equation", "draws"), ON_D, ids=[f"{n}{list(o)}" for n, o, *_ in ON_D])
def test_penalty_on_the_discriminator_is_its_equation(name, options, equation, draws):
    net, (x, y) = Quadratic(), images()
    torch.manual_seed(3)
    drawn = [torch.rand(N, *(SHAPE if k == SIZE else (1, 1, 1)), dtype=torch.float64) for k in draws]
    drawn = [u.flatten(1).numpy() for u in drawn]
    torch.manual_seed(3)
    value = catalog.PENALTIES[name](**options)(match_of(net, tensor(x), tensor(y)), END)
    (found,) = torch.autograd.grad(value, net.a)
    a = net.a.detach().numpy()
    assert value.item() == pytest.approx(equation(a, x, y, drawn), rel=1e-9)
    wanted = numeric_gradient(lambda w: equation(w, x, y, drawn), a)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def cosines(f):
    """Zhao et al. 2017, eq. for f_PT, pair by pair."""
    pairs = [(a @ b / np.sqrt((a @ a) * (b @ b))) ** 2 for a, b in itertools.permutations(f, 2)]
    return sum(pairs) / (len(f) * (len(f) - 1))


ON_G = [
    ("feature_matching", {}, lambda f, g: np.abs(f.mean(0) - g.mean(0)).mean()),
    ("feature_matching", {"norm": "l2", "weight": 3.0}, lambda f, g: 3 * ((f.mean(0) - g.mean(0)) ** 2).sum()),
    ("pulling_away", {}, lambda f, g: 0.1 * cosines(g)),
]


@pytest.mark.parametrize(("name", "options", "equation"), ON_G)
def test_penalty_on_the_generator_is_its_equation(name, options, equation):
    net, (x, y) = Quadratic().requires_grad_(False), images()
    fake = tensor(y).requires_grad_()
    value = catalog.PENALTIES[name](**options)(match_of(net, tensor(x), fake), END)
    value.backward()
    a = net.a.numpy()
    assert value.item() == pytest.approx(equation(x @ a, y @ a), rel=1e-9)
    wanted = numeric_gradient(lambda w: equation(x @ a, w @ a), y)
    np.testing.assert_allclose(fake.grad.flatten(1), wanted, rtol=1e-6, atol=1e-9)


# --- on gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [R1, R2, GradientPenalty, DRAGAN])
def test_lazy_penalties_rest_and_make_up_for_it(cls):
    net, (x, y) = Quadratic(), images()
    match = match_of(net, tensor(x), tensor(y))
    values = []
    lazy = cls(every=4)
    for step in range(8):
        torch.manual_seed(0)
        values.append(lazy(match, Progress(step=step)))
    torch.manual_seed(0)
    every_step = cls()(match, Progress())
    assert [v is None for v in values] == [False, True, True, True] * 2
    assert values[4].item() == pytest.approx(4 * every_step.item())
    with pytest.raises(UsageError, match="at least 1"):
        cls(every=0)


class Listener:
    """A judge that remembers what it was shown."""

    def __init__(self):
        self.net, self.heard = Quadratic(), []

    def __call__(self, x, label=None):
        self.heard.append((x.detach().clone(), label))
        return self.net(x)


@pytest.mark.parametrize(("cls", "where"), [(R1, "real"), (R2, "fake")])
def test_each_looks_at_its_own_images_with_their_labels(cls, where):
    x, y = map(tensor, images())
    judge, labels = Listener(), {"real": torch.tensor([1]), "fake": torch.tensor([2])}
    cls()(Match(x, y, judge.net(x), judge.net(y), judge, label=labels["real"], fake_label=labels["fake"]), END)
    ((shown, label),) = judge.heard
    assert torch.equal(shown, {"real": x, "fake": y}[where])
    assert label is labels[where]


def test_gradient_penalty_has_one_place_on_each_line():
    """Not one for the batch (torchgan), nor one for each pixel."""
    x, y = map(tensor, images())
    judge = Listener()
    GradientPenalty()(Match(x, y, judge.net(x), judge.net(y), judge), END)
    share = ((judge.heard[0][0] - y) / (x - y)).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert len(set(share[:, 0].tolist())) == N
    assert share.min() >= 0
    assert share.max() <= 1


def test_processes_draw_as_one():
    x, y = (torch.randn(6, *SHAPE, dtype=torch.float64) for _ in range(2))
    shown = []
    for parts, world in ((slice(0, 6), 1), (slice(0, 3), 2), (slice(3, 6), 2)):
        judge = Listener()
        torch.manual_seed(0)
        match = Match(x[parts], y[parts], judge.net(x), judge.net(y), judge)
        GradientPenalty()(match, Progress(rank=int(parts.start > 0), world=world))
        shown.append(judge.heard[0][0])
    torch.testing.assert_close(torch.cat(shown[1:]), shown[0])


def test_a_flat_discriminator_has_a_finite_penalty():
    """Where the gradient is exactly zero its norm has no derivative."""
    net = Quadratic()
    nn.init.zeros_(net.a)
    x, y = map(tensor, images())
    value = GradientPenalty()(match_of(net, x, y), END)
    assert value.item() == pytest.approx(10)
    (gradient,) = torch.autograd.grad(value, net.a)
    assert torch.isfinite(gradient).all()


# --- on verdicts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rectified", [False, True])
def test_lecam_is_its_equation(rectified):
    """Anchors of the steps before; a first step that only sets them; a rest until `start`."""
    penalty = LeCam(weight=0.5, decay=0.9, start=20, rectified=rectified).double()
    source, real_anchor, fake_anchor = np.random.default_rng(0), None, None

    def expected(real, fake, a, b):
        above, below = real - b, a - fake
        if rectified:
            above, below = np.maximum(above, 0), np.maximum(below, 0)
        return 0.5 * ((above**2).mean() + (below**2).mean())

    for step in range(8):
        real, fake = source.normal(1, 1, (4, 1)), source.normal(-1, 1, (4, 1))
        r, f = (torch.from_numpy(v).requires_grad_() for v in (real, fake))
        x = torch.zeros(4, *SHAPE)
        value = penalty(Match(x, x, Scores(r), Scores(f), None), Progress(images=4 * step, total=32))
        if 4 * step < 20:
            assert value is None
            real_anchor, fake_anchor = real.mean(), fake.mean()
        else:
            value.backward()
            assert value.item() == pytest.approx(expected(real, fake, real_anchor, fake_anchor), rel=1e-9)
            by_real = numeric_gradient(partial(expected, fake=fake, a=real_anchor, b=fake_anchor), real)
            by_fake = numeric_gradient(partial(expected, real, a=real_anchor, b=fake_anchor), fake)
            np.testing.assert_allclose(r.grad, by_real, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(f.grad, by_fake, rtol=1e-6, atol=1e-8)
            real_anchor = 0.9 * real_anchor + 0.1 * real.mean()
            fake_anchor = 0.9 * fake_anchor + 0.1 * fake.mean()
        assert penalty.real.item() == pytest.approx(real_anchor, rel=1e-9)
        assert penalty.fake.item() == pytest.approx(fake_anchor, rel=1e-9)


def test_lecam_without_a_rest_begins_with_its_second_step():
    penalty, x = LeCam(start=0), torch.zeros(2, *SHAPE)
    scores = Scores(torch.ones(2, 1)), Scores(-torch.ones(2, 1))
    assert penalty(Match(x, x, *scores, None), Progress()).item() == 0
    assert penalty(Match(x, x, *scores, None), Progress()).item() == pytest.approx(0.3 * (2**2 + 2**2))


def test_consistency_shows_the_changed_images_with_their_labels():
    x, y = map(tensor, images())
    judge = Listener()
    labels = torch.tensor([1]), torch.tensor([2])
    match = Match(x, y, judge.net(x), judge.net(y), judge, label=labels[0], fake_label=labels[1])
    Consistency(augment=Spec(Halve))(match, END)
    (real, real_label), (fake, fake_label) = judge.heard
    torch.testing.assert_close(real, x / 2 + 0.1)
    torch.testing.assert_close(fake, y / 2 + 0.1)
    assert real_label is labels[0]
    assert fake_label is labels[1]


def test_consistency_takes_changes_to_the_data_too():
    x = torch.rand(2, 3, 8, 8)
    judge = Listener()
    judge.net = lambda images, label=None: Scores(images.flatten(1).mean(1, keepdim=True))
    Consistency(augment=Spec(catalog.AUGMENT["flip"], p=1.0))(Match(x, x, judge.net(x), judge.net(x), judge), END)
    assert torch.equal(judge.heard[0][0], x.flip(3))


def test_consistency_must_be_told_what_should_not_matter():
    with pytest.raises(UsageError, match="diffaugment"):
        Consistency()


def test_feature_matching_compares_means_not_images():
    """The same fakes in another order cost the same; torchgan's per-sample distance does not."""
    net, (x, y) = Quadratic(), map(tensor, images())
    one = FeatureMatching()(match_of(net, x, y), END)
    two = FeatureMatching()(match_of(net, x, y.flip(0)), END)
    assert one.item() == pytest.approx(two.item())
    assert FeatureMatching()(match_of(net, x, x.flip(0)), END).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("cls", [FeatureMatching, PullingAway])
def test_a_discriminator_without_features_is_a_sentence(cls):
    x = torch.zeros(2, *SHAPE)
    scores = Scores(torch.zeros(2, 1))
    with pytest.raises(UsageError, match="gives none"):
        cls()(Match(x, x, scores, scores, None), END)


def test_pulling_away_needs_two_images():
    scores = Scores(torch.zeros(1, 1), features=(torch.ones(1, 3),))
    with pytest.raises(UsageError, match="at least two"):
        PullingAway()(Match(torch.zeros(1, *SHAPE), torch.zeros(1, *SHAPE), None, scores, None), END)


def test_pulling_away_is_one_for_parallel_and_zero_for_square_features():
    for features, expected in ((torch.ones(4, 3), 1), (-torch.eye(3), 0), (torch.tensor([[1.0, 0], [-2, 0]]), 1)):
        x = torch.zeros(len(features), *SHAPE)
        value = PullingAway(weight=1.0)(Match(x, x, None, Scores(features[:, :1], features=(features,)), None), END)
        assert value.item() == pytest.approx(expected, abs=1e-6)


# --- on weights -------------------------------------------------------------------------------------------


def layers():
    return nn.ModuleDict(
        {
            "wide": nn.Conv2d(2, 3, 3),
            "tall": nn.Linear(2, 7),
            "up": nn.ConvTranspose2d(2, 5, 2),
            "norm": nn.BatchNorm2d(4),
        }
    ).double()


def squared_overlaps(filters):
    return sum((a.ravel() @ b.ravel()) ** 2 for a, b in itertools.permutations(filters, 2))


def test_orthogonal_regularisation_is_its_equation():
    """Over ordered pairs of different filters, which for a transposed convolution are in the second dimension."""
    net, x = layers(), torch.zeros(1)
    match = Match(x, x, None, Scores(x), None, net)
    value = OrthogonalRegularisation(weight=2.0)(match, END)
    filters = {k: net[k].weight.detach().numpy() for k in ("wide", "tall", "up")}
    filters["up"] = filters["up"].transpose(1, 0, 2, 3)
    assert value.item() == pytest.approx(2 * sum(map(squared_overlaps, filters.values())), rel=1e-9)
    value.backward()
    for name, w in filters.items():
        found = net[name].weight.grad.numpy()
        found = found.transpose(1, 0, 2, 3) if name == "up" else found
        wanted = numeric_gradient(lambda v: 2 * squared_overlaps(v), w)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert net["norm"].weight.grad is None


def test_orthogonal_filters_of_any_length_cost_nothing():
    net = nn.Linear(6, 4, bias=False)
    nn.init.orthogonal_(net.weight)
    net.weight.data *= torch.tensor([0.1, 1, 5, 10.0])[:, None]
    x = torch.zeros(1)
    assert OrthogonalRegularisation(weight=1.0)(Match(x, x, None, Scores(x), None, net), END).item() < 1e-9


def test_orthogonal_regularisation_knows_transposed_filters_under_spectral_norm():
    up = nn.ConvTranspose2d(2, 5, 2, bias=False)
    x = torch.zeros(1)
    plain = OrthogonalRegularisation()(Match(x, x, None, Scores(x), None, nn.Sequential(up)), END)
    nn.utils.parametrizations.spectral_norm(up)
    normed = OrthogonalRegularisation()(Match(x, x, None, Scores(x), None, nn.Sequential(up)), END)
    assert normed.item() == pytest.approx(plain.item())


def test_clipping_happens_before_the_discriminator_plays():
    clipped = [Spec(WeightClipping, bound=0.005)]
    spec, data = Spec(dcgan.Discriminator, width=4), {"resolution": 8, "channels": 1}
    judge = Adversary(spec, Spec(catalog.LOSSES["wasserstein"]), clipped, **data)
    net = judge.net
    frozen = net.body[0].weight.requires_grad_(False)
    before, seen = frozen.clone(), []
    frozen_max = before.abs().max().item()
    free = [p for p in net.parameters() if p.requires_grad]
    net.register_forward_pre_hook(lambda m, i: seen.append(max(p.abs().max() for p in free)))
    images = torch.randn(4, 1, 8, 8)
    objective, _ = judge.d_loss(images, images, Progress())
    assert frozen_max > 0.005
    assert len(seen) == 2
    assert max(seen).item() == pytest.approx(0.005)
    assert torch.equal(frozen, before)  # what was frozen on purpose is left alone
    assert objective.terms.keys() == {"adversarial"}


def test_historical_averaging_is_its_equation():
    """Mean over the weights before every update, the present ones included; the value pulls towards it."""
    net, penalty, past = layers(), HistoricalAveraging(weight=0.5).double(), []
    x = torch.zeros(1)
    for _ in range(5):
        for p in net.parameters():
            p.data += torch.randn_like(p)
        penalty.constrain(net)
        past.append(np.concatenate([p.detach().numpy().ravel() for p in net.parameters()]))
        value = penalty(Match(x, x, None, Scores(x), None, net), END)
        mean = np.mean(past, axis=0)
        assert value.item() == pytest.approx(0.5 * ((past[-1] - mean) ** 2).sum(), rel=1e-9, abs=1e-12)
        gradients = torch.autograd.grad(value, list(net.parameters()))
        found = np.concatenate([g.numpy().ravel() for g in gradients])
        np.testing.assert_allclose(found, 2 * 0.5 * (past[-1] - mean), rtol=1e-9, atol=1e-12)


MEMORIES = {
    "historical_averaging": {"penalties": "historical_averaging", "g_penalties": "historical_averaging"},
    "lecam": {"penalties": "lecam(start=0)"},
    "boundary_equilibrium": {"loss": "boundary_equilibrium(rate=0.1)"},
    "ada": {"augment": "ada(images=100, every=2)"},
    "pool": {"pool": "6"},
    "top_k": {"loss": "top_k(share=0.25)", "images": "24"},
    "instance_noise": {"augment": "instance_noise(sigma=0.5)"},
    "diffaugment": {"augment": "diffaugment"},
}


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("begun", [0, 3])
def test_what_is_remembered_resumes_exactly(name, begun):
    recipe = small(**MEMORIES[name])
    one = trainer(recipe)
    for _ in range(begun):
        one.advance()
    saved = copy.deepcopy(one.state_dict())
    for _ in range(3):
        one.advance()
    two = trainer(recipe, seed=7)
    if begun == 0:
        two.advance()  # has grown what the saved state has not
    two.load_state_dict(saved)
    for _ in range(3):
        two.advance()
    assert_same(one.state_dict(), two.state_dict())


# --- who pays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty", "dragan", "lecam"])
def test_a_penalty_for_the_discriminator_is_refused_elsewhere(name):
    with pytest.raises(UsageError, match="put it into penalties"):
        trainer(small(g_penalties=name))


@pytest.mark.parametrize("name", ["feature_matching", "pulling_away"])
def test_a_penalty_for_the_generator_is_refused_elsewhere(name):
    with pytest.raises(UsageError, match="put it into g_penalties"):
        trainer(small(penalties=name))


def test_feature_matching_can_be_all_that_the_generator_is_paid():
    t = trainer(small(loss="weighted(loss=hinge, g=0.0)", g_penalties="feature_matching"))
    before = copy.deepcopy(t.task.generator.state_dict())
    t.advance()
    said = t.read()
    assert said["g/adversarial"] == 0
    assert said["g/feature_matching"] > 0
    assert any(not torch.equal(v, before[k]) for k, v in t.task.generator.state_dict().items() if "weight" in k)


# --- discriminators of more than one output -----------------------------------------------------------------


class Outcomes(BaseDiscriminator):
    """Four logits for an image, by one matrix."""

    def __init__(self, *, outputs: int = 1):
        super().__init__()
        torch.manual_seed(0)
        self.matrix = nn.Parameter(torch.randn(SIZE, outputs, dtype=torch.float64))

    def forward(self, x, label=None):
        return Scores(x.flatten(1).double() @ self.matrix)


def test_gradient_penalties_differentiate_the_score_of_the_loss():
    """R1 of RealnessGAN is on the gradient of the expected outcome, which the sum of the logits says nothing of."""
    judge = Adversary(Spec(Outcomes), Spec(Realness, outcomes=4), [Spec(R1, gamma=3.0)])
    x, y = torch.randn(2, N, *SHAPE).unbind(0)
    objective, _ = judge.d_loss(x, y, Progress())
    matrix = judge.net.matrix.detach().numpy()

    def expected_outcome(image):
        p = np.exp(image @ matrix)
        return float(p @ np.linspace(-1, 1, 4) / p.sum())

    rows = x.double().flatten(1).numpy()
    slopes = np.stack([numeric_gradient(expected_outcome, row) for row in rows])
    assert objective.terms["r1"].item() == pytest.approx(1.5 * (slopes**2).sum(1).mean(), rel=1e-5)
    levels = [expected_outcome(row) for row in rows]
    assert objective.stats["real"].item() == pytest.approx(np.mean(levels), rel=1e-5)
    np.testing.assert_allclose(judge.score(x).detach().numpy(), levels, rtol=1e-5)


def test_a_discriminator_with_too_few_outputs_is_refused():
    class Single(Outcomes):
        def __init__(self, *, outputs=1):
            super().__init__(outputs=1)

    judge = Adversary(Spec(Single), Spec(Realness, outcomes=4))
    with pytest.raises(UsageError, match="Realness needs 4 outputs of a discriminator per image, and .*Single gives 1"):
        judge.discriminate(torch.zeros(2, *SHAPE))


def test_a_match_holds_the_images_as_the_discriminator_saw_them():
    judge = Adversary(Spec(Outcomes), Spec(catalog.LOSSES["hinge"]), augment=[Spec(Halve)])
    x, y = torch.randn(2, N, *SHAPE).unbind(0)
    for match in (judge.d_loss(x, y, Progress())[1], judge.g_loss(Draw(y), x, Progress(), compare=True)[1]):
        torch.testing.assert_close(match.real_scores.input, x / 2 + 0.1)
        torch.testing.assert_close(match.fake_scores.input, y / 2 + 0.1)


def test_lecam_and_augmentations_follow_the_score_of_the_loss():
    class Listening(Halve):
        def observe(self, logits):
            self.observed = logits

    judge = Adversary(Spec(Outcomes), Spec(Realness, outcomes=4), [Spec(LeCam, start=0)], [Spec(Listening)])
    x, y = torch.randn(2, N, *SHAPE).unbind(0)
    _, match = judge.d_loss(x, y, Progress())
    level = judge.loss.to_scalar(match.real_scores.logits)
    assert level.abs().max() <= 1
    assert judge.penalties[0].real.item() == pytest.approx(level.mean().item(), rel=1e-5)
    (augmentation,) = (m for m in judge.augment.modules() if isinstance(m, Listening))
    torch.testing.assert_close(augmentation.observed, level)
