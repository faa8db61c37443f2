"""R1 and R2 by finite differences: their expectation, their gradient, the passes they take, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import BaseDiscriminator, Match, Progress, Scores
from ganvas.losses.gradient_penalties import R1, R2
from ganvas.networks.heads import Projection
from ganvas.policy import Policy
from ganvas.training.trainer import Trainer
from test_trainer import Fixed, small

SHAPE = (3, 2, 2)
BOTH = pytest.mark.parametrize(("cls", "where"), [(R1, "real"), (R2, "fake")])


class Linear(BaseDiscriminator):
    """D(x) = w'x, whose gradient is w; with patches, D has as many logits, which add up to it."""

    def __init__(self, patches=1):
        super().__init__()
        self.weight, self.patches, self.seen = nn.Parameter(torch.randn(12, dtype=torch.float64)), patches, []

    def forward(self, x, label=None):
        self.seen.append((x.detach().clone(), label))
        return self.scores(x)

    def scores(self, x):
        logits = (x.flatten(1) @ self.weight)[:, None]
        return Scores(logits.expand(-1, self.patches)[:, None] / self.patches, input=x)


class Smooth(Linear):
    """D(x) = tanh(w'x / 4)."""

    def scores(self, x):
        return Scores((x.flatten(1) @ self.weight / 4).tanh()[:, None], input=x)


def match_of(net, n=4, **more):
    x, y = (torch.randn(n, *SHAPE, dtype=torch.float64) for _ in range(2))
    return Match(x, y, net.scores(x), net.scores(y), net, net, **more)


@BOTH
@pytest.mark.parametrize("patches", [1, 5])
def test_expectation_for_a_linear_critic_is_the_squared_gradient(cls, where, patches):
    """Exactly, at any sigma, with logits of patches added up as the exact penalty does."""
    net = Linear(patches)
    match = match_of(net, 20_000)
    value = cls(gamma=3.0, approximate=True, sigma=0.5)(match, Progress())
    exact = cls(gamma=3.0)(match, Progress())
    assert exact.item() == pytest.approx(3 / 2 * net.weight.square().sum().item(), rel=1e-9)
    assert value.item() == pytest.approx(exact.item(), rel=0.04)  # 3 standard deviations of 20,000 squares
    (ours,), (theirs,) = (torch.autograd.grad(v, net.weight) for v in (value, exact))
    torch.testing.assert_close(ours, theirs, rtol=0.15, atol=0.15)


@BOTH
def test_it_is_its_equation(cls, where):
    net = Smooth()
    match = match_of(net)
    torch.manual_seed(5)
    value = cls(gamma=2.0, every=3, approximate=True, sigma=0.1)(match, Progress())
    torch.manual_seed(5)
    x, w = getattr(match, where).flatten(1), net.weight.detach()
    n = torch.randn(4, *SHAPE, dtype=torch.float64).flatten(1)
    slopes = (((x + 0.1 * n) @ w / 4).tanh() - (x @ w / 4).tanh()) / 0.1
    assert value.item() == pytest.approx(3 * 2 / 2 * slopes.square().mean().item(), rel=1e-9)


def test_smaller_sigma_is_nearer_to_the_directional_derivative():
    """The error falls as sigma does, by ten for ten: the difference is of first order."""
    net = Smooth()
    match = match_of(net)
    errors = []
    for sigma in (1e-1, 1e-2, 1e-3):
        torch.manual_seed(5)
        value = R1(gamma=2.0, approximate=True, sigma=sigma)(match, Progress())
        torch.manual_seed(5)
        n = torch.randn(4, *SHAPE, dtype=torch.float64)
        x = match.real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net.scores(x).logits.sum(), x)
        errors.append(abs(value.item() - (gradient * n).flatten(1).sum(1).square().mean().item()))
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5


@BOTH
@pytest.mark.parametrize("precise", [True, False])
def test_one_pass_over_noisy_images_where_the_scores_are_float32(cls, where, precise):
    """In bf16 the clean images are scored again, in the same pass, with the labels of both."""
    net, label = Linear(), {"real": torch.tensor([1, 2, 3, 4]), "fake": torch.tensor([5, 6, 7, 8])}
    match = match_of(net, label=label["real"], fake_label=label["fake"], precise=precise)
    cls(approximate=True)(match, Progress())
    ((images, labels),) = net.seen
    clean = getattr(match, where)
    assert len(images) == (4 if precise else 8)
    assert labels.tolist() == label[where].tolist() * (1 if precise else 2)
    if not precise:
        assert torch.equal(images[:4], clean)
    assert (images[-4:] - clean).std().item() == pytest.approx(0.01, rel=0.4)


def test_it_looks_at_the_augmented_images():
    """Two passes through different random augmentations would differ by the augmentation."""
    net = Linear()
    match = match_of(net)
    match.real_scores = net.scores(match.real / 2 + 0.3)
    R1(approximate=True)(match, Progress())
    assert (net.seen[0][0] - (match.real / 2 + 0.3)).abs().max() < 0.1


def test_it_rests_between_evaluations():
    penalty, match = R1(every=4, approximate=True), match_of(Linear())
    assert [penalty(match, Progress(step=k)) is None for k in range(5)] == [False, True, True, True, False]


def test_a_discriminator_with_noise_of_its_own_is_refused():
    net = Linear()
    net.scores = lambda x: Scores(nn.functional.dropout(x, 0.5).flatten(1) @ net.weight[:, None], input=x)
    with pytest.raises(UsageError, match="take approximate=false"):
        R1(approximate=True)(match_of(net), Progress())
    with pytest.raises(UsageError, match="above 0"):
        R1(sigma=0.0)


def test_processes_draw_as_one():
    net, x = Linear(), torch.randn(6, *SHAPE, dtype=torch.float64)
    for parts, world in ((slice(0, 6), 1), (slice(0, 3), 2), (slice(3, 6), 2)):
        torch.manual_seed(0)
        part = x[parts]
        match = Match(part, part, net.scores(part), net.scores(part), net, net)
        R1(approximate=True)(match, Progress(rank=int(parts.start > 0), world=world))
    whole, *halves = (images for images, _ in net.seen)
    torch.testing.assert_close(torch.cat(halves), whole)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_of_training_with_labels_and_augmentation(bf16):
    recipe = small(
        penalties="[r1(gamma=1,approximate=true),r2(gamma=1,approximate=true,every=2)]",
        augment="diffaugment",
        conditional="true",
        **{"discriminator.head": "projection"},
    )
    assert recipe.task.get("discriminator").get("head") == Spec(Projection)
    assert recipe.from_dict(recipe.to_dict()) == recipe
    task = recipe.task.build(resolution=(8, 8), channels=3, classes=3)
    trainer = Trainer(task, recipe, Fixed(channels=3), Policy(torch.device("cpu"), bf16))
    for _ in range(2):
        trainer.advance()
    assert all(abs(value) < float("inf") for value in trainer.read().values())
