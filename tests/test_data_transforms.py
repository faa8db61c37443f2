"""Random changes of real images, against what each must and must not do."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.data import Dataset, open_source
from ganvas.data.batches import Batches
from ganvas.data.transforms import (
    TRANSFORMS,
    Blur,
    Brightness,
    Crop,
    Flip,
    Noise,
    Rotate,
    Scale,
    Transform,
    Turn,
    parse_transforms,
)
from ganvas.errors import UsageError


def random_images(channels: int = 3, count: int = 16, height: int = 12, width: int = 16) -> Tensor:
    return torch.rand(count, channels, height, width) * 2 - 1


def smooth(count: int = 8, size: int = 33) -> Tensor:
    """A bright spot right of the centre, on black: where it lies tells what was done."""
    y, x = torch.meshgrid(*[torch.arange(size) - size // 2] * 2, indexing="ij")
    spot = torch.exp(-((x - 8) ** 2 + y**2) / 3)
    return (spot * 2 - 1).expand(count, 1, size, size).clone()


def centroid(images: Tensor) -> Tensor:
    """(N, 2): x and y from the centre."""
    weight = (images[:, 0] + 1) / 2
    along = torch.arange(images.shape[-1]) - images.shape[-1] // 2
    total = weight.sum((1, 2))
    return torch.stack([(weight * along).sum((1, 2)) / total, (weight * along[:, None]).sum((1, 2)) / total], 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_shape_range_and_the_original_stay(name: str, channels: int) -> None:
    images = random_images(channels)
    before = images.clone()
    changed = TRANSFORMS[name]()(images)
    assert torch.equal(images, before)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.abs().max() <= 1
    assert not torch.equal(changed, images)
    torch.manual_seed(5)
    one = TRANSFORMS[name]()(images)
    torch.manual_seed(5)
    assert torch.equal(TRANSFORMS[name]()(images), one)


NOTHING = {
    "flip": Flip(p=0),
    "turn": Turn(p=0),
    "rotate": Rotate(degrees=0),
    "scale": Scale(low=1, high=1),
    "crop": Crop(padding=0),
    "brightness": Brightness(amount=0),
    "noise": Noise(std=0),
    "blur": Blur(p=0),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_of_strength_zero_changes_nothing(name: str, channels: int) -> None:
    images = random_images(channels)
    torch.testing.assert_close(NOTHING[name](images), images, atol=1e-4, rtol=0)


def test_flip_mirrors_left_and_right() -> None:
    images = random_images()
    assert torch.equal(Flip(p=1)(images), torch.from_numpy(images.numpy()[..., ::-1].copy()))
    many = random_images(count=400)
    flipped = (Flip(p=0.25)(many) != many).flatten(1).any(1).sum()
    assert 60 < flipped < 140


def test_rotate_turns_each_by_its_own_angle_and_no_further() -> None:
    images = smooth(64)
    where = centroid(Rotate(degrees=30)(images))
    torch.testing.assert_close(where.norm(dim=1), torch.full((64,), 8.0), atol=0.3, rtol=0)
    angle = torch.rad2deg(torch.atan2(where[:, 1], where[:, 0]))
    assert angle.abs().max() < 31
    assert angle.min() < -15
    assert angle.max() > 15


def test_scale_moves_away_from_the_centre_by_the_factor() -> None:
    x, y = centroid(Scale(low=0.75, high=1.5)(smooth(64))).T
    assert y.abs().max() < 0.3
    assert 8 * 0.75 - 0.3 < x.min() < 8 * 0.85
    assert 8 * 1.3 < x.max() < 8 * 1.5 + 0.5
    x = centroid(Scale(low=1.25, high=1.25)(smooth(2)))[:, 0]
    torch.testing.assert_close(x, torch.full((2,), 10.0), atol=0.2, rtol=0)


def test_crop_shifts_by_whole_pixels_and_reflects() -> None:
    images = random_images(3, 200)
    changed = Crop(padding=0.25)(images)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (4, 4)), mode="reflect")
    found = set()
    for i in range(200):
        windows = {(t, s): padded[i, :, t : t + 12, s : s + 16] for t in range(7) for s in range(9)}
        places = [place for place, window in windows.items() if (window == changed[i].numpy()).all()]
        assert len(places) == 1
        found.add(places[0])
    assert {t for t, _ in found} == set(range(7))
    assert {s for _, s in found} == set(range(9))


def test_brightness_shifts_all_colours_of_a_image_alike() -> None:
    images = random_images(3, 200) * 0.5
    by = (Brightness(amount=0.2)(images) - images).flatten(1)
    torch.testing.assert_close(by, by[:, :1].expand_as(by), atol=1e-6, rtol=0)
    assert 0.3 < by.max() <= 0.4 + 1e-6  # a fifth of the way from -1 to 1
    assert -0.4 - 1e-6 <= by.min() < -0.3


def test_noise_has_the_standard_deviation_asked_for() -> None:
    flat = torch.zeros(8, 3, 32, 32)
    torch.testing.assert_close(Noise(std=0.1)(flat).std(), torch.tensor(0.1), atol=0.003, rtol=0)


def test_blur_is_a_gaussian() -> None:
    point = -torch.ones(64, 1, 33, 33)
    point[:, :, 16, 16] = 1
    soft = (Blur(sigma=2.0, p=1)(point) + 1) / 2
    torch.testing.assert_close(soft.sum((1, 2, 3)), torch.ones(64), atol=1e-3, rtol=0)
    along = torch.arange(33.0) - 16
    deviation = (soft.sum((1, 2)) * along**2).sum(1).sqrt()
    assert deviation.max() <= 2.05
    assert deviation.min() < 0.6
    assert deviation.max() > 1.5
    assert Blur(sigma=50.0)(random_images(1, 2, 8, 8)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("transform", [Brightness(amount=1), Noise(std=1)], ids=["brightness", "noise"])
def test_transparency_is_not_a_colour(transform: Transform) -> None:
    images = random_images(4)
    changed = transform(images)
    assert torch.equal(changed[:, 3], images[:, 3])
    assert not torch.equal(changed[:, :3], images[:, :3])


@pytest.mark.parametrize("transform", [Rotate(degrees=90), Scale(low=0.5, high=2), Blur(sigma=3, p=1)])
def test_hidden_colours_do_not_bleed(transform: Transform) -> None:
    images = torch.ones(8, 4, 32, 32)
    images[:, 1:3, 8:24, 8:24] = -1  # a red square on green that nobody may see
    images[:, 0, :8], images[:, 2, :8] = -1, -1
    images[:, 3] = -1
    images[:, 3, 8:24, 8:24] = 1
    changed = transform(images)
    seen = changed[:, 3:] > -0.9
    assert seen.any()
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    assert ((changed[:, :3] - red).abs() * seen).max() < 1e-3


@pytest.mark.parametrize("name", TRANSFORMS)
def test_points_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"The transform {name} is for images, and the data are points"):
        Batches(open_source("ring"), seed=0, transforms=[TRANSFORMS[name]()])


def test_transforms_of_a_batch_are_applied_in_order() -> None:
    data = Dataset(np.full((8, 8, 8, 1), 128, np.uint8))
    batch = Batches(data, seed=0, transforms=[lambda x: x + 3, lambda x: x.clamp(-1, 1)]).at(0, 4)
    assert torch.equal(batch["image"], torch.ones(4, 1, 8, 8))


def test_text_becomes_names_and_options() -> None:
    assert parse_transforms("flip,rotate=15") == [("flip", {}), ("rotate", {"degrees": 15.0})]
    assert parse_transforms(" scale=0.8:1.2 , blur=2:0.1,") == [
        ("scale", {"low": 0.8, "high": 1.2}),
        ("blur", {"sigma": 2.0, "p": 0.1}),
    ]
    assert parse_transforms("") == []


WRONG = {
    "flop": r"no transform 'flop'. Did you mean 'flip'\? There are: flip, turn, rotate",
    "rotate=much": "rotate takes numbers, as rotate=degrees",
    "rotate=1:2": "rotate takes 1 at most",
    "flip=2": "flip takes p from 0 to 1, not 2",
    "scale=2:1": "scale takes high from 2 to 10, not 1",
    "noise=nan": "noise takes std from 0 to 2, not nan",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=WRONG[text]):
        parse_transforms(text)


def test_kornia_is_imported_only_when_used() -> None:
    code = "import sys, ganvas.data.transforms as t; t.parse_transforms('blur'); sys.exit('kornia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("make", [lambda: Rotate(degrees=-1), lambda: Blur(sigma=0), lambda: Crop(padding=0.6)])
def test_options_out_of_range_are_refused(make: Callable[[], Transform]) -> None:
    with pytest.raises(UsageError, match="takes"):
        make()


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator"))],
)
def test_a_source_is_turned_as_its_image(device: str) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (16, 8, 8, 3), np.uint8)
    data = Dataset(pixels, sources=pixels, paired=True)
    batch = Batches(data, seed=0, device=device, transforms=[Turn(), Turn(p=0.5)]).at(0, 16)
    assert torch.equal(batch["source"], batch["image"])
