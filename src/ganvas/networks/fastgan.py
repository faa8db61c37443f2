"""FastGAN's networks (Liu et al. 2021): skip-layer excitation, and a discriminator that decodes its own maps.

Blocks and channels of every size from 4 to 1,024 pixels are data; an image has as many blocks as its shorter side can
be halved.  Every convolution has spectral norm.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, glu, interpolate, l1_loss, silu

from ..game import BaseDiscriminator, Scores
from .label_inputs import LabelledGenerator, embedding
from .layers import Init, as_size, check_size, crop_center, halvings
from .map_logits import MapLogits
from .norms import ConditionalBatchNorm2d, initialise_normalised, spectral
from .strided_conv import DownConv, UpsampleConv
from .stylegan2 import Noise

# channels of the generator's maps by their side, in multiples of its width; half of the one before at larger ones
GENERATOR = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
DECODER = {16: 2, 32: 1, 64: 1, 128: 0.5}  # channels of a decoder's maps by their side, in multiples of D's width
LAST = 8  # side of the discriminator's last map, at powers of two
LARGEST = 5  # halvings in the discriminator's blocks: of 256 pixels; larger images are halved before
EXCITED = 512  # side of the largest map that is excited
Convolutions = Literal["alternate", "double", "single"]


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


def gate(x: Tensor) -> Tensor:
    """Gated linear unit over channels: (N, 2C, H, W) to (N, C, H, W)."""
    # along the last dimension of a channels-last map: glu(x, 1) leaves that layout in its backward, measured x 8
    return glu(x.permute(0, 2, 3, 1), -1).permute(0, 3, 1, 2)


class Excitation(nn.Module):
    """Skip-layer excitation: channels of a large map times weights from a small one (Liu et al. 2021, eq. 1).

    The small map is pooled to 4x4, and two convolutions and a sigmoid make one weight for each channel.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = spectral(nn.Conv2d(inputs, outputs, 4, bias=False))
        self.second = spectral(nn.Conv2d(outputs, outputs, 1, bias=False))

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        weights = torch.sigmoid(self.second(silu(self.first(adaptive_avg_pool2d(small, 4)))))  # (N, C, 1, 1)
        return large * weights


class Step(nn.Module):
    """A convolution, perhaps after upsampling by 2, perhaps noise, batch norm and a gated linear unit."""

    def __init__(self, inputs: int, outputs: int, *, up: bool, size: tuple[int, int] | None = None, condition: int = 0):
        super().__init__()
        conv = UpsampleConv if up else nn.Conv2d
        padding = {} if up else {"kernel_size": 3, "padding": 1}
        self.conv: nn.Module = spectral(conv(inputs, 2 * outputs, bias=False, **padding))  # type: ignore[arg-type]
        self.noise = Noise(size) if size else None
        self.norm = spectral(ConditionalBatchNorm2d(2 * outputs, vector=condition))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        x = x if self.noise is None else self.noise(x)
        return gate(self.norm(x, condition))


class Generator(LabelledGenerator):
    """FastGAN's generator: noise (N, latent) to images (N, channels, H, W) (Liu et al. 2021).

    Blocks of one convolution follow blocks of two with noise; Projected GAN takes two everywhere, noise of unit mean
    square (`sphere`) and no tanh.  Without the second output of 128 pixels of the authors' code.  A label's
    embedding sets scale and shift of every batch norm but the first, as Projected GAN's.
    """

    decides = frozenset({"label_size", "label_norm"})

    def __init__(
        self,
        *,
        width: int = 64,  # channels of the map of 128 pixels; twice, 2, 4, 8 and 16 times at 64 to 4
        latent: int = 256,  # size of the noise
        convolutions: Convolutions = "alternate",  # of a block: two and one in turn, two, or one
        sphere: bool = False,  # divide the noise of an image by its root mean square
        tanh: bool = True,  # squash the output; if not, it has a bias and samples are cut off at -1 and 1
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's
        **base: Any,
    ):
        super().__init__(latent=latent, label_size=0, **base)
        check_size(self.resolution, "FastGAN needs images", "recipe `gan`")
        count = halvings(self.resolution)
        sides = [4 << k for k in range(count + 1)]  # nominal: those of a square of a power of two
        widths = [max(int(width * GENERATOR.get(side, 128 / side)), 1) for side in sides]
        base_size = (-(-self.resolution[0] // 2**count), -(-self.resolution[1] // 2**count))  # cropped at the end
        self.start = spectral(nn.ConvTranspose2d(latent, 2 * widths[0], base_size, bias=False))
        self.norm = nn.BatchNorm2d(2 * widths[0])
        labelled = any(self.facts.values())
        self.embed = embedding(**self.facts, size=latent) if labelled else None
        condition = latent if labelled else 0
        self.blocks, self.excitations = nn.ModuleList(), nn.ModuleDict()
        for k in range(1, count + 1):
            double = convolutions == "double" or (convolutions == "alternate" and k % 2 == 1)
            size = (base_size[0] << k, base_size[1] << k) if double else None
            parts = [Step(widths[k - 1], widths[k], up=True, size=size, condition=condition)]
            if double:
                parts.append(Step(widths[k], widths[k], up=False, size=size, condition=condition))
            self.blocks.append(nn.ModuleList(parts))
            if k >= 4 and sides[k] <= EXCITED:
                self.excitations[str(k)] = Excitation(widths[k - 4], widths[k])
        self.sphere, self.tanh = sphere, tanh
        self.out = spectral(nn.Conv2d(widths[-1], self.channels, 3, padding=1, bias=not tanh))
        initialise_normalised(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.sphere:
            z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        condition = None if self.embed is None else self.embed(label)  # (N, latent)
        maps = [gate(self.norm(self.start(z[:, :, None, None])))]
        for k, block in enumerate(self.blocks, 1):
            x = maps[-1]
            for step in block:  # type: ignore[attr-defined]
                x = step(x, condition)
            maps.append(self.excitations[str(k)](maps[k - 4], x) if str(k) in self.excitations else x)
        image = crop_center(self.out(maps[-1]), self.resolution)
        return torch.tanh(image) if self.tanh else image


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """A 4x4 convolution of stride 2, batch norm and leaky rectifier: half the size."""
    return nn.Sequential(spectral(DownConv(inputs, outputs)), nn.BatchNorm2d(outputs), leaky())


class HalveTwice(nn.Module):
    """The mean of two ways to half the size: two convolutions, and average pooling with a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        second = spectral(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False))
        self.main = nn.Sequential(halve(inputs, outputs), second, nn.BatchNorm2d(outputs), leaky())
        point = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.direct = nn.Sequential(nn.AvgPool2d(2), point, nn.BatchNorm2d(outputs), leaky())

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.direct(x)) / 2


class Decoder(nn.Module):
    """A map (N, C, h, w), pooled to 8x8, to an image (N, channels, 8 2^k, 8 2^k) of k doublings in [-1, 1]."""

    def __init__(self, inputs: int, channels: int, doublings: int, width: int):
        super().__init__()
        widths = [inputs, *(max(int(width * DECODER[LAST << k]), 1) for k in range(1, doublings + 1))]
        self.steps = nn.Sequential(*(Step(i, o, up=True) for i, o in zip(widths, widths[1:])))
        self.out = spectral(nn.Conv2d(widths[-1], channels, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.out(self.steps(adaptive_avg_pool2d(x, LAST))))


def quadrant(x: Tensor, which: int) -> Tensor:
    """A quarter of (N, C, H, W): 0 top left, 1 top right, 2 bottom left, 3 bottom right."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    rows = x[:, :, :height] if which < 2 else x[:, :, x.shape[2] - height :]
    return rows[..., :width] if which % 2 == 0 else rows[..., x.shape[3] - width :]


class Discriminator(BaseDiscriminator):
    """FastGAN's discriminator: images (N, channels, H, W) to `Scores` with a logit for each window (Liu et al. 2021).

    One body sees the image, another (from 28 pixels on) its half.  From real images' maps three decoders make the
    image, its half and a random quarter, and their absolute error is its own term, by which it learns what is in an
    image (eq. 2; the authors' code compares by LPIPS).  Labels are projected.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 64,  # an eighth of the channels of the last map; half as many at double the size
        reconstruction: float = 1.0,  # weight of the error of the decoded images; 0: none
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's
    ):
        super().__init__()
        size, facts = as_size(resolution), {"classes": classes, "attributes": attributes}
        check_size(size, "FastGAN needs images", "recipe `gan`")
        total = halvings(size, LAST - 1)
        downs = min(total, LARGEST)
        self.before, self.weight = total - downs, reconstruction
        widths = [max(8 * width >> (downs - j), 1) for j in range(downs + 1)]  # largest map first
        self.stem = self._stem(channels, widths[0])
        self.downs = nn.ModuleList(HalveTwice(i, o) for i, o in zip(widths, widths[1:]))
        self.excitations = nn.ModuleDict({str(j): Excitation(widths[j - 3], widths[j]) for j in range(3, downs + 1)})
        hidden = spectral(nn.Conv2d(widths[-1], 2 * widths[-1], 1, bias=False))
        self.last = nn.Sequential(hidden, nn.BatchNorm2d(2 * widths[-1]), leaky())
        self.logits = MapLogits(2 * widths[-1], **facts)
        doublings = halvings((min(*size, 128),) * 2, LAST - 1)
        decoders = {"whole": Decoder(widths[-1], channels, doublings, width)}
        self.small: nn.Module | None = None
        if downs > 1:
            first = nn.Sequential(spectral(DownConv(channels, widths[1])), leaky())
            self.small = nn.Sequential(first, *(halve(i, o) for i, o in zip(widths[1:], widths[2:-1])))
            self.small_logits = MapLogits(widths[-2], **facts)
            decoders["halved"] = Decoder(widths[-2], channels, doublings, width)
        if downs:
            decoders["quarter"] = Decoder(widths[-2], channels, doublings, width)
        self.decoders = nn.ModuleDict(decoders if reconstruction else {})
        initialise_normalised(self, init)

    def _stem(self, channels: int, width: int) -> nn.Sequential:
        """From the image to a map of at most 256 pixels: a convolution, or one for each halving before the blocks."""
        if not self.before:
            return nn.Sequential(spectral(nn.Conv2d(channels, width, 3, padding=1, bias=False)), leaky())
        widths = [max(width >> k, 1) for k in reversed(range(self.before))]
        first = nn.Sequential(spectral(DownConv(channels, widths[0])), leaky())
        return nn.Sequential(first, *(halve(i, o) for i, o in zip(widths, widths[1:])))

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the first convolutions, then each size."""
        return [self.stem, *self.downs]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        maps = [self.stem(x)]
        for j, down in enumerate(self.downs, 1):
            h = down(maps[-1])
            maps.append(self.excitations[str(j)](maps[j - 3], h) if str(j) in self.excitations else h)
        logits, half = [self.logits(self.last(maps[-1]), label)], []
        if self.small is not None:
            half = [self.small(avg_pool2d(x, 2 ** (self.before + 1)))]
            logits.append(self.small_logits(half[0], label))
        features = (*half, *maps[-2:], maps[-1].mean((2, 3)))
        return Scores(torch.cat(logits, 2), features=features)

    def own_terms(self, real: Scores) -> dict[str, Tensor]:
        if not self.decoders or real.input is None:
            return {}
        *maps, _ = real.features
        which = int(torch.randint(4, ()))
        sources = {"whole": maps[-1], "halved": maps[0], "quarter": quadrant(maps[max(len(maps) - 2, 0)], which)}
        errors = []
        for name, decoder in self.decoders.items():
            image = quadrant(real.input, which) if name == "quarter" else real.input
            decoded = decoder(sources[name]).float()
            target = interpolate(image.float(), decoded.shape[2:], mode="bilinear", antialias=True)
            errors.append(l1_loss(decoded, target))
        return {"reconstruction": self.weight * torch.stack(errors).sum()}
