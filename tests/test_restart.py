"""One command line starts and restarts a run: what is there decides, one process has the folder, options are kept."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ganvas
import ganvas.doctor.signals
from ganvas import api
from ganvas.catalog import METRICS
from ganvas.errors import UsageError, UserError
from ganvas.evaluation.during_training import Watch
from ganvas.run import LOCK, Run, weights_hash
from ganvas.training import lock as locks
from ganvas.training.interrupts import collect_signals
from ganvas.training.lock import RunLock
from ganvas.training.recorder import Evaluated, Finished, Snapshot, Stepped
from ganvas.training.request import EVALUATION, MAY_CHANGE
from ganvas.training.trainer import Trainer

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}
TIMES = ("seconds", "images_per_second", "diagnostics/data_wait_share")


def train(place, images=16, **options):
    return ganvas.train("dcgan", data="digits", outdir=place, images=images, **{**TINY, **options})


def prepare(place, **options):
    return api.prepare(api.TrainRequest("dcgan", "digits", place, **{"images": 16, **TINY, **options}))


def resume(place, **options):
    """The events of a run that goes on with nothing but its folder and these options."""
    heard = []
    ganvas.train(outdir=place, resume=True, on_event=heard.append, **options)
    return heard


def stop_at(place, at, **options):
    """A run that is killed after the snapshot of so many images."""

    def die(event):
        if isinstance(event, Snapshot) and event.images == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(place, on_event=die, **options)
    return Run(place)


@pytest.fixture
def scripted(monkeypatch):
    """Evaluations that come from a list."""

    def use(*values, metric="fd", key="fd"):
        left = iter(values)
        monkeypatch.setattr(Watch, "rehearse", lambda *_: None)
        monkeypatch.setattr(METRICS[metric], "function", lambda *_, **__: {key: next(left)})

    return use


# --- what may be there before ------------------------------------------------------------------------------

REMAINS = {
    "nothing": None,
    "an empty folder": [],
    "a killed start": ["samples/", "state/"],
    "a killed start that had the lock": ["samples/", ".lock"],
    "half a config": ["state/", ".lock", ".ganvas-123-0a1b2c3d.tmp"],
    "half a config, of an old version": ["samples/", "state/", ".config.json.4711.tmp"],
    "what a file manager leaves": [".DS_Store", "Thumbs.db", "samples/"],
    "half a config of two starts": [".lock", ".ganvas-123-0a1b2c3d.tmp", ".ganvas-123-ffffffff.tmp"],
}


def leave(place, names):
    for name in names or ():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (place / name).mkdir(exist_ok=True)
        else:
            (place / name).write_text("123 elsewhere\n" if name == LOCK else '{"half": ')


@pytest.mark.parametrize("resumes", [False, True])
@pytest.mark.parametrize("names", REMAINS.values(), ids=REMAINS)
def test_a_run_begins_where_none_is(names, resumes, tmp_path):
    place = tmp_path / "a" / "run"
    if names is not None:
        place.mkdir(parents=True)
    leave(place, names)
    session = prepare(place, resume=resumes)
    assert (session.trainer.images, session.notices) == (0, [])
    session.close()
    assert {p.name for p in place.iterdir()} - {".DS_Store", "Thumbs.db"} == {"config.json", "samples", "state"}


@pytest.mark.parametrize("names", [["letter.txt"], [".lock", "a/b.png"], ["config.tmp"], ["state/000000000008.pt"]])
@pytest.mark.parametrize("resumes", [False, True])
def test_files_that_are_not_a_runs_are_never_taken(names, resumes, tmp_path):
    leave(tmp_path, names)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="files that are not a run"):
        prepare(tmp_path, resume=resumes)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_line_begins_goes_on_and_ends_at_once(tmp_path, command):
    line = ["train", "dcgan", "--data", "digits", "--outdir", tmp_path / "r", "--images", 16, "--batch", 8, "--json"]
    line += ["--set", "generator.width=4", "--set", "discriminator.width=4", "--resolution", 8, "--resume"]
    codes, outs, _ = zip(command(*line, "--minutes", 0), command(*line), command(*line))
    answers = [json.loads(out) for out in outs]
    assert codes == (0, 0, 0)
    assert [(a["stopped"], a["images"]) for a in answers] == [("minutes", 8), ("done", 16), ("done", 16)]
    assert answers[1]["weights_sha256"] == answers[2]["weights_sha256"]


def test_without_a_recipe_there_must_be_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"r does not exist.*RECIPE"):
        resume(tmp_path / "r")
    with pytest.raises(UsageError, match=r"is not a run of ganvas.*RECIPE"):
        resume(tmp_path)
    assert not list(tmp_path.iterdir())


def test_killed_before_the_first_state_it_still_starts_from_its_weights(tmp_path):
    source = train(tmp_path / "source", seed=5)
    whole = train(tmp_path / "whole", init_from=source.path, init_raw=True)
    prepare(tmp_path / "r", init_from=os.path.relpath(source.path), init_raw=True).close()
    resume(tmp_path / "r")
    assert weights_hash(Run(tmp_path / "r")) == weights_hash(whole)


def test_a_shorter_length_than_was_trained_changes_nothing(tmp_path):
    run = train(tmp_path / "r", 24)
    before = run.config()
    assert resume(run.path, images=16) == [Finished("done")]
    assert run.config() == before


# --- one process -------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path):
    """A run folder and another process that has its lock, with a child of its own."""
    run = Run.create(tmp_path / "run")
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        lock = RunLock(run)
        if os.fork():
            os.write(done, b"x")
        time.sleep(60)
        os._exit(lock.handle is None)
    os.read(ready, 1)
    (run.path / f".ganvas-{pid}-00000000.tmp").write_text("half")
    (run.path / f".ganvas-{pid + 1}-00000000.tmp").write_text("half of a report by another process")
    yield run, pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_the_second_process_is_refused_until_the_first_is_dead(held, monkeypatch):
    run, pid = held
    monkeypatch.setattr(locks, "GRACE", 0.1)
    with pytest.raises(UserError, match=f"is being trained by process {pid} on {platform.node()}; wait"):
        RunLock(run)
    with pytest.raises(UserError, match=f"process {pid}"):
        prepare(run.path)  # no config yet: it is the folder that is claimed
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    lock = RunLock(run)  # its child lives, as a worker that loads data does
    assert [p.name for p in run.path.glob(".g*")] == [f".ganvas-{pid + 1}-00000000.tmp"]
    assert (run.path / LOCK).read_text() == f"{os.getpid()} {platform.node()}\n"
    lock.close()
    assert not (run.path / LOCK).exists()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def test_a_session_keeps_its_folder_and_gives_it_back(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "GRACE", 0.0)
    session = prepare(tmp_path / "r", resume=True)
    with pytest.raises(UserError, match="a session of this process; close it"):
        prepare(tmp_path / "r", resume=True)
    shutil.copytree(tmp_path / "r", tmp_path / "copy")
    assert resume(tmp_path / "copy")[-1] == Finished("done")
    session.close()
    assert resume(tmp_path / "r")[-1] == Finished("done")
    assert not list(tmp_path.rglob(LOCK))


@pytest.mark.parametrize("refused", [{"seed": 4}, {"data": "ring"}, {"batch": 4}])
def test_a_refused_request_releases_the_folder(refused, tmp_path):
    run = train(tmp_path / "r")
    before = sorted(run.path.rglob("*"))
    with pytest.raises(UsageError):
        ganvas.train(**{"data": None, "outdir": run.path, "resume": True, **refused})
    assert sorted(run.path.rglob("*")) == before
    RunLock(run).close()


def test_another_run_that_begins_meanwhile_is_not_written_over(tmp_path, monkeypatch):
    """Both found the folder empty; the other was faster."""
    create = Run.create

    def slow(path):
        run = create(path)
        run.write_config({"recipe_name": "theirs"})
        return run

    monkeypatch.setattr(Run, "create", slow)
    with pytest.raises(UsageError, match="holds another run"):
        prepare(tmp_path / "r")
    assert Run(tmp_path / "r").config() == {"recipe_name": "theirs"}


def test_what_nobody_can_be_writing_is_removed(tmp_path):
    run = Run.create(tmp_path)
    for name, days in (("7-aa", 0.5), ("8-bb", 1.1), ("9-cc", 30.0)):
        part = run.samples / f".ganvas-{name}.tmp"
        part.write_text("half")
        os.utime(part, (time.time() - days * 86_400,) * 2)
    run.tidy()
    assert [p.name for p in run.samples.iterdir()] == [".ganvas-7-aa.tmp"]


def test_states_after_the_one_that_is_saved_are_left(tmp_path):
    """They are damaged, or of a process that was killed: the two good ones must stay."""
    run = Run.create(tmp_path)
    for images in (100, 300, 150, 200):
        run.save_state({"trainer": {}}, images)
    assert [int(f.stem) for f in run.states()] == [300, 200, 150]


# --- options -----------------------------------------------------------------------------------------------

KEPT = {"snapshot_images": 8, "heal": True, "workers": 1, "compile": "off", "eval_images": 8, "eval_metric": "kid"}
KEPT |= {"eval_samples": 12, "stop_when": "kid<-9", "patience": 7, "device": "cpu"}
CHANGED = {"snapshot_images": 9, "heal": False, "workers": 0, "compile": "auto", "eval_images": 16}
CHANGED |= {"eval_metric": "prdc", "eval_samples": 9, "stop_when": "recall>9", "patience": 3, "device": "auto"}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A run that was started with many options and stopped after a step."""
    return train(tmp_path_factory.mktemp("started") / "r", 32, minutes=0, hold_out=5, seed=3, **KEPT)


def options_of(place, **given):
    session = api.prepare(api.TrainRequest(None, None, place, resume=True, **given))
    request, recorder = session.recorder.request, session.recorder
    session.close()
    assert recorder.snapshot_images == request.snapshot_images
    return {name: getattr(request, name) for name in KEPT}, request


def test_resume_alone_keeps_every_option(started):
    options, request = options_of(started.path)
    assert options == KEPT
    assert (request.hold_out, request.seed, request.minutes) == (5, 3, None)
    assert set(KEPT) | {"log", "eval_data"} == {*EVALUATION, *MAY_CHANGE}


def test_what_may_change_changes_and_stays_changed(started, tmp_path):
    place = shutil.copytree(started.path, tmp_path / "r")
    assert options_of(place, **CHANGED)[0] == CHANGED
    assert options_of(place)[0] == CHANGED
    assert options_of(place, stop_when="none")[0] == {**CHANGED, "stop_when": None}
    assert options_of(place, patience=4)[0] == {**CHANGED, "stop_when": None, "patience": 4}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hold_out": 4}, "hold_out 5"),
        ({"labels": 20}, "labels None"),
        ({"init_from": "elsewhere"}, "init_from None"),
        ({"init_raw": True}, "init_raw False"),
        ({"freeze_d": 1}, "freeze_d 0"),
        ({"seed": 4}, "seed 3"),
        ({"set": ["g_optimizer.lr=1"]}, "g_optimizer.lr"),
    ],
)
def test_anything_else_is_refused_by_name(given, said, started):
    with pytest.raises(UsageError, match=f"started with.*{said}.*requested"):
        resume(started.path, **given)


def test_help_lists_what_may_change(command):
    text = " ".join(command("train", "--help")[1].split())
    sentence = text[text.index("keeps its options") : text.index("Anything else")]
    for name in ("images", "minutes", *EVALUATION, *MAY_CHANGE):
        assert f"--{name.replace('_', '-')}" in sentence


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stop_when": "fd<1"}, "--stop-when has no effect.*--eval-images"),
        ({"patience": 2}, "--patience has no effect"),
        ({"eval_metric": "fd"}, "--eval-metric has no effect"),
        ({"eval_samples": 9}, "--eval-samples has no effect"),
        ({"init_raw": True}, "--init-raw has no effect.*--init-from"),
    ],
)
def test_an_option_without_effect_is_refused(given, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        train(tmp_path / "r", **given)
    assert not (tmp_path / "r").exists()
    if "init_raw" not in given:
        run = train(tmp_path / "plain")
        with pytest.raises(UsageError, match=said):
            resume(run.path, images=32, **given)


@pytest.mark.parametrize("resumes", [False, True])
def test_tensorboard_without_its_package_leaves_no_folder(resumes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="--log tensorboard needs the package tensorboard"):
        prepare(tmp_path / "r", log="tensorboard", resume=resumes)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("metric", "samples", "said"),
    [("prdc", 3, "at least 6 images"), ("is", 2, "at least 10 images"), ("diversity", 20, "images of at least 11x11")],
)
def test_what_cannot_be_measured_is_refused_before_the_folder(metric, samples, said, tmp_path):
    with pytest.raises(UserError, match=said):
        prepare(tmp_path / "r", eval_images=8, eval_metric=metric, eval_samples=samples)
    assert not (tmp_path / "r").exists()


# --- a run that was good enough ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason", "further"),
    [
        ({"stop_when": "fd<2"}, "goal", {"stop_when": "fd<1"}),
        ({"stop_when": "fd<2"}, "goal", {"stop_when": "none"}),
        ({"patience": 1}, "patience", {"patience": 2}),
    ],
)
def test_good_enough_stays_stopped(options, reason, further, tmp_path, scripted):
    values = (3.0, 1.5) if reason == "goal" else (3.0, 4.0)
    scripted(*values)
    run = train(tmp_path / "r", 32, eval_images=8, **options)
    before = weights_hash(run)
    assert resume(run.path) == [Finished(reason)]
    assert weights_hash(run) == before
    scripted(0.9, 0.8)
    heard = resume(run.path, **further)
    assert any(isinstance(event, Stepped) for event in heard)


@pytest.mark.parametrize(
    ("values", "options", "said", "way_on"),
    [
        ((1.5,), {"stop_when": "fd<2"}, "the goal is reached", "--stop-when none"),
        ((1.5, 2.0, 3.0), {"patience": 2}, "no better evaluation", "--patience 4"),
    ],
)
def test_good_enough_is_said_with_the_way_on(values, options, said, way_on, tmp_path, command, scripted):
    scripted(*values)
    run = train(tmp_path / "r", 32, eval_images=8, **options)
    code, out, err = command("train", "--resume", "--outdir", run.path)
    assert (code, out) == (0, "")
    assert said in err
    assert way_on in err


@pytest.mark.parametrize(
    ("changed", "metric", "key"),
    [
        ({"eval_metric": "prdc"}, "prdc", "coverage"),
        ({"eval_metric": "prdc", "stop_when": "recall>2"}, "prdc", "recall"),
        ({"eval_samples": 33}, "fd", "fd"),
    ],
)
def test_a_best_is_compared_with_its_own_kind_alone(changed, metric, key, tmp_path, scripted):
    scripted(0.5, 0.75)
    stop_at(tmp_path / "r", 16, images=32, snapshot_images=8, eval_images=8, eval_samples=32)
    scripted(0.6, 0.6, metric=metric, key=key)
    session = api.prepare(api.TrainRequest(None, None, tmp_path / "r", resume=True, **changed))
    assert any("best so far does not count" in notice for notice in session.notices)
    measured = [event for event in session if isinstance(event, Evaluated)]
    session.close()
    assert [event.best for event in measured] == [True, False]


def test_a_state_of_an_old_version_keeps_its_best(tmp_path, scripted):
    scripted(0.5)
    run = stop_at(tmp_path / "r", 8, images=24, snapshot_images=8, eval_images=8)
    state = run.load_state()
    state["watch"] = {"best": 0.5, "since": 0}
    run.save_state({k: v for k, v in state.items() if k != "signals"}, 8)
    scripted(0.6, 0.4)
    measured = [event for event in resume(run.path) if isinstance(event, Evaluated)]
    assert [event.best for event in measured] == [False, True]


def test_tensorboard_is_kept_and_has_each_step_once(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    session = prepare(tmp_path / "r", images=48, snapshot_images=16, log="tensorboard")
    for event in session:
        if isinstance(event, Stepped) and event.progress.images == 24:  # logged, and not in a state
            session.recorder.log()
            session.recorder.logs.open["tensorboard"].writer.flush()
            break
    session.close()
    resume(tmp_path / "r")
    events = reader.EventAccumulator(str(tmp_path / "r" / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("d/adversarial")] == [row["images"] for row in Run(tmp_path / "r").log()]


# --- the log, and signals ----------------------------------------------------------------------------------


def test_no_line_of_the_log_lacks_anything_after_a_resume(tmp_path, monkeypatch):
    """The diagnostics too compare with what was before."""
    monkeypatch.setattr(ganvas.doctor.signals, "STEPS", 1)
    options = {"images": 48, "snapshot_images": 16}
    whole = train(tmp_path / "whole", **options)
    run = stop_at(tmp_path / "r", 32, **options)
    resume(run.path)
    one, two = ([{k: v for k, v in row.items() if k not in TIMES} for row in r.log()] for r in (whole, run))
    assert one == two
    assert "diagnostics/mean_shift" in one[-1]


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_saves_and_the_exit_code_names_it(number, times, tmp_path, command, monkeypatch):
    advance = Trainer.advance

    def signalled(self):
        for _ in range(times):
            os.kill(os.getpid(), number)
        return advance(self)

    monkeypatch.setattr(Trainer, "advance", signalled)
    code, out, _ = command(
        "train", "dcgan", "--data", "digits", "--resolution", 8, "--batch", 8, "--images", 64, "--json",
        "--outdir", tmp_path / "r", "--set", "generator.width=4", "--set", "discriminator.width=4",
    )  # fmt: skip
    assert code == 128 + number
    assert Run(tmp_path / "r").load_state()["trainer"]["images"] == (8 if times == 1 else 0)
    assert (json.loads(out)["stopped"] == number.name) if times == 1 else not out
    assert not list(tmp_path.rglob(LOCK))


def test_an_ignored_hangup_stays_ignored():
    """`nohup ganvas train ...` outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with collect_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow  # test_training kills runs by each signal
def test_kills_at_random_moments(tmp_path):
    """A few of `benchmarks/kills.py`."""
    script = Path(__file__).parents[1] / "benchmarks/kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "2", "--outdir", str(tmp_path / "kills")],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["kills"] == 2
    assert summary["different"] == {}
