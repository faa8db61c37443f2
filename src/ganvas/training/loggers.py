"""Logs of a run for other tools: TensorBoard, Weights & Biases, MLflow, Trackio; one adapter each over one stream."""

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError, UserError, did_you_mean

PROJECT = "ganvas"


class Logger(Protocol):
    """A tool's log of one run, opened at a number of images: 0, or that of the state which is resumed."""

    def scalars(self, values: dict[str, float], images: int) -> None:
        """Log numbers by their keys in log.jsonl."""

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        """Log an image (H, W, C) uint8."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in RUN/tensorboard; a resumed run hides what a killed process logged after its state."""

    module = "torch.utils.tensorboard"

    def __init__(self, tool: Any, folder: Path, config: Mapping[str, Any], images: int):
        self.writer = tool.SummaryWriter(str(folder / "tensorboard"), purge_step=images + 1 if images else None)

    def scalars(self, values: dict[str, float], images: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, images)

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        self.writer.add_image(name, pixels, images, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of Weights & Biases in the project ganvas, its files in RUN/wandb; `images` is the axis."""

    module = "wandb"

    def __init__(self, tool: Any, folder: Path, config: Mapping[str, Any], images: int):
        self.tool = tool
        name, identity = folder.absolute().name, identifier(folder, config)
        options = {"project": PROJECT, "dir": str(folder), "config": dict(config), "resume": "allow"}
        self.run = tool.init(name=name, id=identity, **options)
        self.run.define_metric("*", step_metric="images")

    def scalars(self, values: dict[str, float], images: int) -> None:
        self.run.log({**values, "images": images})

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        self.run.log({name: self.tool.Image(pixels), "images": images})

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """A run of MLflow in the experiment ganvas, where MLFLOW_TRACKING_URI says; `images` is the step."""

    module = "mlflow"

    def __init__(self, tool: Any, folder: Path, config: Mapping[str, Any], images: int):
        self.tool, self.client = tool, tool.MlflowClient()
        name, tag = folder.absolute().name, identifier(folder, config)
        known = self.client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self.client.create_experiment(PROJECT)
        earlier = self.client.search_runs([experiment], f"tags.ganvas = '{tag}'", max_results=1)
        run = earlier[0] if earlier else self.client.create_run(experiment, tags={"ganvas": tag}, run_name=name)
        self.identity = run.info.run_id
        if not earlier:
            self.client.log_dict(self.identity, dict(config), "config.json")

    def scalars(self, values: dict[str, float], images: int) -> None:
        for name, value in values.items():
            self.client.log_metric(self.identity, name, value, step=images)

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        self.client.log_image(self.identity, pixels, f"{name}/{images:012d}.png")

    def close(self) -> None:
        self.client.set_terminated(self.identity)


class Trackio:
    """A run of Trackio in the project ganvas, in its local database; `images` is the step."""

    module = "trackio"

    def __init__(self, tool: Any, folder: Path, config: Mapping[str, Any], images: int):
        self.tool = tool
        self.run = tool.init(project=PROJECT, name=identifier(folder, config), config=dict(config), resume="allow")

    def scalars(self, values: dict[str, float], images: int) -> None:
        self.run.log(values, step=images)

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        self.run.log({name: self.tool.Image(pixels)}, step=images)

    def close(self) -> None:
        self.run.finish()


LOGGERS: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow, "trackio": Trackio}


def identifier(folder: Path, config: Mapping[str, Any]) -> str:
    """A name for the log of a run, with which a resumed run finds it: the folder's and the beginning of a hash.

    The hash is of the path, the seed and the data.
    """
    import hashlib

    facts = f"{folder.absolute()} {config.get('seed')} {config.get('data', {}).get('fingerprint')}"
    return f"{folder.absolute().name}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def logger_names(text: str | None) -> list[str]:
    """The names in `tensorboard,wandb`; raises `UsageError` for one that is not in `LOGGERS`."""
    names = [] if text in (None, "", "none") else [name.strip() for name in str(text).split(",")]
    for name in names:
        if name not in LOGGERS:
            raise UsageError(
                f"There is no logger {name!r}.{did_you_mean(name, LOGGERS)} --log takes {', '.join(LOGGERS)}."
            )
    return [*dict.fromkeys(names)]


def import_logger(name: str) -> Any:
    """The package of a logger; raises `UserError` without it."""
    try:
        return importlib.import_module(LOGGERS[name].module)
    except Exception:  # not installed, or broken
        raise UserError(f"--log {name} needs the package {name}: pip install 'ganvas[{name}]'.") from None


class Loggers:
    """Several logs that hear alike.  One that fails while the run trains is left, with a notice: training goes on."""

    def __init__(self, names: list[str], folder: Path, config: Mapping[str, Any], images: int):
        self.notices: list[str] = []
        self.open: dict[str, Logger] = {}
        for name in names:
            try:
                self.open[name] = LOGGERS[name](import_logger(name), folder, config, images)
            except UserError:
                raise
            except Exception as problem:  # the tool's own: no login, no connection
                raise UserError(f"--log {name}: {_first_line(problem)}") from None

    def scalars(self, values: Mapping[str, Any], images: int, prefix: str = "") -> None:
        """Log the finite numbers among values."""
        numbers = {f"{prefix}{k}": float(v) for k, v in values.items() if isinstance(v, (int, float))}
        self._each("scalars", {k: v for k, v in numbers.items() if math.isfinite(v)}, images)

    def image(self, name: str, pixels: np.ndarray, images: int) -> None:
        """Log an image (H, W) or (H, W, C) uint8."""
        self._each("image", name, pixels if pixels.ndim == 3 else pixels[..., None], images)

    def close(self) -> None:
        self._each("close")
        self.open = {}

    def _each(self, method: str, *arguments: Any) -> None:
        for name, logger in [*self.open.items()]:
            try:
                getattr(logger, method)(*arguments)
            except Exception as problem:
                del self.open[name]
                self.notices.append(f"--log {name} failed and is left; training goes on: {_first_line(problem)}")

    def take_notices(self) -> list[str]:
        """The sentences since the last call."""
        notices, self.notices = self.notices, []
        return notices


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return f"{(lines[0] if lines else type(problem).__name__).rstrip('.')}."
