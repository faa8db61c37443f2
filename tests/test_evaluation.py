"""The evaluator: every measure from both doors, its protocol, its sentences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image
from skimage import data as images_of
from skimage.metrics import peak_signal_noise_ratio
from torch import nn
from torch.nn.functional import one_hot

import ganvas
from ganvas.catalog import METRICS
from ganvas.cli import app
from ganvas.data.dataset import Dataset
from ganvas.data.sources import open_source
from ganvas.errors import UsageError, UserError
from ganvas.evaluation import inputs as sides
from ganvas.evaluation.discriminator import load_adversary, share_above
from ganvas.evaluation.distribution import joint_class
from ganvas.evaluation.evaluate import evaluate
from ganvas.evaluation.inputs import open_side
from ganvas.features.extractor import Features
from ganvas.metrics.frechet import Gaussian, frechet_distance
from ganvas.metrics.inception_score import inception_score
from ganvas.metrics.statistics import load_statistics, save_statistics
from ganvas.policy import has_fast_bf16

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs, folders and files to measure."""
    here = tmp_path_factory.mktemp("judge")
    ganvas.train("dcgan", data="digits", outdir=here / "run", images=32, set=SMALL, **TINY)
    options = {"conditional": True, **SMALL}
    ganvas.train("dcgan_small", data="digits", outdir=here / "conditional", images=32, set=options, **TINY)
    ganvas.train(
        "classifier", data="digits", outdir=here / "classifier", images=64, set={"classifier.width": 4}, **TINY
    )
    ganvas.train("gan_points", data="ring", outdir=here / "points", images=256, set=SMALL, batch=64)
    digits, random = open_source("digits"), np.random.default_rng(0)
    for name, rows in (("a", range(60)), ("b", range(60, 110))):
        (here / name).mkdir()
        for k in rows:
            Image.fromarray(digits.images[k, :, :, 0]).save(here / name / f"{k:03d}.png")
    for name, noise in (("hr", 0), ("sr", 12)):
        (here / name).mkdir()
        for who in ("astronaut", "coffee"):
            image = getattr(images_of, who)()[:96, :80].astype(float)
            image = (image + noise * random.standard_normal(image.shape)).round().clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(here / name / f"{who}{'_x4' * bool(noise)}.png")
    return here


@pytest.fixture
def command(command, monkeypatch, place):
    """Run `ganvas ...` in the folder of things to measure: (exit code, stdout, stderr on one line)."""

    def call(*arguments):
        monkeypatch.chdir(place)
        code, out, err = command(*arguments)
        return code, out, " ".join(err.split())

    return call


WORKS = {
    "fd": ("a", "b"),
    "fd of a run": ("digits", "run", "--samples", 40, "--resolution", 8),
    "fd, all of it": (
        "digits",
        "conditional",
        *["--samples", "60", "--resolution", "8", "--bootstrap", "3", "--infinity", "--by-class"],
    ),
    "kid": ("a", "b", "--size", 20, "--subsets", 3),
    "is": ("run", "--samples", 30, "--splits", 3),
    "prdc": ("a", "b", "--k", 3),
    "memorisation": ("a", "run", "--held-out", "b", "--samples", 20, "--resolution", 8),
    "swd": ("a", "b"),
    "diversity": ("a",),
    "modes": ("ring", "points", "--samples", 200),
    "modes by a classifier": ("run", "--classifier", "classifier", "--samples", 30),
    "psnr": ("hr", "sr"),
    "ssim": ("hr", "sr", "--channel", "y", "--border", 4),
    "ms_ssim": ("photo.png", "photo.png"),
    "discriminator": ("digits", "run", "--held-out", "b", "--samples", 20, "--resolution", 8),
    "gan_train": ("a8", "conditional", "--held-out", "digits", "--samples", 80, "--train-images", 64),
    "gain": ("a8", "conditional", "--held-out", "digits", "--samples", 80, "--train-images", 64, "--repeats", 2),
    "accuracy": ("digits", "classifier"),
    "ppl": ("run", "--samples", 8),
    "gan_test": ("digits", "conditional", "--classifier", "classifier", "--samples", 20, "--resolution", 8),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "fd, all of it" else ()) for n in WORKS]
)
def test_every_measure_answers(name, command, place):
    metric = name.split()[0].strip(",")
    if name == "ms_ssim":
        Image.fromarray(images_of.astronaut()[:200, :200]).save(place / "photo.png")
    if "a8" in WORKS[name]:
        sheet = open_source("digits", resolution=(8, 8))
        np.savez(place / "a8.npz", images=sheet.images[:100], labels=sheet.labels[:100])
    arguments = [f"{a}.npz" if a == "a8" else a for a in WORKS[name]]
    code, out, err = command("eval", metric, *arguments, "--json")
    assert code == 0, err
    found = json.loads(out)
    first = next(iter(found.values()))
    assert isinstance(first, float | int) or (name == "ms_ssim" and first == 1.0)
    code, out, _ = command("eval", metric, *arguments)
    assert code == 0
    assert out.strip()
    assert metric.upper() in out or name.startswith(("prdc", "modes"))


def test_accuracy_is_what_is_named_rightly(place):
    digits, judge = open_source("digits", resolution=(8, 8)), ganvas.load(place / "classifier", device="cpu")
    images = torch.from_numpy(digits.images).permute(0, 3, 1, 2) / 127.5 - 1
    right = (judge.classify(images).numpy() == digits.labels).mean()
    assert evaluate("accuracy", "digits", place / "classifier")["accuracy"] == pytest.approx(right)
    for asked in (("digits",), ("digits", place / "a")):
        with pytest.raises(UsageError, match="a run B that names classes"):
            evaluate("accuracy", *asked)
    with pytest.raises(UsageError, match="does not name their classes"):
        evaluate("accuracy", "digits", place / "conditional")


def test_every_measure_is_in_the_table():
    assert {name.split()[0].strip(",") for name in WORKS} | {"fid", "lpips"} == set(METRICS)


def test_large_images_keep_their_size_and_beside_a_model_take_its(place, tmp_path):
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (4, 150, 170, 3), dtype=np.uint8)
    for name, rows in (("one", slice(0, 2)), ("two", slice(2, 4))):
        (tmp_path / name).mkdir()
        for k, image in enumerate(images[rows]):
            Image.fromarray(image).save(tmp_path / name / f"{k}.png")
    seen = open_side(tmp_path / "one").images()
    torch.testing.assert_close(seen, torch.from_numpy(images[:2]).permute(0, 3, 1, 2) / 127.5 - 1)
    network = Features("pocket")
    sets = [network(torch.from_numpy(part).permute(0, 3, 1, 2) / 127.5 - 1) for part in (images[:2], images[2:])]
    numbers = evaluate("fd", tmp_path / "one", tmp_path / "two")
    assert numbers["fd"] == pytest.approx(frechet_distance(*(Gaussian.of(s.double()) for s in sets)), rel=1e-6)
    assert numbers["real"]["resolution"] == "170x150"
    beside = evaluate("fd", "digits", place / "run", samples=20)["real"]
    assert beside["resolution"] == "8x8"  # as the run draws them
    assert "resolution" not in evaluate("modes", "ring", place / "points", samples=50)["fake"]


def test_fd_is_the_distance_of_the_features_and_says_how(place):
    found = evaluate("fd", place / "a", place / "b")
    network = Features("pocket")
    a, b = (open_side(place / name).images() for name in "ab")
    expected = frechet_distance(Gaussian.of(network(a)), Gaussian.of(network(b)))
    assert found["fd"] == pytest.approx(expected, rel=1e-6)
    assert found["features"] == "pocket"
    assert found["real"]["images"] == 60
    assert found["fake"]["images"] == 50
    assert "fewer than the 336 features" in found["warning"]
    assert evaluate("fd", place / "a", place / "a")["fd"] == pytest.approx(0, abs=1e-9)


def test_the_inception_score_is_of_the_logits(place):
    found = evaluate("is", place / "a", splits=3)
    logits = Features("pocket").logits(open_side(place / "a").images())
    assert found["is"] == pytest.approx(inception_score(logits, splits=3).value, rel=1e-6)
    assert found["splits"] == 3


def test_rounded_features_say_what_rounding_does(place):
    exact, rounded = (evaluate("fd", place / "a", place / "b", bf16=bf16) for bf16 in (False, True))
    assert rounded["precision"] == "bf16"
    assert rounded["bf16_bias"] == pytest.approx(rounded["fd"] - exact["fd"], rel=1e-6)  # measured on all there are
    assert rounded["bf16_bias"] != 0
    assert rounded["bf16_bias_images"] == 50
    assert "bf16_bias" not in exact
    assert ("note" in rounded) == (not has_fast_bf16(torch.device("cpu")))


def test_a_distance_is_not_called_fid(command):
    _, out, _ = command("eval", "fd", "a", "b")
    assert "FD(pocket)" in out
    assert "fid" not in out.lower()


def test_features_of_your_own(place):
    found = evaluate("fd", place / "a", place / "b", features=nn.Sequential(nn.AvgPool2d(4), nn.Flatten()))
    a, b = (open_side(place / name).images() for name in "ab")
    few = [nn.functional.avg_pool2d(x, 4).flatten(1) for x in (a, b)]
    assert found["fd"] == pytest.approx(frechet_distance(*map(Gaussian.of, few)), rel=1e-6)


def test_reference_statistics_are_kept_and_used(place, tmp_path, monkeypatch):
    first = evaluate("fd", place / "a", place / "b", cache=tmp_path)["fd"]
    kept = sorted((tmp_path / "statistics").iterdir())
    assert len(kept) == 2
    monkeypatch.setattr(Features, "__call__", lambda *_: pytest.fail("looked again"))
    assert evaluate("fd", place / "a", place / "b", cache=tmp_path)["fd"] == first


def test_statistics_stand_for_images(command, place):
    expected = evaluate("fd", place / "a", place / "b")["fd"]
    code, out, _ = command("statistics", "a", "-o", "a.npz", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 60
    _, out, _ = command("eval", "fd", "a.npz", "b", "--json")
    assert json.loads(out)["fd"] == pytest.approx(expected, rel=1e-9)


def test_samples_of_a_run_measure_as_their_files(place, tmp_path, command):
    """A model's samples and a folder of the PNGs they are saved as: one distance."""
    code, *_ = command("sample", "run", "-o", tmp_path / "pngs", "--seeds", "5-24")
    assert code == 0
    direct = evaluate("fd", place / "a", place / "run", samples=20, seed=5, resolution=8)
    saved = evaluate("fd", place / "a", tmp_path / "pngs", resolution=8)
    assert direct["fd"] == pytest.approx(saved["fd"], rel=1e-6)
    assert direct["fake"]["seeds"] == "5-24"


def test_the_size_of_parts_changes_nothing(place, monkeypatch):
    expected = evaluate("fd", place / "a", place / "run", samples=33, resolution=8)["fd"]
    monkeypatch.setattr(sides, "BATCH", 7)
    again = evaluate("fd", place / "a", place / "run", samples=33, resolution=8)["fd"]
    assert again == pytest.approx(expected, rel=1e-6)


def test_psnr_is_the_mean_over_images(place):
    found = evaluate("psnr", place / "hr", place / "sr")
    values = []
    for who in ("astronaut", "coffee"):
        a, b = (np.asarray(Image.open(place / d / f)) for d, f in (("hr", f"{who}.png"), ("sr", f"{who}_x4.png")))
        values.append(peak_signal_noise_ratio(a, b))
    assert found["psnr"] == pytest.approx(np.mean(values), rel=1e-9)
    assert found["images"] == 2
    assert (found["channel"], found["border"]) == ("rgb", 0)
    assert found["per_image"]["coffee"] == pytest.approx(values[1])


def test_equal_images_are_null_in_json(command):
    _, out, _ = command("eval", "psnr", "hr", "hr", "--json")
    assert json.loads(out)["psnr"] is None


def test_memorisation_shows_the_nearest(place):
    held_out = place / "b"
    copies = evaluate("memorisation", place / "a", place / "a", held_out=held_out)
    fresh = evaluate("memorisation", place / "b", place / "a", held_out=held_out)
    assert copies["memorisation"] > 0.95
    assert all(pair["sample"] == pair["training"] for pair in copies["nearest"])
    assert fresh["memorisation"] < copies["memorisation"]


def test_the_area_under_the_curve():
    a, b = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([2.0, 0.0])
    pairs = [(x > y) + 0.5 * (x == y) for x in a.tolist() for y in b.tolist()]
    assert share_above(a, b) == pytest.approx(sum(pairs) / 6)


def test_grey_images_over_each_other_are_named_one_by_one():
    """Stacked digits: the classes of three channels are one number of a thousand."""

    class Judge:
        class_names = [str(k) for k in range(10)]  # noqa: RUF012

        def predict(self, images):
            return one_hot(images.flatten(1)[:, 0].long(), 10)

    stacked = torch.tensor([[3, 0, 7], [0, 0, 9]])[..., None, None].expand(-1, -1, 2, 2)
    assert joint_class(Judge(), stacked, 3).tolist() == [307, 9]


def test_the_critic_is_asked_about_the_right_images(place, monkeypatch):
    """Held-out above samples, training above samples, training above held-out: 1, 0.75 and none of these scores."""
    said = {"a": [3.0, 1.0], "b": [4.0, 5.0], "run": [2.0, 0.0]}
    monkeypatch.setattr("ganvas.evaluation.discriminator.load_adversary", lambda *_: None)
    answer = lambda _, side: torch.tensor(said[Path(side.name).name])  # noqa: E731
    monkeypatch.setattr("ganvas.evaluation.discriminator.score_images", answer)
    found = evaluate("discriminator", place / "a", place / "run", held_out=place / "b", resolution=8)
    assert (found["discriminator"], found["training_above_samples"], found["training_above_held_out"]) == (1, 0.75, 0)


def test_energies_are_low_for_real_images(place):
    """A discriminator of energies that has learnt the data ranks real images above samples, and says so."""
    options = {"discriminator.width": 8, "generator.width": 4, "g_optimizer.lr": 0.0, "d_optimizer.lr": 2e-3}
    run = ganvas.train("ebgan", data="digits", outdir=place / "energies", images=2000, set=options, **TINY)
    network = load_adversary(str(run.path), "cpu").net
    digits, samples = (open_side(x, samples=64, resolution=(8, 8)).images() for x in (place / "b", run.path))
    with torch.no_grad():
        real, fake = (network(x).logits.flatten(1).mean(1) for x in (digits, samples))
    assert real.mean() < fake.mean()  # it has learnt: energies of real images are low
    expected = np.mean([[(f > r) + 0.5 * (f == r) for f in fake.tolist()] for r in real.tolist()])
    numbers = evaluate(
        "discriminator", "digits", run.path, held_out=place / "b", samples=64, resolution=8, device="cpu"
    )
    assert numbers["discriminator"] == pytest.approx(expected)
    assert numbers["discriminator"] > 0.9


def test_who_learns_and_who_is_named(place, monkeypatch):
    """GAN-train learns samples and names held-out real images; GAN-test learns real ones and names samples."""
    real, held_out = open_source("digits").subset(range(50)), open_source("digits").subset(range(50, 90))
    heard = []
    monkeypatch.setattr("ganvas.evaluation.classifiers.train_classifier", lambda data, *_: data)
    answer = lambda learnt, named: heard.append((len(learnt), len(named))) or 0.5  # noqa: E731
    monkeypatch.setattr("ganvas.evaluation.classifiers.accuracy_of", answer)
    options = {"resolution": 8, "samples": 20}
    for metric, more in (("gan_train", {"held_out": held_out}), ("gan_test", {})):
        assert evaluate(metric, real, place / "conditional", **options, **more)[metric] == 0.5
    assert heard == [(20, 40), (50, 20)]


def test_numbers_stay_with_the_run(command, place):
    command("eval", "is", "run", "--samples", 16)
    kept = ganvas.Run(place / "run").evaluations()[-1]
    assert kept["metric"] == "is"
    assert kept["trained_images"] == 32
    assert kept["is"] >= 1


def test_numbers_of_the_best_are_kept_with_its_run(command, place):
    """With the images that the best was trained on; those of a model folder elsewhere are kept nowhere."""
    options = {"eval_images": 16, "eval_samples": 8, "set": SMALL}
    run = ganvas.train("dcgan", data="digits", outdir=place / "watched", images=16, **TINY, **options)
    for folder in ("best", "model"):
        before = len(run.evaluations())
        code, _, err = command("eval", "is", f"watched/{folder}", "--samples", 12, "--splits", 2)
        assert (code, err) == (0, "")
        assert len(run.evaluations()) == before + 1
        assert run.evaluations()[-1]["trained_images"] == 16
    shutil.copytree(run.best, place / "alone")
    code, _, err = command("eval", "is", "alone", "--samples", 12, "--splits", 2)
    assert (code, err) == (0, "")
    assert len(run.evaluations()) == before + 1


def test_by_class_is_every_class_alone(place):
    one = open_source("digits", resolution=(8, 8))
    real, fake = one.subset(range(0, 1000)), one.subset(range(1000, 1797))
    found = evaluate("fd", real, fake, by_class=True)
    assert len(found["fd_by_class"]) == 10
    zero = [d.subset(np.flatnonzero(np.asarray(d.labels) == 0)) for d in (real, fake)]
    assert found["fd_by_class"]["0"] == pytest.approx(evaluate("fd", *zero)["fd"], rel=1e-6)
    assert found["intra_fd"] == pytest.approx(np.mean(list(found["fd_by_class"].values())))


def colours(place):
    (place / "colour").mkdir(exist_ok=True)
    (place / "mixed").mkdir(exist_ok=True)
    (place / "clear").mkdir(exist_ok=True)
    for k in range(3):
        Image.new("RGB", (16, 16), (k * 50, 10, 10)).save(place / "colour" / f"{k}.png")
        Image.new("L", (16 + k, 16), k * 50).save(place / "mixed" / f"{k}.png")
        Image.new("RGBA", (16, 16), (k * 50, 10, 10, 100)).save(place / "clear" / f"{k}.png")
    (place / "broken.npz").write_bytes(b"PK\x03\x04 mu.npy sigma.npy")
    np.savez(place / "odd.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    np.savez(place / "nan.npz", mu=np.full(336, np.nan), sigma=np.eye(336))
    np.savez(place / "public.npz", mu=np.zeros(2048), sigma=np.eye(2048))


BAD = {
    "no such metric": (["fdd", "a", "b"], "Did you mean 'fd'"),
    "one side": (["fd", "a"], "two sides"),
    "channels": (["fd", "a", "clear"], "1 channel(s) and clear 4; save the images of one side"),
    "sizes": (["fd", "mixed", "b"], "as --resolution 16"),
    "too few": (["kid", "a", "b"], "at least 1000 images a side, and a has 60; give --size 60 or less"),
    "too few neighbours": (
        ["prdc", "a", "b", "--k", "60"],
        "at least 61 images a side, and a has 60; give --k 59 or less",
    ),
    "damaged statistics": (["fd", "broken.npz", "b"], "broken.npz"),
    "odd statistics": (["fd", "odd.npz", "b"], "not (D,) and (D, D)"),
    "statistics that are no numbers": (["fd", "nan.npz", "b"], "not finite"),
    "other features": (["fd", "public.npz", "b"], "features 'inception', and this measure looks with 'pocket'"),
    "statistics for prdc": (["prdc", "good.npz", "b"], "no images"),
    "missing weights": (["fid", "a", "b"], "ganvas weights fetch inception"),
    "missing lpips": (["lpips", "hr", "sr"], "ganvas weights fetch lpips"),
    "no classifier": (["modes", "digits", "run"], "--classifier RUN"),
    "nothing held out": (["memorisation", "a", "run", "--resolution", "8"], "--held-out SOURCE"),
    "held out in other channels": (
        ["memorisation", "a", "run", "--resolution", "8", "--held-out", "clear"],
        "1 channel(s) and clear 4",
    ),
    "held out of other sizes": (
        ["discriminator", "digits", "run", "--held-out", "b", "--samples", "8", "--resolution", "16"],
        "of 8x8; the same network cannot look at both: --resolution 8x8",
    ),
    "nothing held out for the critic": (["discriminator", "digits", "run"], "images it never saw: --held-out SOURCE"),
    "tested on other channels": (
        ["gan_train", "digits", "conditional", "--resolution", "8", "--held-out", "colour"],
        "1 channel(s) and colour 3",
    ),
    "too few to split": (["is", "colour", "--splits", "5"], "colour has 3; give --splits 3 or less"),
    "no classes": (["gan_test", "digits", "run", "--resolution", "8"], "has no classes"),
    "shapes": (["psnr", "hr/coffee.png", "colour/0.png"], "only equal shapes"),
    "no partner": (["psnr", "hr", "colour"], "2 images and colour 3"),
    "no such folder": (["psnr", "hr", "nowhere"], "does not exist"),
    "channel": (["psnr", "hr", "sr", "--channel", "z"], "--channel is rgb or y"),
    "discriminator of other channels": (
        ["discriminator", "colour", "run", "--held-out", "colour", "--samples", "8", "--resolution", "8"],
        "colour has 3 channel(s) and run 1",
    ),
    "by class without": (["fd", "a", "b", "--by-class"], "labelled with the same classes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_measured_is_a_sentence(name, command, place):
    colours(place)
    save_statistics(place / "good.npz", Gaussian.of(torch.randn(400, 336).double()), Features("pocket").protocol)
    arguments, said = BAD[name]
    code, out, err = command("eval", *arguments)
    assert code in (1, 2)
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_features_that_are_no_numbers_are_a_sentence(place):
    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1) / 0 * 0

    with pytest.raises(UsageError, match="not finite"):
        evaluate("fd", place / "a", place / "b", features=Broken())


def test_statistics_survive_their_file(tmp_path):
    found = Gaussian.of(torch.randn(20, 4).double())
    save_statistics(tmp_path / "s.npz", found, {"features": "mine"})
    again, protocol = load_statistics(tmp_path / "s.npz")
    assert torch.equal(again.mean, found.mean)
    assert torch.equal(again.covariance, found.covariance)
    assert (again.count, protocol) == (20, {"features": "mine"})
    crooked = Gaussian(found.mean, found.covariance + torch.triu(torch.ones(4, 4)), 20)
    save_statistics(tmp_path / "t.npz", crooked, {})
    with pytest.raises(UserError, match="not symmetric"):
        load_statistics(tmp_path / "t.npz")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["s.npz", "t.npz"]


def test_options_are_checked():
    data = Dataset(np.zeros((4, 8, 8, 1), np.uint8))
    with pytest.raises(UsageError, match=r"fd has no option --sample\. Did you mean 'samples'\? It has: --samples, --"):
        evaluate("fd", data, data, sample=3)
    with pytest.raises(UsageError, match=r"--samples must be int, got '3'"):
        evaluate("fd", data, data, samples="3")


REFUSED = {  # what a metric does not use
    "psnr": (["--k", "7"], "psnr has no option --k. It has: --channel, --border."),
    "ssim": (["--samples", "7"], "ssim has no option --samples. It has: --channel, --border."),
    "lpips": (["--channel", "y"], "lpips has no option --channel. It has: --border."),
    "fid": (["--features", "vgg16"], "fid has no option --features. It has: --samples, --seed, --resolution"),
    "kid": (["--bf16"], "kid has no option --bf16"),
    "is": (["--held-out", "b"], "is has no option --held-out"),
    "accuracy": (["--samples", "9"], "accuracy has no option --samples. It has: --resolution, --device."),
    "diversity": (["--resizer", "own"], "diversity has no option --resizer"),  # even with its default
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_a_metric_does_not_use_is_refused(name, command):
    options, sentence = REFUSED[name]
    code, out, err = command("eval", name, "a", "b", *options)
    assert (code, out) == (2, "")
    assert sentence in err


def test_the_commands_options_are_those_of_the_metrics():
    """Each is declared with the default of the metrics that have it, or theirs beside it, and its help names them."""
    parameters = {p.name: p for p in typer.main.get_command(app).commands["eval"].params}
    metrics: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        for option, parameter in metric.options.items():
            if option != "cache":
                metrics.setdefault(option, []).append(name)
                own = f"{name}: {parameter.default}" in str(parameters[option].show_default)
                assert own or parameters[option].default == parameter.default, (name, option)
    assert parameters.keys() - metrics.keys() == {"metric", "a", "b", "as_json"}
    for option, names in metrics.items():
        panel, help_text = parameters[option].rich_help_panel, parameters[option].help
        if panel == "Options of single metrics":
            assert help_text.partition(": ")[0].split(", ") == names, option
        elif option in ("features", "resizer"):
            assert panel.partition(": ")[2].split(", ") == [n for n in METRICS if n == "fid" or n in names]


def test_results_of_earlier_versions_are_read(place):
    """`eval critic` is `eval discriminator`, and fields of evaluation.jsonl have their present names."""
    run = ganvas.Run(place / "run")
    old = {"metric": "critic", "trained_images": 32, "critic": 0.9, "on_training": 0.8, "memory": 0.5, "expected": 0.5}
    before = run.evaluation_file.read_text() if run.evaluation_file.exists() else ""
    run.evaluation_file.write_text(before + json.dumps(old) + "\n")
    assert run.evaluations()[-1] == {
        "metric": "discriminator",
        "trained_images": 32,
        "discriminator": 0.9,
        "training_above_samples": 0.8,
        "training_above_held_out": 0.5,
        "expected": 0.5,
    }
    run.evaluation_file.write_text(before)
    with pytest.raises(UsageError, match="images it never saw"):
        evaluate("critic", "digits", place / "run")


def test_weights_can_be_listed(command, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    code, out, _ = command("weights", "list", "--json")
    assert code == 0
    assert [f["name"] for f in json.loads(out)["files"]] == ["inception", "vgg16", "vgg19", "lpips", "yunet"]
    assert not any(f["available"] for f in json.loads(out)["files"])
    code, out, _ = command("weights", "list")
    assert code == 0
    assert "inception" in out
    assert command("weights", "add", "vgg16", "nowhere.pth")[0] == 2
    assert command("weights", "fetch", "vgg17")[0] == 2
