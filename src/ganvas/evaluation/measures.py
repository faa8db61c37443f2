"""The measures that need no training of their own, by name; which can be watched, and which way is better."""

from __future__ import annotations

from collections.abc import Callable

from . import discriminator as critic
from . import distribution as sets
from . import pairwise as pixelwise
from .comparison import Numbers, Question

MEASURES: dict[str, Callable[[Question], Numbers]] = {
    "fd": sets.fd,
    "fid": sets.fid,
    "kid": sets.kid,
    "is": sets.inception_scores,
    "prdc": sets.neighbourhoods,
    "memorisation": sets.memorisation,
    "diversity": sets.variety,
    "modes": sets.modes,
    "psnr": pixelwise.psnr,
    "ssim": pixelwise.ssim,
    "ms_ssim": pixelwise.ms_ssim,
    "lpips": pixelwise.lpips,
    "critic": critic.critic,
}

# What can be measured while a model trains: its numbers, first the one that says which snapshot is best.
WATCHED: dict[str, tuple[str, ...]] = {
    "fd": ("fd",),
    "fid": ("fid",),
    "kid": ("kid",),
    "is": ("is",),
    "prdc": ("coverage", "precision", "recall", "density"),
    "diversity": ("diversity",),
    "modes": ("reverse_kl", "modes", "good"),
}

LESS_IS_BETTER = {"fd", "fid", "fd_infinity", "intra_fd", "kid", "reverse_kl", "lpips", "memorisation", "memory"}
