"""Pairs, halves, piles and sources made of the images themselves: aligned, resumable, and refused with a sentence."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import ganvas
from ganvas.data import derived_sources as makers
from ganvas.data.batches import Batches
from ganvas.data.dataset import DERIVED_CHANNELS, Dataset
from ganvas.data.pairs import combine_fingerprints, combine_unpaired
from ganvas.data.sources import absolute_source, open_source
from ganvas.data.transforms import TRANSFORMS, Blur, Brightness, Crop, Flip, Rotate
from ganvas.errors import UsageError, UserError


def drawn(k, channels=3, size=(10, 12)):
    source = np.random.RandomState(k)
    return source.randint(0, 255, (*size, channels) if channels > 1 else size).astype(np.uint8)


def folder(place, name, images, suffix=".png"):
    (place / name).mkdir(parents=True)
    for k, image in images.items():
        Image.fromarray(image).save(place / name / f"{k}{suffix}")
    return place / name


@pytest.fixture
def pair(tmp_path):
    """A source is the negative of its image."""
    images = {f"p{k}": drawn(k) for k in range(6)}
    folder(tmp_path, "t", images)
    folder(tmp_path, "s", {k: 255 - v for k, v in images.items()}, ".bmp")
    return f"source={tmp_path / 's'},target={tmp_path / 't'}"


def test_pairs_are_aligned(pair):
    data = open_source(pair)
    assert data.paired
    assert data.facts.source_channels == 3
    batch = Batches(data, seed=3, needs={"image", "source"}).at(4, 5)
    torch.testing.assert_close(batch["source"], -batch["image"])
    assert ("sources", "one an image, RGB") in data.summary()


@pytest.mark.parametrize("seed", [0, 5])
def test_changes_of_a_pair_are_the_same(pair, seed):
    """Geometry, softening and chance are drawn once for both."""
    changes = [Flip(), Crop(padding=0.3), Rotate(degrees=40), Blur(sigma=2)]
    batches = Batches(open_source(pair), seed=seed, transforms=changes, needs={"image", "source"})
    for start in (0, 6):
        batch = batches.at(start, 6)
        torch.testing.assert_close(batch["source"], -batch["image"], atol=1e-5, rtol=0)


def test_a_source_changes_nothing_else(pair):
    """The same images and the same changes as without sources."""
    data, alone = open_source(pair), open_source(pair.partition("target=")[2])
    changes = [Flip(), Brightness(), Crop()]
    batches = [Batches(d, seed=1, transforms=changes).at(6, 6)["image"] for d in (data, alone)]
    assert torch.equal(*batches)


def test_draws_for_a_source_of_other_channels_are_its_own_affair(pair):
    """Noise takes other numbers for a grey source; what comes after it is as without a source."""
    data = open_source(pair)
    grey = Dataset(data.images, sources=data.images[..., :1], paired=True)
    changes = [TRANSFORMS["noise"](), Flip(), Crop()]
    batches = [Batches(d, seed=1, transforms=changes).at(6, 6)["image"] for d in (grey, Dataset(data.images))]
    assert torch.equal(*batches)


def test_pairs_may_be_taken_for_piles(pair):
    batch = Batches(open_source(pair), seed=1, needs={"other"}).at(0, 6)
    assert not torch.equal(batch["other"], -batch["image"])
    assert "source" not in batch


def test_a_pair_may_have_other_channels_on_each_side(tmp_path):
    folder(tmp_path, "s", {k: drawn(ord(k), 1) for k in "abc"})
    folder(tmp_path, "t", {k: drawn(ord(k), 4) for k in "abc"})
    facts = open_source(f"source={tmp_path / 's'},target={tmp_path / 't'}", resolution=(8, 8)).facts
    assert (facts.channels, facts.source_channels, facts.resolution) == (4, 1, (8, 8))


def test_a_pair_that_cannot_be_read_goes_whole(tmp_path):
    images = {k: drawn(ord(k)) for k in "abcdef"}
    source = folder(tmp_path, "s", {k: 255 - v for k, v in images.items()})
    target = folder(tmp_path, "t", images)
    (source / "b.png").write_bytes((source / "b.png").read_bytes()[:300])
    (target / "e.png").write_bytes(b"")
    data = open_source(f"source={source},target={target}")
    assert len(data) == len(data.sources) == 4
    assert {file for file, _ in data.skipped} == {"b.png", "e.png"}
    np.testing.assert_array_equal(data.sources, 255 - data.images)
    np.testing.assert_array_equal(data.images[1], images["c"])
    for file in source.iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(UserError, match="none of its 6 images can be used"):
        open_source(f"source={source},target={target}")


def test_pairs_without_a_partner_are_named(tmp_path):
    folder(tmp_path, "s", {k: drawn(1) for k in ("a", "b", "lonely")})
    folder(tmp_path, "t", {k: drawn(2) for k in ("a", "b", "alone")})
    with pytest.raises(UserError, match=r"lonely.png \(only in the source\), alone.png \(only in the target\)"):
        open_source(f"source={tmp_path / 's'},target={tmp_path / 't'}")
    Image.fromarray(drawn(3)).save(tmp_path / "s" / "a.bmp")
    with pytest.raises(UserError, match=r"a.bmp and a.png of the source are called alike"):
        open_source(f"source={tmp_path / 's'},target={tmp_path / 't'}")


@pytest.mark.parametrize(("size", "fits"), [((16, 32), True), ((11, 21), True), ((32, 32), False), ((32, 16), False)])
def test_pairs_of_two_shapes_are_named(size, fits, tmp_path):
    for side, (height, width) in (("source", (32, 64)), ("target", size)):
        (tmp_path / side).mkdir()
        for name in ("a", "b"):
            pixels = np.full((height, width, 3) if name == "b" else (32, 64, 3), 99, np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{name}.png")
    where = f"source={tmp_path / 'source'},target={tmp_path / 'target'}"
    if fits:
        assert len(open_source(where, resolution=(16, 16), cache=tmp_path / "cache")) == 2
        return
    with pytest.raises(UserError, match=rf"b.png is 64x32 and its target b.png {size[1]}x{size[0]}, which is another"):
        open_source(where, resolution=(16, 16), cache=tmp_path / "cache")


def test_pairs_in_zips(tmp_path):
    for side in "st":
        with zipfile.ZipFile(tmp_path / f"{side}.zip", "w") as archive:
            for file in folder(tmp_path, side, {k: drawn(ord(k)) for k in "xyz"}).iterdir():
                archive.write(file, file.name)
    data = open_source(f"source={tmp_path / 's.zip'},target={tmp_path / 't.zip'}")
    np.testing.assert_array_equal(data.images, data.sources)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_halves(channels, tmp_path):
    whole = {k: drawn(ord(k), channels, (10, 24)) for k in "abcd"}
    place = folder(tmp_path, "d", whole)
    left, right = (
        np.stack([w.reshape(10, 24, -1)[:, part] for w in whole.values()]) for part in (np.s_[:12], np.s_[12:])
    )
    hidden = [v[..., 3:] == 0 for v in (left, right)] if channels == 4 else None
    data, swapped = open_source(f"AB:{place}"), open_source(f"BA:{place}")
    for found, expected, k in ((data.sources, left, 0), (data.images, right, 1), (swapped.images, left, 0)):
        same = found == expected
        assert (same | hidden[k] if hidden else same).all()
    assert swapped.fingerprint != data.fingerprint


def test_halves_of_an_odd_width(tmp_path):
    place = folder(tmp_path, "d", {"even": drawn(0, size=(10, 16)), "odd": drawn(1, size=(10, 17))})
    data = open_source(f"AB:{place}")
    assert len(data) == 1
    assert data.skipped == [("odd.png", "is 17 pixels wide, which is odd, so it is not two images side by side")]
    (place / "even.png").unlink()
    with pytest.raises(UserError, match="17 pixels wide, which is odd"):
        open_source(f"AB:{place}")


def test_piles(tmp_path):
    a = folder(tmp_path, "a", {f"{k}": drawn(k) for k in range(7)})
    b = folder(tmp_path, "b", {f"{k}": drawn(50 + k, size=(16, 16)) for k in range(4)})
    data = open_source(f"a={a},b={b}")
    assert (len(data), len(data.sources), data.paired) == (4, 7, False)
    assert data.images.shape[1:] == data.sources.shape[1:] == (16, 16, 3)
    assert ("sources", "an unpaired set of 7, RGB") in data.summary()
    batches = Batches(data, seed=0, needs={"image", "other"})
    seen = [tuple(batches.at(k, 1)["other"].flatten()[:6].tolist()) for k in range(14)]
    assert len(set(seen[:7])) == len(set(seen[7:])) == 7  # each pile has epochs of its own
    assert seen[:7] != seen[7:]
    with pytest.raises(UsageError, match=r"needs pairs; give --data source=DIR,target=DIR"):
        Batches(data, seed=0, needs={"image", "source"})


def test_the_other_pile_follows_from_the_seed_and_has_changes_of_its_own(tmp_path):
    same = folder(tmp_path, "a", {f"{k}": drawn(k) for k in range(4)})
    data = open_source(f"a={same},b={same}")
    one, two = (Batches(data, seed=s, needs={"other"}).at(0, 4)["other"] for s in (0, 0))
    assert torch.equal(one, two)
    order = [Batches(data, seed=s, needs={"other"}).at(0, 4) for s in range(8)]
    assert any(not torch.equal(b["other"], b["image"]) for b in order)  # pairs are not given away
    moved = Batches(data, seed=0, transforms=[Crop(padding=0.4)], needs={"other"}).at(0, 4)
    assert not torch.equal(moved["other"], one)


def test_of_either_pile_as_many_are_held_out(tmp_path):
    piles = [folder(tmp_path, side, {k: drawn(10 * n + k) for k in range(5 + n)}) for n, side in enumerate("ab")]
    data = open_source(f"a={piles[0]},b={piles[1]}", cache=tmp_path / "cache")
    batches = Batches(data, seed=0, needs={"image", "other"}, hold_out=2)
    for kind, count in (("other", 5), ("image", 6)):
        drawn_ = {b.numpy().tobytes() for k in range(8) for b in batches.at(3 * k, 3)[kind].contiguous()}
        held = {b.numpy().tobytes() for b in batches.held_out_batch(2)[kind].contiguous()}
        shown = {b.numpy().tobytes() for b in batches.preview(range(7))[kind].contiguous()}
        assert (len(drawn_), len(held), shown) == (count - 2, 2, held)
        assert not drawn_ & held
    with pytest.raises(UsageError, match="from 0 to 4, got 5"):
        Batches(data, seed=0, needs={"image", "other"}, hold_out=5)


def test_piles_of_different_channels(tmp_path):
    a = folder(tmp_path, "a", {k: drawn(1, 1) for k in "xy"})
    b = folder(tmp_path, "b", {k: drawn(1, 3) for k in "xy"})
    with pytest.raises(UserError, match=r"same channels, and these are .*a grey and .*b RGB; convert one"):
        open_source(f"a={a},b={b}")
    with pytest.raises(UserError, match="unpaired sets are images"):
        open_source("a=ring,b=grid")


# --- made of the images -----------------------------------------------------------------------------------


def test_names_agree():
    assert makers.DERIVATIONS.keys() == DERIVED_CHANNELS.keys()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", DERIVED_CHANNELS)
def test_made_sources(name, channels):
    pixels = np.stack([drawn(k, channels, (16, 12)).reshape(16, 12, channels) for k in range(5)])
    data = Dataset(pixels, derivation=name)
    batch = Batches(data, seed=0, needs={"image", "source"}).at(0, 5)
    assert batch["source"].shape == (5, data.facts.source_channels, 16, 12)
    assert batch["source"].abs().max() <= 1 + 1e-6
    assert not torch.equal(batch["source"], batch["image"]) or name == "grey"


@pytest.mark.parametrize("name", DERIVED_CHANNELS)
def test_made_sources_follow_from_the_position(name):
    data = Dataset(np.stack([drawn(k) for k in range(6)]), derivation=name)
    changes = [Flip(), Crop()]
    one, two = (Batches(data, seed=2, transforms=changes, workers=w) for w in (0, 2))
    state = torch.get_rng_state()
    expected = one.at(3, 3)
    assert torch.equal(torch.get_rng_state(), state)
    with_workers = next(two.stream(iter([3]), 3))
    two.close()
    for key in ("image", "source"):
        assert torch.equal(expected[key], with_workers[key])
    if name != "mask":
        torch.testing.assert_close(makers.DERIVATIONS[name](expected["image"]), expected["source"])


def test_every_kind_of_made_sources_has_its_own_fingerprint():
    """Or a run would resume on other sources than it was started on."""
    names = ["digits", *(f"{maker}:digits" for maker in DERIVED_CHANNELS)]
    assert len({open_source(name, resolution=(8, 8)).fingerprint for name in names}) == len(names)


def test_fingerprints_of_combinations_stay():
    """They stand in the config.json of runs, which resume only with the same."""
    parts = [Dataset(drawn(0)[None], fingerprint=digit * 32) for digit in "ab"]
    assert combine_fingerprints("edges", parts[0]) == "a2ab83d7a3e35159468730cacdfdcfd0"
    assert combine_unpaired(*parts, name="").fingerprint == "0c2074fe9f2227fc981918eed05bde0d"
    assert combine_fingerprints("pairs", *parts) == "6b3cd4344588cb37fdf27d74545dfd0c"


def test_a_run_refuses_to_resume_on_other_made_sources(tmp_path):
    options = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32"}
    parts = {"generator.width": 4, "discriminator.width": 4}
    run = ganvas.train("pix2pix", data="edges:digits", outdir=tmp_path / "r", images=8, set=parts, **options)
    for other in ("grey:digits", "mask:digits"):
        with pytest.raises(UsageError, match="data have changed"):
            ganvas.train(data=other, outdir=run.path, resume=True, device="cpu", images=16)
    ganvas.train(data="edges:digits", outdir=run.path, resume=True, device="cpu", images=16)


def test_edges_are_those_of_sobel():
    x = torch.rand(1, 1, 9, 11, dtype=torch.float64) * 2 - 1
    planes = x[0, 0].numpy()
    slopes = [ndimage.sobel(planes, axis, mode="nearest") / 8 for axis in (0, 1)]
    expected = np.where(np.hypot(*slopes) > 0.15, -1.0, 1.0)
    np.testing.assert_array_equal(makers.edges(x)[0, 0].numpy(), expected)


def test_edges_of_a_white_shape_on_nothing():
    x = torch.ones(1, 4, 8, 8)
    x[:, 3, :, :4] = -1
    assert (makers.edges(x)[0, 0, :, 3:5] == -1).all()
    assert (makers.edges(x)[0, 0, :, :2] == 1).all()


def test_grey_is_brightness_on_white():
    x = torch.tensor([1.0, -1.0, -1.0, 0.0]).view(1, 4, 1, 1)  # red, half transparent
    assert makers.grey(x).item() == pytest.approx(((0.299 * 2 - 1) + 1) / 2)


def test_a_hole_is_a_box():
    torch.manual_seed(0)
    holes = (makers.mask(torch.ones(64, 3, 32, 32)) == 0).all(1)
    for hole in holes:
        rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
        sides = [int(v.max() - v.min()) + 1 for v in (rows, columns)]
        assert hole.sum() == sides[0] * sides[1]
        assert all(7 <= side <= 17 for side in sides)
    assert len({tuple(h.flatten().tolist()) for h in holes}) > 60


def test_regions_have_few_colours():
    made = makers.regions(torch.rand(1, 3, 20, 20) * 2 - 1)
    assert set(made.mul(3).round().flatten().tolist()) <= {-3, -1, 1, 3}


@pytest.mark.parametrize("name", ["edges:ring", "edges:nothing", "edges:edges:digits", "AB:nowhere", "AB:digits"])
def test_what_cannot_be_made(name):
    with pytest.raises(UsageError):
        open_source(name)


# --- the rest -----------------------------------------------------------------------------------------------


def test_a_subset_keeps_pairs_together(pair):
    data = open_source(pair)
    part = data.subset([4, 1, 2])
    np.testing.assert_array_equal(part.images, 255 - part.sources)
    piles = Dataset(data.images, sources=data.sources[:2]).subset([0, 1])
    assert len(piles.sources) == 2


def test_sources_travel_to_other_processes_by_name(pair):
    data = open_source(pair)
    sent = pickle.dumps(data)
    assert len(sent) < 5000
    np.testing.assert_array_equal(pickle.loads(sent).sources, data.sources)


@pytest.mark.parametrize("needs", [{"source"}, {"other"}])
def test_what_is_shown(needs, pair):
    batches = Batches(open_source(pair), seed=0, transforms=[Flip(p=1.0)], needs=needs)
    shown = batches.preview([0, 1, 6, 7])
    name = next(iter(needs))
    own = torch.from_numpy(batches.dataset.images).permute(0, 3, 1, 2) / 127.5 - 1
    assert any(torch.allclose(x, shown["image"][0]) for x in own)  # unchanged
    torch.testing.assert_close(shown[name], -shown["image"])
    torch.testing.assert_close(shown["image"][:2], shown["image"][2:])


def test_holes_are_shown_alike_every_time():
    batches = Batches(Dataset(np.stack([drawn(k) for k in range(6)]), derivation="mask"), seed=0, needs={"source"})
    state = torch.get_rng_state()
    assert torch.equal(batches.preview(range(5))["source"], batches.preview(range(5))["source"])
    assert torch.equal(torch.get_rng_state(), state)


def test_names_are_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("digits") is None
    assert absolute_source("some/where") == str(tmp_path / "some" / "where")
    assert absolute_source("edges:x.zip") == f"edges:{tmp_path / 'x.zip'}"
    assert absolute_source("edges:digits") == "edges:digits"
    assert absolute_source("stacked:100:digits") == "stacked:100:digits"
    assert absolute_source("BA:d") == f"BA:{tmp_path / 'd'}"
    assert absolute_source("a=digits,b=y,z") == f"a=digits,b={tmp_path / 'y,z'}"
    assert absolute_source("source=s,target=t") == f"source={tmp_path / 's'},target={tmp_path / 't'}"


def test_every_transform_keeps_a_pair_alike(pair):
    """A source that is a copy of its image stays one, whatever is done to both."""
    data = open_source(pair)
    copies = Dataset(data.images, sources=data.images, paired=True)
    for name, transform in TRANSFORMS.items():
        batch = Batches(copies, seed=0, transforms=[transform()], needs={"source"}).at(0, 6)
        assert torch.equal(batch["image"], batch["source"]), name


@pytest.mark.parametrize(
    ("name", "other"),
    [("café", "cafe\u0301"), ("IMG_1", "img_1"), ("Straße", "STRASSE")],
    ids=["form", "case", "sharp s"],
)
def test_names_of_a_pair_in_another_case_or_unicode_form(name, other, tmp_path):
    source, target = (folder(tmp_path, side, {n: drawn(1)}) for side, n in (("s", name), ("t", other)))
    assert len(open_source(f"source={source},target={target}")) == 1
    evaluated = ganvas.evaluate("psnr", source, target)
    assert list(evaluated["per_image"]) == [name]
    folder(tmp_path / "more", "s", {name: drawn(1), "b": drawn(2)})
    with pytest.raises(UserError, match=r"b.png \(only in the source\)"):
        open_source(f"source={tmp_path}/more/s,target={target}")
