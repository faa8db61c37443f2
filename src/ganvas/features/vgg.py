"""VGG-16 and VGG-19 (Simonyan and Zisserman 2015), whose maps are what content, style and perceptual losses compare.

Layer names and shapes are those of torchvision's weight files; the dense layers at the end are only there for logits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from ..errors import UsageError, did_you_mean

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions before each pool
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for images in [0, 1]


class VGG(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] to maps by name: `conv5_4` before the rectifier, `relu4_2` after it.

    Images are normalised as the weights expect.  `logits` are those of 224x224.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str):
        super().__init__()
        layers: list[nn.Module] = []
        self.places: dict[str, int] = {}  # index of each map among the layers
        inputs = 3
        for block, (width, depth) in enumerate(zip(WIDTHS, DEPTHS[name]), 1):
            for k in range(1, depth + 1):
                self.places |= {f"conv{block}_{k}": len(layers), f"relu{block}_{k}": len(layers) + 1}
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            self.places[f"pool{block}"] = len(layers)
            layers.append(nn.MaxPool2d(2))
        self.name, self.features = name, nn.Sequential(*layers)
        dense = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*dense, nn.Linear(4096, 1000))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def normalize(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] as the weights expect them; grey ones in all three channels."""
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        return ((x + 1) / 2 - self.mean) / self.std

    def maps(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The maps of those names, computed no further than the last.

        Raises `UsageError` for unknown names, and for images smaller than the pools.
        """
        for name in names:
            if name not in self.places:
                raise UsageError(f"{self.name} has no layer {name!r}.{did_you_mean(name, list(self.places))}")
        h, maps = self.normalize(x), {}
        places = {self.places[name]: name for name in names}
        layers = list(self.features)[: max(places) + 1]
        least = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in layers)
        if min(x.shape[2:]) < least:
            size = f"{x.shape[3]}x{x.shape[2]}"
            raise UsageError(f"{places[max(places)]} of {self.name} needs at least {least}x{least} pixels, got {size}.")
        for place, layer in enumerate(layers):
            h = relu(h) if isinstance(layer, nn.ReLU) else layer(h)
            if place in places:
                maps[places[place]] = h
        return maps

    def logits(self, x: Tensor) -> Tensor:
        """Class logits (N, 1000)."""
        return self.classifier[-1](self(x))

    def forward(self, x: Tensor) -> Tensor:
        """The features before the classes: (N, 4096)."""
        h = self.features(self.normalize(x))
        return self.classifier[:-1](adaptive_avg_pool2d(h, 7).flatten(1))
