"""Autoencoder critics: any size, errors against their definition, the code as features, and what is frozen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.adversarial import Wasserstein
from ganvas.networks import semigan as noisy
from ganvas.networks.autoencoder import Autoencoder, Decoder
from ganvas.tasks.generation import Generation

SIZES = [(8, 8), (28, 28), (64, 64), (112, 92), (9, 31), (8, 100), (65, 33)]
KINDS = [{}, {"error": "absolute", "code": 12, "batch_norm": False}]


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", KINDS, ids=["ebgan", "began"])
def test_any_size_and_channels(kind, resolution, channels):
    critic = Autoencoder(resolution=resolution, channels=channels, width=4, **kind)
    x = torch.rand(3, channels, *resolution) * 2 - 1
    again, code = critic.reconstruct(x)
    assert again.shape == x.shape
    assert again.abs().max() <= 1
    scores = critic(x)
    assert scores.logits.shape == (3, 1)
    assert len(scores.features) == 1
    assert scores.features[0].shape == (3, code.shape[1])
    assert code.shape[1] == kind.get("code", code.shape[1])


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("family", [Decoder, noisy.Generator])
def test_generators_of_any_size(family, resolution):
    generator = family(resolution=resolution, channels=3, width=4)
    image = generator(torch.randn(3, generator.latent))
    assert image.shape == (3, 3, *resolution)
    assert image.abs().max() <= 1
    asked = family(resolution=resolution, channels=1, classes=5, width=4)
    assert asked(torch.randn(2, asked.latent), torch.tensor([0, 4])).shape == (2, 1, *resolution)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=["ebgan", "began"])
def test_logits_are_the_mean_error_of_each_image(kind, bf16):
    critic = Autoencoder(resolution=(9, 12), channels=3, width=4, **kind).eval()
    x = torch.rand(4, 3, 9, 12) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores, again = critic(x), critic.reconstruct(x)[0]
    gap = (again.double() - x.double()).flatten(1)
    expected = gap.square().mean(1) if not kind else gap.abs().mean(1)
    assert scores.logits.dtype == torch.float32
    torch.testing.assert_close(scores.logits[:, 0].double(), expected, rtol=1e-6, atol=1e-7)
    alone = torch.cat([critic(one[None]).logits for one in x])
    if not bf16:
        torch.testing.assert_close(alone, scores.logits)  # nobody else's error


def test_images_that_cannot_be_halved_are_grown_evenly():
    critic = Autoencoder(resolution=(9, 13), channels=1, width=4, depth=1)
    x = torch.arange(9 * 13.0).view(1, 1, 9, 13)
    grown = critic._padded(x)
    assert grown.shape == (1, 1, 10, 14)
    assert torch.equal(grown[:, :, :9, :13], x)
    assert torch.equal(grown[0, 0, :, 13], grown[0, 0, :, 12])
    even = torch.zeros(1, 1, 16, 16)
    assert Autoencoder(resolution=16, channels=1, width=4)._padded(even) is even


def test_the_published_encoder():
    """EBGAN, Zhao et al. 2016: (64)4c2s-(128)4c2s-(256)4c2s, and its mirror."""
    critic = Autoencoder(resolution=64, channels=3)
    down = [m for m in critic.encoder if isinstance(m, nn.Conv2d)]
    up = [m for m in critic.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in down] == [(3, 64), (64, 128), (128, 256)]
    assert [(m.in_channels, m.out_channels) for m in up] == [(256, 128), (128, 64), (64, 3)]
    assert {(m.kernel_size, m.stride) for m in [*down, *up]} == {((4, 4), (2, 2))}
    assert len(critic.stages()) == 3
    inside = {id(p) for stage in critic.stages() for p in stage.parameters()}
    assert inside == {id(p) for p in critic.encoder.parameters()}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in Autoencoder(resolution=32, batch_norm=False).modules())


def test_the_code_is_what_the_image_is_redrawn_from():
    critic = Autoencoder(resolution=16, channels=1, width=4, code=3).eval()
    x, y = torch.rand(2, 1, 1, 16, 16)
    critic.squeeze.weight.data.zero_()
    assert torch.equal(critic.reconstruct(x)[0], critic.reconstruct(y)[0])


@pytest.mark.parametrize("kind", KINDS, ids=["ebgan", "began"])
def test_it_learns_to_redraw(kind):
    critic = Autoencoder(resolution=8, channels=1, width=16, **kind)
    adam = torch.optim.Adam(critic.parameters(), lr=3e-3)
    x = (torch.rand(8, 1, 8, 8) * 2 - 1).round()
    errors = []
    for _ in range(150):
        adam.zero_grad()
        loss = critic(x).logits.mean()
        loss.backward()
        adam.step()
        errors.append(loss.item())
    assert errors[-1] < 0.4 * errors[0]


def test_in_a_game_it_judges_without_a_head():
    task = Generation(
        generator=Spec(Decoder, width=4),
        discriminator=Spec(Autoencoder, width=4),
        loss=Spec(Wasserstein),
        resolution=(8, 8),
        channels=1,
    )
    batch = {"image": torch.rand(4, 1, 8, 8) * 2 - 1}
    assert torch.isfinite(task.d_loss(batch, Progress()).total)
    task.g_loss(batch, Progress()).total.backward()
    assert all(p.grad is not None for p in task.generator.parameters())


def test_images_that_are_too_small():
    for family in (Autoencoder, Decoder):
        with pytest.raises(UsageError, match="at least 8x8 pixels, these are 5x9"):
            family(resolution=(9, 5))
