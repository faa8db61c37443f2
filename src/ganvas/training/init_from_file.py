"""Initial weights of a generator from a network of other options or another scale, as a weight file holds it."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..catalog import name_of
from ..checkpoints.files import Checkpoint
from ..config import BY_THE_DATA, Recipe, Spec, options
from ..errors import UsageError
from ..models.cards import embedded_card
from ..models.foreign import read_checkpoint
from ..models.keras_networks import discriminator_beside, is_of_keras, read_keras_network, weights_for
from ..paths import user_path
from ..tasks.base import Adversary

DECIDED = {*BY_THE_DATA, "scale", "head"}  # options of a network that follow from the data and the degradation
LEAST = 0.5  # share of a generator's numbers that have to come from the source


def source_file(source: str | os.PathLike[str]) -> str | None:
    """The weight file of an embedded model's name or of a path; None for a folder or no file."""
    card = embedded_card(source)
    path = card.locate() if card else user_path(source, "--init-from")
    return str(path) if os.path.isfile(path) else None  # False too for a name that no system takes


def files_of_players(file: str) -> dict[str, str]:
    """The weight files of both players: the generator's, and of a file of Keras the discriminator's that is beside."""
    beside = discriminator_beside(Path(file))
    both = is_of_keras(Path(file)) and beside.is_file()
    return {"generator": file, **({"discriminator": str(beside)} if both else {})}


def read_player(file: str, player: str) -> Checkpoint:
    """The network of a weight file; of a file of Keras with both players, that of one."""
    keras = is_of_keras(Path(file))
    return read_keras_network(Path(file), player) if keras else read_checkpoint(file)


def inherit_options(recipe: Recipe, checkpoint: Checkpoint, *, replace: bool, player: str = "generator") -> None:
    """Give a recipe's generator the options of a file's network, if it is of the same class.

    With `replace` those that the recipe sets are replaced, otherwise they stay; the head is always the recipe's.
    `player` may be the discriminator instead.
    """
    ours = recipe.task.kwargs.get(player)
    if not isinstance(ours, Spec) or name_of(ours.target) != checkpoint.network:
        return
    for name, value in checkpoint.options.items():
        if name in options(ours.target) and name not in DECIDED and (replace or name not in ours.kwargs):
            ours.put(name, list(value) if isinstance(value, tuple) else value)


def fit_file(generator: nn.Module, file: str, scale: int) -> list[str]:
    """Load the weights of a file into a generator of its class, in place; returns notices.

    Of two generators, one for each direction, the first takes them.  `scale` is the run's, for the notice.  Raises
    `UsageError` for a generator of another class.
    """
    checkpoint, notices, owner = read_checkpoint(file), [], "The generator"
    if isinstance(generator, nn.ModuleDict):
        (owner, generator), *others = ((f"The generator {way}", net) for way, net in generator.items())
        notices = [f"{other} begins anew." for other, _ in others]
    if name_of(type(generator)) != checkpoint.network:
        raise UsageError(
            f"{file} is {checkpoint.title} ({checkpoint.network}), and the recipe's generator is"
            f" {name_of(type(generator))}; give --set generator={checkpoint.network}, or another recipe."
        )
    theirs = checkpoint.options.get("scale", scale)
    reason = "" if theirs == scale else f" (x{theirs}, and this run is x{scale})"
    return [fit_partly(generator, checkpoint.state, owner, f"{file}{reason}"), *notices]


def fit_keras(generator: nn.Module, discriminator: nn.Module | None, files: Mapping[str, str]) -> list[str]:
    """Load the weights of Keras' files into both players, in place; returns notices.

    Raises `UsageError` for files of other networks: what differs.
    """
    generator.load_state_dict(weights_for(generator, Path(files["generator"]), "generator"))
    if not isinstance(discriminator, Adversary):
        return []
    if "discriminator" not in files:
        file = Path(files["generator"])
        return [f"{file} is a generator, and there is no {discriminator_beside(file)}; the discriminator begins anew."]
    file = Path(files["discriminator"])
    discriminator.net.load_state_dict(weights_for(discriminator.net, file, "discriminator"))
    return [f"The discriminator is that of {file}."]


def fit_partly(network: nn.Module, weights: Mapping[str, Tensor], owner: str, source: str) -> str:
    """Load the tensors of equal names and shapes, in place; returns a sentence on those that are not.

    Raises `UsageError` if they are less than half of the network.
    """
    ours = network.state_dict()
    taken = {k: v for k, v in weights.items() if k in ours and ours[k].shape == v.shape}
    share = sum(v.numel() for v in taken.values()) / max(sum(v.numel() for v in ours.values()), 1)
    if share < LEAST:
        raise UsageError(
            f"{owner} takes {share:.0%} of its numbers from {source}, which is too few to begin with; leave out the"
            " options of the generator that differ, so that those of the source are taken."
        )
    network.load_state_dict({**ours, **taken})
    sentence = f"{owner} takes {len(taken)} of its {len(ours)} tensors from {source}"
    for keys, verb in ((ours.keys() - taken.keys(), "anew"), (weights.keys() - taken.keys(), "not used")):
        if parts := sorted({k.rpartition(".")[0] for k in keys} - {k.rpartition(".")[0] for k in taken}):
            sentence += f"; {verb}: {', '.join(parts[:4])}{f' and {len(parts) - 4} more' if len(parts) > 4 else ''}"
    return f"{sentence}."
