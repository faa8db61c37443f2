"""Networks that see an image reduced to a small side: its colours, and its haze by the scattering model."""

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.imaging.colour import merge_lab, to_lab
from ganvas.imaging.photo import as_photo
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import ImageModel
from ganvas.networks.colorize_inpaint import Colorizer
from ganvas.networks.dehazer import Dehazer
from ganvas.networks.reduced import enlarge_to, reduce_side
from ganvas.networks.residual_unet import ResidualUNet
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
NET = Spec(ResidualUNet, widths=[4, 8], blocks=1)


class Constant(nn.Module):
    """Constant maps (N, C, h, w), and the size of what it was given."""

    def __init__(self, *values: float):
        super().__init__()
        self.values, self.seen = torch.tensor(values).view(1, -1, 1, 1), (0,)

    def forward(self, x):
        self.seen = tuple(x.shape[1:])
        return self.values.expand(len(x), -1, *x.shape[2:])


@pytest.mark.parametrize(
    ("size", "side", "small"),
    [((64, 96), 16, (16, 24)), ((30, 20), 8, (12, 8)), ((5, 9), 8, (5, 9)), ((7, 9), 0, (7, 9)), ((1, 1), 4, (1, 1))],
)
def test_the_shorter_side_is_reduced(size, side, small):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    reduced = reduce_side(image, side)
    assert (tuple(reduced.shape), tuple(enlarge_to(reduced, image).shape)) == ((2, 3, *small), (2, 3, *size))
    if size[0] % small[0] == size[1] % small[1] == 0:  # areas of equal size: the mean stays
        expected = image.view(2, 3, small[0], size[0] // small[0], small[1], size[1] // small[1]).mean((3, 5))
        torch.testing.assert_close(reduced, expected)


def test_the_scattering_model_is_solved():
    """I = J t + A (1 - t), with other t and A for every colour, gives J back, whatever the size."""
    clear = torch.rand(1, 3, 40, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    t, air = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.9, 0.6, 0.7)))
    network = Dehazer(resolution=16, net=NET, side=8)
    network.net = Constant(*(-t.log()).flatten().tolist(), *(air.flatten() - 0.7).tolist())
    torch.testing.assert_close(network((clear * t + air * (1 - t)).float()), clear.float(), atol=1e-5, rtol=0)
    assert network.net.seen == (4, 8, 12)  # with the dark channel


def test_a_dehazer_begins_with_the_image_and_learns():
    network, image = Dehazer(resolution=16, net=NET, side=8), torch.rand(2, 3, 20, 33) - 0.5
    torch.testing.assert_close(network(image), image)
    (network(image) - 1).square().mean().backward()
    assert network.net.last.weight.grad[:12].abs().max() > 0  # of -log t


def test_the_dark_channel_is_of_patches_that_are_a_share_of_the_image():
    """The least of all colours in 4x4 pixels of the image at four times the side, at any size (He et al. 2009)."""
    network = Dehazer(resolution=16, net=NET, side=8)
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    least = image.amin(1).view(1, 8, 4, 16, 4).amin((2, 4))
    ripple = torch.tensor([0.2, 0.0, -0.2]).repeat(64)  # that is gone in the means of three columns
    for x in (image, image.repeat_interleave(3, 2).repeat_interleave(3, 3) + ripple):
        small = network.look(x)
        torch.testing.assert_close(small[:, 3], least)
        torch.testing.assert_close(small[:, :3], reduce_side(image, 8))


def test_colours_come_from_the_reduced_lightness_which_stays_whole():
    lightness = torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    network = Colorizer(resolution=16, net=NET, side=12)
    network.net = Constant(0.1, -0.05)
    image, chroma = network(lightness), torch.tensor([0.1, -0.05]).view(1, 2, 1, 1).expand(1, 2, 48, 64)
    assert network.net.seen == (1, 12, 16)
    torch.testing.assert_close(image, merge_lab(lightness, chroma))
    torch.testing.assert_close(to_lab(image)[:, :1], lightness, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", [Dehazer, Colorizer])
def test_deep_transparent_images_are_done_at_once(kind):
    """Tiles would each be reduced to the side, so --tile is set aside with a notice; 16 bits and alpha stay."""
    torch.manual_seed(0)
    network = kind(resolution=16, net=NET, side=8).eval().requires_grad_(False)
    nn.init.normal_(network.net.last.weight, std=0.02)
    levels = np.random.default_rng(0).integers(20_000, 40_000, (50, 70, 4)).astype(np.uint16)
    results = []
    for tile in (None, 16):
        enhancer = Enhancer(ImageModel(network.on_images(), 3, "test"), CPU, EnhanceOptions(tile=tile))
        results.append(enhancer.photo(as_photo(levels)).array)
        assert any("whole image" in note for note in enhancer.tilers[1].notes)
    assert np.array_equal(*results)
    assert results[0].dtype == np.uint16
    assert np.array_equal(results[0][..., 3], levels[..., 3])
    assert (results[0][..., :3] % 257).any()


@pytest.mark.parametrize(("kind", "side"), [(Dehazer, 0), (Colorizer, -1)])
def test_a_wrong_side_is_refused(kind, side):
    with pytest.raises(UsageError, match=f"side .* not {side}"):
        kind(resolution=16, net=NET, side=side)
