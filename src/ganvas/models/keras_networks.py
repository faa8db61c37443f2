"""Networks in files of Keras, recognised by their layers; for another architecture the error says what differs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .. import catalog
from ..checkpoints.files import Checkpoint, Unfit
from ..checkpoints.keras_files import KerasFile, is_keras, read_keras
from ..checkpoints.tensorflow_checkpoints import is_checkpoint, read_player
from ..errors import UsageError
from . import keras_options
from .keras_rows import Row, file_rows, network_rows
from .keras_steps import chain_of, from_keras
from .recognise import build_blank

Infer = Callable[[list[Row], Mapping[str, Any]], dict[str, Any]]
TITLES: dict[str, tuple[str, Infer]] = {  # of networks; the options that the rows of a file give
    "dcgan_generator": ("DCGAN's generator", keras_options.dcgan_generator),
    "dcgan_variant_generator": ("DCGAN's generator with a dense layer", keras_options.dcgan_variant_generator),
    "keras_dcgan_generator": ("the generator of Keras' DCGAN lessons", keras_options.keras_generator),
    "mlp_generator": ("a fully connected generator", keras_options.dense_generator),
    "dcgan_discriminator": ("DCGAN's discriminator", keras_options.dcgan_discriminator),
    "dcgan_variant_discriminator": (
        "DCGAN's discriminator with a dense layer",
        keras_options.dcgan_variant_discriminator,
    ),
    "keras_dcgan_discriminator": ("the discriminator of Keras' DCGAN lessons", keras_options.keras_discriminator),
    "mlp_discriminator": ("a fully connected maxout discriminator", keras_options.maxout_discriminator),
    "mlp_leaky_discriminator": ("a fully connected discriminator", keras_options.dense_discriminator),
}
Prior = Literal["normal", "uniform"]
PRIORS: dict[str, Prior] = {
    "uniform_z": "uniform"
}  # distributions of the noise by the name of the input, as export writes it


@dataclass(frozen=True)
class Fit:
    """The rows of a file beside those of a network with the options that were inferred from them."""

    network: str
    options: dict[str, Any]
    file: list[Row]
    expected: list[Row]
    blanks: Mapping[str, Tensor]  # tensors of the network without numbers

    @property
    def exact(self) -> bool:
        """True if layers, options and shapes agree."""
        return len(self.file) == len(self.expected) and all(a.same(b) for a, b in zip(self.file, self.expected))

    @property
    def similarity(self) -> float:
        """Rows that agree, from the first and from the last on, as a share of all, in [0, 1]."""
        pairs = [zip(self.file, self.expected), zip(self.file[::-1], self.expected[::-1])]
        return max(sum(a.same(b) for a, b in pair) for pair in pairs) / max(len(self.file), len(self.expected), 1)

    def difference(self) -> str:
        """The first layer that differs, as a sentence."""
        title = TITLES[self.network][0]
        for k, (theirs, ours) in enumerate(zip(self.file, self.expected), 1):
            if not theirs.same(ours):
                return f"The nearest is {title}: layer {k} is {theirs}, and there it is {ours}."
        more = self.file[len(self.expected) :] or self.expected[len(self.file) :]
        verb = "has" if len(self.file) > len(self.expected) else "lacks"
        return f"The nearest is {title}: the file {verb} {', '.join(map(str, more[:3]))} at the end."


def is_of_keras(file: Path) -> bool:
    """True for a model or weights of Keras, and for the index of a checkpoint of TensorFlow."""
    return is_keras(file) or is_checkpoint(file)


def _content(file: Path, player: str) -> KerasFile:
    """The layers of a file; of a checkpoint, which holds both players, those of one."""
    return read_player(file, player) if is_checkpoint(file) else read_keras(file)


def read_keras_network(file: Path, player: str = "generator") -> Checkpoint:
    """The network of a file of Keras with its weights; `player` is the one that is read of a checkpoint of both.

    Raises `UserError` for a file that cannot be read, `Unfit` for one of another architecture: what differs.
    """
    content = _content(file, player)
    fits = []
    for network, (_, infer) in TITLES.items():
        rows = file_rows(content)
        try:
            options = infer(rows, content.facts)
            blank = build_blank(network, options)
            expected = network_rows(chain_of(blank), blank, complete=content.complete)
        except Exception:  # options come from the layers of a file, which may be anything
            continue
        fit = Fit(network, options, in_order(rows, expected), expected, blank.state_dict())
        if fit.exact:
            return _checkpoint(file, fit, PRIORS.get(next(iter(content.inputs), ""), "normal"))
        fits.append(fit)
    raise Unfit(f"{file} is of another architecture. {_explain(file_rows(content), fits)}")


def in_order(rows: list[Row], expected: list[Row]) -> list[Row]:
    """The rows in the order of the expected ones where all have their names, as in a graph that was exported here."""
    places = {row.name: k for k, row in enumerate(expected)}
    alike = len(places) == len(expected) == len(rows) and {row.name for row in rows} == places.keys()
    return sorted(rows, key=lambda row: places[row.name]) if alike else rows


def _explain(rows: list[Row], fits: list[Fit]) -> str:
    nearest = max(fits, key=lambda fit: fit.similarity, default=None)
    if nearest is None or not nearest.similarity:
        kinds = ", ".join(dict.fromkeys(row.kind for row in rows)) or "none with weights"
        known = ", ".join(title for title, _ in TITLES.values())
        return f"Its layers ({kinds}) are those of no network that is read from Keras: {known}."
    return nearest.difference()


def _checkpoint(file: Path, fit: Fit, prior: Prior) -> Checkpoint:
    state: dict[str, Tensor] = {}
    for theirs, ours in zip(fit.file, fit.expected):
        for name, weight in zip(ours.tensors, theirs.weights):
            if not torch.isfinite(weight).all():
                raise Unfit(f"{file}: {theirs} holds numbers that are not finite; the file is damaged.")
            state[name] = from_keras(weight, ours.kind)
    for name, blank in fit.blanks.items():
        if name.endswith("num_batches_tracked"):  # counts of batches, which Keras lacks
            state[name] = torch.zeros(blank.shape, dtype=blank.dtype)
    return Checkpoint(fit.network, fit.options, state, TITLES[fit.network][0], prior=prior)


def discriminator_beside(generator: Path) -> Path:
    """The file of the discriminator of a generator's file.

    It is `discriminator.keras` of `generator.keras`, else `m.discriminator.keras` of `m.keras`; a checkpoint has both.
    """
    if generator.suffix == ".index":
        return generator
    name = generator.name
    if "generator" in name:
        return generator.with_name(name.replace("generator", "discriminator"))
    stem, _, suffixes = name.partition(".")
    return generator.with_name(f"{stem}.discriminator.{suffixes}")


def weights_for(network: nn.Module, file: Path, player: str) -> dict[str, Tensor]:
    """The weights of a file for a player of a recipe, whose options are known.

    Raises `UserError` for a file that cannot be read, `UsageError` for another network: what differs.
    """
    content, owner = _content(file, player), f"the recipe's {player}"
    expected = network_rows(chain_of(network), network, complete=content.complete)
    name = catalog.name_of(type(network))
    fit = Fit(name, {}, in_order(file_rows(content), expected), expected, network.state_dict())
    if not fit.exact:
        other = read_keras_network(file, player)  # which says what it is, or what differs from every network
        if other.network == name:
            raise UsageError(f"{file} is not {owner}. {fit.difference()}")
        raise UsageError(f"{file} is {other.title} ({other.network}), and {owner} is {name}; take another recipe.")
    if any(tensor not in fit.blanks for row in expected for tensor in row.tensors):
        raise UsageError(f"{file} cannot be {owner}, which has spectral norm: Keras' weights are divided already.")
    return _checkpoint(file, fit, "normal").state
