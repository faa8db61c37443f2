"""StyleGAN2's networks (Karras et al. 2020): latents become styles, and styles scale the inputs of every convolution.

All weights are drawn from N(0, 1) and scaled where they are used (equalised learning rate, Karras et al. 2018), so that
Adam moves each of them at the same relative speed; the mapping network's are a hundred times slower.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, normalize

from ..config import Spec
from ..errors import UsageError
from ..game import Scores, SharedBuffers, Space
from .blur_resample import Blur, Downsample, Upsample
from .heads import Plain
from .label_inputs import LabelledDiscriminator, embedding
from .layers import WEIGHTS, Init, as_size, check_size, crop_center, halvings, initialise, to_float32
from .minibatch_heads import deviation

GAIN = math.sqrt(2)


def leaky_gain(x: Tensor) -> Tensor:
    """LeakyReLU 0.2, and the gain that keeps the variance."""
    return leaky_relu(x, 0.2) * GAIN


class EqualLinear(nn.Module):
    """A linear map (N, inputs) -> (N, outputs) with equalised learning rate, `speed` times the usual one."""

    def __init__(self, inputs: int, outputs: int, *, speed: float = 1.0, start: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), start / speed))
        self.speed, self.scale = speed, speed / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias * self.speed)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate: (N, inputs, H, W) -> (N, outputs, H, W), or half as large.

    Before halving, aliasing frequencies are filtered away.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.stride, self.padding = 1 / math.sqrt(inputs * kernel**2), 1 + down, (kernel // 2) * (not down)
        self.blur = Blur(padding=2) if down else None

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.blur is None else self.blur(x)
        return conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class Mapping(nn.Module):
    """Mapping network: normalised noise (N, latent) and its label to one style (N, size), at a low learning rate."""

    def __init__(self, latent: int, size: int, depth: int, classes: int, attributes: int):
        super().__init__()
        labelled = bool(classes or attributes)
        self.embed = embedding(classes, attributes, size) if labelled else None
        widths = [latent + size * labelled, *[size] * depth]
        self.layers = nn.ModuleList(EqualLinear(i, o, speed=0.01) for i, o in zip(widths, widths[1:]))

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        x = unit(z)
        if self.embed is not None:
            x = torch.cat([x, unit(self.embed(label).to(x.dtype))], 1)
        for layer in self.layers:
            x = leaky_gain(layer(x))
        return x


def unit(x: Tensor) -> Tensor:
    """Normalise rows to a mean square of one."""
    return normalize(to_float32(x), dim=1, eps=1e-8) * math.sqrt(x.shape[1])


class Modulated(nn.Module):
    """A convolution whose input channels a style scales: (N, I, h, w), (N, S) -> (N, O, h, w), or twice as large.

    Equations 1 to 3 of Karras et al. 2020: w' = s w, divided by its norm for each output.  Done to the maps before and
    after one ordinary convolution, which is the same and needs no weights for each image.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, size: int, *, up: bool = False, divide: bool = True):
        super().__init__()
        self.style = EqualLinear(size, inputs, start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.up, self.divide = up, divide
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.blur = Blur(padding=1, gain=4.0) if up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = to_float32(self.style(w)), self.weight * self.scale
        x = x * style[:, :, None, None].to(x.dtype)
        if self.blur is not None:
            x = self.blur(conv_transpose2d(x, weight.transpose(0, 1).flip(2, 3), stride=2))
        else:
            x = conv2d(x, weight, padding=weight.shape[2] // 2)
        return x * self._shrink(weight, style)[:, :, None, None].to(x.dtype) if self.divide else x

    def _shrink(self, weight: Tensor, style: Tensor) -> Tensor:
        """One over the norm of each output's modulated weights: (N, O), in float32."""
        with torch.autocast(weight.device.type, enabled=False):
            return (style.square() @ to_float32(weight).square().sum((2, 3)).t() + 1e-8).rsqrt()


class Noise(nn.Module):
    """Additive noise of a learnt strength, the same in every channel; a fixed sample in evaluation."""

    fixed: Tensor

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("fixed", torch.randn(1, 1, *size))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed
        return x + (noise * self.strength).to(x.dtype)


class Layer(nn.Module):
    """A modulated convolution, noise, bias and rectifier."""

    def __init__(self, inputs: int, outputs: int, style: int, size: tuple[int, int], *, up: bool = False):
        super().__init__()
        self.conv, self.noise = Modulated(inputs, outputs, 3, style, up=up), Noise(size)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        h = self.noise(self.conv(x, w))
        return leaky_gain(h + self.bias[:, None, None].to(h.dtype))


class ToImage(nn.Module):
    """A modulated 1x1 convolution to an image, without demodulation."""

    def __init__(self, inputs: int, channels: int, style: int):
        super().__init__()
        self.conv = Modulated(inputs, channels, 1, style, divide=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        h = self.conv(x, w)
        return h + self.bias[:, None, None].to(h.dtype)


def initialise_scaled(network: nn.Module, init: Init | None) -> None:
    """`initialise` of a network with equalised learning rate: the scheme's weights are those after scaling."""
    if init is None:
        return
    initialise(network, init)
    for layer in network.modules():
        if isinstance(layer, (EqualLinear, EqualConv, Modulated)):
            WEIGHTS[init](layer.weight.data)
            layer.weight.data /= layer.scale


def widths_for(resolution: tuple[int, int], width: int, max_width: int) -> list[int]:
    """Channels of each size from the largest map to the smallest."""
    check_size(resolution, "StyleGAN2's networks need images", "ones")
    return [min(width << k, max_width) for k in range(halvings(resolution) + 1)]


class Generator(nn.Module, SharedBuffers):  # the average style is averaged over processes
    """StyleGAN2's generator with skip connections: noise (N, latent) to images (N, channels, H, W), not squashed.

    Karras et al. 2020.  Styles of two latents are mixed while training, from a layer on that is drawn for each image
    (Karras et al. 2019, section 3.1).  The published network (config F at 1024 pixels) is `latent=512`, `style=512`,
    `mapping=8`, `max_width=512`; the default is sized for images of 32 pixels and a processor.
    """

    average: Tensor
    written = ("average_rate",)

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 128,  # size of the noise
        style: int = 128,  # size of a style
        mapping: int = 4,  # layers from noise to style; the paper has 8, StyleGAN2-ADA 2 for small images
        width: int = 32,  # channels of the largest map; doubled with every halving
        max_width: int = 128,  # no map has more channels than this
        mixing: float = 0.9,  # share of the images in training that are made from two styles
        average_rate: float = 0.005,  # of the average style per batch; 0.002 in runs of 0.1 before December 2026
        init: Init | None = None,  # initialisation of the weights as they are used; none: as published
    ):
        super().__init__()
        if not 0 <= mixing <= 1:
            raise UsageError(f"mixing is a share, from 0 to 1, got {mixing:g}.")
        self.latent, self.resolution, self.mixing = latent, as_size(resolution), mixing
        self.average_rate = average_rate
        widths = widths_for(self.resolution, width, max_width)[::-1]
        base = [-(-side // 2 ** (len(widths) - 1)) for side in self.resolution]  # rounded up, cropped at the end
        sizes = [(base[0] << k, base[1] << k) for k in range(len(widths))]
        self.map = Mapping(latent, style, mapping, classes, attributes)
        self.register_buffer("average", torch.zeros(style))
        self.start = nn.Parameter(torch.randn(widths[0], *base))
        self.layers = nn.ModuleList([Layer(widths[0], widths[0], style, sizes[0])])
        for wide, narrow, size in zip(widths, widths[1:], sizes[1:]):
            self.layers.append(Layer(wide, narrow, style, size, up=True))
            self.layers.append(Layer(narrow, narrow, style, size))
        self.to_image = nn.ModuleList(ToImage(w, channels, style) for w in widths)
        self.enlarge = Upsample()
        initialise_scaled(self, init)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Read weights of 0.1 before December 2026, which have another name for `to_image`."""
        old = f"{prefix}pictures."
        for key in [k for k in state_dict if k.startswith(old)]:
            state_dict[f"{prefix}to_image.{key.removeprefix(old)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.synthesis(self.mapping(z, label))

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The style of every layer: (N, layers + 1, style); the last one is for the last step to the image."""
        w = self.map(z, label)
        every = len(self.layers) + 1
        if not self.training:
            return w[:, None].expand(-1, every, -1)
        with torch.no_grad():
            self.average.lerp_(w.detach().mean(0).to(self.average.dtype), self.average_rate)
        other = self.map(torch.randn_like(z), label)
        place = torch.arange(every, device=z.device)
        change = torch.randint(1, every, (len(z), 1), device=z.device)
        mixed = (place >= change) & (torch.rand(len(z), 1, device=z.device) < self.mixing)  # (N, every)
        return torch.where(mixed[:, :, None], other[:, None], w[:, None])

    def synthesis(self, w: Tensor) -> Tensor:
        """Styles (N, layers + 1, style) to images."""
        h, image = self.start.expand(w.shape[0], -1, -1, -1), None
        for k, layer in enumerate(self.layers):
            h = layer(h, w[:, k])
            if k % 2 == 0:  # the last convolution of its size
                part = self.to_image[k // 2](h, w[:, k + 1])
                image = part if image is None else self.enlarge(image) + part
        assert image is not None
        return crop_center(image, self.resolution)

    def spaces(self) -> dict[str, Space]:
        """The noise `z`, the style `w`, and `w+`: a style for every layer."""
        every, size = len(self.layers) + 1, len(self.average)

        def same(w: Tensor, label: Tensor | None = None) -> Tensor:
            return self.synthesis(w[:, None].expand(-1, every, -1))

        def each(w: Tensor, label: Tensor | None = None) -> Tensor:
            return self.synthesis(w.unflatten(1, (every, -1)))

        def affine() -> list[Tensor]:
            return [m.style.weight for m in self.modules() if isinstance(m, Modulated)]

        def spread(z: Tensor, label: Tensor | None) -> Tensor:
            return self.map(z, label).repeat(1, every)

        def first() -> list[Tensor]:
            return [layer.weight[:, : self.latent] for layer in self.map.layers[:1] if isinstance(layer, EqualLinear)]

        return {
            "z": Space(self.latent, self.forward, weights=first),
            "w": Space(size, same, self.map, layered="w+", weights=affine, centre=self.average),
            "w+": Space(every * size, each, spread, (size,) * every, centre=self.average.repeat(every)),
        }

    def noise_layers(self) -> Sequence[Any]:
        """The layers that add noise, from the smallest map on."""
        return [layer.noise for layer in self.layers if isinstance(layer, Layer)]

    def truncated(self, z: Tensor, label: Tensor | None, trunc: float) -> Tensor:
        """Images from styles nearer to the average one: average + trunc (w - average)."""
        return self.synthesis(self.average + trunc * (self.mapping(z, label) - self.average))


class Residual(nn.Module):
    """Residual block that halves a map: (N, I, H, W) -> (N, O, H // 2, W // 2)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.same, self.down = EqualConv(inputs, inputs, 3), EqualConv(inputs, outputs, 3, down=True)
        self.halve, self.skip = Downsample(), EqualConv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_gain(self.down(leaky_gain(self.same(x))))
        return (h + self.skip(self.halve(x))) / math.sqrt(2)


class Discriminator(LabelledDiscriminator):
    """StyleGAN2's residual discriminator: images (N, channels, H, W) to `Scores` (Karras et al. 2020).

    The deviation over groups of images is one more channel of the last map (Karras et al. 2018, section 3).  The
    head's own weights learn at the ordinary rate.
    """

    def __init__(
        self,
        *,
        width: int = 32,  # channels of the first map; doubled with every halving
        max_width: int = 128,  # no map has more channels than this
        group: int = 4,  # images in a group of minibatch standard deviation; 0: none
        init: Init | None = None,  # initialisation of the weights as they are used; none: as published
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(**base)
        widths, self.group = widths_for(self.resolution, width, max_width), group
        self.read = EqualConv(self.inputs, widths[0], 1)
        self.body = nn.Sequential(*(Residual(i, o) for i, o in zip(widths, widths[1:])))
        last = [side >> (len(widths) - 1) for side in self.resolution]
        self.look = EqualConv(widths[-1] + bool(group), widths[-1], 3)
        self.flat = EqualLinear(widths[-1] * last[0] * last[1], widths[-1])
        self.head = head.build(features=widths[-1], **self.facts)
        initialise_scaled(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the input layer, then each size."""
        return [self.read, *self.body]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.body(leaky_gain(self.read(self.join(x, label))))
        if self.group:
            spread = deviation(h.flatten(1), self.group)  # (N, 1)
            h = torch.cat([h, spread[:, :, None, None].expand(-1, -1, *h.shape[2:]).to(h.dtype)], 1)
        h = leaky_gain(self.look(h))
        return self.head(leaky_gain(self.flat(h.flatten(1))), label)
