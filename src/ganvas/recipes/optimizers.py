"""Optimisers that recipes share."""

from typing import Any

from ..config import Spec


def both(optimizer: Spec) -> dict[str, Any]:
    """The optimisers of both players, alike."""
    return {"g_optimizer": optimizer, "d_optimizer": optimizer.copy()}
