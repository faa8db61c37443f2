"""TransformerNet: the fast style transfer network of PyTorch's examples (Johnson et al. 2016)."""

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ..game import ImageToImage
from .layers import Init, crop_center, initialise, pad_for_reflection

LEVELS = 127.5  # half the range in which the network computes: published files take and give 0 to 255


class Layer(nn.Module):
    """A convolution with reflection padding, after nearest upsampling by `repeat`."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, repeat: int = 1):
        super().__init__()
        self.repeat = repeat
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(interpolate(x, scale_factor=self.repeat) if self.repeat > 1 else x)


class Block(nn.Module):
    """Residual block of two 3x3 convolutions: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (Layer(channels, channels, 3) for _ in "12")
        self.in1, self.in2 = (nn.InstanceNorm2d(channels, affine=True) for _ in "12")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.in2(self.conv2(relu(self.in1(self.conv1(x)))))


class TransformerNet(ImageToImage):
    """Fast style transfer network: images (N, 1 or 3, H, W) in [-1, 1] to stylized ones (Johnson et al. 2016).

    As in PyTorch's examples, whose names published files have: resize, not transposed, convolutions, instance norm, and
    no limit at the end (the output may lie a little outside [-1, 1]).  Any size: padded by its edge, cropped.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 32,  # channels of the largest map; doubled with both halvings
        blocks: int = 5,  # residual blocks
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        self.blocks = blocks
        self.conv1, self.conv2 = Layer(channels, width, 9), Layer(width, 2 * width, 3, 2)
        self.conv3 = Layer(2 * width, 4 * width, 3, 2)
        for k in range(1, blocks + 1):
            self.add_module(f"res{k}", Block(4 * width))
        self.deconv1, self.deconv2 = Layer(4 * width, 2 * width, 3, 1, 2), Layer(2 * width, width, 3, 1, 2)
        self.deconv3 = Layer(width, channels, 9)
        for k, factor in enumerate((1, 2, 4, 2, 1), 1):
            self.add_module(f"in{k}", nn.InstanceNorm2d(factor * width, affine=True))
        initialise(self, init)
        nn.init.constant_(self.deconv3.conv2d.bias, LEVELS)  # type: ignore[arg-type]  # grey at initialisation

    def forward(self, x: Tensor) -> Tensor:
        part = self.get_submodule
        h = (pad_for_reflection(x) + 1) * LEVELS
        for k in (1, 2, 3):
            h = relu(part(f"in{k}")(part(f"conv{k}")(h)))
        for k in range(1, self.blocks + 1):
            h = part(f"res{k}")(h)
        for k in (1, 2):
            h = relu(part(f"in{k + 3}")(part(f"deconv{k}")(h)))
        return crop_center(self.deconv3(h) / LEVELS - 1, (x.shape[2], x.shape[3]))
