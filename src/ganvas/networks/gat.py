"""GAT's networks (Hyun et al. 2026): plain transformers as generator and discriminator of images in patches.

Made for latents of 32x32 by 4 channels of an autoencoder; here they take images.  By `width`, `depth` and `heads`:
GAT-S 384, 12, 6; GAT-B 768, 12, 12; GAT-L 1024, 24, 16; GAT-XL 1152, 28, 16.

After some blocks each the generator adds to its image.  These stages are judged at sizes that double, the last one at
the full size, by a discriminator that mixes no sizes (CAT; Hyun et al. 2026, arXiv 2605.26449).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, linear, pixel_shuffle, silu

from ..errors import UsageError
from ..game import BaseDiscriminator, Scores, WidthAware
from .label_inputs import LabelledGenerator, embedding
from .layers import WEIGHTS, Init, as_size, check_size, crop_center, initialise, pad_to_multiple
from .stylegan2 import unit
from .transformer import Attention, Perceptron, RMSNorm, grid, rms, rotation, waves

TUNED = 768  # the width at which the published learning rate was chosen, GAT-B's
SMALL = 0.1  # gain of modulation, and scale of residual branches, at the start
SLOW = 0.01  # learning rate of mappings, in multiples of the other layers
STAGES = 4  # as published
LATENTS = 256  # whose mean style truncation draws towards


def check_parts(width: int, heads: int, depth: int, stages: int) -> None:
    """Raise `UsageError` for sizes of a transformer that do not fit together."""
    if width % heads or width // heads % 2:
        raise UsageError(f"heads divide the width into even parts; {heads} heads of width {width} do not.")
    if not 1 <= stages <= depth:
        raise UsageError(f"stages follow blocks: from 1 to the depth of {depth}, got {stages}.")


def patches_of(resolution: tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of patches that cover an image."""
    return -(-resolution[0] // patch), -(-resolution[1] // patch)


def pool(image: Tensor, factor: int) -> Tensor:
    """The mean of each factor x factor pixels, with fewer at the edges: (N, C, H, W) to (N, C, H / factor, ...)."""
    return image if factor == 1 else avg_pool2d(image, factor, ceil_mode=True, count_include_pad=False)


def xavier(module: nn.Module) -> None:
    """Initialise every linear map and convolution by Xavier's uniform weights and zero bias, as published."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight.flatten(1))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class SlowLinear(nn.Module):
    """A linear map whose weights are a hundred times larger and scaled where they are used, so that it learns slowly.

    As the mapping of StyleGAN (Karras et al. 2019), from Xavier's uniform weights.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(outputs, inputs), gain=1 / SLOW))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * SLOW, self.bias * SLOW)


def initialise_slow(network: nn.Module, init: Init | None) -> None:
    """`initialise` of a network with slow maps: the scheme's weights are those after scaling."""
    if init is None:
        return
    initialise(network, init)
    for layer in network.modules():
        if isinstance(layer, SlowLinear):
            WEIGHTS[init](layer.weight.data)
            layer.weight.data /= SLOW


class Mapping(nn.Module):
    """Normalised noise and label to a style (N, width), by two layers that learn a hundred times slower."""

    def __init__(self, latent: int, width: int, classes: int, attributes: int):
        super().__init__()
        labelled = bool(classes or attributes)
        self.embed = embedding(classes, attributes, latent) if labelled else None
        if isinstance(self.embed, nn.Embedding):
            nn.init.normal_(self.embed.weight, std=0.02)
        self.first = SlowLinear(latent * (1 + labelled), width)
        self.second = SlowLinear(width, width)

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        x = unit(z) if self.embed is None else torch.cat([unit(self.embed(label)), unit(z)], 1)
        return self.second(silu(self.first(x)))


class StyledBlock(nn.Module):
    """A block of the generator: a style scales what goes into attention and perceptron, and what comes out."""

    def __init__(self, width: int, heads: int, ratio: float):
        super().__init__()
        self.attention, self.perceptron = Attention(width, heads), Perceptron(width, ratio)
        self.style = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor, style: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        one, gate, two, other = self.style(style)[:, None].chunk(4, 2)
        x = x + gate * self.attention(rms(x) * (1 + one), cosine, sine, [x.shape[1]])
        return x + other * self.perceptron(rms(x) * (1 + two))


class ToPatches(nn.Module):
    """Tokens (N, T, width), scaled by a style, to the pixels of their patches (N, T, C patch patch)."""

    def __init__(self, width: int, pixels: int):
        super().__init__()
        self.style, self.out = nn.Linear(width, width), nn.Linear(width, pixels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.out(rms(x) * (1 + self.style(style)[:, None]))


class Generator(LabelledGenerator, WidthAware):
    """GAT's generator: noise (N, latent) to images (N, channels, H, W), about [-1, 1] and not squashed unless `tanh`.

    Hyun et al. 2026.  Tokens begin as their fixed position embedding; noise and label enter as a style.  `stages`
    gives the image after each part of the blocks, the last of which is the image.
    """

    decides = frozenset({"label_size", "label_norm"})
    cosine: Tensor
    sine: Tensor
    start: Tensor

    def __init__(
        self,
        *,
        latent: int = 64,  # size of the noise, and of the label's embedding
        width: int = 384,  # numbers of a token; the learning rate is the optimiser's times 768 / width
        depth: int = 12,  # blocks
        heads: int = 6,  # parts of a token that attend on their own
        patch: int = 2,  # pixels a side of a token
        ratio: float = 4.0,  # weights of a block's perceptron, as two layers of this multiple of the width have
        stages: int = STAGES,  # images on the way, the last one included; the discriminator's must be as many
        tanh: bool = False,  # squash the images of all stages
        init: Init | None = None,  # initialisation of the weights; none: as published
        **base: Any,
    ):
        super().__init__(latent=latent, label_size=0, **base)
        check_size(self.resolution, "GAT needs images", "recipe `gan`")
        check_parts(width, heads, depth, stages)
        self.patch, self.count, self.rate, self.tanh = patch, stages, TUNED / width, tanh
        self.grid = patches_of(self.resolution, patch)
        places = grid(*self.grid)
        cosine, sine = rotation(places, width // heads)
        for name, value in (("start", waves(places, width)), ("cosine", cosine), ("sine", sine)):
            self.register_buffer(name, value, persistent=False)
        self.map = Mapping(latent, width, **self.facts)
        self.blocks = nn.ModuleList(StyledBlock(width, heads, ratio) for _ in range(depth))
        self.ends = [(k + 1) * depth // stages for k in range(stages)]
        self.to_patches = nn.ModuleList(ToPatches(width, self.channels * patch**2) for _ in range(stages))
        for part in [*self.blocks, *self.to_patches]:
            xavier(part)
            nn.init.xavier_uniform_(part.style.weight, gain=SMALL)
        initialise_slow(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.synthesis(self.map(z, label))[-1]

    def stages(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The images of all stages, from the first on, as channels: (N, stages channels, H, W)."""
        return torch.cat(self.synthesis(self.map(z, label)), 1)

    def synthesis(self, style: Tensor) -> list[Tensor]:
        """The images of all stages from styles (N, width)."""
        style = silu(style)
        x = self.start.expand(style.shape[0], -1, -1).to(style.dtype)
        images: list[Tensor] = []
        for k, block in enumerate(self.blocks, 1):
            x = block(x, style, self.cosine, self.sine)
            if k == self.ends[len(images)]:
                image = self.unfold(self.to_patches[len(images)](x, style))
                images.append(images[-1] + image if images else image)
        return [torch.tanh(image) for image in images] if self.tanh else images

    def unfold(self, tokens: Tensor) -> Tensor:
        """Pixels of patches (N, T, C patch patch) to images (N, C, H, W)."""
        return crop_center(pixel_shuffle(tokens.transpose(1, 2).unflatten(2, self.grid), self.patch), self.resolution)

    def truncated(self, z: Tensor, label: Tensor | None, trunc: float) -> Tensor:
        """Images of styles drawn towards the mean style of their label (Karras et al. 2019)."""
        some = torch.randn(LATENTS, self.latent, generator=torch.Generator().manual_seed(0)).to(z)
        if label is None:
            mean = self.map(some, None).mean(0)
        else:
            mean = torch.stack([self.map(some, row.expand(LATENTS, *row.shape)).mean(0) for row in label])
        return self.synthesis(mean + trunc * (self.map(z, label) - mean))[-1]


class Block(nn.Module):
    """A block of the discriminator: attention and perceptron, each scaled by learnt numbers, at first small."""

    def __init__(self, width: int, heads: int, ratio: float):
        super().__init__()
        self.norm1, self.attention = RMSNorm(width), Attention(width, heads)
        self.norm2, self.perceptron = RMSNorm(width), Perceptron(width, ratio)
        self.scale1, self.scale2 = (nn.Parameter(torch.full((width,), SMALL)) for _ in range(2))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, segments: list[int]) -> Tensor:
        x = x + self.scale1 * self.attention(self.norm1(x), cosine, sine, segments)
        return x + self.scale2 * self.perceptron(self.norm2(x))


class TokenLogit(nn.Module):
    """A token (N, width) to a logit (N, 1); by label, the inner product of both in `size` numbers."""

    def __init__(self, width: int, size: int, labelled: bool):
        super().__init__()
        self.norm, self.score = RMSNorm(width), nn.Linear(width, size if labelled else 1)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        h = self.score(self.norm(x))
        return h if condition is None else (h * condition.to(h.dtype)).sum(1, keepdim=True)


class Discriminator(BaseDiscriminator, WidthAware):
    """GAT's discriminator, one head for each size: images (N, channels, H, W) to `Scores` with a logit for each size.

    Hyun et al. 2026.  An image is seen in `stages` sizes; all of a generator's stages (N, stages channels, H, W) are
    seen each in its own.  The sizes share the blocks but not their tokens, so that the logit of a size depends on
    it alone.  Without the alignment to DINOv2's features of the authors' code, which shows stages of one size, noisy,
    as channels of one image.
    """

    cosine: Tensor
    sine: Tensor
    place: Tensor

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 384,  # numbers of a token; the learning rate is the optimiser's times 768 / width
        depth: int = 12,  # blocks
        heads: int = 6,  # parts of a token that attend on their own
        patch: int = 2,  # pixels a side of a token
        ratio: float = 4.0,  # weights of a block's perceptron, as two layers of this multiple of the width have
        stages: int = STAGES,  # sizes, each half of the next one
        embed: int = 2048,  # size of the label's embedding
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        size = as_size(resolution)
        check_size(size, "GAT needs images", "recipe `gan`")
        check_parts(width, heads, depth, stages)
        self.channels, self.patch, self.rate = channels, patch, TUNED / width
        self.factors = [2**k for k in reversed(range(stages))]
        self.read = nn.Conv2d(channels, width, patch, stride=patch)
        self.first = nn.Parameter(0.02 * torch.randn(stages, width))
        self._place([patches_of((-(-size[0] // f), -(-size[1] // f)), patch) for f in self.factors], width, heads)
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(depth))
        labelled = bool(classes or attributes)
        self.embed = embedding(classes, attributes, embed) if labelled else None
        if isinstance(self.embed, nn.Embedding):
            nn.init.normal_(self.embed.weight, std=0.02)
        self.mix = nn.Sequential(SlowLinear(embed, embed), nn.SiLU(), SlowLinear(embed, embed)) if labelled else None
        self.to_logit = nn.ModuleList(TokenLogit(width, embed, labelled) for _ in range(stages))
        for part in (self.read, self.blocks, self.to_logit):
            xavier(part)
        initialise_slow(self, init)

    def _place(self, grids: list[tuple[int, int]], width: int, heads: int) -> None:
        """Keep where the tokens of all sizes are; before those of a size comes one without a place."""
        places, embedded, turns = [grid(*g) for g in grids], [], []
        for where in places:
            embedded.append(torch.cat([torch.zeros(1, width), waves(where, width)]))
            cosine, sine = rotation(where, width // heads)
            turns.append((torch.cat([torch.ones_like(cosine[:1]), cosine]), torch.cat([0 * sine[:1], sine])))
        cosines, sines = zip(*turns)
        self.segments = [len(where) + 1 for where in places]
        for name, parts in (("place", embedded), ("cosine", cosines), ("sine", sines)):
            self.register_buffer(name, torch.cat(list(parts)), persistent=False)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the input layer, then each block."""
        return [self.read, *self.blocks]

    def tokens(self, x: Tensor) -> Tensor:
        """The tokens of all sizes (N, T, width) of images or of stages."""
        images = x.split(self.channels, 1)
        images = images * len(self.factors) if len(images) == 1 else images
        parts = []
        for image, factor, first in zip(images, self.factors, self.first):
            maps = self.read(pad_to_multiple(pool(image, factor), self.patch)).flatten(2).transpose(1, 2)
            parts += [first.to(maps.dtype).expand(x.shape[0], 1, -1), maps]
        return torch.cat(parts, 1) + self.place.to(x.dtype)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.tokens(x)
        for block in self.blocks:
            h = block(h, self.cosine, self.sine, self.segments)
        firsts = [part[:, 0] for part in h.split(self.segments, 1)]  # (N, width) of each size
        condition = None if self.embed is None or self.mix is None else self.mix(self.embed(label))
        logits = [last(first, condition) for last, first in zip(self.to_logit, firsts)]
        return Scores(torch.stack(logits, 2), features=(firsts[-1],))
