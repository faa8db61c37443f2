"""The data that a run was trained on, opened again."""

from collections.abc import Mapping
from typing import Any

from ..data.dataset import Dataset
from ..data.sources import open_saved
from ..errors import UserError


def open_run_data(config: Mapping[str, Any], patch: int = 0) -> Dataset:
    """The training data of a run by its config, held-out images included, in the size it was trained on.

    `patch` is the side of the crops that the recipe trains on.  Raises `UserError` for data that were passed in Python,
    are missing, or have changed since the run started.
    """
    data = config["data"]
    source, size = data.get("path") or data.get("source"), data.get("asked_resolution")
    if not isinstance(source, str) or not source:
        raise UserError("The data were passed in Python, so they cannot be read again.")
    resolution = (int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None
    labels, seed = (_whole(value) for value in (data.get("labels_kept"), config.get("seed")))
    saved = str(data.get("fingerprint"))
    try:
        dataset = open_saved(source, saved, labels or None, seed, resolution=resolution, patch=patch)
    except UserError as problem:
        raise UserError(f"The training data cannot be read again: {problem}") from None
    if dataset.fingerprint != saved:
        raise UserError(f"The data have changed since the run started ({source}).")
    return dataset


def _whole(value: object) -> int:
    """A whole number of a config; 0 for anything else."""
    return value if isinstance(value, int) and 0 < value < 1 << 62 else 0
