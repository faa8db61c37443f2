"""Images and masks that are generated together: data, training, samples and synthesis."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.api import open_source
from ganvas.data.batches import Batches
from ganvas.data.transforms import Flip, Rotate
from ganvas.errors import UsageError, UserError
from ganvas.imaging.grid import beside_mask
from ganvas.run import has_mask

RANDOM = np.random.default_rng(0)


def write(folder, colours=3, count=12, white=255):
    """Bright discs on a dark ground at random places, and their masks, in two classes: images 16x16."""
    y, x = np.mgrid[:16, :16]
    for k in range(count):
        inside = (y - RANDOM.integers(4, 12)) ** 2 + (x - RANDOM.integers(4, 12)) ** 2 < 12
        image = np.where(inside[..., None], [230, 200, 40], [20, 40, 60]).astype(np.uint8)
        for kind, array in (("images", image if colours == 3 else image[..., 0]), ("masks", inside * np.uint8(white))):
            file = folder / kind / f"class{k % 2}" / f"{k:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(file)
    return f"image={folder / 'images'},mask={folder / 'masks'}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    small = {"generator.width": 8, "discriminator.width": 8, "g_optimizer.lr": 2e-3}
    options = {"batch": 4, "device": "cpu", "precision": "fp32", "set": small}
    return ganvas.train("dcgan", data=write(folder), outdir=folder / "run", images=32, **options)


def agreement(images, masks):
    """Share of pixels that are brighter than the middle of their image's levels where the mask is, and nowhere else."""
    bright = images > (images.max((1, 2), keepdims=True) / 2 + images.min((1, 2), keepdims=True) / 2)
    return (bright == masks).mean()


@pytest.mark.parametrize("colours", [1, 3])
def test_a_mask_is_the_last_channel_and_black_or_white(colours, tmp_path):
    data = open_source(write(tmp_path, colours))
    assert (data.images.shape, data.mask, data.sources) == ((12, 16, 16, colours + 1), True, None)
    assert set(np.unique(data.images[..., -1])) == {0, 255}
    assert agreement(data.images[..., 0], data.images[..., -1] > 0) == 1
    assert data.class_names == ("class0", "class1")
    assert dict(data.summary())["channels"] == f"{'RGB' if colours == 3 else 'grey'} and a mask, 8 bits"
    smaller = open_source(f"image={tmp_path / 'images'},mask={tmp_path / 'masks'}", resolution=(8, 8))
    assert set(np.unique(smaller.images[..., -1])) == {0, 255}  # whatever resizing makes of its edge


def test_transforms_keep_image_and_mask_together(tmp_path):
    data = open_source(write(tmp_path))
    batch = Batches(data, seed=0, transforms=[Flip(p=1.0)]).at(0, 12)["image"].numpy()
    assert agreement(batch[:, 0], batch[:, 3] > 0) == 1
    assert (batch[:, 0][batch[:, 3] < 0] < 0).all()  # colours outside the mask stay
    with pytest.raises(UsageError, match="rotate takes a fourth channel for transparency, and here it is a mask"):
        Batches(data, seed=0, transforms=[Rotate()])


def test_samples_are_written_as_images_and_masks(run, command, tmp_path):
    assert has_mask(run.config())
    code, out, _ = command("sample", run.path, "-o", tmp_path / "s", "--seeds", "0-3", "--json")
    files = json.loads(out)["files"]
    assert (code, len(files)) == (0, 8)
    images = np.stack([np.asarray(Image.open(f)) for f in files[:4]])
    masks = np.stack([np.asarray(Image.open(f)) for f in files[4:]])
    assert (images.shape[3], set(np.unique(masks)) <= {0, 255}) == (3, True)
    samples = ganvas.load(run.path, device="cpu", precision="fp32").sample(4)
    assert np.array_equal(masks > 0, samples[:, 3].numpy() > 0)
    assert files[0].replace("images", "masks") == files[4]
    assert command("sample", run.path, "-o", tmp_path / "grid.png", "--seeds", "0")[0] == 0
    sheet = Image.open(tmp_path / "grid.png")
    assert sheet.size == (2 * 32 + 4, 32 + 4)
    assert Image.open(next((run.path / "samples").glob("*.png"))).size[0] > 0


def test_masks_beside_images():
    images = torch.full((1, 4, 2, 2), -0.3)
    images[0, 3, 0] = 0.2
    expected = torch.full((1, 3, 2, 4), -0.3)
    expected[..., 2:] = torch.tensor([[1.0], [-1.0]])
    assert torch.equal(beside_mask(images), expected)


def test_synthesis_is_data_again_and_resumes(run, command, tmp_path):
    line = ["synthesize", run.path, "-o", tmp_path / "out", "--copies", "--json"]
    assert command(*line, "--count", "3")[0] == 0
    before = {f: f.read_bytes() for f in sorted((tmp_path / "out").rglob("*.png"))}
    assert len(before) == 6
    assert command(*line, "--count", "5", "--resume")[0] == 0
    data = open_source(f"image={tmp_path / 'out' / 'images'},mask={tmp_path / 'out' / 'masks'}")
    assert (len(data), data.mask) == (5, True)
    assert all(f.read_bytes() == content for f, content in before.items())


BAD = {
    "a lonely image": (lambda f: (f / "masks" / "class0" / "00.png").unlink(), "a pair has one name on both sides"),
    "masks of 0 and 1": (lambda f: write(f, white=1), "no mask marks anything.*mask=levels:0:1:"),
    "another shape": (lambda f: Image.new("L", (16, 9)).save(f / "masks" / "class0" / "00.png"), "another shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_masks_that_do_not_fit_are_refused(case, tmp_path):
    name = write(tmp_path)
    damage, sentence = BAD[case]
    damage(tmp_path)
    with pytest.raises(UserError, match=sentence):
        open_source(name)
    if "levels" in sentence:
        assert open_source(name.replace("mask=", "mask=levels:0:1:")).images[..., 3].max() == 255


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trained_generators_masks_are_binary_and_lie_on_their_discs(tmp_path):
    options = {"batch": 16, "device": "cpu", "precision": "fp32", "seed": 0}
    run = ganvas.train(
        "dcgan_small", data=write(tmp_path, count=256), outdir=tmp_path / "run", images=24_000, **options
    )
    samples = ganvas.load(run.path, device="cpu", precision="fp32").sample(64).numpy()
    assert (np.abs(samples[:, 3]) > 0.8).mean() > 0.9
    assert agreement(samples[:, 0], samples[:, 3] > 0) > 0.95
