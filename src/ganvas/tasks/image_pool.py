"""The pool of past fakes that CycleGAN shows to its discriminators."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError


class Pool(nn.Module):
    """A store of past fakes: half of each batch, at random, is exchanged for random ones (Shrivastava et al. 2017).

    As in CycleGAN's code: until the pool is full every image is kept and returned; then one in two goes in, and the
    one whose place it takes comes out.  A batch larger than the pool takes part with its first `size` images.  With
    several processes each has its own, and all resume with the first one's.
    """

    images: Tensor
    labels: Tensor
    count: Tensor

    def __init__(self, *, size: int = 50):  # images it holds
        super().__init__()
        if size < 1:
            raise UsageError(f"pool holds at least one image, got {size}.")
        self.size = size
        self.register_buffer("images", torch.zeros(0))  # (size, C, H, W), once the shape is known
        self.register_buffer("labels", torch.zeros(0))  # (size,) or (size, D), if there are labels
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # of places taken

    @torch.no_grad()
    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Images (N, C, H, W) and their labels to as many, some of them from the past.

        Nothing here depends on a number on the device, so a GPU is never waited for.
        """
        if not self.images.numel():
            self.images = torch.zeros(self.size, *images.shape[1:], device=images.device)
            if labels is not None:
                self.labels = labels.new_zeros(self.size, *labels.shape[1:])
        n, device = min(len(images), self.size), images.device
        full, order = self.count >= self.size, self.count + torch.arange(n, device=device)
        places = torch.where(full, torch.randperm(self.size, device=device)[:n], order % self.size)
        chosen, fresh = full & (torch.rand(n, device=device) < 0.5), order < self.size
        out = _exchange(self.images, images, places, chosen, fresh)
        known = None if labels is None else _exchange(self.labels, labels, places, chosen, fresh)
        self.count.add_(n).clamp_(max=self.size)
        return out, known

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Saved images and labels bring their shapes along."""
        for name in ("images", "labels"):
            if prefix + name in state_dict:
                saved = state_dict[prefix + name]
                setattr(self, name, torch.zeros(saved.shape, dtype=saved.dtype, device=self.count.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _exchange(store: Tensor, new: Tensor, places: Tensor, chosen: Tensor, fresh: Tensor) -> Tensor:
    """Put the fresh and the chosen rows into their places; of the chosen, return what was there."""
    n, shape = len(places), (-1, *[1] * (new.ndim - 1))
    chosen, fresh = chosen.view(shape), fresh.view(shape)
    old, head = store[places], new[:n]
    store[places] = torch.where(chosen | fresh, head.to(store.dtype), old)  # the places are all different
    return torch.cat([torch.where(chosen, old.to(new.dtype), head), new[n:]])
