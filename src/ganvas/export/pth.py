"""Export a network's weights as other tools load them: .pth or .safetensors."""

from pathlib import Path

from torch import nn

from .. import catalog
from ..checkpoints.files import Checkpoint, write
from ..checkpoints.layouts_translation import KNOWN
from ..errors import UsageError
from ..models.cards import embedded_card
from ..models.foreign import read_checkpoint
from ..models.model import load
from ..models.resolve import kind_of, weight_file
from ..paths import user_path


def checkpoint_of(model: Path | str) -> Checkpoint:
    """Read the weights of an embedded model, a weight file or a restoration run.

    Raises `UsageError` if there is no such model, and for a run of another kind, which has no layout.
    """
    card = embedded_card(model)
    if not (card.locate() if card else user_path(model, "The model")).is_dir():
        return read_checkpoint(weight_file(model))
    task = load(model, device="cpu", precision="fp32").task
    if not task.restores:
        raise UsageError(
            f"{model} is a {kind_of(task)} model, and only super-resolution and restoration models become weight"
            f" files; export it to a folder: ganvas export {model} -o DIR."
        )
    return as_checkpoint(task.generator)


def as_checkpoint(network: nn.Module) -> Checkpoint:
    """Describe a network as `write` takes it; one without a layout keeps its name and has no options."""
    name = catalog.name_of(type(network)).rpartition(":")[2]  # of one that is not listed, the class alone
    state = {k: v.detach().cpu() for k, v in network.state_dict().items()}
    layout = next((layout for layout in KNOWN if layout.network == name), None)
    if layout is None:
        return Checkpoint(name, {}, state)
    options = layout.infer({k: tuple(v.shape) for k, v in state.items()})
    for option in ("scale", "activation", "norm"):  # shapes do not tell them
        options |= {option: getattr(network, option)} if option in options else {}
    return Checkpoint(name, options, state, layout.title)


def save_network(network: nn.Module, file: Path | str, *, layout: str | None = None) -> None:
    """Write a network's weights in the layout that other tools load; errors as `checkpoints.files.write`."""
    write(file, as_checkpoint(network), layout=layout)
