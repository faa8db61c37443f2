"""Labelled folders of generated images: their classes, the filters, and going on after a kill."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data.dataset import Dataset
from ganvas.data.sources import open_source
from ganvas.imaging.decode import to_uint8
from ganvas.latent.filters import ByClassifier, NoCopies, uniform
from ganvas.latent.synthesis import Synthesis, folder_names
from ganvas.latent.synthesize import synthesize
from ganvas.metrics.rejection import Rejection, fit_rejection, log_ratio
from small import narrow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny conditional run on the digits, in 8x8."""
    folder = tmp_path_factory.mktemp("runs") / "cgan"
    options = {"images": 64, "batch": 16, "resolution": 8, "device": "cpu", "precision": "fp32"}
    ganvas.train("cgan", data="digits", outdir=folder, set=narrow("cgan"), **options)
    return folder


def listing(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*/*.png")
    }


# --- rejection -------------------------------------------------------------------------------------------------------


def test_accepted_samples_follow_the_real_density():
    """With gamma 0, the probability is p_real / p_fake over its maximum (Azadi et al. 2019, section 3.1)."""
    real, fake = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.6, 0.3, 0.1]).double()
    ratio = (real / fake).log()
    accepted = Rejection(float(ratio.max()), 0.0).accept(ratio)
    torch.testing.assert_close(accepted, (ratio - ratio.max()).exp(), rtol=0, atol=2e-6)
    kept = fake * accepted
    torch.testing.assert_close(kept / kept.sum(), real, rtol=0, atol=2e-6)


def test_gamma_is_subtracted_from_the_logit():
    ratio, gamma = torch.tensor([-1.5, -0.2]).double(), 0.7
    expected = [
        1 / (1 + math.exp(-(r - math.log(1 - math.exp(r - 1e-6)) - gamma))) for r in ratio.tolist()
    ]  # equation 8 with the maximum 0
    torch.testing.assert_close(Rejection(0.0, gamma).accept(ratio), torch.tensor(expected).double())


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_the_share_is_the_one_asked_for(keep):
    ratio = torch.randn(2000, dtype=torch.float64)
    chance = fit_rejection(ratio, keep).accept(ratio)
    assert float(chance.mean()) == pytest.approx(keep, abs=1e-6)
    assert (chance[ratio.argsort()].diff() >= 0).all()


@pytest.mark.parametrize("scale", [1.0, 0.01, -1.0])
def test_scores_become_log_ratios(scale):
    """N(1, 1) against N(0, 1): log p_real / p_fake of x is x - 1/2; a score that points the wrong way says nothing."""
    real, fake = torch.randn(6_000) + 1, torch.randn(6_000)
    slope, offset = log_ratio(scale * real, scale * fake)
    if scale < 0:
        assert slope == 0
    else:
        assert (slope * scale, offset) == (pytest.approx(1, abs=0.1), pytest.approx(-0.5, abs=0.1))


def test_rejection_is_uniform_and_follows_from_the_seed():
    draws = [uniform(seed) for seed in range(2000)]
    assert draws == [uniform(seed) for seed in range(2000)]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.03)
    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_are_refused():
    images = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3)).astype(np.uint8)
    check = NoCopies(Dataset(images))
    training = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    near, other = (training[:4] + 0.05 * torch.randn(4, 3, 16, 16)).clamp(-1, 1), torch.rand(4, 3, 16, 16) * 2 - 1
    samples = torch.cat([training[290:294], near, other])
    assert check(samples, range(12), None).tolist() == [False] * 8 + [True] * 4


def test_an_equal_image_is_a_copy_though_it_is_there_twice():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.uint8)
    check = NoCopies(Dataset(np.concatenate([images, images])))
    sample = torch.from_numpy(images[:1]).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert check(sample, [0], None).tolist() == [False]


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_of_classes(run, tmp_path):
    result = synthesize(run, tmp_path / "out", per_class=5, copies=True, device="cpu")
    assert (result["images"], result["written"], len(result["classes"])) == (50, 50, 10)
    data = open_source(str(tmp_path / "out"))
    assert data.class_names == tuple("0123456789")
    assert np.bincount(data.labels).tolist() == [5] * 10
    model = ganvas.load(run, device="cpu")
    expected = to_uint8(model.sample_seeds([3, 13], label=3))[..., 0]
    written = [np.asarray(Image.open(tmp_path / f"out/3/{seed:08d}.png")) for seed in (3, 13)]
    np.testing.assert_array_equal(np.stack(written), expected)


def test_a_count_is_divided_equally(run, tmp_path):
    result = synthesize(run, tmp_path / "out", count=23, copies=True, device="cpu")
    assert sorted(result["classes"].values()) == [2] * 7 + [3] * 3
    assert result["images"] == 23


def test_goes_on_after_a_kill(run, tmp_path):
    """Any images are missing from the end of a class; the resumed folder is that of an uninterrupted run."""
    options = {"keep": 0.5, "device": "cpu"}
    whole = synthesize(run, tmp_path / "whole", per_class=9, **options)
    assert whole["refused"]["discriminator"] > 10
    assert whole["copies_refused"]
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for files, kept in ((sorted((tmp_path / f"cut/{k}").iterdir()), k) for k in range(10)):
        for file in files[kept:]:
            file.unlink()
    result = synthesize(run, tmp_path / "cut", per_class=9, resume=True, **options)
    assert result["written"] == sum(9 - k for k in range(10))
    assert listing(tmp_path / "cut") == listing(tmp_path / "whole")


def test_a_classifier_has_to_agree(run, tmp_path):
    class Bright:
        class_names = ("9", "8", "7", "6", "5", "4", "3", "2", "1", "0")

        def predict(self, images):
            odd = (images.mean((1, 2, 3)) * 1e4).long() % 2
            return torch.nn.functional.one_hot(torch.where(odd == 1, 6, 0), 10).float()  # a "3" or a "9"

    model = ganvas.load(run, device="cpu")
    work = Synthesis(model, tmp_path / "out", [ByClassifier(Bright(), model.class_names)])
    part = work.parts(None, 6)[3]
    work.begin({}, resume=False)
    work.write_all([part], lambda done, total: None)
    images = [np.asarray(Image.open(file)) / 127.5 - 1 for file in (tmp_path / "out/3").iterdir()]
    exact = model.sample_seeds([int(file.stem) for file in (tmp_path / "out/3").iterdir()], label=3)
    assert len(images) == 6
    assert (Bright().predict(exact).argmax(1) == 6).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "--count in all, or --per-class"),
        ({"count": 5, "per_class": 5}, "--count in all, or --per-class"),
        ({"count": 0}, "at least 1"),
        ({"count": 5, "keep": 1.5}, "--keep is a share between 0 and 1"),
        ({"count": 5, "label": "x"}, "There is no class 'x'"),
        ({"count": 5, "data": "no/such"}, "There is no data source"),
        ({"count": 5, "data": "photos"}, "--data photos holds RGB images, and the model draws grey ones"),
    ],
)
def test_options_that_cannot_be_met(run, tmp_path, options, sentence):
    with pytest.raises(ganvas.UserError, match=sentence):
        synthesize(run, tmp_path / "out", device="cpu", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_draws_no_images_leaves_no_folder(tmp_path):
    class Points:
        def sample_seeds(self, seeds, **more):
            return torch.zeros(len(seeds), 2, 1, 1)

    with pytest.raises(ganvas.UserError, match="Points are not images"):
        Synthesis(Points(), tmp_path / "out").check()
    (tmp_path / "file").touch()
    with pytest.raises(ganvas.UserError, match="file is a file; give a new folder"):
        Synthesis(Points(), tmp_path / "file").begin({}, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_model_without_its_discriminator_cannot_reject(run, tmp_path):
    for model in (run / "model", "digits"):
        with pytest.raises(ganvas.UserError, match="is a model without its discriminator"):
            synthesize(model, tmp_path / "out", count=5, keep=0.5, data="digits", device="cpu")
    result = synthesize(run / "model", tmp_path / "out", count=10, device="cpu")
    assert (result["images"], "training data are not known" in result["notice"]) == (10, True)


def test_folders_of_others_are_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("x")
    with pytest.raises(ganvas.UserError, match="holds other files"):
        synthesize(run, tmp_path / "mine", count=10, copies=True, device="cpu")
    synthesize(run, tmp_path / "out", count=10, copies=True, device="cpu")
    for options, sentence in (({}, "add --resume"), ({"resume": True, "seed": 7}, "was made with seed 0")):
        with pytest.raises(ganvas.UserError, match=sentence):
            synthesize(run, tmp_path / "out", count=10, copies=True, device="cpu", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_a_class_that_nothing_passes_ends(run, tmp_path, monkeypatch):
    class Nothing:
        name = "classifier"

        def __call__(self, images, seeds, label):
            return torch.zeros(len(images), dtype=torch.bool)

    monkeypatch.setattr("ganvas.latent.synthesis.PATIENCE", 128)
    work = Synthesis(ganvas.load(run, device="cpu"), tmp_path / "out", [Nothing()])
    work.begin({}, resume=False)
    with pytest.raises(ganvas.UserError, match="None of 128 samples of class 0 in a row was accepted"):
        work.write_all(work.parts(10, None), lambda done, total: None)


def test_names_of_classes_become_folders():
    assert folder_names(["cat", "a/b", "a\\b", "..", "é 😀"]) == ["cat", "a_b_1", "a_b_2", "class", "é _"]


def test_the_command(run, tmp_path, command):
    code, out, err = command("synthesize", run, "-o", tmp_path / "out", "--count", 20, "--data", "digits", "--json")
    result = json.loads(out)
    assert (code, result["images"], result["copies_refused"]) == (0, 20, True), err
    assert len(listing(tmp_path / "out")) == 20
    code, _, err = command("synthesize", run, "-o", tmp_path / "other", "--per-class", 1, "--label", "3")
    assert code == 2
    assert "give --count" in err
