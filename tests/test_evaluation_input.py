"""The evaluator and what people give it: odd numbers, damaged files, sides that cannot be compared."""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import ganvas
from ganvas.checkpoints import download as weights
from ganvas.cli.progress import describe_evaluation
from ganvas.data.dataset import Dataset
from ganvas.data.sources import open_source
from ganvas.errors import UsageError, UserError
from ganvas.evaluation import distribution
from ganvas.evaluation.comparison import Comparison
from ganvas.evaluation.evaluate import evaluate, statistics
from ganvas.evaluation.inputs import open_side
from ganvas.features import extractor as features_module
from ganvas.features.extractor import Features
from ganvas.features.inception import Inception
from ganvas.features.vgg import VGG
from ganvas.metrics.frechet import Gaussian
from ganvas.metrics.lpips import LPIPS
from ganvas.metrics.psnr import luma, psnr
from ganvas.metrics.ssim import draw_pairs, mean_dissimilarity, ssim
from ganvas.metrics.statistics import load_statistics, save_statistics


@pytest.fixture(scope="module")
def sets():
    """Two sets of small images."""
    digits = open_source("digits", resolution=(16, 16))
    return digits.subset(range(40)), digits.subset(range(40, 80))


@pytest.fixture
def command(command, monkeypatch, tmp_path):
    """Run `ganvas ...` in an empty folder: (exit code, stdout, stderr on one line)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code, out, err = command(*arguments)
        return code, out, " ".join(err.split())

    return call


def save(folder, **images):
    folder.mkdir(exist_ok=True)
    for name, array in images.items():
        Image.fromarray(array).save(folder / f"{name}.png")
    return folder


ODD = {
    "size": ("kid", {"size": 1}, "--size must be at least 2, got 1"),
    "subsets": ("kid", {"subsets": 0, "size": 20}, "--subsets must be at least 1, got 0"),
    "splits": ("is", {"splits": 0}, "--splits must be at least 1"),
    "k": ("prdc", {"k": 0}, "--k must be at least 1"),
    "bootstrap": ("fd", {"bootstrap": -1}, "--bootstrap must be at least 0"),
    "samples": ("fd", {"samples": 0}, "--samples must be at least 1"),
    "seed": ("fd", {"seed": -1}, "--seed must be at least 0"),
    "train_images": ("gan_test", {"train_images": 0}, "--train-images must be at least 1"),
    "channel": ("psnr", {"channel": "Y"}, "--channel is rgb or y, not 'Y'"),
    "resizer": ("fd", {"resizer": "cleen"}, "Did you mean 'clean'"),
    "bf16": ("kid", {"bf16": True}, "kid has no option --bf16"),
}


@pytest.mark.parametrize("name", ODD)
def test_numbers_that_mean_nothing_are_a_sentence(name, sets):
    metric, options, said = ODD[name]
    with pytest.raises(UsageError, match=said):
        evaluate(metric, *sets, **options)


@pytest.mark.parametrize(
    ("recipe", "options", "make"),
    [
        ("cyclegan", ["--data", "a=digits,b=digits", "--set", "generator.blocks=1"], "ganvas translate"),
        ("denoise", ["--data", "digits", "--set", "generator.blocks=1"], "ganvas restore"),
    ],
)
def test_a_model_that_must_be_given_images_is_told_how(recipe, options, make, command, tmp_path):
    small = ["--resolution", "16", "--images", "2", "--batch", "2", "--set", "generator.width=4", "--outdir", "run"]
    assert command("train", recipe, *options, *small)[0] == 0
    code, _, said = command("eval", "fd", "digits", "run")
    assert code == 2
    assert f"run makes images of images, so make some and measure those: {make} -i FOLDER -o OUT" in said


def test_points_are_no_images():
    with pytest.raises(UsageError, match="not at 2 channels"):
        evaluate("fd", "ring", "grid")


# --- statistics -------------------------------------------------------------------------------------------------------


def header(shape):
    """The head of an .npy that declares a shape, and nothing behind it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def broken(kind, file):
    good = {"mu": np.zeros(6), "sigma": np.eye(6)}
    if kind in ("huge", "wide"):
        with zipfile.ZipFile(file, "w") as archive:
            width = 10**6 if kind == "huge" else 10**4
            archive.writestr("mu.npy", header((width,)) + bytes(0 if kind == "huge" else 8 * width))
            archive.writestr("sigma.npy", header((width, width)))
        return
    np.savez(
        file,
        **{
            "empty": {"mu": np.zeros(0), "sigma": np.zeros((0, 0))},
            "complex": {**good, "mu": np.zeros(6, complex)},
            "text": {**good, "mu": np.array(["a"] * 6)},
            "objects": {**good, "mu": np.array([{}] * 6, object)},
            "negative": {**good, "sigma": -np.eye(6)},
            "list": {**good, "protocol": np.array("[1]")},
            "damaged": {**good, "protocol": np.array("{")},
        }[kind],
    )


BROKEN = {
    "empty": "not (D,) and (D, D)",
    "huge": "of shape (1000000,)",
    "wide": "cannot be read as statistics",
    "complex": "complex128",
    "text": "<U1",
    "objects": "holds Python objects, which could run code",
    "negative": "negative variance",
    "list": "by a list how it was made",
    "damaged": "cannot be read as statistics",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_of_statistics_is_a_sentence(kind, command, tmp_path):
    broken(kind, tmp_path / "a.npz")
    code, out, err = command("eval", "fd", "a.npz", "digits")
    assert (code, out) == (1, "")
    assert BROKEN[kind] in err
    assert "a.npz" in err


def test_statistics_are_compared_with_their_like_alone(sets, tmp_path, monkeypatch):
    """Of other weights, or another precision: the file says so, and is refused."""
    a, b = sets
    said = statistics.compare(a, None, {"output": tmp_path / "a.npz"})
    assert said["images"] == 40
    assert load_statistics(tmp_path / "a.npz")[1] == Features("pocket").stamp
    assert evaluate("fd", tmp_path / "a.npz", b)["fd"] == pytest.approx(evaluate("fd", a, b)["fd"])
    with pytest.raises(UsageError, match="with precision 'fp32', and this measure looks with 'bf16'"):
        evaluate("fd", tmp_path / "a.npz", b, bf16=True)
    with pytest.raises(UsageError, match="holds statistics already"):
        statistics.compare(tmp_path / "a.npz", None, {"output": tmp_path / "b.npz"})
    gaussian = load_statistics(tmp_path / "a.npz")[0]
    save_statistics(tmp_path / "old.npz", gaussian, {**Features("pocket").stamp, "weights": "0" * 16})
    with pytest.raises(UsageError, match="with weights '0000"):
        evaluate("fd", tmp_path / "old.npz", b)


def test_files_of_others_do_not_tell_their_count(command, tmp_path):
    width = Features("pocket").width
    one = Gaussian(torch.zeros(width).double(), torch.eye(width).double(), 0)
    save_statistics(tmp_path / "a.npz", one, {"features": "pocket"})
    code, out, _ = command("eval", "fd", "a.npz", "digits", "--json")
    assert code == 0
    assert json.loads(out)["real"]["images"] == "unknown"


def test_statistics_say_their_resizer(command):
    code, *_ = command("statistics", "digits", "-o", "a.npz", "--resizer", "own", "--json")
    assert code == 0
    assert "bicubic" in load_statistics(Path("a.npz"))[1]["resizer"]
    code, _, err = command("statistics", "digits", "-o", "a.txt")
    assert code == 2
    assert ".npz" in err


def test_what_is_kept_is_named_after_images_size_network_and_way(sets, tmp_path, monkeypatch):
    """Each of them alone gives another file; the same again gives none."""
    a, _ = sets

    def kept():
        return len(list((tmp_path / "statistics").glob("*.npz")))

    network = Features("pocket")
    for side in (a, a, open_source("digits", resolution=(8, 8)).subset(range(40)), a.subset(range(39))):
        open_side(side).gaussian(network, tmp_path)
    assert kept() == 3
    other = Features("pocket")
    other.resize = features_module.bilinear
    rounded = Features("pocket", bf16=True)
    for network in (other, rounded):
        open_side(a).gaussian(network, tmp_path)
    assert kept() == 5
    another = Features("pocket")
    another.made_by = "0" * 64
    open_side(a).gaussian(another, tmp_path)
    assert kept() == 6


def test_a_damaged_cache_is_made_again(sets, tmp_path, monkeypatch):
    found = evaluate("fd", *sets, cache=tmp_path)["fd"]
    for file in (tmp_path / "statistics").iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    assert evaluate("fd", *sets, cache=tmp_path)["fd"] == found
    assert all(load_statistics(file) for file in (tmp_path / "statistics").iterdir())
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert evaluate("fd", *sets, cache=nowhere / "below")["fd"] == pytest.approx(found)  # nothing is kept there


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_that_are_not_the_published_ones_are_said(monkeypatch, tmp_path):
    """A file of the right layout works, its numbers say so, and what is kept of it is kept apart."""
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    weights.folder().mkdir(parents=True)
    place = weights.folder() / weights.FILES["inception"].file
    torch.save(Inception().state_dict(), place)
    network = Features("inception")
    assert network.protocol["weights"] == f"{weights.digest(place)[:16]}, which are not the published ones"
    assert weights.digest(place) in network.key
    published = weights.FILES["inception"].sha256
    ways = {"own": (features_module.bilinear, "bilinear"), "clean": (features_module.clean, "antialiased bicubic")}
    for resizer, (way, said) in ways.items():
        one = Features("inception", resizer=resizer)
        assert one.resize is way
        assert one.protocol["resizer"] == f"{said} to 299x299"
    network.made_by = published
    assert "weights" not in network.protocol
    assert published in network.key


def test_the_wheel_carries_every_weight_file():
    root = Path(__file__).parents[1]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ganvas"]
    package = root / "src" / "ganvas"
    carried = {file for pattern in patterns for file in package.glob(pattern)}
    assert set(package.rglob("*.safetensors")) <= carried


# --- what is printed --------------------------------------------------------------------------------------------------


def test_a_number_and_its_protocol_go_the_same_way(command, tmp_path):
    save(tmp_path / "a", **{str(k): data.astronaut()[k : k + 32, :32] for k in range(3)})
    code, out, err = command("eval", "fd", "a", "a")
    assert (code, err) == (0, "")
    for said in ("FD(pocket)", "features: pocket", "resizer: antialiased bicubic", "real: name a, images 3"):
        assert said in out


def test_a_run_that_may_not_be_written_is_measured(command, tmp_path, monkeypatch):
    options = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32"}
    small = {"generator.width": 4, "discriminator.width": 4}
    ganvas.train("dcgan", data="digits", outdir=tmp_path / "run", images=16, set=small, **options)

    def refuse(*_):
        raise UserError("read-only")

    monkeypatch.setattr(ganvas.Run, "append_evaluation", refuse)
    code, out, err = command("eval", "is", "run", "--samples", 10, "--splits", 2, "--json")
    assert code == 0
    assert json.loads(out)["is"] >= 1
    assert "not kept with the run: read-only" in err


def test_a_watched_number_says_what_it_was_seen_through():
    fake = {"name": "model", "images": 2000}
    fd = {"metric": "fd", "fd": 3.25, "features": "pocket", "fake": fake}
    assert describe_evaluation(fd) == "FD(pocket) 3.25, 2,000 samples"
    assert (
        describe_evaluation({"metric": "fid", "fid": 3.25, "features": "inception", "fake": fake})
        == "FID 3.25, 2,000 samples"
    )
    points = {"metric": "modes", "modes": 8, "total_modes": 8, "high_quality": 0.5, "reverse_kl": 0.25, "fake": fake}
    assert describe_evaluation(points) == "MODES 8, high_quality 0.5, reverse_kl 0.25, 2,000 samples"


# --- images by pairs ------------------------------------------------------------------------------------------------


def test_how_a_file_keeps_its_grey_changes_no_number(tmp_path):
    """One channel, three equal ones, or one beside three: the same Y, the same PSNR and SSIM."""
    photo = data.camera()[100:164, 100:164]
    noise = np.random.default_rng(0).integers(-20, 20, photo.shape)
    noisy = (photo + noise).clip(0, 255).astype(np.uint8)
    kept = {"grey": (photo, noisy), "colour": tuple(np.repeat(x[..., None], 3, 2) for x in (photo, noisy))}
    folders = {k: [save(tmp_path / f"{k}{n}", a=x) for n, x in enumerate(pair)] for k, pair in kept.items()}
    sides = [folders["grey"], folders["colour"], [folders["grey"][0], folders["colour"][1]]]
    for metric in ("psnr", "ssim"):
        for channel in ("rgb", "y"):
            found = [evaluate(metric, *pair, channel=channel)[metric] for pair in sides]
            assert found == pytest.approx([found[0]] * 3, rel=1e-9), (metric, channel)
    expected = 10 * np.log10(255**2 / ((photo.astype(float) - noisy) * 219 / 255).__pow__(2).mean())
    assert evaluate("psnr", *sides[0], channel="y")["psnr"] == pytest.approx(expected)


def test_transparent_images_are_compared_as_they_look_on_white():
    seen = torch.tensor(data.astronaut()[:32, :32]).permute(2, 0, 1)[None].double()
    half = torch.full((1, 1, 32, 32), 127.5).double()
    a, b = torch.cat([seen, half], 1), torch.cat([seen.flip(3), half], 1)
    white = [x / 2 + 127.5 for x in (seen, seen.flip(3))]
    for channel in ("rgb", "y"):
        torch.testing.assert_close(psnr(a, b, channel=channel), psnr(*white, channel=channel))
        torch.testing.assert_close(ssim(a, b, channel=channel), ssim(*white, channel=channel))
    assert luma(seen).shape == (1, 1, 32, 32)


def test_partners_by_name(tmp_path):
    """`1` belongs to `1_x4` and not to `10_x4`; one image belongs to one image."""
    photo = data.astronaut()
    images = {"1": photo[:16, :16], "10": photo[16:32, :16], "2": photo[32:48, :16]}
    a = save(tmp_path / "a", **images)
    b = save(tmp_path / "b", **{f"{k}_x4": v for k, v in images.items()})
    assert all(v == np.inf for v in evaluate("psnr", a, b)["per_image"].values())
    c = save(tmp_path / "c", cat_1=photo[:16, :16], cat_2=photo[:16, :16])
    d = save(tmp_path / "d", cat=photo[:16, :16], dog=photo[:16, :16])
    with pytest.raises(UsageError, match="holds cat.png, which could belong to cat_1 or cat_2"):
        evaluate("psnr", c, d)


def test_lpips_needs_sixteen_pixels():
    with torch.device("meta"):
        network = LPIPS(VGG("vgg16"), [torch.ones(c) for c in (64, 128, 256, 512, 512)])
    with pytest.raises(UsageError, match="16 pixels a side at least, got 8x16 and 8x16"):
        network(torch.zeros(1, 3, 16, 8), torch.zeros(1, 3, 16, 8))


def test_fewer_scales_for_smaller_images(command, tmp_path):
    save(tmp_path / "a", x=data.astronaut()[:100, :100])
    code, _, err = command("eval", "ms_ssim", "a", "a")
    assert code == 2
    assert "take fewer (--scales)" in err
    code, out, _ = command("eval", "ms_ssim", "a", "a", "--scales", 3, "--json")
    assert code == 0
    assert json.loads(out)["scales"] == 3


def test_diversity_holds_no_more_than_its_pairs(sets):
    """The same number as from all images at once, whatever the size of parts."""
    a, _ = sets
    found = distribution.diversity(Comparison(a, seed=3))
    images = torch.from_numpy(np.array(a.images)).permute(0, 3, 1, 2)
    all_at_once = mean_dissimilarity(images, *draw_pairs(len(images), seed=3), scales=1)
    assert found["diversity"] == pytest.approx(all_at_once, rel=1e-6)
    assert found["scales"] == 1
    one = Dataset(np.zeros((1, 16, 16, 1), np.uint8))
    with pytest.raises(UsageError, match="needs two at least, got 1"):
        evaluate("diversity", one)


def test_another_side_beside_the_same_one(sets):
    """Each result is of its own B, and the feature network is loaded once."""
    a, b = sets
    comparison = Comparison(a)
    same, other = (distribution.fd(comparison.beside(side))["fd"] for side in (a, b))
    assert same == pytest.approx(0, abs=1e-9)
    assert other == pytest.approx(evaluate("fd", a, b)["fd"])
    assert len(comparison.networks) == 1


def test_border_and_channel_reach_every_pair(tmp_path):
    """Noise in the border alone is cut off with it; noise of red alone is less on Y."""
    photo = data.astronaut()[:48, :40]
    framed = photo.copy()
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = 0, 0, 0, 0
    a, b = save(tmp_path / "a", x=photo), save(tmp_path / "b", x=framed)
    for metric, best in (("psnr", np.inf), ("ssim", 1.0)):
        assert evaluate(metric, a, b, border=4)[metric] == pytest.approx(best)
        assert evaluate(metric, a, b, border=3)[metric] < best
    red = photo.astype(int) + np.random.default_rng(0).integers(-9, 9, photo.shape) * [1, 0, 0]
    c = save(tmp_path / "c", x=red.clip(0, 255).astype(np.uint8))
    for metric in ("psnr", "ssim"):
        assert evaluate(metric, a, c, channel="y")[metric] > evaluate(metric, a, c)[metric]


def test_sixteen_bits_are_measured_in_their_own_steps(tmp_path):
    grey = data.camera()[:32, :32]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey.astype(np.uint16) * 257 ^ 1).save(tmp_path / "near.png")
    Image.fromarray(grey).save(tmp_path / "flat.png")
    assert evaluate("psnr", tmp_path / "deep.png", tmp_path / "flat.png")["psnr"] == np.inf
    expected = 20 * np.log10(65535)  # one step of 65,535 everywhere
    assert evaluate("psnr", tmp_path / "deep.png", tmp_path / "near.png")["psnr"] == pytest.approx(expected)


def test_grey_is_compared_with_colour_by_features(tmp_path):
    """The same images as grey and as RGB are no distance apart; the protocol says how they were compared."""
    levels = np.random.RandomState(0).randint(0, 256, (12, 16, 16), np.uint8)
    for name, images in (("grey", levels), ("colour", np.repeat(levels[..., None], 3, 3))):
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{k}.png")
    grey, colour = tmp_path / "grey", tmp_path / "colour"
    found = ganvas.evaluate("fd", grey, colour)
    assert abs(found["fd"]) < 1e-6
    assert found["channels"] == "grey as three equal channels of RGB"
    assert abs(ganvas.evaluate("fd", colour, grey, bootstrap=2)["fd"]) < 1e-6
    assert ganvas.evaluate("prdc", grey, colour)["precision"] == 1
    twin = ganvas.evaluate("kid", grey, colour, size=12, subsets=2)
    assert twin["kid"] == pytest.approx(ganvas.evaluate("kid", grey, grey, size=12, subsets=2)["kid"], abs=1e-9)
    assert ganvas.evaluate("memorisation", grey, colour, held_out=colour)["memorisation"] == 0.5
    assert "channels" not in ganvas.evaluate("fd", grey, grey)
