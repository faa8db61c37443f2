"""SRResNet as published (Ledig et al. 2017), and MSRResNet, whose weights are named as in BasicSR's files."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .superres_base import from_unit, init_kaiming, to_unit, upsampling_steps


class NormBlock(nn.Module):
    """Residual block: convolution, batch norm, PReLU, convolution, batch norm (Ledig et al. 2017, figure 4)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class SRResNet(ImageToImage):
    """SRResNet: images (N, channels, H, W) to (N, channels, scale H, scale W), as published (Ledig et al. 2017).

    It reads [0, 1] and writes [-1, 1] inside, as section 3.2 says, and does not squash what it writes.  Weights begin
    as PyTorch's convolutions do.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,  # side of the output as a multiple of the input: 1, 2, 3, 4 or 8
        width: int = 64,  # channels of every map
        blocks: int = 16,  # residual blocks
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        self.scale = scale
        self.first = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(NormBlock(width) for _ in range(blocks)))
        self.after = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        larger: list[nn.Module] = []
        for step in upsampling_steps(scale):
            larger += [nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step), nn.PReLU()]
        self.larger = nn.Sequential(*larger)
        self.last = nn.Conv2d(width, channels, 9, padding=4)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(to_unit(x))  # (N, width, H, W)
        h = h + self.after(self.body(h))
        return to_float32(self.last(self.larger(h)))


class ResidualBlock(nn.Module):
    """EDSR's residual block: convolution, ReLU, convolution (Lim et al. 2017, figure 2c)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        init_kaiming(self.conv1, self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class MSRResNet(SRResNet):
    """SRResNet without batch norm: images (N, channels, H, W) to (N, channels, scale H, scale W).

    After Wang et al. 2018 (ESRGAN's baseline, BasicSR's MSRResNet): LeakyReLU 0.1, a bilinear enlargement of the input
    is added, every convolution begins with a tenth of Kaiming's weights.  It works in [0, 1] inside.
    """

    def __init__(
        self, *, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 16, init: Init | None = None
    ):
        ImageToImage.__init__(self)
        self.scale = scale
        self.conv_first = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.steps = upsampling_steps(scale)
        for k, step in enumerate(self.steps, 1):
            self.add_module(f"upconv{k}", nn.Conv2d(width, width * step**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)
        init_kaiming(*(layer for layer in self.children() if isinstance(layer, nn.Conv2d)))
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        x = to_unit(x)
        h = self.body(F.leaky_relu(self.conv_first(x), 0.1))
        for k, step in enumerate(self.steps, 1):
            h = F.leaky_relu(F.pixel_shuffle(self.get_submodule(f"upconv{k}")(h), step), 0.1)
        residue = to_float32(self.conv_last(F.leaky_relu(self.conv_hr(h), 0.1)))
        base = x if self.scale == 1 else F.interpolate(x, scale_factor=self.scale, mode="bilinear")
        return from_unit(residue + base)
