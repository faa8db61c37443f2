"""Networks of architectures that are not built here, by the packages that know them: resselt and spandrel (extras).

The tensors come from `checkpoints.files`, so that a file that could run code is refused before.
"""

import copy
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..game import ImageToImage

State = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A network that a package has recognised, and what it says about it."""

    network: Callable[[Tensor], Tensor]  # (N, C, H, W) in [0, 1] to (N, C', scale H, scale W)
    architecture: str
    scale: int
    inputs: int  # channels
    outputs: int
    multiple: int = 1  # sides of the input are padded to a multiple of it
    minimum: int = 0  # least side of the input
    square: bool = False  # the input is padded to a square
    tileable: bool = True  # tiles give about what the whole image gives


class Foreign(ImageToImage):
    """A network of another package between images in [-1, 1] and its own in [0, 1], with the sizes that it needs."""

    float32_only = True

    def __init__(self, known: Known):
        super().__init__()
        self.known, self.scale, self.tileable = known, known.scale, known.tileable
        self.multiple = known.multiple
        if isinstance(known.network, nn.Module):
            self.network = known.network

    def to(self, *args: Any, **kwargs: Any) -> "Foreign":
        """Move the network; its weights stay in the order in which its own code expects them."""
        kwargs.pop("memory_format", None)
        return super().to(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = self._pad((x.float() * 0.5 + 0.5).contiguous())
        # without numbers it is only followed, and some code keeps what it computes on the way
        network = copy.deepcopy(self.known.network) if x.is_meta else self.known.network
        y = network(x)[:, :, : height * self.scale, : width * self.scale]
        return y.float() * 2 - 1

    def _pad(self, x: Tensor) -> Tensor:
        """Pad below and at the right: by reflection as far as that goes, then by repeating the edge."""
        known = self.known
        sides = [math.ceil(max(n, known.minimum) / known.multiple) * known.multiple for n in x.shape[2:]]
        sides = [max(sides)] * 2 if known.square else sides
        for mode in ("reflect", "replicate"):
            below, right = (side - n for side, n in zip(sides, x.shape[2:]))
            if mode == "reflect":
                below, right = min(below, x.shape[2] - 1), min(right, x.shape[3] - 1)
            if below or right:
                x = F.pad(x, (0, right, 0, below), mode=mode)
        return x


def _read_by_resselt(state: State) -> Known | None:
    import resselt
    from resselt.registry import ArchitectureNotFound

    try:
        network = resselt.load_from_state_dict(state)
    except ArchitectureNotFound:
        return None
    about = network.parameters_info
    scale = about.upscale if isinstance(about.upscale, int) else max(about.upscale)
    return Known(network.eval(), about.name, int(scale), about.in_channels, about.out_channels)


def _read_by_spandrel(state: State) -> Known | None:
    import spandrel

    if importlib.util.find_spec("spandrel_extra_arches"):
        import spandrel_extra_arches

        spandrel_extra_arches.install(ignore_duplicates=True)
    try:
        described = spandrel.ModelLoader("cpu").load_from_state_dict(state)
    except spandrel.UnsupportedModelError:
        return None
    if not isinstance(described, spandrel.ImageModelDescriptor):
        raise UserError(f"{described.architecture.name} needs more than an image, which is not done here.")
    needs, network = described.size_requirements, described.model.eval()
    return Known(
        _Called(network, described._call_fn),
        described.architecture.name,
        described.scale,
        described.input_channels,
        described.output_channels,
        multiple=needs.multiple_of,
        minimum=needs.minimum,
        square=needs.square,
        tileable=described.tiling != spandrel.ModelTiling.INTERNAL,
    )


class _Called(nn.Module):
    """A network and the way in which its package calls it."""

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]):
        super().__init__()
        self.network, self.call = network, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


READERS: dict[str, Callable[[State], Known | None]] = {"resselt": _read_by_resselt, "spandrel": _read_by_spandrel}
NO_EXTRA = 'pip install "ganvas[spandrel]" or "ganvas[resselt]" reads more architectures.'


def read_by_extra(file: Path, state: State, problem: UserError) -> tuple[Known, str]:
    """The network of tensors and the package that recognised it, resselt before spandrel.

    Raises `UserError` with `problem`, the reason for which the file is not read here, and what an extra would do, if
    no installed package knows it or can be imported.
    """
    installed = [name for name in READERS if importlib.util.find_spec(name)]
    reasons: list[str] = []
    for name in installed:
        try:
            with torch.random.fork_rng(devices=[]):
                known = READERS[name](state)
        except UserError as other:
            raise UserError(f"{file}: {other}") from None
        except ImportError as failure:
            reasons.append(f"{name} cannot be imported: {_sentence(failure)}")
        except Exception as failure:  # a package may raise anything for tensors that it half knows, or as it starts
            reasons.append(f"{name} fails: {_sentence(failure)}")
        else:
            if known is not None:
                return known, name
            reasons.append(f"{name} does not know it")
    also = f"; {'; '.join(reasons)}." if reasons else f"; {NO_EXTRA}"
    raise UserError(f"{str(problem).rstrip('.')}{also}")


def _sentence(problem: Exception) -> str:
    """The first line of an error without its full stop."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")[:200]
