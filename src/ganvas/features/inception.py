"""The Inception network that the Frechet Inception distance is defined by (Szegedy et al. 2016; Heusel et al. 2017).

Layer names and shapes are those of the public weight file `pt_inception-2015-12-05`, which was converted from the graph
of the original evaluation: 1,008 classes, average pools that do not count their padding, and a max pool in the last
block.  Layers of a block are data: name, outputs, kernel, stride.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, linear, max_pool2d, relu

Kernel = int | tuple[int, int]
Step = tuple[str, int, Kernel, int]  # name, outputs, kernel, stride
Branch = list[Step]

EPS = 1e-3
CLASSES = 1008


class Convolution(nn.Module):
    """Convolution without bias, batch norm, rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """Multiply the statistics into the weights."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.bn.eval()), nn.Identity()


def same(kernel: Kernel, stride: int) -> Kernel:
    """The padding that keeps the size; none where a stride makes it smaller."""
    if stride > 1:
        return 0
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


class Mixed(nn.Module):
    """Several branches side by side: (N, inputs, h, w) to all their outputs, one after the other.

    A branch is a chain of convolutions and may end in a fork of two; the last pools: `average` or `max` of 3x3 before a
    1x1 convolution of `pooled` outputs, or `smaller`, a strided max alone.
    """

    def __init__(self, inputs: int, branches: list[Branch], pool: str, pooled: int = 0):
        super().__init__()
        self.pool, self.names = pool, [[step[0] for step in branch] for branch in branches]
        for branch in branches:
            have = trunk = inputs
            for name, outputs, kernel, stride in branch:
                have = trunk if name.endswith("b") and "_" in name else have
                self.add_module(name, Convolution(have, outputs, kernel, stride, same(kernel, stride)))
                trunk = have if name.endswith("a") and "_" in name else outputs
                have = outputs
        if pooled:
            self.branch_pool = Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(part for names in self.names for part in self._along(names, x)), self._pooled(x)], 1)

    def _along(self, names: list[str], x: Tensor) -> list[Tensor]:
        """Maps of a branch: one, or those of both ends of its fork."""
        ends = []
        for name in names:
            layer = self.get_submodule(name)
            if name[-1] in "ab" and "_" in name:
                ends.append(layer(x))
            else:
                x = layer(x)
        return ends or [x]

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "smaller":
            return max_pool2d(x, 3, 2)
        if self.pool == "max":
            return self.branch_pool(max_pool2d(x, 3, 1, 1))
        return self.branch_pool(avg_pool2d(x, 3, 1, 1, count_include_pad=False))


def block_a(inputs: int, pooled: int) -> Mixed:
    """35x35: 1x1, 5x5, two 3x3, pool."""
    double: Branch = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)]
    five: Branch = [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)]
    return Mixed(inputs, [[("branch1x1", 64, 1, 1)], five, double], "average", pooled)


def block_b() -> Mixed:
    """From 35x35 to 17x17."""
    double: Branch = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)]
    return Mixed(288, [[("branch3x3", 384, 3, 2)], double], "smaller")


def block_c(c: int) -> Mixed:
    """17x17: 1x1, 7x7 in two strokes, 7x7 twice in four, pool."""
    once: Branch = [("branch7x7_1", c, 1, 1), ("branch7x7_2", c, (1, 7), 1), ("branch7x7_3", 192, (7, 1), 1)]
    twice: Branch = [("branch7x7dbl_1", c, 1, 1)]
    for k, (outputs, kernel) in enumerate([(c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))]):
        twice.append((f"branch7x7dbl_{k + 2}", outputs, kernel, 1))
    return Mixed(768, [[("branch1x1", 192, 1, 1)], once, twice], "average", 192)


def block_d() -> Mixed:
    """From 17x17 to 8x8."""
    long: Branch = [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, (1, 7), 1), ("branch7x7x3_3", 192, (7, 1), 1)]
    long.append(("branch7x7x3_4", 192, 3, 2))
    return Mixed(768, [[("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)], long], "smaller")


def block_e(inputs: int, pool: str) -> Mixed:
    """8x8: 1x1, 3x3 in a fork of strokes, twice 3x3 in one, pool."""
    ends = [("a", (1, 3)), ("b", (3, 1))]
    once: Branch = [("branch3x3_1", 384, 1, 1), *((f"branch3x3_2{end}", 384, kernel, 1) for end, kernel in ends)]
    twice: Branch = [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1)]
    twice += [(f"branch3x3dbl_3{end}", 384, kernel, 1) for end, kernel in ends]
    return Mixed(inputs, [[("branch1x1", 320, 1, 1)], once, twice], pool, 192)


class Inception(nn.Module):
    """Images (N, 3, 299, 299) in [-1, 1] to features (N, 2048) and logits (N, 1008).

    Smaller images work from 75 pixels on; the distance is defined at 299.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block_a(192, 32), block_a(256, 64), block_a(288, 64)
        self.Mixed_6a = block_b()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(block_c, (128, 160, 160, 192))
        self.Mixed_7a = block_d()
        self.Mixed_7b, self.Mixed_7c = block_e(1280, "average"), block_e(2048, "max")
        self.fc = nn.Linear(2048, CLASSES)

    def maps(self, x: Tensor, names: Sequence[str] = ("64", "192", "768", "2048")) -> dict[str, Tensor]:
        """The maps of those names, as the public port's: after the parts of `64`, `192`, `768` and `2048` channels."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        maps = {"64": (x := max_pool2d(x, 3, 2))}
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        maps["192"] = x = max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        maps["768"] = x
        maps["2048"] = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return {name: maps[name] for name in names}

    def logits(self, x: Tensor) -> Tensor:
        """The logits (N, 1008) of the inception score: without the bias, as in Salimans et al. 2016's code."""
        return linear(self(x)[0], self.fc.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.maps(x)["2048"].mean((2, 3))
        return h, self.fc(h)

    def fold(self) -> "Inception":
        """The network for inference: batch norm is folded into the weights, which saves a sixth of the time."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        return self.eval()
