"""A run from start to end: stopped by a signal, by kill -9, by the clock, by a loss that is not a number; resumed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import typing
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
import processes
from ganvas import api, catalog
from ganvas.config import FACTS
from ganvas.data import Dataset
from ganvas.errors import UsageError, UserError
from ganvas.policy import Policy
from ganvas.run import LOCK, Run, saved_facts, weights_hash
from ganvas.schedule import per_step
from ganvas.training.recorder import Finished, Logged, Notice, Snapshot, Stepped
from ganvas.training.request import TrainOptions, TrainRequest
from ganvas.training.session import build_task
from small import CHANNELS, facts, narrow, source

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


def tiny(name, folder):
    """Options that make any recipe tiny, with data it can be trained on."""
    return {**TINY, "data": source(name, folder), "set": narrow(name)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train a tiny run of 32 images without a stop, once for a recipe and precision: the run and its options.

    Beside it lies `part`: the files as kill -9 would leave them after the first half.  A step of the game draws two
    batches at most, so that every run has a middle.
    """

    @cache
    def train(name, precision="fp32"):
        folder = tmp_path_factory.mktemp("whole")
        options = {**tiny(name, folder), "precision": precision, "snapshot_images": 16}
        if per_step(catalog.RECIPES[name]().d_steps).steps(0) > 2:
            options["set"] = {**options["set"], "d_steps": 2}

        def keep_part(event):
            if isinstance(event, Snapshot) and event.images == 16:
                shutil.copytree(folder / "run", folder / "part", ignore=shutil.ignore_patterns(LOCK))

        return ganvas.train(name, outdir=folder / "run", images=32, on_event=keep_part, **options), options

    return train


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_every_recipe_trains_samples_and_loads(name, whole):
    run, given = whole(name)
    assert {p.name for p in run.path.iterdir()} >= {"config.json", "log.jsonl", "samples", "model", "state"}
    line = run.log()[-1]
    assert {"images", "seconds", "images_per_second"} <= line.keys()
    assert any(key.startswith("g/") for key in line)
    recipe = catalog.RECIPES[name]()
    assert line["images"] == 32
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    assert model.task.example in (run.model / "README.md").read_text()
    if not model.task.draws_images:
        assert not list(run.samples.iterdir())
        assert model.classify(torch.zeros(3, 1, 8, 8)).shape == (3,)
        with pytest.raises(UsageError, match="it makes none"):
            model.sample(1)
        return
    if model.task.translates:
        with pytest.raises(UsageError, match="give it some"):
            model.sample(1)
        label = 1 if name == "stargan" else None
        channels, sources = CHANNELS.get(name, (1, 1))
        scale = getattr(model.task.generator, "scale", 1)
        if recipe.degradation:
            assert scale == given["set"].get("degradation.scale", recipe.degradation.build().scale)
        given_image = torch.zeros(2, sources, 11, 8)
        if name == "adain":
            images = ganvas.stylize(given_image, [torch.ones(1, 1, 33, 33)], model)
        else:
            images = model(given_image, label=label)
        assert images.shape == (2, channels, 11 * scale, 8 * scale)
        assert min(Image.open(sorted(run.samples.glob("*.png"))[-1]).size) > 64
        return
    images = model.sample(5, seed=3)
    assert images.shape == (5, 1, 8, 8)
    assert images.abs().max() <= 1
    torch.testing.assert_close(images[1:], model.sample(4, seed=4), rtol=1e-5, atol=1e-6)
    assert model.walk([0, 1], steps=3).shape == (6, 1, 8, 8)
    grid = Image.open(sorted(run.samples.glob("*.png"))[-1])
    assert min(grid.size) > 64


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_stopped_and_resumed_is_never_stopped(name, whole):
    """A whole run, against a new start from its files as they were in the middle, and the second half.

    That every recipe's trainer resumes in bf16 is tested without files in test_trainer.
    """
    run, _ = whole(name)
    part = run.path.with_name("part")
    assert Run(part).log()[-1]["images"] == 16
    torch.manual_seed(123)
    resumed = ganvas.train(outdir=part, resume=True, device="cpu", workers=0)
    assert weights_hash(resumed) == weights_hash(run)
    assert [line["images"] for line in resumed.log()] == [line["images"] for line in run.log()]


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_two_starts_have_the_same_weights(name):
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    torch.manual_seed(1)
    one = build_task(recipe, facts(name), 0, Policy(torch.device("cpu")))
    torch.manual_seed(99)
    two = build_task(recipe, facts(name), 0, Policy(torch.device("cpu")))
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(  # of each kind
    "name",
    ["dcgan", "stylegan2", "semigan", "cyclegan", pytest.param("real_esrgan", marks=pytest.mark.slow), "adain"],
)
def test_a_second_start_and_worker_processes_change_nothing(name, whole, tmp_path):
    """A run of 32 images in bf16, against 16, a new start from the files with worker processes, and 16 more."""
    run, options = whole(name, "bf16")
    torch.manual_seed(99)
    part = tmp_path / "part"
    session = api.prepare(api.TrainRequest(name, outdir=part, images=32, **options))
    for event in session:
        if isinstance(event, Snapshot) and 16 <= event.images < 32:
            break  # as kill -9 would: nothing is closed, the state of 16 images is the last
    session.close()
    torch.manual_seed(123)
    resumed = ganvas.train(outdir=part, resume=True, device="cpu", workers=2)
    assert weights_hash(resumed) == weights_hash(run)
    assert [line["images"] for line in resumed.log()] == [line["images"] for line in run.log()]


START = ["dcgan", "--data", "digits", "--resolution", "8", "--batch", "8", "--device", "cpu", "--precision", "fp32"]
START += ["--set", "generator.width=4", "--set", "discriminator.width=4", "--json"]


def wait_for_states(outdir, count, process):
    for _ in range(1200):
        if len(list((outdir / "state").glob("*.pt"))) >= count and (outdir / "log.jsonl").exists():
            return
        assert process.poll() is None, process.stderr
        time.sleep(0.05)
    raise AssertionError("no snapshot appeared")


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """What the weights are without being killed."""
    outdir = tmp_path_factory.mktemp("unkilled") / "whole"
    return weights_hash(ganvas.train("dcgan", outdir=outdir, images=2400, **TINY, snapshot_images=2400))


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGINT, signal.SIGTERM))]
)
def test_killed_at_any_moment(how, unkilled, tmp_path):
    """The real command, really killed, resumed to the end: the same weights as without."""
    run = tmp_path / "killed"
    line = ["train", *START, "--outdir", run, "--images", 2400, "--snapshot-images", 160]
    process = processes.start("-m", "ganvas", *line)
    wait_for_states(run, 2, process)
    process.send_signal(how)
    assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    reached = max(int(f.stem) for f in (run / "state").glob("*.pt"))
    assert reached < 2400, "it was too quick for this test"
    if how != signal.SIGKILL:
        assert json.loads(process.stdout)["stopped"] == how.name
        assert json.loads(process.stdout)["images"] == reached
    assert weights_hash(ganvas.train(outdir=run, resume=True, device="cpu", images=2400)) == unkilled
    assert not list(run.rglob("*.tmp"))


def test_minutes_end_a_run(tmp_path):
    events = []
    ganvas.train("dcgan", outdir=tmp_path / "r", images=10**9, minutes=0.02, on_event=events.append, **TINY)
    assert events[-1] == Finished("minutes")
    assert isinstance(events[-2], Snapshot)


def test_minutes_are_minutes(tmp_path, monkeypatch):
    """A clock that goes on by 20 s a step: 2 minutes are over after 6 of them, not after 360 or a third."""
    clock, steps = [0.0], 0
    monkeypatch.setattr("ganvas.training.session.time.perf_counter", lambda: clock[0])

    def hear(event):
        nonlocal steps
        if isinstance(event, Stepped):
            clock[0], steps = clock[0] + 20.0, steps + 1

    ganvas.train("dcgan", outdir=tmp_path / "r", images=10 * 8, minutes=2, on_event=hear, **TINY)
    assert steps == 6


@pytest.mark.parametrize(
    ("data", "precision", "saved"),
    [("ring", "auto", "fp32"), ("ring", None, "fp32"), ("ring", "bf16", "bf16"), ("digits", "auto", "bf16")],
)
def test_points_are_not_rounded_unless_asked(data, precision, saved, tmp_path, monkeypatch):
    """A mode of `ring` is 0.008 wide at 0.8 from the centre, where neighbouring bf16 numbers are 0.004 apart."""
    monkeypatch.setattr("ganvas.policy.has_fast_bf16", lambda device: True)
    recipe = "gan_points" if data == "ring" else "dcgan"
    given = {**TINY, "data": data, "precision": precision}
    if data == "ring":
        given |= {"resolution": None, "set": {}}
    run = ganvas.train(recipe, outdir=tmp_path / "r", images=8, **given)
    assert run.config()["precision"] == saved


def test_resuming_a_finished_run_does_nothing(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **TINY)
    before = weights_hash(run)
    events = []
    ganvas.train(outdir=run.path, resume=True, device="cpu", on_event=events.append)
    assert events == [Finished("done")]
    assert weights_hash(run) == before


def broken(session, at, times):
    """Make the discriminator's loss a NaN when `at` images have been seen, so many times."""
    loss = session.trainer.task.discriminator.loss
    right, left = loss.d, [times]

    def d(real, fake):
        value = right(real, fake)
        if session.trainer.images == at and left[0]:
            left[0] -= 1
            return value * float("nan")
        return value

    loss.d = d


def test_a_nan_goes_back_to_the_last_state_and_on(tmp_path):
    session = api.prepare(api.TrainRequest("dcgan", outdir=tmp_path / "r", images=64, snapshot_images=16, **TINY))
    broken(session, at=40, times=2)
    events = list(session)
    told = [e.sentence for e in events if isinstance(e, Notice)]
    assert len(told) == 2
    assert "not finite at 40 images" in told[0]
    assert "Back to the state at 32 images" in told[0]
    assert "try 2 of 3" in told[1]
    assert events[-1] == Finished("done")
    images = [line["images"] for line in session.run.log()]
    assert images == sorted(set(images))
    assert session.run.load_state()["retries"] == 2


def test_after_a_nan_the_noise_is_another(tmp_path):
    """The same numbers would end the same way: the step that failed draws anew each time."""
    session = api.prepare(api.TrainRequest("dcgan", outdir=tmp_path / "r", images=64, snapshot_images=16, **TINY))
    broken(session, at=40, times=2)
    task, seen = session.trainer.task, []
    draw = task.draw

    def watched(*given, **named):
        drawn = draw(*given, **named)
        if session.trainer.images == 40:
            seen.append(drawn.latent.flatten().tolist())
        return drawn

    task.draw = watched
    list(session)
    assert len(seen) == 3
    assert len({tuple(z) for z in seen}) == 3


def test_a_nan_three_times_ends_with_advice(tmp_path):
    session = api.prepare(api.TrainRequest("dcgan", outdir=tmp_path / "r", images=64, snapshot_images=16, **TINY))
    broken(session, at=40, times=99)
    with pytest.raises(UserError, match=r"happened 4 times, so training ends here. In a new run, try a lower"):
        list(session)
    assert int(session.run.states()[0].stem) == 32
    for value in session.run.load_state()["trainer"]["task"].values():
        assert torch.isfinite(value.double()).all()


def test_a_truncated_state_is_told_when_resuming(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=32, **TINY, snapshot_images=16)
    newest = run.states()[0]
    newest.write_bytes(newest.read_bytes()[:-200])
    session = api.prepare(api.TrainRequest(None, None, run.path, resume=True, device="cpu", images=64))
    assert "truncated" in session.notices[0]
    assert session.trainer.images == 16
    session.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"recipe": "gan"}, "started with recipe dcgan (requested: gan)"),
        ({"data": "ring"}, "data digits (requested: ring)"),
        ({"seed": 4}, "seed 0 (requested: 4)"),
        ({"precision": "bf16"}, "precision fp32 (requested: bf16)"),
        ({"batch": 16}, "batch 8 (requested: 16)"),
        ({"set": ["generator.width=8"]}, "generator.width 4 (requested: 8)"),
        ({"augment": "flip"}, "transforms [] (requested: [flip"),
        ({"resolution": 16}, "resolution 8x8 (requested: 16x16)"),
    ],
)
def test_resuming_as_something_else_is_refused(asked, said, tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **TINY)
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    request = {"recipe": None, "data": None, **asked}
    with pytest.raises(UsageError) as problem:
        ganvas.train(request.pop("recipe"), outdir=run.path, resume=True, device="cpu", **request)
    assert said in str(problem.value)
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before


def test_resuming_on_changed_data_is_refused(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(8):
        Image.new("L", (8, 8), k * 30).save(folder / f"{k}.png")
    options = {**TINY, "data": str(folder), "resolution": None}
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **options)
    Image.new("L", (8, 8), 255).save(folder / "0.png")
    with pytest.raises(UsageError, match="data have changed"):
        ganvas.train(outdir=run.path, resume=True, device="cpu", images=32)


def test_an_output_folder_that_holds_a_run_is_not_touched(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **TINY)
    before = weights_hash(run)
    with pytest.raises(UsageError, match="holds another run"):
        ganvas.train("dcgan", outdir=run.path, images=16, **TINY)
    assert weights_hash(run) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": "dcgann"}, "no recipe 'dcgann'. Did you mean 'dcgan'"),
        ({"batch": 5000}, "larger than the data"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"resolution": 7}, "7"),
        ({"set": ["generator.widht=3"]}, "Did you mean 'width'"),
        ({"set": ["width"]}, "takes path=value"),
        ({"data": "digitz"}, "Did you mean 'digits'"),
        ({"data": None}, "needs data"),
        ({"device": "tpu9"}, "cannot be used here"),
        ({"precision": "fp8"}, "auto, fp32 or bf16"),
        ({"augment": "flop"}, "flip"),
        ({"data": "ring", "resolution": None}, "use the fully connected recipe"),
        ({"snapshot_images": -5}, "at least 1"),
    ],
)
def test_wrong_usage_is_a_sentence_and_nothing_is_written(changed, said, tmp_path):
    asked = {"recipe": "dcgan", **TINY, "images": 16, **changed}
    with pytest.raises(UsageError) as problem:
        ganvas.train(asked.pop("recipe"), outdir=tmp_path / "r", **asked)
    assert said in str(problem.value)
    assert not (tmp_path / "r").exists()


def test_points_train_with_the_fully_connected_recipe(tmp_path):
    run = ganvas.train("gan", data="ring", outdir=tmp_path / "r", images=200, device="cpu")
    assert ganvas.load(run.path, device="cpu").sample(7).shape == (7, 2, 1, 1)
    assert Image.open(sorted(run.samples.glob("*.png"))[-1]).size == (512, 512)


def test_the_same_seed_is_the_same_run_and_another_is_not(tmp_path):
    def train(name, seed):
        return weights_hash(ganvas.train("dcgan", outdir=tmp_path / name, images=24, seed=seed, **TINY))

    one, two, three = train("a", 1), train("b", 1), train("c", 2)
    assert one == two
    assert one != three


def test_a_saved_config_is_a_recipe(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "a", images=24, **TINY)
    options = {**TINY, "set": (), "batch": None}
    again = ganvas.train(str(run.config_file), outdir=tmp_path / "b", images=24, **options)
    assert weights_hash(again) == weights_hash(run)


def test_log_lines_add_up(tmp_path):
    events = []
    ganvas.train("dcgan", outdir=tmp_path / "r", images=80, on_event=events.append, **TINY)
    lines = [e.line for e in events if isinstance(e, Logged)]
    assert lines == Run(tmp_path / "r").log()
    assert all(json.dumps(line, allow_nan=False) for line in lines)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_a_model_of_hostile_files_is_refused(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **TINY)
    file = run.model / "config.json"
    good = json.loads(file.read_text())
    for bad in (
        {**good, "task": {"()": "os:system"}},
        {**good, "format": 2},
        {**good, "data": {}},
        {**good, "task": {"()": "torch.optim.adam:Adam"}},
        {**good, "data": {**good["data"], "resolution": [16, 16]}},
    ):
        file.write_text(json.dumps(bad))
        with pytest.raises(UserError):
            ganvas.load(run.path, device="cpu")
    file.write_text(json.dumps(good))
    (run.model / "generator.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot be read"):
        ganvas.load(run.path, device="cpu")


def test_a_model_folder_travels_alone(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=16, **TINY)
    before = ganvas.load(run.path, device="cpu", precision="fp32").sample(3)
    moved = tmp_path / "elsewhere"
    run.model.rename(moved)
    assert torch.equal(ganvas.load(moved, device="cpu", precision="fp32").sample(3), before)
    assert "ganvas.load" in (moved / "README.md").read_text()


def test_tensorboard_hears_what_the_log_says(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=64, log="tensorboard", **TINY)
    events = reader.EventAccumulator(str(run.path / "tensorboard")).Reload()
    scalars = [(e.step, e.value) for e in events.Scalars("d/adversarial")]
    assert scalars == [(line["images"], pytest.approx(line["d/adversarial"], rel=1e-6)) for line in run.log()]
    assert events.Images("samples")


def test_augmentation_is_named_in_the_recipe_and_resumes(tmp_path):
    options = {**TINY, "augment": "flip,noise=0.1", "snapshot_images": 16}
    whole = ganvas.train("dcgan", outdir=tmp_path / "whole", images=32, **options)
    part = ganvas.train("dcgan", outdir=tmp_path / "part", images=32, minutes=0, **options)
    assert part.states()[0].stem.endswith("8")
    resumed = ganvas.train(outdir=part.path, resume=True, device="cpu")
    assert weights_hash(resumed) == weights_hash(whole)
    assert [t["()"] for t in whole.config()["recipe"]["transforms"]] == ["flip", "noise"]
    plain = ganvas.train("dcgan", outdir=tmp_path / "plain", images=32, **TINY)
    assert weights_hash(plain) != weights_hash(whole)


@pytest.mark.parametrize("name", ["dcgan", "biggan", "stylegan2"])
def test_truncation_means_less_variety_for_every_generator(name, tmp_path):
    run = ganvas.train(name, outdir=tmp_path / "run", images=64, **tiny(name, tmp_path))
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    spread = [model.sample_seeds(range(0, 60, 10), trunc=t).std(0).mean() for t in (1.0, 0.1)]  # of one class
    assert spread[1] < spread[0]
    assert torch.equal(model.sample_seeds([3], trunc=1.0), model.sample(1, seed=3))


def test_a_number_that_is_asked_for_is_obeyed(tmp_path):
    """Images as bright as their vector says: after 250 steps, samples are as bright as was asked for."""
    source = np.random.RandomState(0)
    asked = source.uniform(-1, 1, (512, 1)).astype(np.float32)
    images = (asked[:, :, None, None] * 0.8 + 1) * 127.5 + source.uniform(-9, 9, (512, 8, 8, 1))
    data = Dataset(images.clip(0, 255).astype(np.uint8), vectors=asked, name="bright")
    small = {"generator.width": 16, "discriminator.width": 16}
    options = {"images": 16_000, "batch": 64, "device": "cpu", "precision": "fp32", "set": small}
    model = ganvas.load(ganvas.train("cgan", data=data, outdir=tmp_path / "run", **options).path, device="cpu")
    wanted = np.linspace(-1, 1, 11)
    made = [model.sample(8, seed=8 * k, label=[float(v)]).mean().item() for k, v in enumerate(wanted)]
    assert np.corrcoef(wanted, made)[0, 1] > 0.9


def test_the_options_of_train_are_the_fields_of_a_request():
    fields = typing.get_type_hints(TrainRequest)
    assert {k: v for k, v in fields.items() if k not in ("recipe", "data", "outdir")} == typing.get_type_hints(
        TrainOptions
    )


@pytest.mark.parametrize("module", ["ganvas", "ganvas.api", "ganvas.cli"])
def test_importing_takes_no_torch(module):
    script = f"import sys, {module}; assert not {{'torch', 'numpy', 'PIL'}} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_facts_of_the_data_are_saved_as_networks_take_them(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=8, **TINY)
    digits = {"resolution": (8, 8), "channels": 1, "classes": 10, "attributes": 0, "unlabelled": 0}
    assert saved_facts(run.config()) == {**digits, "source_channels": 0, "source_scale": 1}
    assert saved_facts(run.config()).keys() == {*FACTS}
