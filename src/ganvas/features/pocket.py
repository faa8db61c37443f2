"""The small feature network that comes with the package and works offline; it is not Inception.

A residual classifier of the ten classes of CIFAR-10, trained by `benchmarks/pocket.py`, which says how well.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..errors import UsageError, did_you_mean

WIDTHS = (24, 48, 96, 192)
CLASSES = 10
SIZE = 32  # pixels a side of what it was trained on


class Convolution(nn.Module):
    """A 3x3 convolution, followed by batch norm during training; `fold` merges both."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, learning: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not learning)
        self.norm = nn.BatchNorm2d(outputs) if learning else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def fold(self) -> None:
        """Multiply the learnt statistics into the weights."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class Stage(nn.Module):
    """Half the size, then a residual block (He et al. 2016): (N, inputs, H, W) to (N, outputs, H / 2, W / 2)."""

    def __init__(self, inputs: int, outputs: int, learning: bool):
        super().__init__()
        self.down = Convolution(inputs, outputs, 2, learning)
        self.first = Convolution(outputs, outputs, 1, learning)
        self.second = Convolution(outputs, outputs, 1, learning)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.down(x))
        return relu(x + self.second(relu(self.first(x))))


class Pocket(nn.Module):
    """Images (N, 3, H, W) in [-1, 1], 16 pixels a side at least, to maps `relu1` to `relu4` and features (N, 336).

    Maps have 24 channels at full size, 48 at half, 96 at a quarter, 192 at an eighth; features are the means of the
    last three over all places.
    """

    features_size = sum(WIDTHS[1:])

    def __init__(self, learning: bool = False):
        super().__init__()
        self.stem = Convolution(3, WIDTHS[0], 1, learning)
        self.stages = nn.ModuleList(Stage(i, o, learning) for i, o in zip(WIDTHS, WIDTHS[1:]))
        self.fc = nn.Linear(WIDTHS[-1], CLASSES)

    def maps(self, x: Tensor, names: Sequence[str] = ("relu1", "relu2", "relu3", "relu4")) -> dict[str, Tensor]:
        """The maps of those names, computed no further than the last; `UsageError` for unknown names."""
        known = [f"relu{k + 1}" for k in range(len(WIDTHS))]
        for name in names:
            if name not in known:
                raise UsageError(f"pocket has no layer {name!r}.{did_you_mean(name, known)} It has {', '.join(known)}.")
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        maps = {"relu1": (h := relu(self.stem(x)))}
        for k, stage in enumerate(list(self.stages)[: max(map(known.index, names))], 2):
            maps[f"relu{k}"] = h = stage(h)
        return {name: maps[name] for name in names}

    def logits(self, x: Tensor) -> Tensor:
        """Logits of CIFAR-10's classes in alphabetical order: (N, 10)."""
        return self.fc(self.maps(x, ["relu4"])["relu4"].mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([h.mean((2, 3)) for h in self.maps(x, ["relu2", "relu3", "relu4"]).values()], 1)

    def fold(self) -> "Pocket":
        """The network for inference: batch norm is folded into the weights."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        return self.eval()
