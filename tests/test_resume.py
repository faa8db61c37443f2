"""A run goes on wherever its data lie now, with the command it was started with, and after a kill at any moment."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas import api
from ganvas.cli import app
from ganvas.errors import UsageError, UserError
from ganvas.run import weights_hash
from ganvas.training import session as sessions
from ganvas.training.recorder import Recorder

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


def random_images():
    return np.random.RandomState(0).randint(0, 255, (20, 9, 12), np.uint8)


def make_folder(place):
    (place / "data").mkdir()
    for k, image in enumerate(random_images()):
        Image.fromarray(image).save(place / "data" / f"{k}.png")
    return place / "data"


def make_zip(place):
    folder = make_folder(place)
    with zipfile.ZipFile(place / "data.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return place / "data.zip"


def make_idx(place):
    (place / "data").mkdir()
    images = random_images()
    content = struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.tobytes()
    (place / "data" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    return place / "data"


def make_npz(place):
    np.savez(place / "data.npz", images=random_images())
    return place / "data.npz"


@pytest.mark.parametrize("resolution", [None, 8, "16x10"])
@pytest.mark.parametrize("make", [make_folder, make_zip, make_idx, make_npz])
def test_every_kind_of_data_resumes(make, resolution, tmp_path):
    source = make(tmp_path)
    whole = ganvas.train("dcgan", data=str(source), outdir=tmp_path / "w", images=32, resolution=resolution, **TINY)
    run = ganvas.train("dcgan", data=str(source), outdir=tmp_path / "r", images=16, resolution=resolution, **TINY)
    ganvas.train(outdir=run.path, images=32, resume=True, device="cpu")
    assert weights_hash(run) == weights_hash(whole)


def test_data_may_move_and_the_command_be_run_from_elsewhere(tmp_path, monkeypatch):
    make_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    ganvas.train("dcgan", data="data", outdir="r", images=16, **TINY)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    ganvas.train(outdir="../r", images=24, resume=True, device="cpu")  # found by its absolute path
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="no data source, folder or file"):
        ganvas.train(outdir="../r", images=32, resume=True, device="cpu")
    run = ganvas.train(data=str(tmp_path / "moved"), outdir="../r", images=32, resume=True, device="cpu")
    assert run.log()[-1]["images"] == 32


def test_the_same_command_with_resume_goes_on(tmp_path):
    source = make_folder(tmp_path)
    command = ["train", "dcgan", "--data", str(source), "--outdir", str(tmp_path / "r"), "--batch", "8"]
    command += ["--set", "generator.width=4", "--set", "discriminator.width=4", "--augment", "flip", "--seed", "3"]
    command += ["--device", "cpu", "--precision", "auto", "--resolution", "8"]
    for images, more in ((16, []), (32, ["--resume"])):
        with pytest.raises(SystemExit) as ended:
            app([*command, "--images", str(images), *more])
        assert ended.value.code == 0
    assert api.Run(tmp_path / "r").log()[-1]["images"] == 32


def test_without_images_a_run_keeps_its_planned_length(tmp_path):
    run = ganvas.train("dcgan", data="digits", resolution=8, outdir=tmp_path / "r", images=64, minutes=0, **TINY)
    assert run.load_state()["trainer"]["images"] == 8
    ganvas.train(outdir=run.path, resume=True, device="cpu")
    assert run.load_state()["trainer"]["images"] == 64


def test_own_recipes_resume_with_their_overrides(tmp_path):
    mine = api.find_recipe("dcgan")
    mine.task = mine.task.replace(prior="uniform")
    options = {"data": "digits", "resolution": 8, "outdir": tmp_path / "r", **TINY}
    ganvas.train(mine, images=16, **options)
    run = ganvas.train(mine, images=24, resume=True, **options)
    assert run.load_state()["trainer"]["images"] == 24


def test_killed_before_the_first_snapshot_begins_anew(tmp_path, monkeypatch):
    options = {"data": "digits", "resolution": 8, "images": 16, **TINY}
    whole = ganvas.train("dcgan", outdir=tmp_path / "w", **options)

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "snapshot", killed)
        with pytest.raises(KeyboardInterrupt):
            ganvas.train("dcgan", outdir=tmp_path / "r", **options)
    run = api.Run(tmp_path / "r")
    assert not run.states()
    (run.path / "samples" / ".000.png.17.tmp").write_bytes(b"half")
    told = api.prepare(api.TrainRequest(None, None, run.path, resume=True, device="cpu")).notices
    assert told == ["There is no snapshot yet, so the run starts from the beginning."]
    ganvas.train(outdir=run.path, resume=True, device="cpu")
    assert weights_hash(run) == weights_hash(whole)
    assert not list(run.path.rglob(".*.tmp"))


def test_a_folder_of_empty_folders_is_empty(tmp_path):
    (tmp_path / "r" / "samples").mkdir(parents=True)
    ganvas.train("dcgan", data="digits", resolution=8, outdir=tmp_path / "r", images=8, **TINY)


def test_a_taken_folder_is_refused_before_the_data_are_read(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="files that are not a run; give --outdir a new name"):
        ganvas.train("dcgan", data=str(tmp_path / "nowhere"), outdir=tmp_path / "r", images=8, **TINY)


def test_a_model_can_be_read_by_others(tmp_path):
    run = ganvas.train("dcgan", data="digits", resolution=8, outdir=tmp_path / "r", images=8, **TINY)
    modes = {file.name: file.stat().st_mode & 0o777 for file in run.path.rglob("*") if file.is_file()}
    assert modes["generator.safetensors"] == modes["log.jsonl"] == modes["config.json"]


def test_a_divergence_leaves_no_reader_behind(tmp_path):
    import multiprocessing

    request = api.TrainRequest("dcgan", "digits", tmp_path / "r", images=64, resolution=8, workers=2, **TINY)
    session = api.prepare(request)
    trainer = session.trainer
    for _ in range(3):
        trainer.advance()
        trainer.load_state_dict(trainer.state_dict())
    trainer.advance()
    assert len(multiprocessing.active_children()) <= 2
    session.close()


MISTAKES = [
    "generator.width=-3",
    "generator.width=0",
    "generator.max_width=0",
    "g_optimizer.lr=-1",
    "g_optimizer.betas=[2,3]",
    "g_optimizer.params=3",
    "generator.resolution=9",
    "generator.channels=4",
    "g_optimizer=hinge",
    "loss=adam",
    "penalties=hinge",
    "penalties=r1(every=0)",
    "generator=dcgan_discriminator",
    "discriminator=dcgan_generator",
    "lr_schedule=linear(begin=2)",
    "d_optimizer=none",
    "clip_norm=0",
    "clip_norm=-1",
    "ema_images=-5",
    "ema_ramp=-1",
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistaken_option_is_a_sentence_and_leaves_nothing(mistake, tmp_path):
    with pytest.raises(UsageError) as said:
        ganvas.train(
            "dcgan", data="digits", resolution=8, outdir=tmp_path / "r", images=8, **{**TINY, "set": [mistake]}
        )
    assert str(said.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("numbers", [{"seed": 10**20}, {"seed": -1}, {"minutes": float("nan")}, {"workers": -1}])
def test_numbers_that_mean_nothing_are_refused(numbers, tmp_path):
    with pytest.raises(UsageError, match="must be"):
        ganvas.train("dcgan", data="digits", resolution=8, outdir=tmp_path / "r", images=8, **TINY, **numbers)
    assert not (tmp_path / "r").exists()


def test_the_rehearsal_changes_nothing(tmp_path, monkeypatch):
    options = {"data": "digits", "resolution": 8, "images": 16, **TINY}
    one = ganvas.train("dcgan", outdir=tmp_path / "one", **options)
    monkeypatch.setattr(sessions, "rehearse", lambda *_: None)
    two = ganvas.train("dcgan", outdir=tmp_path / "two", **options)
    assert weights_hash(one) == weights_hash(two)


def test_out_of_memory_on_the_processor_is_a_sentence(tmp_path, monkeypatch):
    session = api.prepare(api.TrainRequest("dcgan", "digits", tmp_path / "r", images=16, resolution=8, **TINY))

    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 12 bytes")

    monkeypatch.setattr(session.trainer, "advance", full)
    with pytest.raises(UserError, match="ran out of memory at a batch of 8"):
        list(session)
    session.close()


@pytest.mark.parametrize("options", [["--steps", "-4"], ["--fps", "0"], ["--steps", "0"]])
def test_interpolation_checks_its_numbers(options, tmp_path):
    with pytest.raises(UsageError, match="must be from"):
        app(["interpolate", str(tmp_path), "-o", str(tmp_path / "w.gif"), *options], standalone_mode=False)


def test_the_config_says_where_the_data_are(tmp_path):
    source = make_folder(tmp_path)
    run = ganvas.train("dcgan", data=str(source), outdir=tmp_path / "r", images=8, **TINY)
    saved = json.loads(run.config_file.read_text())["data"]
    assert saved["path"] == str(source)
    assert saved["asked_resolution"] is None
