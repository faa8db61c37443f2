"""Smooth fills against Laplace's equation solved in float64, and an inpainter that begins with one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvas.config import Spec
from ganvas.imaging.fill import diffuse
from ganvas.networks.colorize_inpaint import Inpainter
from ganvas.networks.residual_unet import ResidualUNet


def harmonic(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The solution inside the hole (H, W): every pixel is the mean of its four neighbours, borders repeated."""
    height, width = hole.shape
    places = {tuple(p): k for k, p in enumerate(np.argwhere(hole))}
    matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
    for (y, x), k in places.items():
        matrix[k, k] = 4
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            near = (min(max(v, 0), height - 1), min(max(u, 0), width - 1))
            if near in places:
                matrix[k, places[near]] -= 1
            else:
                right[k] += image[near]
    filled = image.copy()
    filled[hole] = np.linalg.solve(matrix, right)
    return filled


def damaged(name: str) -> tuple[np.ndarray, np.ndarray]:
    """An image (23, 18) in [-1, 1] and its hole."""
    y, x = np.mgrid[:23, :18]
    hole = np.zeros((23, 18), bool)
    if name == "box":
        hole[5:14, 4:11] = True
    elif name == "corner":
        hole[:9, :7] = True
    else:
        hole = np.abs(y - x - 3) < 2
    return np.sin(y / 4) * np.cos(x / 3) * 0.8, hole


def as_tensors(image: np.ndarray, hole: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(image)[None, None], torch.from_numpy(hole)[None, None].double()


@pytest.mark.parametrize("name", ["box", "corner", "stroke"])
def test_a_fill_is_harmonic(name):
    """With many sweeps exactly; the usual eight come near, from all that is known, whatever stands in the hole."""
    image, hole = damaged(name)
    truth = harmonic(image, hole)
    given = np.where(hole, 77.0, image)
    many, few = (diffuse(*as_tensors(given, hole), sweeps)[0, 0].numpy() for sweeps in (600, 8))
    assert np.abs(many - truth).max() < 1e-6
    assert np.abs(few - truth).max() < 0.25 * np.abs(truth[hole] - image[~hole].mean()).max()
    assert np.array_equal(few[~hole], image[~hole])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 3), (33, 5)])
def test_any_size_is_filled(size):
    """A constant stays constant; without known pixels all is 0."""
    image = torch.full((2, 3, *size), 0.3)
    hole = torch.zeros(2, 1, *size)
    hole[..., 0] = 1
    known = size[1] > 1
    torch.testing.assert_close(diffuse(image, hole)[0], torch.full((3, *size), 0.3 if known else 0.0))
    assert torch.equal(diffuse(image, torch.ones_like(hole)), torch.zeros_like(image))


def test_images_of_a_batch_do_not_mix():
    image, hole = as_tensors(*damaged("box"))
    other = torch.cat([image, -3 * image]), torch.cat([hole, hole.flip(2)])
    torch.testing.assert_close(diffuse(*other)[:1], diffuse(image, hole))


def test_an_inpainter_with_sweeps_begins_as_the_fill():
    """Its network's last layer begins at zero, so the result is the fill; without sweeps it is mid-grey."""
    image, hole = (x.float() for x in as_tensors(*damaged("box")))
    source = torch.cat([torch.where(hole > 0, 0.0, image), hole * 2 - 1], 1)
    net = Spec(ResidualUNet, widths=[4, 8], blocks=1)
    with torch.no_grad():
        filled, grey = (Inpainter(resolution=24, channels=1, net=net, sweeps=k)(source) for k in (8, 0))
    torch.testing.assert_close(filled, diffuse(source[:, :1], hole, 8))
    assert torch.equal(grey, source[:, :1])
