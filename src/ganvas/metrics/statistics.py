"""Mean and covariance of features in a file, with the protocol they were computed by."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..archives import Npz, open_npz
from ..errors import UserError
from ..files import atomic_write
from .frechet import Gaussian

PUBLIC = {"features": "inception"}  # assumed for files of other tools, which hold mu and sigma alone
WIDEST = 1 << 15  # features: a covariance of 8 GiB
LONGEST = 1 << 20  # bytes of a protocol


def save_statistics(file: Path, gaussian: Gaussian, protocol: dict[str, Any]) -> None:
    """Write an .npz as the public tools read it (`mu`, `sigma`), with `count` and `protocol` beside them; atomic."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as part, part.open("wb") as stream:
        np.savez(
            stream,
            mu=gaussian.mean.numpy(),
            sigma=gaussian.covariance.numpy(),
            count=np.array(gaussian.count),
            protocol=np.array(json.dumps(protocol, sort_keys=True)),
        )


def is_statistics(file: Path) -> bool:
    """True for an .npz with a mean and a covariance instead of images."""
    if file.suffix.lower() != ".npz" or not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def load_statistics(file: Path) -> tuple[Gaussian, dict[str, Any]]:
    """The Gaussian of a file and its protocol; the count is 0 if the file has none.

    Raises `UserError` for a file that is damaged, declares more than a covariance can be, or holds numbers that are no
    mean and covariance.
    """
    with open_npz(file, "statistics of features") as archive:
        _check_shapes(file, archive)
        mean, covariance = archive.read("mu"), archive.read("sigma")
        count = float(archive.read("count", 16)) if "count" in archive.names else 0.0
        text = archive.read("protocol", LONGEST) if "protocol" in archive.names else json.dumps(PUBLIC)
        protocol = json.loads(str(text))
    if not 0 <= count < math.inf:
        raise UserError(f"{file} says that it was computed from {count:g} images.")
    if not isinstance(protocol, dict):
        raise UserError(f"{file} says by a {type(protocol).__name__} how it was made, and not by names and values.")
    if mean.dtype.kind not in "fiu" or covariance.dtype.kind not in "fiu":
        raise UserError(f"{file} holds {mean.dtype} and {covariance.dtype}, and a mean and a covariance are real.")
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{file} holds numbers that are not finite; make it again by ganvas statistics.")
    if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=1e-8 * np.abs(covariance).max()):
        raise UserError(f"{file} holds a covariance that is not symmetric; make it again by ganvas statistics.")
    if covariance.diagonal().min() < 0:
        raise UserError(f"{file} holds a covariance with a negative variance.")
    return Gaussian(torch.from_numpy(mean), torch.from_numpy(covariance), int(count)), protocol


def _check_shapes(file: Path, archive: Npz) -> None:
    """Raise `UserError` unless the headers declare (D,) and (D, D), before anything is read."""
    mean, covariance = archive.shape("mu"), archive.shape("sigma")
    width = mean[0] if len(mean) == 1 else 0
    if not 0 < width <= WIDEST or covariance != (width, width):
        raise UserError(
            f"{file} holds a mean of shape {mean} and a covariance of shape {covariance}, which are not (D,) and"
            f" (D, D) of 1 to {WIDEST:,} features."
        )
