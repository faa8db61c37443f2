"""Path length regularisation: equal steps in style make equal steps in the image."""

import torch
from torch import Tensor

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress, SharedBuffers, StyleBased
from ..schedule import as_schedule
from .gradient_penalties import Penalty


class PathLength(Penalty, SharedBuffers):
    """Path length: E(|J^T y| - a)^2 with the Jacobian J of images by styles and noise y (Karras et al. 2020, eq. 4).

    a is the running mean of |J^T y|.  As the authors' code: on half of the batch, every fourth step and then four
    times as heavy, y divided by the root of the images' pixels, the length of a style that differs by layer being the
    root of the mean square over layers.  Needs a generator with `mapping` and `synthesis`.
    """

    player = "generator"
    mean: Tensor

    def __init__(
        self,
        *,
        weight: float | Spec = 2.0,  # or a schedule of it
        every: int = 4,  # steps from one evaluation to the next
        decay: float = 0.01,  # share of a step in the running mean, more than 0 to 1
        shrink: int = 2,  # the penalty is on one of so many parts of the batch
    ):
        super().__init__()
        if every < 1 or shrink < 1 or not 0 < decay <= 1:
            raise UsageError(f"every and shrink are at least 1 and decay in (0, 1], got {every}, {shrink}, {decay}.")
        self.weight, self.every, self.decay, self.shrink = as_schedule(weight), every, decay, shrink
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        if progress.step % self.every:
            return None
        net = match.net
        if not isinstance(net, StyleBased):
            raise UsageError("Path length needs a generator with styles: generator=stylegan2_generator.")
        assert match.draw is not None
        assert match.draw.latent is not None
        count = max(len(match.draw.latent) // self.shrink, 1)
        label = None if match.draw.label is None else match.draw.label[:count]
        styles = net.mapping(match.draw.latent[:count], label)  # (n, layers, S)
        images = net.synthesis(styles)
        noise = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
        (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()  # (n,)
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return self.weight(progress.fraction) * self.every * (lengths - mean).square().mean()
