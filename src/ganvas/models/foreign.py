"""Networks from other projects' weight files, ready to run, and ours as files that other tools read."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .. import catalog
from ..checkpoints.files import ACTIVATIONS, Checkpoint, read, write
from ..checkpoints.layouts_translation import KNOWN


def load_network(file: Path | str, *, scale: int | None = None, activation: str | None = None) -> nn.Module:
    """The network of a weight file, in evaluation, its weights frozen: images (N, C, H, W) in [-1, 1] to others.

    `scale` and `activation` settle what a file may leave open, see `imaging.checkpoints.read`, whose errors it raises.
    """
    found = read(file, scale=scale, activation=activation)
    if "activation" in found.unsure:
        found = settled(found)
    return build(found)


def build(found: Checkpoint) -> nn.Module:
    """The network that a checkpoint describes, with its weights."""
    with torch.device("meta"):  # nothing is allocated or drawn at random twice
        network = catalog.NETWORKS[found.network](**found.options)
    network.load_state_dict(found.state, assign=True)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def settled(found: Checkpoint) -> Checkpoint:
    """A Compact whose rectifier its file does not tell, with the one that keeps an image most like itself.

    A trained network gives, made small again, about what it was given; with the wrong rectifier it does not.
    """
    at = torch.linspace(-1, 1, 24)
    x = (0.6 * torch.sin(7 * at[:, None] * at) + 0.3 * at).expand(1, found.options["channels"], -1, -1)

    def unlike(activation: str) -> float:
        y = build(Checkpoint(found.network, {**found.options, "activation": activation}, found.state))(x)
        return (F.avg_pool2d(y, found.options["scale"]) - x).abs().mean().item()

    best = min(ACTIVATIONS[1:], key=unlike)
    return Checkpoint(found.network, {**found.options, "activation": best}, found.state, found.title, found.unsure)


def as_checkpoint(network: nn.Module) -> Checkpoint:
    """A network of ours as `write` takes it; one for which there is no layout keeps its name and has no options."""
    name = next((k for k, kind in catalog.NETWORKS.items() if type(network) is kind), type(network).__name__)
    state = {k: v.detach().cpu() for k, v in network.state_dict().items()}
    layout = next((layout for layout in KNOWN if layout.network == name), None)
    if layout is None:
        return Checkpoint(name, {}, state)
    options = layout.infer({k: tuple(v.shape) for k, v in state.items()})
    for said in ("scale", "activation"):  # what shapes do not tell
        options |= {said: getattr(network, said)} if said in options else {}
    return Checkpoint(name, options, state, layout.title)


def save_network(network: nn.Module, file: Path | str, *, layout: str | None = None) -> None:
    """Write a network's weights in the layout that other tools load; errors as `imaging.checkpoints.write`."""
    write(file, as_checkpoint(network), layout=layout)
