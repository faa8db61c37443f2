"""A folder of models chosen by name (`--models DIR`): weight files and model folders, with entries of OpenModelDB.

A name is looked up among what lies in the folder; no name, link or entry leads out of it.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import catalog
from ..checkpoints.download import digest
from ..errors import UsageError, UserError, did_you_mean, printable
from ..paths import is_left_behind, user_path
from .cards import PLAIN, embedded_card
from .folder import weights_of
from .listing import OwnModel, own_models
from .open_model_db import OPEN_MODEL_DB, Entry, Resource, read_entry
from .resolve import resolve

MOST_NAMES = 12  # in an error


@dataclass(frozen=True)
class LibraryModel:
    """A model of a folder: the name by which it is chosen, its path, and its entry where one lies beside it."""

    name: str
    path: Path
    kind: str  # folder or file
    bytes: int
    entry: Entry | None = None

    @property
    def weights(self) -> Path:
        """The file that holds the weights."""
        return weights_of(self.path) if self.kind == "folder" else self.path

    def verify(self) -> bool | None:
        """True if the file is one of the entry's, by its SHA-256; None without an entry for files of its type.

        Raises `UserError` for another file than the entry names.
        """
        resources = [r for r in self.entry.resources if _suffix(r) == self.weights.suffix.lower()] if self.entry else []
        if not resources:
            return None
        sha256 = digest(self.weights)
        if any(resource.sha256 == sha256 for resource in resources):
            return True
        assert self.entry is not None
        entry = printable(self.entry.file)
        raise UserError(
            f"{printable(self.weights)} has the SHA-256 {sha256}, but {entry} has {resources[0].sha256}; it is another"
            f" version or damaged. Get it again{_offer(self.entry)}, or take {entry} away to use it unverified."
        )


class Library:
    """The models in a folder and two levels below it."""

    def __init__(self, folder: Path | str):
        self.folder = user_path(folder, "--models")
        if not self.folder.is_dir():
            state = "is a file" if self.folder.exists() else "does not exist"
            raise UsageError(f"--models {printable(folder)} {state}; give a folder of models.")
        own = [model for model in own_models(self.folder) if not is_left_behind(model.path.name)]
        inside = [model for model in own if self._inside(model.path)]
        self.outside = [model.path for model in own if model not in inside]  # links
        self.problems: dict[Path, str] = {}  # of JSON files that cannot be read
        self.own = {self._name(model, inside): model for model in inside}

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder.resolve())

    def _name(self, model: OwnModel, own: Iterable[OwnModel]) -> str:
        """The path within the folder, without the suffix where no other model has that name."""
        short = self._short(model)
        alike = sum(self._short(other).casefold() == short.casefold() for other in own)
        return short if alike == 1 else model.path.relative_to(self.folder).as_posix()

    def _short(self, model: OwnModel) -> str:
        inside = model.path.relative_to(self.folder)
        return (inside.with_suffix("") if model.kind == "file" else inside).as_posix()

    @cached_property
    def entries(self) -> list[Entry]:
        """The entries in the JSON files of the folder and two levels below it, and of model folders."""
        entries: list[Entry] = []
        for place, inner, names in os.walk(self.folder):
            depth = len(Path(place).relative_to(self.folder).parts)
            inner[:] = sorted(name for name in inner if not is_left_behind(name)) if depth < 2 else []
            for file in (Path(place) / name for name in sorted(names) if name.lower().endswith(".json")):
                if is_left_behind(file.name) or not file.is_file() or not self._inside(file):
                    continue
                try:
                    entry = read_entry(file)
                except UserError as problem:
                    self.problems[file] = str(problem)
                else:
                    entries += [entry] if entry else []
        return entries

    @cached_property
    def models(self) -> list[LibraryModel]:
        """The models with their entries, by name."""
        return [
            LibraryModel(name, own.path, own.kind, own.bytes, self._entry_of(name, own))
            for name, own in sorted(self.own.items())
        ]

    @property
    def missing(self) -> list[Entry]:
        """The entries whose files are not here."""
        here = {id(model.entry) for model in self.models}
        return [entry for entry in self.entries if id(entry) not in here and entry.names]

    def _entry_of(self, name: str, own: OwnModel) -> Entry | None:
        """The entry beside a model: in its folder, of its size and SHA-256, or of its name."""
        if own.kind == "folder":
            return next((e for e in self.entries if e.file == own.path / OPEN_MODEL_DB), None)
        sized = [e for e in self.entries if any(r.size == own.bytes for r in e.resources)]
        sha256 = digest(own.path) if sized else ""
        for entry in sized:
            if any(resource.sha256 == sha256 for resource in entry.resources):
                return entry
        stem = fold(own.path.stem)
        fits = [entry for entry in self.entries if stem in map(fold, (*entry.names, *_offered(entry)))]
        return fits[0] if len(fits) == 1 else None

    def find(self, name: str) -> LibraryModel | None:
        """The model of a name: of its file with or without its suffix, or of its entry; None if there is none.

        Raises `UsageError` for an entry whose file is not here, with its address, and for a name of several models.
        """
        ways: list[Callable[[LibraryModel], bool]] = [
            lambda m: name in (m.name, self._path(m)),
            lambda m: name.casefold() in (m.name.casefold(), self._path(m).casefold()),
            lambda m: m.kind == "file" and name == m.path.stem,
            lambda m: m.entry is not None and fold(name) in map(fold, m.entry.names),
        ]
        for way in ways:
            models = [model for model in self.models if way(model)]
            if len(models) > 1:
                several = " and ".join(model.name for model in models[:3])
                raise UsageError(f"{name} is {several} in {printable(self.folder)}; give one of these names.")
            if models:
                return models[0]
        if entry := next((e for e in self.missing if fold(name) in map(fold, e.names)), None):
            raise UsageError(
                f"{printable(self.folder)} has {printable(entry.file.name if entry.file else entry.name)} and not its"
                f" file; get {entry.names[0]}{_offer(entry)} and put it there."
            )
        return None

    def locate(self, name: str) -> LibraryModel | None:
        """The model of a name as `find`; None for an embedded one.  Raises `UsageError` for any other name."""
        model = self.find(name)
        if model is None and name != PLAIN and embedded_card(name) is None:
            raise self.unknown(name)
        return model

    def problem_of(self, model: LibraryModel) -> str | None:
        """The sentence on a JSON file of the model's name that cannot be read."""
        return next((text for file, text in self.problems.items() if fold(file.stem) == fold(model.path.stem)), None)

    def _path(self, model: LibraryModel) -> str:
        return model.path.relative_to(self.folder).as_posix()

    def unknown(self, name: str) -> UsageError:
        """The error for a name that is not in the folder."""
        names = [model.name for model in self.models]
        links = [p for p in self.outside if name in (p.name, p.stem)]
        if links:
            return UsageError(f"{printable(links[0])} is a link that leads out of --models; give its path as --model.")
        more = (
            f" and {len(names) - MOST_NAMES} more (ganvas list models --models DIR)" if len(names) > MOST_NAMES else ""
        )
        has = f"It has {', '.join(names[:MOST_NAMES])}{more}." if names else "It has no models."
        near = did_you_mean(name, names)
        return UsageError(f"There is no model {printable(name)} in {printable(self.folder)}.{near} {has}")


def describe(model: LibraryModel) -> dict[str, Any]:
    """The facts of a model as JSON: its network, as its file has it, and its entry; `problem` if it is not read."""
    entry = model.entry
    row: dict[str, Any] = {"name": model.name, "path": str(model.path), "kind": model.kind, "bytes": model.bytes}
    row |= {"license": entry.license if entry else None, "author": entry.author if entry else None}
    row |= {"entry": str(entry.file) if entry else None, "verified": None, "problem": None}
    try:
        network = resolve(model.path, verb="restore")
        row["architecture"] = network.architecture or catalog.name_of(type(network.network)).rpartition(":")[2]
        row |= {"loader": network.loader, "scale": network.network.scale, "channels": network.channels}
        row["verified"] = model.verify()
    except UserError as problem:
        row["problem"] = str(problem)
    return row


def fold(name: str) -> str:
    """A name without case and signs: `4x-Nomos8kSC` and `4x_nomos8ksc` are one."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _suffix(resource: Resource) -> str:
    return f".{resource.type}"


def _offered(entry: Entry) -> list[str]:
    """The stems of the files at the entry's addresses."""
    names = [url.partition("?")[0].rpartition("/")[2] for resource in entry.resources for url in resource.urls]
    return [Path(name).stem for name in names if "." in name]


def _offer(entry: Entry) -> str:
    """Words on the addresses of an entry's files, with their size and SHA-256."""
    resource = next((r for r in entry.resources if r.urls), None)
    if resource is None:
        return " (its entry has no address)"
    return f" from {printable(resource.urls[0])} ({resource.size / 1e6:,.1f} MB, SHA-256 {resource.sha256})"
