"""AdaIN's decoder (Huang and Belongie 2017), and the normalised VGG encoder of published decoders."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu

from ..errors import UsageError
from .layers import Init, initialise, reflect_conv

VGG_WIDTHS = (64, 128, 256, 512)  # channels of the maps that published decoders were trained on


class Decoder(nn.Module):
    """AdaIN's decoder: maps (N, widths[-1], h, w) to images (N, channels, f h, f w) in about [-1, 1].

    f = 2 ** (len(widths) - 1).  It mirrors the encoder, with nearest upsampling for pooling and no norm (Huang and
    Belongie 2017, section 5); with VGG's widths and depths of 2, 2, 4, 1 it is theirs.  Of several maps the last is
    decoded.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: Sequence[int] = VGG_WIDTHS,  # channels of the maps, from the largest to the one that is decoded
        depths: Sequence[int] = (),  # convolutions at each of these sizes; empty: 2, at the smallest 1
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        depths = list(depths) or [2] * (len(widths) - 1) + [1]
        if len(depths) != len(widths) or min(*widths, *depths) < 1:
            raise UsageError(
                f"A decoder needs as many depths as widths, each at least 1, not {depths} and {list(widths)}."
            )
        self.stages = nn.ModuleList()  # the smallest first
        for k in reversed(range(len(widths))):
            out = widths[k - 1] if k else channels
            inside = [reflect_conv(widths[k], widths[k]) for _ in range(depths[k] - 1)]
            self.stages.append(nn.ModuleList([*inside, reflect_conv(widths[k], out)]))
        initialise(self, init)

    def forward(self, *maps: Tensor) -> Tensor:
        h = maps[-1]
        for k, stage in enumerate(self.stages):
            h = interpolate(h, scale_factor=2) if k else h
            last = k == len(self.stages) - 1
            convs = list(stage.children())
            for j, conv in enumerate(convs):
                h = conv(h) if last and j == len(convs) - 1 else relu(conv(h))
        return h * 2 - 1


class NormalisedVGG(nn.Module):
    """AdaIN's encoder: VGG-19 to relu4_1 with input normalisation and reflection padding (Huang and Belongie 2017).

    Images (N, 3, H, W) in [-1, 1] to maps by name, `relu1_1` to `relu4_1`; pools round odd sides up.
    """

    widths = VGG_WIDTHS
    reach = 68  # receptive field of the deepest map, in pixels a side
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.Conv2d(3, 3, 1)
        ends = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512)]
        self.convs = nn.ModuleList(reflect_conv(i, o) for i, o in ends)

    def maps(self, x: Tensor, names: Sequence[str] = layers) -> dict[str, Tensor]:
        """The maps of those names."""
        h, maps = self.normal((x.expand(-1, 3, -1, -1) + 1) / 2), {}
        for k, conv in enumerate(self.convs):
            if k in (2, 4, 8):
                h = max_pool2d(h, 2, ceil_mode=True)
            h = relu(conv(h))
            if k in (0, 2, 4, 8):
                maps[self.layers[(0, 2, 4, 8).index(k)]] = h
        return {name: maps[name] for name in names}

    def forward(self, x: Tensor) -> Tensor:
        """The deepest map."""
        return self.maps(x, self.layers[-1:])[self.layers[-1]]
