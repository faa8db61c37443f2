"""Tuning: spaces, trials that a killed worker left, workers that share a study, and what is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from threading import Thread

import pytest

optuna = pytest.importorskip("optuna")

from ganvas.errors import UserError  # noqa: E402
from ganvas.run import Run  # noqa: E402
from ganvas.sweeps import tune as module  # noqa: E402
from ganvas.sweeps.page import axis  # noqa: E402
from ganvas.sweeps.space import defaults_in, parse_range, read_space, tune_space  # noqa: E402
from ganvas.sweeps.tune import tune  # noqa: E402
from ganvas.training.lock import folder_lock, run_holder  # noqa: E402
from ganvas.training.recorder import Evaluated  # noqa: E402
from ganvas.training.session import find_recipe  # noqa: E402

SPACE = ("g_optimizer.lr=log(1e-5,1e-1)", "batch=int(8,64)")


@pytest.fixture
def quick(monkeypatch):
    """Training that only writes a config, and a metric whose best learning rate is 1e-2; the calls are listed."""
    calls = []

    def train(recipe, *, data, outdir, on_event, **options):
        calls.append((outdir.name, options))
        run = Run(outdir)
        if not run.exists():
            outdir.mkdir(parents=True)
            run.write_config({"recipe": {"lr": options["set"]["g_optimizer.lr"]}})
        return run

    def evaluate(metric, a, b, **options):
        lr = json.loads(Run(b).config_file.read_text())["recipe"]["lr"]
        return {metric: (math.log10(lr) + 2) ** 2}

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "evaluate", evaluate)
    monkeypatch.setattr(Run, "config", lambda self: json.loads(self.config_file.read_text()))
    return calls


def search(outdir, trials=8, **options):
    return tune("dcgan", data="digits", outdir=outdir, trials=trials, images=64, **{"space": SPACE, **options})


def study_of(outdir):
    return optuna.load_study(study_name="ganvas", storage=f"sqlite:///{outdir / 'study.db'}")


# --- spaces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("g_optimizer.lr=log(1e-4, 1e-2)", "log", (1e-4, 1e-2)),
        ("ema_ramp=uniform(0,0.5)", "uniform", (0.0, 0.5)),
        ("batch=int(8,64)", "int", (8, 64)),
        ("loss=one_of(hinge,non_saturating)", "one_of", ("hinge", "non_saturating")),
    ],
)
def test_ranges_are_read(text, kind, values):
    one = parse_range(text)
    assert (one.kind, one.values) == (kind, values)
    assert one.distribution() is not None
    assert one.holds(values[0])


@pytest.mark.parametrize(
    "text",
    ["lr", "lr=5", "lr=log(0,1)", "lr=log(2,1)", "lr=uniform(a,b)", "loss=one_of(x)", "lr=log(1)", "lr=__import__(os)"],
)
def test_other_forms_are_refused(text):
    with pytest.raises(UserError, match=r"--set-space takes|takes two"):
        parse_range(text)


def test_every_recipe_with_players_has_a_usual_search():
    for name in ("dcgan", "r3gan", "wgan_gp", "cyclegan", "srgan", "stylegan2"):
        ranges = tune_space(find_recipe(name))
        assert {"g_optimizer.lr", "d_optimizer.lr"} <= {one.path for one in ranges}
        assert defaults_in(find_recipe(name), ranges).keys() == {one.path for one in ranges}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (["g_optimizer.rate=log(1,2)"], "no option 'g_optimizer.rate'"),
        (["batch=int(8,64)", "batch=int(8,32)"], "given twice"),
        (["loss=one_of(hinge,nothing)"], "nothing"),
    ],
)
def test_spaces_over_options_that_are_not_there(space, words):
    with pytest.raises(UserError, match=words):
        read_space(find_recipe("dcgan"), space)


# --- trials ----------------------------------------------------------------------------------------------------------


def test_the_first_trial_is_the_recipes_own_and_the_search_improves(quick, tmp_path):
    result = search(tmp_path, 25)
    first = quick[0][1]["set"]
    assert first["g_optimizer.lr"] == 0.0002
    assert (result["trials"], result["complete"]) == (25, 25)
    assert result["best"]["value"] < (math.log10(0.0002) + 2) ** 2 / 10
    assert json.loads((tmp_path / "best.json").read_text())["recipe"]["lr"] == result["best"]["set"]["g_optimizer.lr"]
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ("Importance", "polyline", "g_optimizer.lr"))


@pytest.mark.parametrize(
    "pruner", ["median", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hyperband", "none"))]
)
def test_poor_trials_are_ended_early(quick, tmp_path, monkeypatch, pruner):
    """The metric is known on the way: those that are ended are worse than the best, and had not the whole length."""
    train = module.train

    def watched(recipe, *, outdir, on_event, **options):
        run = train(recipe, outdir=outdir, on_event=on_event, **options)
        for images in range(200, 1001, 200):
            on_event(Evaluated({**module.evaluate("fd", "", str(run.path)), "trained_images": images}, best=False))
        return run

    monkeypatch.setattr(module, "train", watched)
    result = tune("dcgan", data="digits", outdir=tmp_path, trials=20, images=1000, space=SPACE, pruner=pruner)
    ended = [t for t in study_of(tmp_path).get_trials() if t.state.name == "PRUNED"]
    assert bool(ended) == (pruner != "none")
    assert result["pruned"] == len(ended) < 20
    assert all(max(t.intermediate_values) < 1000 for t in ended)
    assert all(min(t.intermediate_values.values()) > result["best"]["value"] for t in ended)


def test_a_second_call_adds_what_is_missing(quick, tmp_path):
    assert search(tmp_path, 3)["trials"] == 3
    assert search(tmp_path, 5)["trials"] == 5
    assert [name for name, _ in quick] == ["0000", "0001", "0002", "0003", "0004"]
    assert search(tmp_path, 5)["trials"] == 5
    assert len(quick) == 5


def test_a_trial_that_a_killed_worker_left_is_finished(quick, tmp_path):
    search(tmp_path, 2)
    study = study_of(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    trial = study.ask({one.path: one.distribution() for one in map(parse_range, SPACE)})
    trial.set_user_attr("worker", f"{module.socket.gethostname()}:{dead.pid}")
    Run(tmp_path / "trials/0002").path.mkdir()
    Run(tmp_path / "trials/0002").write_config({"recipe": {"lr": trial.params["g_optimizer.lr"]}})
    result = search(tmp_path, 4)
    assert (result["trials"], result["complete"]) == (4, 4)
    name, options = quick[2]
    assert (name, options["resume"]) == ("0002", True)
    assert study_of(tmp_path).trials[2].value == pytest.approx((math.log10(trial.params["g_optimizer.lr"]) + 2) ** 2)


def test_a_trial_at_work_elsewhere_is_left_alone_and_counts(quick, tmp_path):
    search(tmp_path, 1)
    trial = study_of(tmp_path).ask({one.path: one.distribution() for one in map(parse_range, SPACE)})
    trial.set_user_attr("worker", f"{module.socket.gethostname()}:{module.os.getpid()}")
    assert search(tmp_path, 3)["trials"] == 3
    assert [name for name, _ in quick] == ["0000", "0002"]


def test_processes_begin_a_study_one_after_the_other(quick, tmp_path):
    """Two that make its tables at once fail."""
    other = Thread(target=search, args=(tmp_path, 1))
    with folder_lock(tmp_path):
        other.start()
        other.join(1)
        assert not (tmp_path / "study.db").exists()
    other.join()
    assert len(study_of(tmp_path).trials) == 1


def test_a_trial_that_fails_is_told_and_the_search_goes_on(quick, tmp_path, monkeypatch):
    good, sentences = module.train, []

    def train(recipe, *, outdir, **options):
        if outdir.name == "0001":
            raise UserError("It diverged.")
        return good(recipe, outdir=outdir, **options)

    monkeypatch.setattr(module, "train", train)
    result = search(tmp_path, 3, notify=sentences.append)
    assert (result["complete"], result["fail"]) == (2, 1)
    assert "Trial 1 failed: It diverged." in sentences


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": None}, "--images or --minutes"),
        ({"minutes": 1.0}, "--images or --minutes"),
        ({"trials": 0}, "at least 1"),
        ({"metric": "nothing"}, "no metric"),
        ({"storage": "nothing://x"}, "cannot be opened"),
        ({"pruner": "medain"}, "one of median, hyperband, none, got 'medain'. Did you mean 'median'"),
        ({"pruner": "hyperband", "images": None, "minutes": 1.0}, "hyperband needs .* --images"),
    ],
)
def test_refused_in_a_sentence(quick, tmp_path, options, words):
    given = {"trials": 1, "images": 64, "space": SPACE, **options}
    with pytest.raises(UserError, match=words):
        tune("dcgan", data="digits", outdir=tmp_path / "t", **given)


def test_a_study_of_another_recipe_is_refused(quick, tmp_path):
    search(tmp_path, 1)
    with pytest.raises(UserError, match="The study is of recipe 'dcgan'"):
        tune("lsgan", data="digits", outdir=tmp_path, trials=2, images=64, space=SPACE)


def test_axes_are_logarithmic_over_powers_of_ten():
    assert axis([1e-4, 1e-3, 1e-2]) == pytest.approx([0, 0.5, 1])
    assert axis([2, 3, 4]) == pytest.approx([0, 0.5, 1])
    assert axis(["b", "a", "b"]) == [1, 0, 1]


def test_real_trials_by_the_command(tmp_path, command):
    small = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "batch=16"]
    arguments = ["--data", "digits", "--outdir", tmp_path / "t", "--images", 32, "--samples", 40]
    code, out, err = command("tune", "dcgan_small", *arguments, "--trials", 2, *small, "--json")
    result = json.loads(out)
    assert (code, result["complete"]) == (0, 2), err
    assert Run(result["best"]["run"]).exists()
    code, _, err = command("tune", "dcgan_small", *arguments, "--trials", 2, "--set-space", "lr=5")
    assert (code, "--set-space takes" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_share_a_study_and_one_is_killed(tmp_path):
    """No trial is lost or done twice; the one that the killed process had goes on from its last snapshot."""
    small = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "batch=16", "--device", "cpu"]
    line = ["tune", "dcgan_small", "--data", "digits", "--outdir", str(tmp_path), "--images", "1600", "--samples", "40"]
    command = [sys.executable, "-m", "ganvas", *line, "--trials", "5", *small, "--json"]

    def begin():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first, second = begin(), begin()
    until = time.monotonic() + 300
    while first.pid not in [run_holder(folder)[0] for folder in tmp_path.glob("trials/*") if run_holder(folder)]:
        assert (first.poll(), time.monotonic() < until) == (None, True), first.communicate()
        time.sleep(0.05)
    first.kill()
    first.communicate()
    assert second.communicate(timeout=300)[1] is not None
    assert second.returncode == 0
    third = begin()
    out, err = third.communicate(timeout=300)
    assert (third.returncode, json.loads(out)["trials"], json.loads(out)["fail"]) == (0, 5, 0), err
    assert {trial.state.name for trial in study_of(tmp_path).trials} <= {"COMPLETE", "PRUNED"}
    for log in tmp_path.glob("trials/*/log.jsonl"):
        images = [json.loads(line)["images"] for line in log.read_text().splitlines()]
        assert images == sorted(set(images))
