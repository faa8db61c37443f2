"""A run is a folder: config, log, samples, the model to ship, and the state to continue from."""

import contextlib
import hashlib
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import legacy
from .config import FACTS
from .errors import UsageError, UserError
from .files import atomic_write, explain_failure, read_json, text_name, write_bytes, write_json
from .legacy import current_log_line
from .paths import is_left_behind, user_path
from .saved import check_config, is_log_line

STATES = 2
LOCK = ".lock"  # names the process that trains; it is left behind where that process was killed
PART = re.compile(r"\.(?:ganvas-(\d+)-[0-9a-f]+|.+\.\d+)\.tmp")  # of old versions: the second form
OLD_PART = 86_400  # seconds after which no process can still be writing one
Check = Callable[[Mapping[str, Any]], None]


class Run:
    """The folder of one training run.  Every file appears whole or not at all."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = user_path(path, "The run")
        self.config_file, self.log_file = self.path / "config.json", self.path / "log.jsonl"
        self.evaluation_file = self.path / "evaluation.jsonl"
        self.samples, self.model = self.path / "samples", self.path / "model"
        self.validation = self.path / "validation"  # sheets of the last and the best paired evaluation
        self.best = self.path / "best"  # the model that measured best while it trained, if it was measured

    def check_new(self) -> None:
        """Raise `UsageError` unless a new run may be created here.

        That is where the folder does not exist, holds no file, or only what a start that was killed leaves.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --outdir needs a folder.")
        if self.exists():
            raise UsageError(
                f"{self.path} holds another run; add --resume to continue it, or give --outdir a new name."
                " Nothing was changed."
            )
        if any(not path.is_dir() and not is_left_behind(path.name) for path in self.path.rglob("*")):
            raise UsageError(
                f"{self.path} holds files that are not a run; give --outdir a new name. Nothing was changed."
            )

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "Run":
        """A new run in a folder that `check_new` accepts; anything else is refused and left untouched."""
        run = cls(path)
        run.check_new()
        try:
            for folder in (run.path, run.samples, run.path / "state"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise UserError(f"The folder {run.path} cannot be created: {problem.strerror}.") from None
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Run":
        """An existing run; raises `UsageError` if the folder does not hold one."""
        run = cls(path)
        if not run.exists():
            problem = "is not a run of ganvas (no config.json)" if run.path.exists() else "does not exist"
            raise UsageError(f"{run.path} {problem}.")
        return run

    def exists(self) -> bool:
        return self.config_file.is_file()

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_json(self.config_file, config)

    def config(self) -> dict[str, Any]:
        return read_config(self.config_file)

    # --- the log -----------------------------------------------------------------------------------------

    def append_log(self, line: Mapping[str, Any]) -> None:
        """Add one JSON object to log.jsonl."""
        _append_line(self.log_file, line)

    def save_grid(self, sheet: Image.Image, images: int) -> Path:
        """Write the sample grid of a snapshot."""
        file = self.samples / f"{images:012d}.png"
        _save_png(sheet, file)
        return file

    def save_validation(self, sheet: Image.Image, best: bool) -> None:
        """Write the sheet of a paired evaluation as `validation/last.png`, and as `best.png` if it is the best."""
        for name in ("last", "best") if best else ("last",):
            _save_png(sheet, self.validation / f"{name}.png")

    def log(self) -> list[dict[str, Any]]:
        """Every whole line of the log."""
        return self.read_log()[0]

    def read_log(self) -> tuple[list[dict[str, Any]], int]:
        """The lines of the log under the present keys, and the number of damaged lines (see `read_lines`)."""
        lines, damaged = read_lines(self.log_file)
        whole = [line for line in lines if is_log_line(line)]
        return [current_log_line(line) for line in whole], damaged + len(lines) - len(whole)

    def append_evaluation(self, line: Mapping[str, Any]) -> None:
        """Add one measurement, a JSON object with its protocol, to evaluation.jsonl."""
        _append_line(self.evaluation_file, line)

    def evaluations(self) -> list[dict[str, Any]]:
        """Every measurement of this run, oldest first."""
        return [legacy.current_evaluation(line) for line in read_lines(self.evaluation_file)[0] if is_log_line(line)]

    def rewind_log(self, images: int) -> None:
        """Drop the lines after `images`: they describe work that will be done again."""
        lines = [line for line in self.log() if line.get("images", 0) <= images]
        _write_lines(self.log_file, lines)
        if self.evaluation_file.exists():
            lines = [line for line in self.evaluations() if line.get("trained_images", 0) <= images]
            _write_lines(self.evaluation_file, lines)

    # --- the training state ------------------------------------------------------------------------------

    def states(self) -> list[Path]:
        """State files, newest first."""
        return sorted((self.path / "state").glob("[0-9]*.pt"), reverse=True)

    def save_state(self, state: Mapping[str, Any], images: int) -> Path:
        """Write the full training state atomically and keep the last two.

        Raises `UserError` if it cannot be written; the previous states are then as they were.
        """
        file = self.path / "state" / f"{images:012d}.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            torch.save(dict(state), temporary)
        for old in [state for state in self.states() if state <= file][STATES:]:  # later ones are of a killed process
            old.unlink(missing_ok=True)
        return file

    def rewind_states(self, images: int) -> None:
        """Delete the states after `images`."""
        for file in self.states():
            if int(file.stem) > images:
                file.unlink()

    def tidy(self, killed: int = 0) -> None:
        """Remove what a killed process left half written; another process may be writing a report here."""
        for part in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
            if match := PART.fullmatch(part.name):
                with contextlib.suppress(OSError):
                    old = match[1] is None or part.stat().st_mtime < time.time() - OLD_PART
                    if old or int(match[1]) == killed:
                        part.unlink()

    def load_state(
        self, notify: Callable[[str], None] | None = None, oldest: bool = False, check: Check | None = None
    ) -> dict[str, Any]:
        """Newest (or oldest) undamaged state; `notify` is called with a sentence about each damaged one.

        `check` raises `ValueError` for a state that cannot be used, as `saved.check_state` does.
        """
        files, problems = self.states()[::-1] if oldest else self.states(), []
        for file, older in zip(files, [*files[1:], None]):
            try:
                return read_state(file, check)
            except UserError as problem:
                problems.append(f" {problem}")
                if notify:
                    notify(f"{problem} The one before it is used." if older else str(problem))
        reason = "".join(problems[:1])
        raise UserError(
            f"{self.path} holds no training state to continue from; start again with a new --outdir.{reason}"
        )

    # --- the model to ship -------------------------------------------------------------------------------

    def save_model(self, generator: nn.Module, config: Mapping[str, Any], card: str, folder: Path) -> None:
        """Write a model folder (`model`, or `best`): averaged weights, what to build them into, and a card."""
        folder.mkdir(exist_ok=True)
        write_json(folder / "config.json", config)
        write_bytes(folder / "README.md", card.encode(errors="backslashreplace"))
        weights = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
        with atomic_write(folder / "generator.safetensors") as temporary:
            save_file(weights, str(temporary))


def _save_png(sheet: Image.Image, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    with atomic_write(file) as temporary:
        sheet.save(temporary, "PNG")


def _append_line(file: Path, line: Mapping[str, Any]) -> None:
    with explain_failure(file), file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def _write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    write_bytes(file, "".join(json.dumps(line) + "\n" for line in lines).encode())


def read_lines(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of a file that grows line by line, and the number of its other lines.

    A last line without an end is being written, or was when its process was killed, and is not counted.
    """
    parsed, damaged = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines(True) if file.exists() else []:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            parsed.append(value)
        else:
            damaged += line.endswith("\n")
    return parsed, damaged


def weights_hash(run: Run) -> str:
    """SHA-256 over every tensor of the newest state: networks, averages, optimisers, random numbers."""
    digest = hashlib.sha256()

    def take(value: Any, name: str) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, Mapping):
            for key in value:
                take(value[key], f"{name}/{key}")

    take(run.load_state()["trainer"], "")
    return digest.hexdigest()


def read_config(file: Path) -> dict[str, Any]:
    """A run's or a model's config.json under the present names; raises `UserError` that names a damaged field."""
    try:
        config = legacy.current(read_json(file))
    except RecursionError:
        raise UserError(f"{file} is damaged: its values are nested too deep.") from None
    check_config(config, file)
    return config


def has_mask(config: Mapping[str, Any]) -> bool:
    """True if the last channel of the images of a config.json is a mask."""
    return bool(config["data"].get("mask"))


def saved_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the data in a config.json, as components take them."""
    values = {name: config["data"].get(name) for name in FACTS}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if v is not None}


def read_state(file: Path, check: Check | None = None) -> dict[str, Any]:
    """A training state, checked whole and read without unpickling code; raises `UserError` otherwise."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
        if damaged is None:
            state = torch.load(file, map_location="cpu", weights_only=True)
            if isinstance(state, dict) and "trainer" in state:
                if check:
                    check(state)
                return state
        reason = "is damaged" if damaged else "was not written by ganvas"
    except (OSError, zipfile.BadZipFile):
        reason = "is truncated or not a state file"
    except ValueError as problem:
        reason = f"is damaged: {problem}"
    except Exception:  # whatever a hostile or foreign file makes torch raise
        reason = "was not written by ganvas, so it is not read"
    raise UserError(f"The state file {file} {reason}.")


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises `UserError` if it is not one."""
    try:
        with text_name(file) as name:
            return load_file(name)
    except (OSError, SafetensorError) as problem:
        raise UserError(f"The weights {file} cannot be read: {problem}.") from None
