"""Public API: train, load, evaluate, stylize, report, and what they take and return; imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Recipe, Spec
    from .errors import UserError
    from .evaluation.evaluate import evaluate
    from .inference.stylize import stylize
    from .models.model import Model, accuracy, load
    from .reporting import report
    from .run import Run
    from .training.request import TrainRequest
    from .training.session import Session, find_recipe, prepare, train

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

__all__ = [
    "Model",
    "Recipe",
    "Run",
    "Session",
    "Spec",
    "TrainRequest",
    "UserError",
    "accuracy",
    "evaluate",
    "find_recipe",
    "load",
    "prepare",
    "report",
    "stylize",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that importing ganvas takes no torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ganvas.{HOMES[name]}"), name)
