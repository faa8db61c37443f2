"""A small convolutional classifier of images."""

from torch import Tensor, nn

from ..config import Spec
from ..game import BaseDiscriminator, Head, Scores
from .class_and_code_heads import Classes
from .layers import Init, as_size, check_size, halvings, initialise
from .strided_conv import DownConv


class Classifier(BaseDiscriminator):
    """Small convolutional classifier: images (N, channels, H, W) of at least 8x8 pixels to `Scores` with label logits.

    Our own: a 3x3 and a strided convolution a stage, batch norm throughout, dropout before the head.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        width: int = 32,  # channels of the first map; doubled with every halving
        max_width: int = 128,  # no map has more channels than this
        dropout: float = 0.5,  # share of the features dropped in training
        init: Init = "kaiming",  # initialisation of the weights
        head: Spec = Spec(Classes),  # last layers: features to class logits
    ):
        super().__init__()
        size = as_size(resolution)
        check_size(size, "The classifier needs images")
        stages = halvings(size)
        widths = [channels, *(min(width << k, max_width) for k in range(stages))]
        layers: list[nn.Module] = []
        for i, o in zip(widths, widths[1:]):
            for convolution in (nn.Conv2d(i, o, 3, padding=1, bias=False), DownConv(o, o)):
                layers += [convolution, nn.BatchNorm2d(o), nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = head.build(features=widths[-1] * (size[0] >> stages) * (size[1] >> stages), classes=classes)
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: two convolutions and what follows them."""
        return [self.body[k : k + 6] for k in range(0, len(self.body), 6)]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.body(x)  # (N, C, h, w)
        return self.head(self.dropout(h.permute(0, 2, 3, 1).flatten(1)), label)
