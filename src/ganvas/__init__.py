"""Train, evaluate and apply generative adversarial networks for images.

run = ganvas.train("dcgan", data="digits", outdir="runs/digits", images=20_000)
model = ganvas.load("runs/digits")
images = model.sample(16, seed=0)          # (16, C, H, W) in [-1, 1]
"""

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import (
        Model,
        Recipe,
        Run,
        Spec,
        UserError,
        enhance,
        evaluate,
        load,
        remove,
        report,
        stylize,
        synthesize,
        train,
    )

__all__ = ["Model", "Recipe", "Run", "Spec", "UserError", "__version__"]
__all__ += ["edit_region", "enhance", "evaluate", "load", "remove", "report", "stylize", "synthesize", "train"]


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that `ganvas --help` need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    from . import api

    return getattr(api, name)
