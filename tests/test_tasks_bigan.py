"""BiGAN: the discriminator sees pairs, and generator and encoder learn from it alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import softplus

import ganvas
from ganvas.catalog import RECIPES
from ganvas.errors import UsageError
from ganvas.evaluation.representation import open_representation
from ganvas.game import Encodes, Progress
from ganvas.policy import Policy
from ganvas.training.trainer import Trainer
from small import FACTS, Fixed, narrow


def narrow_recipe(**changes):
    recipe = RECIPES["bigan"]()
    for path, value in {**narrow("bigan"), **changes}.items():
        recipe.set(path, str(value))
    return recipe


@pytest.fixture
def task():
    return narrow_recipe().task.build(**FACTS).eval()  # batch norm with fixed statistics, so that rows are independent


def test_both_players_minimise_the_paper_s_value(task):
    real = torch.rand(6, 1, 8, 8) * 2 - 1
    torch.manual_seed(1)
    d = task.d_loss({"image": real}, Progress()).terms
    torch.manual_seed(1)
    g = task.g_loss({"image": real}, Progress()).terms
    torch.manual_seed(1)
    z = task.noise(real, Progress())
    net = task.discriminator.net
    real_logits, fake_logits = net(real, task.encode(real)).logits, net(task.maker(z), z).logits
    assert torch.allclose(d["adversarial"], (softplus(-real_logits) + softplus(fake_logits)).mean(), atol=1e-6)
    assert torch.allclose(g["adversarial"], (softplus(real_logits) + softplus(-fake_logits)).mean(), atol=1e-6)
    assert not torch.allclose(real_logits, net(real, task.encode(real).flip(0)).logits)  # the code is seen


def test_gradients_reach_who_learns(task):
    batch = {"image": torch.rand(6, 1, 8, 8) * 2 - 1}
    task.d_loss(batch, Progress()).total.backward()
    assert all(p.grad is None for p in task.generator.parameters())
    assert all(p.grad is not None for p in task.discriminator.net.parameters())
    task.g_loss(batch, Progress()).total.backward()
    for part in ("images", "encoder"):
        assert all(p.grad is not None and p.grad.any() for p in task.generator[part].parameters() if p.ndim > 1), part


def test_penalties_take_the_codes_of_an_encoder_in_bf16():
    recipe = narrow_recipe(penalties="r1")
    trainer = Trainer(recipe.task.build(**FACTS), recipe, Fixed(channels=1), Policy(torch.device("cpu"), bf16=True))
    trainer.advance()
    assert all(abs(v) < float("inf") for v in trainer.read().values())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    small = ["generator.width=4", "discriminator.width=4", "encoder.width=4"]
    options = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": small}
    return ganvas.train("bigan", data="digits", outdir=tmp_path_factory.mktemp("bigan") / "run", images=16, **options)


def test_its_discriminator_does_not_score_images_alone(run):
    with pytest.raises(UsageError, match="scores images with their codes"):
        ganvas.evaluate("discriminator", "digits", str(run.path), held_out="digits", samples=8, resolution=8)


def test_the_code_of_the_encoder_is_a_start(run):
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    assert isinstance(model.task, Encodes)
    images = model.sample(2, seed=3)
    result = model.project(images, steps=0, starts=1)
    assert torch.allclose(result.codes.values, model.task.encode(images), atol=1e-5)
    assert torch.equal(result.images, result.codes.draw(model))
    seen = open_representation(str(run.path), device="cpu").features(images)  # of the encoder, at each stage
    maps = [images]
    for stage in model.task.generator["encoder"].body:
        maps.append(stage(maps[-1].clone()))
    assert torch.allclose(seen, maps[-1].flatten(1), atol=1e-5)  # 8x8 images have one stage, of 4x4 places
