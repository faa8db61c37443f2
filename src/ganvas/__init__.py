"""Train, evaluate and apply generative adversarial networks for images.

run = ganvas.train("dcgan", data="digits", outdir="runs/digits", images=20_000)
model = ganvas.load("runs/digits")
images = model.sample(16, seed=0)          # (16, C, H, W) in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import Model, load, train
    from .config import Recipe, Spec
    from .errors import UserError
    from .evaluation.evaluate import evaluate
    from .inference.stylize import stylize
    from .reporting import report
    from .run import Run

__all__ = [
    "Model",
    "Recipe",
    "Run",
    "Spec",
    "UserError",
    "__version__",
    "evaluate",
    "load",
    "report",
    "stylize",
    "train",
]

_HOMES = {
    **dict.fromkeys(["Model", "load", "train"], "api"),
    **dict.fromkeys(["Recipe", "Spec"], "config"),
    "UserError": "errors",
    "Run": "run",
    "evaluate": "evaluation.evaluate",
    "report": "reporting",
    "stylize": "inference.stylize",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import ganvas` does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"ganvas.{_HOMES[name]}"), name)
