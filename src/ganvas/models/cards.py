"""The embedded models: one folder each with weights and a card, which says purpose, licence, data and quality."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean
from .folder import WEIGHTS

FOLDER = Path(__file__).parent / "embedded"
CARD, WEIGHT_FILE = "card.json", "weights.safetensors"
WEIGHT_NAMES = (WEIGHT_FILE, WEIGHTS)
ORDER = ("upscale", "restore", "stylize", "sample")  # of the commands in lists


@dataclass(frozen=True)
class Measurement:
    """One measured figure of a model beside that of a baseline, and the command that measures it."""

    what: str
    value: str
    baseline: str
    command: str


@dataclass(frozen=True)
class Card:
    """A model that comes with the package, as its card.json describes it."""

    name: str
    purpose: str  # one sentence
    commands: tuple[str, ...]  # that take the model: upscale, restore, stylize or sample
    license: str
    data: str  # training images, with their licences
    training: str  # recipe, images, minutes
    measured: tuple[Measurement, ...]
    limits: tuple[str, ...]  # sentences
    scale: int = 1  # side of the output as a multiple of the input's
    default_for: str = ""  # the command that takes the model where none is given
    masked: bool = False  # needs a mask of holes
    earlier: tuple[str, ...] = ()  # names in earlier versions

    def locate(self) -> Path:
        """The model folder, or the weight file of a network in a layout of other projects.

        Raises `UsageError` if the installation has neither.
        """
        folder = FOLDER / self.name
        paths = (path for path in map(folder.joinpath, WEIGHT_NAMES) if path.is_file())
        if (weights := next(paths, None)) is None:
            raise UsageError(
                f"This installation lacks the embedded model {self.name}; give a weight file or a run as --model."
            )
        return weights if weights.name == WEIGHT_FILE else folder

    def check(self, command: str) -> None:
        """Raise `UsageError` unless the command takes this model."""
        if command not in self.commands:
            names = [card.name for card in EMBEDDED.values() if command in card.commands]
            others = f"; embedded models that can: {', '.join(names)}" if names else ""
            usual = self.commands[0]
            raise UsageError(f"{self.name} cannot {command}{others}. It is for `ganvas {usual}`: {self.purpose}")


def read_card(file: Path) -> Card:
    """Read a card.json; the name is that of its folder."""
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    values["measured"] = tuple(Measurement(**row) for row in values["measured"])
    values |= {k: tuple(values[k]) for k in ("commands", "limits", "earlier") if k in values}
    return Card(name=file.parent.name, **values)


def read_cards(folder: Path) -> Mapping[str, Card]:
    """The cards below a folder by name, in the order of their commands, then by scale and name."""
    cards = [read_card(file) for file in sorted(folder.glob(f"*/{CARD}"))]
    cards.sort(key=lambda card: (ORDER.index(card.commands[0]), card.scale, card.name))
    return {card.name: card for card in cards}


EMBEDDED = read_cards(FOLDER)
NAMES = {name: card for card in EMBEDDED.values() for name in (card.name, *card.earlier)}  # with earlier ones


def embedded_card(model: str | os.PathLike[str]) -> Card | None:
    """The card of an embedded model's name; None for a path.  A `Path` that exists is a path, whatever its name."""
    card = NAMES.get(str(model))
    return None if card is None or (not isinstance(model, str) and os.path.exists(model)) else card


def check_embedded(model: str | os.PathLike[str], command: str) -> None:
    """Raise `UsageError` if the name is that of an embedded model which the command does not take."""
    if card := embedded_card(model):
        card.check(command)


def pick_embedded(outscale: float | None = None) -> str:
    """Name the smallest embedded model of at least that scale; the largest for None or where none is large enough."""
    by_scale = sorted((c.scale, c.name) for c in EMBEDDED.values() if c.default_for == "upscale")
    return next((name for scale, name in by_scale if outscale is not None and outscale <= scale), by_scale[-1][1])


def pick_restorer(*, masked: bool = False) -> Card:
    """The embedded model that restores where none is given; with `masked`, the one that fills holes."""
    fits = (card for card in EMBEDDED.values() if card.default_for == "restore" and card.masked == masked)
    if (card := next(fits, None)) is None:
        need = "of recipe inpaint, which fills the holes of --mask" if masked else "or a weight file"
        raise UsageError(f"Missing --model: a run {need}.")
    return card


def no_model(model: object, command: str = "") -> UsageError:
    """The error for a name that is neither a path nor embedded, with the embedded models of the command."""
    names = [card.name for card in EMBEDDED.values() if not command or command in card.commands]
    if command in ("upscale", "restore"):
        names.append(PLAIN)
    near = did_you_mean(str(model), [*names, *NAMES])
    return UsageError(f"There is no model {model}.{near} Give a run, a weight file, or one of {', '.join(names)}.")


PLAIN = "bicubic"  # no network: the baseline of the others
