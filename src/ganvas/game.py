"""The values that tasks, losses, penalties and networks exchange."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn


class Scores(NamedTuple):
    """A discriminator's outputs for N images."""

    logits: Tensor  # (N, K), or (N, K, h, w) for a discriminator of patches; K is the loss's `outputs`, usually 1
    label_logits: Tensor | None = None  # (N, classes), before any softmax
    features: tuple[Tensor, ...] = ()  # maps and vectors before the logits; the last one is (N, F)
    code: Tensor | None = None  # (N, D): the prediction of the generator's code
    input: Tensor | None = None  # (N, C, H, W): the images as the discriminator saw them, after augmentation


class Draw(NamedTuple):
    """Generated images and the inputs they were generated from."""

    image: Tensor  # (N, C, H, W) in [-1, 1]
    label: Tensor | None = None  # (N,) int64, or (N, D) float32 for vectors
    latent: Tensor | None = None  # (N, latent)
    code: Tensor | None = None


@dataclass
class Match:
    """Real and fake images of one step with their scores and the networks: the input of penalties.

    In the discriminator's step the fake images carry no gradient; in the generator's step they do, and the real
    scores are there only if its loss or a penalty uses them (`relative`).  `discriminate` scores images, by default
    with the labels of the real ones, in float32 and outside any compiled graph, so that it can be differentiated twice.
    The images as the discriminator saw them are `real_scores.input` and `fake_scores.input`.
    """

    real: Tensor
    fake: Tensor
    real_scores: Scores | None
    fake_scores: Scores
    discriminate: Callable[..., Scores]
    net: nn.Module | None = None  # the network whose weights the loss trains
    label: Tensor | None = None  # of the real images
    draw: Draw | None = None  # inputs of the fake images, in the generator's step
    fake_label: Tensor | None = None  # of the fake images
    to_scalar: Callable[[Tensor], Tensor] = lambda logits: logits  # the loss's: (N, K, ...) to (N, 1, ...)
    precise: bool = True  # the scores were computed in float32


class Probe(NamedTuple):
    """N real and N generated images with the discriminator's scores, for monitoring only."""

    real: Tensor  # (N, C, H, W)
    fake: Tensor  # (N, C, H, W)
    real_score: Tensor  # (N,): higher is more real, whatever the loss's logits mean
    fake_score: Tensor  # (N,)


@dataclass
class Objective:
    """Named terms, all minimised; named statistics, only logged."""

    terms: dict[str, Tensor]
    stats: dict[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The sum of the terms: a float32 scalar."""
        return sum(t.float() for t in self.terms.values())  # type: ignore[return-value]


@dataclass(frozen=True)
class Progress:
    """The progress of a run, and this process's place among all."""

    images: int = 0  # real images drawn so far
    total: int = 1  # planned images
    step: int = 0  # steps of the game so far
    share_fakes: bool = False  # both players move once on this batch, so one set of fakes serves both
    rank: int = 0
    world: int = 1

    @property
    def fraction(self) -> float:
        """Share of the planned run that is done, in [0, 1]."""
        return min(self.images / max(self.total, 1), 1.0)

    def mine(self, whole: Tensor) -> Tensor:
        """This process's part of a tensor for the whole batch that every process drew alike.

        Drawing for all and taking a part makes N processes train exactly as one with the whole batch.
        """
        return whole if self.world == 1 else whole.chunk(self.world)[self.rank]


class SharedBuffers:
    """Mixin of a module whose own buffers are averaged over all processes after each step of the game."""


class WidthAware:
    """Mixin of a network whose learning rate is the optimiser's times `rate`, so that it fits the network's width."""

    rate: float = 1.0


class ImageToImage(nn.Module):
    """Base of networks from images (N, C, H, W) in [-1, 1] to images (N, C', scale H, scale W).

    A network overrides what differs from these defaults, as attributes of its class or in its constructor.
    """

    scale: int = 1  # side of the output as a multiple of the input's
    masked: bool = False  # the last channel of the input is a mask: 1 in a hole, -1 elsewhere
    guide: int = 0  # channels of a guide between the image and the mask: `imaging.guide`
    colours: bool = False  # gives grey images their colours
    keeps_alpha: bool = False  # changes colours alone: transparency stays as it is
    tileable: bool = False  # tiles may be blended where the network looks at the whole image, or its reach is unknown
    multiple: int = 1  # tiles begin at multiples of it, where that does not follow from the network's operations
    float32_only: bool = False  # its code is of another package, and may not work in another format

    def on_images(self) -> "ImageToImage":
        """The network for a user's images: itself, unless it reads something else, such as lightness."""
        return self


class Head(Protocol):
    """The last part of a discriminator: features (N, F), perhaps with a label, to `Scores`, and a loss of the label."""

    learns_fakes: bool  # the discriminator minimises `loss` for fake images too, not for real ones alone

    def __call__(self, h: Tensor, label: Tensor | None = None) -> Scores: ...

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        """Terms that conditioning adds to either player's objective, by name."""


class BaseDiscriminator(nn.Module):
    """Base of discriminators: images (N, C, H, W), perhaps with a label, to `Scores`."""

    head: Head | None  # none: the network has no loss for the label

    def __init__(self) -> None:
        super().__init__()
        self.head = None  # not a class attribute: that would hide the submodule of the same name

    def stages(self) -> Sequence[nn.Module]:
        """The parts that `freeze_d` counts, from the image on."""
        return ()

    def own_terms(self, real: Scores) -> dict[str, Tensor]:
        """Terms that this network adds to the discriminator's objective, by name, from the scores of real images."""
        return {}


@runtime_checkable
class StyleBased(Protocol):
    """A generator in two parts, as StyleGAN's: latents to styles, styles to images."""

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The style of every layer, (N, layers, S)."""

    def synthesis(self, w: Tensor) -> Tensor:
        """Images from styles."""


@runtime_checkable
class TruncatesNoise(Protocol):
    """A generator that maps noise to truncated noise of its own kind."""

    def truncate(self, z: Tensor, trunc: float) -> Tensor:
        """Truncated noise (N, latent)."""


@dataclass(frozen=True)
class Space:
    """A latent space of a generator: codes (N, size) float32, from which it draws images (N, C, H, W).

    `draw` takes codes and labels and `encode` maps noise and labels to codes; both keep gradients.  Labels are those
    that the generator itself takes, None for an unconditional one.
    """

    size: int  # numbers of a code
    draw: Callable[[Tensor, Tensor | None], Tensor]
    encode: Callable[[Tensor, Tensor | None], Tensor] | None = None  # noise (N, latent) to codes; None: they are noise
    parts: tuple[int, ...] = ()  # numbers of a code that each layer reads, in order; empty: one layer reads all
    layered: str = ""  # the space in which every layer has a code of this space to itself; empty: there is none
    weights: Callable[[], list[Tensor]] | None = None  # matrices (O, size) of the layers that read a code
    centre: Tensor | None = None  # the average code, (size,), to which truncation moves codes; None: that of the noise


@runtime_checkable
class HasSpaces(Protocol):
    """A generator that names its latent spaces, from the noise `z` to the one with most numbers."""

    def spaces(self) -> dict[str, Space]:
        """Every latent space by name."""


@runtime_checkable
class HasNoise(Protocol):
    """A generator that adds noise to its maps; in evaluation the noise is `fixed`, (1, 1, h, w), of each layer."""

    def noise_layers(self) -> Sequence[Any]:
        """The layers that add noise, in order."""


@runtime_checkable
class Encodes(Protocol):
    """A task whose model also finds the noise of images, in one pass."""

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, latent) of images (N, C, H, W)."""


@runtime_checkable
class HasMaps(Protocol):
    """A generator whose encoder's maps can be compared."""

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of images."""


@runtime_checkable
class Truncates(Protocol):
    """A generator with a truncation trick of its own, instead of latents scaled by the strength."""

    def truncated(self, z: Tensor, label: Tensor | None, trunc: float) -> Tensor:
        """Images of truncated latents; `trunc` 1 is none, 0 the average image."""
