"""Augmentations whose strength changes during training, against their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvas.augment.ada import ADA
from ganvas.game import Progress

BATCHES = 24


def adapted(ada, logits, world=1):
    """p after each step in which D scored one batch of real images, as the trainer calls an augmentation."""
    p = []
    for step, batch in enumerate([*logits, None]):
        ada.follow(Progress(step=step, world=world))
        p.append(ada.p.item())
        if batch is not None:
            ada.observe(torch.as_tensor(batch).float())
    return p[1:]


@pytest.mark.parametrize(("sign", "start"), [(1.0, 0.0), (-1.0, 0.5)], ids=["overfits", "does not"])
def test_ada_moves_p_against_overfitting(sign, start):
    """Karras et al. 2020, section 3: up where D tells real images by their sign too well, down otherwise."""
    ada = ADA(images=1000, every=1)
    ada.p.fill_(start)
    p = adapted(ada, np.full((BATCHES, 10), sign))
    np.testing.assert_allclose(p, start + sign * 10 / 1000 * np.arange(1, BATCHES + 1), atol=1e-6)


@pytest.mark.parametrize("world", [1, 2])
def test_ada_takes_the_step_of_the_paper(world):
    """p += sign(E[sign(D(real))] - target) x images seen / images, every few batches, within [0, 1]."""
    every, images, target = 4, 700, 0.6
    random = np.random.default_rng(0)
    share = np.repeat([0.95, 0.95, 0.95, 0.7, 0.7, 0.95], every)[:BATCHES]  # of real images that score above zero
    sizes = random.integers(40, 80, BATCHES)
    logits = [np.where(random.random(n) < s, 1.5, -0.5) for n, s in zip(sizes, share)]
    expected, p = [], 0.0
    for end in range(1, BATCHES + 1):
        if end % every == 0:
            signs = np.sign(np.concatenate(logits[end - every : end]))
            p = min(max(p + np.sign(signs.mean() - target) * world * len(signs) / images, 0), 1)
        expected.append(p)
    assert {*np.sign(np.diff(expected))} == {-1.0, 0.0, 1.0}  # it goes both ways
    found = adapted(ADA(target=target, images=images, every=every), logits, world)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ada_goes_from_0_to_1_in_the_images_given():
    ada = ADA(images=500, every=1)
    p = adapted(ada, np.ones((12, 50)))
    assert p[8] == pytest.approx(0.9)
    assert p[9:] == pytest.approx([1, 1, 1])
