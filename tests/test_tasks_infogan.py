"""InfoGAN: the mutual information term against its equation, who pays it, and how codes are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ganvas
from ganvas import catalog
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress, Scores
from ganvas.losses.adversarial import NonSaturating
from ganvas.networks import dcgan, heads, mlp
from ganvas.networks.class_and_code_heads import InfoHead
from ganvas.tasks.infogan import InfoGAN
from small import FACTS


def task(**changes):
    generator = Spec(dcgan.Generator, width=4, latent=6)
    discriminator = Spec(dcgan.Discriminator, width=4, head=Spec(InfoHead, width=8))
    spec = Spec(InfoGAN, generator=generator, discriminator=discriminator, loss=Spec(NonSaturating))
    spec = spec.replace(categories=[3, 2], continuous=2)
    return spec.replace(**changes).build(**FACTS)


def batch(n=6):
    return {"image": torch.rand(n, 1, 8, 8) * 2 - 1}


def test_the_term_is_its_equation():
    """-log Q(c | x): one softmax a category, a Gaussian of deviation one a number (Chen et al. 2016, eq. 5)."""
    source = np.random.default_rng(0)
    output = source.normal(0, 2, (7, 3 + 2 + 2))
    chosen, numbers = np.stack([source.integers(0, 3, 7), source.integers(0, 2, 7)], 1), source.uniform(-1, 1, (7, 2))
    code = np.concatenate([np.eye(3)[chosen[:, 0]], np.eye(2)[chosen[:, 1]], numbers], 1)

    def category(output):
        nll = 0.0
        for logits, truth in ((output[:, :3], chosen[:, 0]), (output[:, 3:5], chosen[:, 1])):
            q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            nll -= np.log(q[range(7), truth]).mean()
        return nll

    def continuous(output):
        density = np.exp(-((numbers - output[:, 5:]) ** 2) / 2) / math.sqrt(2 * math.pi)
        return -np.log(density).sum(1).mean()

    head = InfoHead(features=5, codes=([3, 2], 2), weight=0.7, continuous_weight=0.1)
    guess = torch.from_numpy(output).requires_grad_()
    terms = head.loss(Scores(torch.zeros(7, 1), code=guess), torch.from_numpy(code))
    assert terms["category"].item() == pytest.approx(0.7 * category(output), rel=1e-9)
    assert terms["continuous"].item() == pytest.approx(0.1 * continuous(output), rel=1e-9)
    for name, function, weight in (("category", category, 0.7), ("continuous", continuous, 0.1)):
        (found,) = torch.autograd.grad(terms[name], guess, retain_graph=True)
        wanted = np.zeros_like(output)
        for k in range(output.size):
            up, down = output.copy(), output.copy()
            up.flat[k], down.flat[k] = up.flat[k] + 1e-6, down.flat[k] - 1e-6
            wanted.flat[k] = weight * (function(up) - function(down)) / 2e-6
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("codes", "names"), [(([4], 0), {"category"}), (([], 3), {"continuous"})])
def test_one_kind_of_code_is_enough(codes, names):
    t = task(categories=codes[0], continuous=codes[1])
    terms = t.g_loss(batch(), Progress()).terms
    assert terms.keys() == {"adversarial", *names}
    assert t.sample(t.inputs([0, 1])).shape == (2, 1, 8, 8)


def test_both_players_pay_and_only_for_fakes():
    """In the discriminator's step the term moves Q and the shared body, in the generator's step the generator."""
    t = task()
    b = batch()
    objective = t.d_loss(b, Progress())
    assert objective.terms.keys() == {"adversarial", "category_fake", "continuous_fake"}
    (objective.terms["category_fake"] + objective.terms["continuous_fake"]).backward()
    net = t.discriminator.net
    for part in (net.body, net.head.guess):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert net.head.score.weight.grad is None  # real or fake is not part of it
    assert all(p.grad is None for p in t.generator.parameters())
    t.zero_grad()
    net.requires_grad_(False)
    objective = t.g_loss(b, Progress())
    assert objective.terms.keys() == {"adversarial", "category", "continuous"}
    (objective.terms["category"] + objective.terms["continuous"]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in t.generator.parameters())


def test_the_guess_is_compared_with_the_code_that_was_drawn():
    t = task(categories=[3], continuous=1)
    draw = t.draw(batch(500)["image"], Progress())
    one_hot, number = draw.code.split([3, 1], 1)
    assert torch.equal(one_hot.sum(1), torch.ones(500))
    assert set(one_hot.unique().tolist()) == {0.0, 1.0}
    assert abs(one_hot.sum(0) - 500 / 3).max() < 60
    assert number.min() >= -1
    assert number.max() <= 1
    assert number.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.1)
    assert torch.equal(draw.code, draw.label)
    t.eval()
    again = t.maker(draw.latent[:4], draw.code[:4])
    torch.testing.assert_close(t.maker(draw.latent, draw.code)[:4], again, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(again, t.maker(draw.latent[:4], draw.code[4:8]))


def test_two_processes_draw_the_codes_of_one():
    t, six, three = task(), batch(6)["image"], batch(3)["image"]
    torch.manual_seed(3)
    whole = t.draw(six, Progress())
    for rank in (0, 1):
        torch.manual_seed(3)
        part = t.draw(three, Progress(rank=rank, world=2))
        assert torch.equal(part.code, whole.code[3 * rank : 3 * rank + 3])


def test_codes_of_samples():
    t = task()
    free, again, more = t.inputs([5, 6, 7]), t.inputs([5, 6, 7]), t.inputs(range(60))
    assert torch.equal(free["label"], again["label"])
    assert torch.equal(t.inputs([6])["label"][0], free["label"][1])
    assert more["label"][:, :3].argmax(1).unique().tolist() == [0, 1, 2]
    told = t.inputs([5, 6, 7], label=2)
    assert told["label"][:, :3].tolist() == [[0, 0, 1]] * 3
    assert torch.equal(told["label"][:, 3:], free["label"][:, 3:])
    assert torch.equal(told["z"], free["z"])
    whole = t.inputs([5, 6], label=[1, 0, -0.5, 2.0])["label"]
    assert whole.tolist() == [[0, 1, 0, 1, 0, -0.5, 2.0]] * 2
    assert t.read_label("2", ("cat",)) == 2
    assert t.read_label("1, 0,-0.5,2", ()) == [1.0, 0.0, -0.5, 2.0]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (3, "whole number from 0 to 2, got 3"),
        (-1, "whole number from 0 to 2, got -1"),
        ([1, 0, 0.5], "4 numbers (2 categories, then 2 continuous ones), got [1, 0, 0.5]"),
        ([1, 0, 0.5, 0.5, 0.5], "is 4 numbers"),
        ([0.5, 0, 0, 0], "Category 1 of the code is a whole number"),
        ([0, 2, 0, 0], "Category 2 of the code is a whole number from 0 to 1"),
        ("cat", "is 4 numbers"),
    ],
)
def test_codes_that_the_model_does_not_have(label, said):
    with pytest.raises(UsageError) as problem:
        task().inputs([0], label)
    assert said in str(problem.value)


def test_numbers_alone_have_no_category():
    with pytest.raises(UsageError, match="does not exist in this model"):
        task(categories=[], continuous=2).inputs([0], 0)


@pytest.mark.parametrize("codes", [([], 0), ([1], 0), ([10], -1)])
def test_a_code_of_nothing_is_refused(codes):
    with pytest.raises(UsageError, match="InfoGAN needs a code"):
        task(categories=codes[0], continuous=codes[1])


def test_parts_that_cannot_take_a_code_are_refused():
    with pytest.raises(UsageError, match="and Plain cannot"):
        task(discriminator=Spec(dcgan.Discriminator, head=Spec(heads.Plain)))


def test_any_generator_and_body_will_do():
    generator, discriminator = Spec(mlp.Generator, width=8), Spec(mlp.Discriminator, width=8, head=Spec(InfoHead))
    t = task(generator=generator, discriminator=discriminator)
    assert torch.isfinite(t.d_loss(batch(), Progress()).total)
    assert torch.isfinite(t.g_loss(batch(), Progress()).total)


def test_set_and_recipe():
    recipe = catalog.RECIPES["infogan"]()
    recipe.set("categories", "5,4")
    recipe.set("continuous", "1")
    t = recipe.task.build(resolution=(8, 8), channels=1)
    assert t.discriminator.net.head.sizes == [5, 4, 1]
    assert recipe.g_optimizer.get("lr") == 1e-3
    assert recipe.d_optimizer.get("lr") == 2e-4
    assert recipe.task.get("generator").get("latent") == 62


@pytest.mark.slow
def test_the_code_is_learnt(tmp_path):
    """On two kinds of image a category of two values ends up naming the kind."""
    from ganvas.data import Dataset

    kinds = np.arange(64) % 2
    pixels = np.where(kinds[:, None, None, None], 230, 25) + np.random.RandomState(0).randint(-20, 20, (64, 8, 8, 1))
    small = {"generator.width": 8, "discriminator.width": 8, "categories": [2], "continuous": 0}
    options = {"batch": 32, "images": 6400, "device": "cpu", "precision": "fp32", "set": small}
    data = Dataset(pixels.astype(np.uint8), name="kinds")
    run = ganvas.train("infogan", data=data, outdir=tmp_path / "r", **options)
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    means = [model.sample(32, label=k).mean((1, 2, 3)) for k in (0, 1)]
    apart = (means[0].mean() - means[1].mean()).abs()
    assert apart > 0.8
    assert run.log()[-1]["g/category"] < 0.1


def test_the_head_that_guesses_codes_needs_codes():
    with pytest.raises(UsageError, match="belongs to the recipe infogan"):
        InfoHead(features=4)
