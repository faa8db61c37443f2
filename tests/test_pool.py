"""Past fakes: what goes in, what comes out, and what is left after a restart."""

from __future__ import annotations

import copy

import pytest
import torch

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.adversarial import Hinge
from ganvas.networks import dcgan
from ganvas.tasks.base import Adversary
from ganvas.tasks.image_pool import Pool
from test_trainer import small, trainer


def numbered(start, count):
    """Images that say who they are, and labels that say the same."""
    numbers = torch.arange(start, start + count)
    return numbers.float().view(-1, 1, 1, 1).expand(count, 2, 3, 4), numbers


def test_until_it_is_full_every_image_is_kept_and_returned():
    pool = Pool(size=10)
    for start in (0, 4, 8):
        images, labels = numbered(start, 4)
        out, out_labels = pool(images, labels)
        assert torch.equal(out, images)  # the last batch fills it, and its other half only passes
        assert torch.equal(out_labels, labels)
    assert pool.labels.tolist() == list(range(10))
    assert pool.count == 10


def test_then_half_of_a_batch_is_exchanged():
    """Every image that came in is either inside, or came out once, or was returned at once; never two of these."""
    pool, shown, later = Pool(size=50), [], 0
    for step in range(400):
        images, labels = numbered(8 * step, 8)
        out, out_labels = pool(images, labels)
        assert torch.equal(out[:, 0, 0, 0].long(), out_labels)  # labels travel along
        assert torch.equal(pool.images[: pool.count, 0, 0, 0].long(), pool.labels[: pool.count])
        if step >= 7:
            shown += out_labels.tolist()
            later += (out_labels < 8 * step).sum().item()
    assert len(set(shown)) == len(shown)
    inside = set(pool.labels.tolist())
    assert inside.isdisjoint(set(shown) - set(range(56)))
    assert set(range(56, 8 * 400)) <= inside | set(shown)
    assert later / len(shown) == pytest.approx(0.5, abs=0.03)
    ages = torch.tensor([8 * 400 - n for n in inside]).float()
    assert ages.mean().item() == pytest.approx(100, abs=40)  # each place is taken every 2 * 50 images or so


def test_batches_larger_than_the_pool():
    pool = Pool(size=3)
    first, labels = numbered(0, 8)
    assert torch.equal(pool(first, labels)[1], labels)
    out, out_labels = pool(*numbered(8, 8))
    assert out_labels[3:].tolist() == list(range(11, 16))
    assert set(out_labels[:3].tolist()) | set(pool.labels.tolist()) == {0, 1, 2, 8, 9, 10}
    assert out.shape == (8, 2, 3, 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_images_keep_their_format_and_carry_no_gradient(dtype):
    pool = Pool(size=2)
    images = torch.rand(4, 1, 2, 2, dtype=dtype).requires_grad_()
    for _ in range(4):
        out, labels = pool(images)
        assert out.dtype == dtype
        assert labels is None
        assert not out.requires_grad
    assert pool.images.dtype == torch.float32


def test_vectors_travel_along():
    pool = Pool(size=4)
    for step in range(6):
        images, numbers = numbered(3 * step, 3)
        out, labels = pool(images, numbers[:, None] * torch.ones(5))
        assert torch.equal(labels, out[:, 0, 0, :1].expand(3, 5))


def test_a_pool_that_is_read_goes_on_as_before():
    one = Pool(size=6)
    for step in range(5):
        one(*numbered(4 * step, 4))
    two = Pool(size=6)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    assert two.labels.dtype == torch.int64
    found = []
    for pool in (one, two):
        torch.manual_seed(1)
        found.append([pool(*numbered(4 * step, 4))[1].tolist() for step in range(5, 9)])
    assert found[0] == found[1]
    two.load_state_dict(Pool(size=6).state_dict())  # and back to one that has seen nothing
    assert two.count == 0
    assert torch.equal(two(*numbered(0, 4))[1], torch.arange(4))


@pytest.mark.parametrize("size", [0, -3])
def test_an_empty_pool_is_a_sentence(size):
    with pytest.raises(UsageError, match="at least one"):
        Pool(size=size)


def test_the_discriminator_sees_the_pool_and_the_generator_does_not():
    judge = Adversary(Spec(dcgan.Discriminator, width=4), Spec(Hinge), pool=4, resolution=8, channels=1)
    net, seen = judge.net, []
    net.register_forward_pre_hook(lambda m, i: seen.append(i[0].detach().clone()))
    past = [torch.full((4, 1, 8, 8), k / 10) for k in range(8)]
    real = torch.full((4, 1, 8, 8), -1.0)
    for fake in past:
        _, match = judge.d_loss(real, fake, Progress())
        assert torch.equal(match.fake, seen[-1])
        assert torch.equal(seen[-2], real)
    values = set(seen[-1][:, 0, 0, 0].tolist()) | {v for s in seen for v in s[:, 0, 0, 0].tolist()}
    assert len(values) == 9
    assert any(len(set(s[:, 0, 0, 0].tolist())) > 1 for s in seen[3::2])  # of different ages


def test_a_recipe_with_a_pool_is_paid_for_the_present_fakes():
    t = trainer(small(pool="6"))
    assert t.task.discriminator.pool.size == 6
    assert trainer(small()).task.discriminator.pool is None
    for _ in range(4):
        t.advance()
    assert t.task.discriminator.pool.count == 6
    with pytest.raises(UsageError, match="at least one"):
        trainer(small(pool="-1"))
