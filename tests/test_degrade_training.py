"""Degradations in training: the batches that they make, and that nothing about a restart or a worker changes them."""

from pathlib import Path

import numpy as np
import pytest
import torch

import ganvas
from ganvas.config import Spec
from ganvas.data.batches import Batches
from ganvas.data.dataset import Dataset
from ganvas.data.degrade import Degradation
from ganvas.data.degrade.camera import Bicubic, SensorNoise
from ganvas.data.degrade.damage import Grey, Holes
from ganvas.data.degrade.second_order import SecondOrder
from ganvas.data.transforms import Flip
from ganvas.errors import UsageError
from ganvas.run import Run


def random_images(count: int = 12, channels: int = 3, dtype: type = np.uint8) -> Dataset:
    top = np.iinfo(dtype).max
    values = np.random.RandomState(0).randint(0, top + 1, (count, 16, 16, channels))
    return Dataset(values.astype(dtype), name="images")


def batches(degradation: Degradation | None = None, data: Dataset | None = None, **options: object) -> Batches:
    return Batches(data or random_images(), seed=3, degradation=degradation or SecondOrder(scale=2), **options)  # type: ignore


def test_a_batch_holds_what_is_given_what_is_wanted_and_the_image_itself() -> None:
    what = SecondOrder(scale=2)
    data = batches(what)
    batch = data.at(6, 4)
    assert batch["source"].shape == (4, 3, 8, 8)
    assert batch["source"].is_contiguous(memory_format=torch.channels_last)
    expected = what.source_and_target(batch["image"], [6, 7, 8, 9], seed=3)
    assert torch.equal(batch["source"], expected["source"])
    assert torch.equal(batch["target"], expected["target"])
    assert not torch.equal(batch["target"], batch["image"])
    flipped = batches(what, transforms=[Flip()])
    assert torch.equal(flipped.images_at(6, 4), flipped.at(6, 4)["image"])  # undegraded, of the same draws
    stored = data.dataset.images[batch["index"].numpy()].astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch["image"].numpy(), stored / 127.5 - 1, atol=1e-6)


def test_the_same_in_other_batches_in_workers_and_after_a_restart() -> None:
    whole = batches().at(0, 8)["source"]
    assert torch.equal(whole, torch.cat([batches().at(start, 2)["source"] for start in (0, 2, 4, 6)]))
    changed = batches(transforms=[Flip()])
    plain = [changed.at(start, 4) for start in (0, 4, 8)]
    working = batches(transforms=[Flip()], workers=2)
    assert working.complete_in_worker
    for one, two in zip(plain, working.stream(iter([0, 4, 8]), 4)):
        for name in ("source", "target", "image"):
            assert torch.equal(one[name], two[name]), name
    working.close()
    assert not torch.equal(batches().at(0, 4)["source"], batches().at(12, 4)["source"])  # anew in every epoch
    assert batches(workers=1).complete_in_worker


def test_a_image_is_changed_first_and_spoiled_then() -> None:
    batch = batches(Bicubic(scale=2), transforms=[Flip(p=1.0)]).at(0, 4)
    assert torch.equal(batch["source"], Bicubic(scale=2)(batch["image"], range(4), seed=3))


def test_sixteen_bits_stay_sixteen() -> None:
    source = batches(SensorNoise(), random_images(channels=1, dtype=np.uint16)).at(0, 4)["source"].double()
    levels = (source + 1) / 2 * 65535
    assert (levels - levels.round()).abs().max() < 0.01
    assert ((levels / 257) - (levels / 257).round()).abs().max() > 0.1


def test_held_out_and_shown_images_are_spoiled_too() -> None:
    data = batches(hold_out=4)
    assert data.held_out_batch(4)["source"].shape == (4, 3, 8, 8)
    shown = data.preview([0, 1, 2])
    assert torch.equal(shown["source"], data.preview([0, 1, 2])["source"])
    assert shown["target"].shape == (3, 3, 16, 16)


def test_data_that_have_sources_keep_them() -> None:
    data = random_images()
    data.sources, data.paired = data.images[::-1].copy(), True
    batch = batches(SecondOrder(scale=2), data).at(0, 4)
    assert batch["source"].shape == (4, 3, 16, 16)
    assert "target" not in batch


def test_data_that_cannot_be_spoiled_so() -> None:
    with pytest.raises(UsageError, match="opaque colour images"):
        batches(Grey(), random_images(channels=1))
    with pytest.raises(UsageError, match="that 3 divides"):
        batches(Bicubic(scale=3))
    assert "source" in batches(needs={"source"}).at(0, 2)


SMALL = {"generator.width": "4", "discriminator.width": "4", "degradation": "noisy(sigma=[20,40])"}


def folder(root: Path, count: int = 6) -> Path:
    from ganvas.imaging.decode import save_png

    root.mkdir()
    for k, image in enumerate(random_images(count).images):
        save_png(image, root / f"{k}.png")
    return root


def trained(tmp_path: Path, name: str, images: int, **options: object) -> Path:
    request = {"recipe": "pix2pix", "data": str(tmp_path / "data"), "cache": tmp_path / "cache", "seed": 1}
    outdir = tmp_path / name
    ganvas.train(**{**request, "outdir": outdir, "images": images, "batch": 2, "device": "cpu", **options})  # type: ignore
    return outdir


def test_pain_15_a_folder_of_good_images_is_enough_and_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder(tmp_path / "data")
    at_once = trained(tmp_path, "once", 8, set=SMALL)
    parts = trained(tmp_path, "parts", 8, set=SMALL, snapshot_images=4, minutes=0.0)  # ends after one step
    trained(tmp_path, "parts", 8, resume=True)
    one, two = (Run.open(run).load_state()["trainer"] for run in (at_once, parts))

    def same(a: object, b: object) -> bool:
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)  # type: ignore[arg-type]
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)  # type: ignore
        return all(same(x, y) for x, y in zip(a, b)) if isinstance(a, (list, tuple)) else a == b  # type: ignore

    assert same(one, two)
    config = Run.open(at_once).config()
    assert config["data"]["source_channels"] == 3
    assert config["recipe"]["degradation"]["sigma"] == [20, 40]
    model = ganvas.load(at_once, device="cpu")
    assert model(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_networks_are_built_for_what_the_degradation_makes(tmp_path: Path) -> None:
    folder(tmp_path / "data", 2)
    for degradation, channels in (("grey", 1), ("holes", 4)):
        run = trained(tmp_path, degradation, 2, set={**SMALL, "degradation": degradation})
        assert Run.open(run).config()["data"]["source_channels"] == channels


def test_a_degradation_is_a_component_with_options() -> None:
    recipe = ganvas.catalog.RECIPES["pix2pix"]()
    recipe.set("degradation", "second_order(scale=2, first=stage(blur=0.5))")
    recipe.set("degradation.second.noise", "[1, 5]")
    made = recipe.degradation.build()  # type: ignore[union-attr]
    assert made.scale == 2
    assert made.first.blur_share == 0.5
    assert tuple(made.second.noise.sigma) == (1, 5)
    again = type(recipe).from_dict(recipe.to_dict())
    assert again.degradation == recipe.degradation
    with pytest.raises(UsageError, match="sigmma"):
        Spec(SensorNoise, sigmma=3)
    assert Holes().channels(3) == 4
