"""Public API: train, load, evaluate, stylize, report, and what they take and return; imported on first use."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Recipe as Recipe
    from .config import Spec as Spec
    from .errors import UserError as UserError
    from .evaluation.evaluate import evaluate as evaluate
    from .inference.stylize import stylize as stylize
    from .models.model import Model as Model
    from .models.model import accuracy as accuracy
    from .models.model import load as load
    from .reporting import report as report
    from .run import Run as Run
    from .training.request import TrainRequest as TrainRequest
    from .training.session import Session as Session
    from .training.session import find_recipe as find_recipe
    from .training.session import prepare as prepare
    from .training.session import train as train

HOMES = {
    **dict.fromkeys(["Recipe", "Spec"], "config"),
    "UserError": "errors",
    "evaluate": "evaluation.evaluate",
    "stylize": "inference.stylize",
    **dict.fromkeys(["Model", "accuracy", "load"], "models.model"),
    "report": "reporting",
    "Run": "run",
    "TrainRequest": "training.request",
    **dict.fromkeys(["Session", "find_recipe", "prepare", "train"], "training.session"),
}

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that importing ganvas takes no torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ganvas.{HOMES[name]}"), name)
