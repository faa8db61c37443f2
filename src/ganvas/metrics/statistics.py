"""Mean and covariance of features in a file, with what they were made by: a reference is looked at once."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import UserError
from .frechet import Gaussian

PUBLIC = {"features": "inception"}  # what files of others, which hold mu and sigma alone, are taken for


def save_statistics(file: Path, gaussian: Gaussian, protocol: dict[str, Any]) -> None:
    """Write an .npz as the public tools read it (`mu`, `sigma`), with `count` and `protocol` beside them; atomic."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("wb") as stream:
            said = np.array(json.dumps(protocol, sort_keys=True))
            np.savez(
                stream,
                mu=gaussian.mean.numpy(),
                sigma=gaussian.covariance.numpy(),
                count=np.array(gaussian.count),
                protocol=said,
            )
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def is_statistics(file: Path) -> bool:
    """Whether an .npz holds a mean and a covariance instead of pictures."""
    if file.suffix.lower() != ".npz" or not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def load_statistics(file: Path) -> tuple[Gaussian, dict[str, Any]]:
    """The Gaussian of a file and the protocol it was made by.

    Raises `UserError` for a file that is damaged, or holds numbers that are no mean and covariance.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            mean, covariance = (np.asarray(archive[k], np.float64) for k in ("mu", "sigma"))
            count = int(archive["count"]) if "count" in archive else 0
            protocol = json.loads(str(archive["protocol"])) if "protocol" in archive else dict(PUBLIC)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise UserError(f"{file} cannot be read as statistics of features: {problem}.") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not isinstance(protocol, dict):
        raise UserError(
            f"{file} holds a mean of shape {mean.shape} and a covariance of shape {covariance.shape}, which are not"
            " (D,) and (D, D)."
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{file} holds numbers that are not finite.")
    if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=1e-8 * np.abs(covariance).max()):
        raise UserError(f"{file} holds a covariance that is not symmetric.")
    return Gaussian(torch.from_numpy(mean), torch.from_numpy(covariance), count), protocol
