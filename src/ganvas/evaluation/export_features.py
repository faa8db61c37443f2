"""Features of images in an .npz, written a batch at a time."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..data.dataset import Dataset
from ..errors import UsageError
from ..files import atomic_write, explain_failure
from ..inference.places import Places
from ..paths import path_text, user_place
from .representation import Representation, open_representation


def export_features(
    source: Any,
    output: Any,
    *,
    of: str = "pocket",
    last: bool = False,
    resolution: str | None = None,
    device: str = "auto",
    parts: Callable[[Representation, Dataset], Iterator[Tensor]] = Representation.parts,
) -> dict[str, Any]:
    """Write the features of all images of a source to an .npz, here or at an address; returns their number and width.

    It holds `features` (N, D) float32, `labels` (N,) int64 with `class_names` where there are classes, and `protocol`,
    JSON.  Memory does not grow with the number of images.  `parts` computes the features, (n, D) at a time, in order.
    Raises `UsageError` as `open_representation` does.
    """
    output = user_place(output, "--output")
    if output.suffix.lower() != ".npz":
        raise UsageError(f"--output takes an .npz for features, not {output.name}.")
    places = Places(output=output.parent)
    next(places.names(output.parent), None)  # a storage that does not answer ends it here
    network = open_representation(of, last=last, device=device)
    data = network.open(source, resolution)
    protocol = {**network.features.protocol, "data": data.name, "images": len(data)}
    protocol |= {"layers": "last" if last else "all, max-pooled to 4x4"} if network.resolution else {}
    arrays = {"protocol": np.array(json.dumps(protocol))}
    if data.labels is not None:
        arrays |= {"labels": data.labels, "class_names": np.array(data.class_names)}
    with places, explain_failure(output):
        with atomic_write(places.part(output)) as temporary:
            width = _write(temporary, parts(network, data), len(data), arrays)
        places.finish(output)
    return {"output": path_text(output), "images": len(data), "width": width, **protocol}


def _write(file: Path, parts: Any, count: int, arrays: dict[str, np.ndarray]) -> int:
    """Write parts (N, D) as the array `features` of `count` rows, and other arrays; returns D."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            width = 0
            for part in parts:
                if not width:
                    width = part.shape[1]
                    header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
                    np.lib.format.write_array_header_1_0(member, header)
                member.write(np.ascontiguousarray(part.numpy(), "<f4").data)
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, values, allow_pickle=False)
    return width
