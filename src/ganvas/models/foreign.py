"""Networks from the weight files of other projects."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..catalog import NETWORKS
from ..checkpoints.files import ACTIVATIONS, Checkpoint
from ..paths import user_path
from .keras_networks import is_of_keras, read_keras_network
from .recognise import build_blank, read


def load_network(file: Path | str, *, scale: int | None = None, activation: str | None = None) -> nn.Module:
    """Load the network of a weight file in evaluation mode, its weights frozen; (N, C, H, W) in [-1, 1] to images.

    Arguments and errors as `read_checkpoint`.
    """
    return build_network(read_checkpoint(file, scale=scale, activation=activation))


def read_checkpoint(file: Path | str, *, scale: int | None = None, activation: str | None = None) -> Checkpoint:
    """Read a weight file, or one of Keras, and infer the activation of a Compact that does not say it.

    `scale` and `activation` are what the file may leave open; errors as `recognise.read`.
    """
    path = user_path(file, "The model")
    if path.is_file() and is_of_keras(path):
        return read_keras_network(path)
    checkpoint = read(file, scale=scale, activation=activation)
    return infer_activation(checkpoint) if "activation" in checkpoint.unsure else checkpoint


def build_network(checkpoint: Checkpoint) -> nn.Module:
    """Build the network of a checkpoint with its weights, in evaluation mode and frozen."""
    network = build_blank(checkpoint.network, checkpoint.options)
    if dict(network.named_buffers()).keys() - network.state_dict().keys():
        with torch.random.fork_rng(devices=[]):  # fixed filters, which no file holds, are computed
            network = NETWORKS[checkpoint.network](**checkpoint.options)
    network.load_state_dict(checkpoint.state, assign=True)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def infer_activation(checkpoint: Checkpoint) -> Checkpoint:
    """Choose the activation with which a Compact keeps an image most like itself.

    The result of a trained network, made small again, is about its input; with the wrong activation it is not.
    """
    at = torch.linspace(-1, 1, 24)
    x = (0.6 * torch.sin(7 * at[:, None] * at) + 0.3 * at).expand(1, checkpoint.options["channels"], -1, -1)

    def with_activation(activation: str) -> Checkpoint:
        return replace(checkpoint, options={**checkpoint.options, "activation": activation})

    def error(activation: str) -> float:
        y = build_network(with_activation(activation))(x)
        return (F.avg_pool2d(y, checkpoint.options["scale"]) - x).abs().mean().item()

    return with_activation(min(ACTIVATIONS[1:], key=error))
