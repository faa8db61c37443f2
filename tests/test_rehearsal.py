"""What a rehearsal refuses before a run begins: a player whose loss never reaches it, and nothing else."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

import ganvas
from ganvas import catalog
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.losses.adversarial import Loss, NonSaturating
from ganvas.networks.dcgan import Discriminator
from ganvas.policy import Policy
from ganvas.training.players import Group
from ganvas.training.rehearsal import rehearse
from small import Fixed, facts, narrow

TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32"}


class Constant(NonSaturating):
    """A loss of D without a graph."""

    def d(self, real, fake):
        return torch.ones(())


class Flat(NonSaturating):
    """A loss of D with a graph whose gradients are all zero."""

    def d(self, real, fake):
        return 0 * (real.sum() + fake.sum())


class Shifted(NonSaturating):
    """A loss of D that no change to D changes: logits less themselves."""

    def d(self, real, fake):
        return (real - real).mean() + 1


class Deaf(NonSaturating):
    """A loss of G that ignores the fakes."""

    def g(self, fake, real=None):
        return torch.ones(())


class Margin(Loss):
    """A hinge that is flat where D begins, and not elsewhere."""

    def d(self, real, fake):
        return torch.relu(real.abs() - 1e-3).mean() + torch.relu(fake.abs() - 1e-3).mean()

    def g(self, fake, real=None):
        return -fake.mean()


def dcgan(loss=None, **changes):
    recipe = catalog.RECIPES["dcgan"]()
    for path, value in {**narrow("dcgan"), **changes}.items():
        recipe.set(path, str(value))
    if loss:
        recipe.task.put("loss", Spec(loss))
    return recipe


@pytest.mark.parametrize(
    ("loss", "player"),
    [(Constant, "discriminator"), (Flat, "discriminator"), (Shifted, "discriminator"), (Deaf, "generator")],
)
def test_a_loss_without_a_gradient_is_refused(loss, player, tmp_path):
    with pytest.raises(UsageError, match=f"The loss of the {player} has no gradient for any weight of the {player}"):
        ganvas.train(dcgan(loss), outdir=tmp_path / "run", images=16, **TINY)
    assert not (tmp_path / "run").exists()


def test_a_discriminator_that_begins_as_zeros_is_none(tmp_path):
    """It passes no gradient on to the generator in the first step, and its hinge is flat there."""

    class Zeros(Discriminator):
        """Scores everything 0."""

        @functools.wraps(Discriminator.__init__)
        def __init__(self, **options):
            super().__init__(**options)
            for p in [*self.parameters()][-2:]:
                nn.init.zeros_(p)

    for loss in (Margin, NonSaturating):
        recipe = dcgan(loss)
        recipe.task.put("discriminator", Spec(Zeros, width=4))
        run = ganvas.train(recipe, outdir=tmp_path / loss.__name__, images=16, **TINY)
        assert run.log()[-1]["images"] == 16


class Few:
    """A data set whose every batch holds whatever a task may need."""

    def __init__(self, built):
        self.data = Fixed(**{k: built[k] for k in ("channels", "source_channels")})

    def at(self, start, count):
        return next(self.data.stream([start], count))


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_no_recipe_is_refused(name):
    """As published, with warm-ups and every term; the networks are narrow."""
    recipe, built = catalog.RECIPES[name](), facts(name)
    for path, value in narrow(name).items():
        if path != "warmup":
            recipe.set(path, str(value))
    task, few = recipe.task.build(**built), Few(built)
    task.examples = lambda places: few.at(0, len(places))
    rehearse(task, recipe, few, Policy(torch.device("cpu")), Group())
