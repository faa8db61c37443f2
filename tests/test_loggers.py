"""Other tools hear what log.jsonl has: once, with samples, and a tool that fails does not end a training."""

from __future__ import annotations

import sqlite3
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import ganvas
from ganvas import api
from ganvas.errors import UsageError, UserError
from ganvas.training.loggers import LOGGERS, Loggers
from ganvas.training.recorder import Finished, Notice

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


class Heard:
    """Stands in for wandb, mlflow and trackio: the numbers by step, the images, and whether it was closed."""

    def __init__(self):
        self.rows, self.images, self.opened, self.closed = [], [], [], 0
        self.info, self.identities = SimpleNamespace(run_id="1"), {}

    def init(self, **options):  # wandb and trackio
        self.opened.append(options)
        return self

    def define_metric(self, *_, **__):
        pass

    def Image(self, pixels):
        return np.asarray(pixels)

    def log(self, values, step=None):
        images = [v for v in values.values() if isinstance(v, np.ndarray)]
        self.images += images
        if not images:
            self.rows.append({"images": step, **values})

    def finish(self, **_):
        self.closed += 1

    def MlflowClient(self):
        return self

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "0"

    def search_runs(self, experiments, text, max_results):
        return [self] if text in self.identities else []

    def create_run(self, experiment, tags, run_name):
        self.identities[f"tags.ganvas = '{tags['ganvas']}'"] = run_name
        return self

    def log_dict(self, *_):
        self.opened.append(_)

    def log_metric(self, run, name, value, step):
        if not self.rows or self.rows[-1]["images"] != step:
            self.rows.append({"images": step})
        self.rows[-1][name] = value

    def log_image(self, run, pixels, name):
        self.images.append(pixels)

    def set_terminated(self, run):
        self.closed += 1


@pytest.mark.parametrize("name", [n for n in LOGGERS if n != "tensorboard"])
def test_a_tool_hears_what_the_log_says_and_a_resumed_run_goes_on_in_it(name, tmp_path, monkeypatch):
    heard = Heard()
    monkeypatch.setitem(sys.modules, name, heard)
    options = {"snapshot_images": 16, "eval_images": 16, "eval_samples": 20}
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=32, log=name, **options, **TINY)
    rows = [row for row in heard.rows if "d/adversarial" in row]
    lines = [(line["images"], pytest.approx(line["d/adversarial"])) for line in run.log()]
    assert [(row["images"], row["d/adversarial"]) for row in rows] == lines
    measured = [row["evaluation/fd"] for row in heard.rows if "evaluation/fd" in row]
    assert measured == [pytest.approx(line["fd"]) for line in run.evaluations()]
    assert len(heard.images) == len([*run.samples.glob("*.png")])
    assert all(image.dtype == np.uint8 and image.ndim == 3 for image in heard.images)
    assert heard.closed == 1
    ganvas.train(outdir=run.path, resume=True, images=48)
    assert [row["images"] for row in heard.rows if "d/adversarial" in row] == [line["images"] for line in run.log()]
    if name == "mlflow":
        assert (len(heard.opened), len(heard.identities)) == (1, 1)
    else:
        keys = {"wandb": "id", "trackio": "name"}
        assert len({opened[keys[name]] for opened in heard.opened}) == 1
        assert all(opened["resume"] == "allow" and opened["project"] == "ganvas" for opened in heard.opened)


def test_a_tool_that_fails_is_left_with_a_notice(tmp_path, monkeypatch):
    heard = Heard()
    heard.log = lambda *_, **__: 1 / 0
    monkeypatch.setitem(sys.modules, "wandb", heard)
    events = []
    ganvas.train("dcgan", outdir=tmp_path / "r", images=32, log="wandb", on_event=events.append, **TINY)
    (notice,) = [event.sentence for event in events if isinstance(event, Notice)]
    assert notice == "--log wandb failed and is left; training goes on: division by zero."
    assert events[-1] == Finished("done")


def test_a_tool_that_does_not_open_is_a_sentence(tmp_path, monkeypatch):
    def init(**_):
        raise RuntimeError("No API key configured. Use `wandb login`.\nmore")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(UserError, match="--log wandb: No API key configured. Use `wandb login`.$"):
        ganvas.train("dcgan", outdir=tmp_path / "r", images=32, log="wandb", **TINY)


@pytest.mark.parametrize("name", LOGGERS)
def test_without_the_package_nothing_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LOGGERS[name].module, None)
    with pytest.raises(UserError, match=rf"pip install 'ganvas\[{name}\]'"):
        ganvas.train("dcgan", outdir=tmp_path / "r", images=32, log=name, **TINY)
    assert not (tmp_path / "r").exists()


def test_an_unknown_tool_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="no logger 'tensorbord'. Did you mean 'tensorboard'"):
        ganvas.train("dcgan", outdir=tmp_path / "r", images=32, log="tensorbord", **TINY)
    assert not (tmp_path / "r").exists()


def test_none_drops_the_logs_of_a_run_and_an_old_config_keeps_tensorboard(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", images=8, **TINY)
    config = run.config()
    config["options"] = {k: v for k, v in config["options"].items() if k != "log"} | {"tensorboard": True}
    run.write_config(config)
    for given, expected in (({}, "tensorboard"), ({"log": "none"}, None), ({}, None)):
        session = api.prepare(api.TrainRequest(None, None, run.path, resume=True, images=16, **given))
        assert session.recorder.request.log == expected
        session.close()


# --- the tools themselves: make test-reach ---------------------------------------------------------------


def told(name, folder):
    """A tool that has heard two lines and an image."""
    logger = Loggers([name], folder, {"seed": 0, "data": {"fingerprint": "f"}}, 0)
    for images in (8, 16):
        logger.scalars({"d/adversarial": 0.5 * images, "findings": [], "bad": float("nan")}, images)
    logger.image("samples", np.full((6, 5), 200, np.uint8), 16)
    logger.close()
    assert logger.take_notices() == []


@pytest.mark.slow
def test_mlflow_itself(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    (tmp_path / "run").mkdir()
    told("mlflow", tmp_path / "run")
    told("mlflow", tmp_path / "run")  # resumed: the same run
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("ganvas").experiment_id])
    history = client.get_metric_history(run.info.run_id, "d/adversarial")
    assert {(m.step, m.value) for m in history} == {(8, 4.0), (16, 8.0)}
    assert [f.path for f in client.list_artifacts(run.info.run_id, "samples")] == ["samples/000000000016.png"]


@pytest.mark.slow
def test_wandb_itself(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "run").mkdir()
    told("wandb", tmp_path / "run")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert b"d/adversarial" in next(folder.glob("*.wandb")).read_bytes()
    assert list((folder / "files" / "media").rglob("*.png"))


@pytest.mark.slow
def test_trackio_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("trackio", reason="needs the extra trackio")
    (tmp_path / "run").mkdir()
    told("trackio", tmp_path / "run")
    (base,) = (tmp_path / "store").glob("ganvas*.db")
    rows = sqlite3.connect(base).execute("select step, metrics from metrics order by step").fetchall()
    assert [step for step, text in rows if "d/adversarial" in str(text)] == [8, 16]
    assert list((tmp_path / "store").rglob("*.png"))
