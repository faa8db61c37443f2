"""Clusters of images by their features: a sheet, a table, folders of links, and agreement with classes."""

import csv
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..data.annotations import annotate_files
from ..data.batches import iterate_once
from ..data.dataset import Dataset
from ..data.files import Folder
from ..data.idx import is_idx
from ..errors import UsageError
from ..files import atomic_write, explain_failure
from ..imaging.grid import grid
from ..metrics.agreement import agreement
from ..paths import user_path
from .representation import Representation, open_representation

COMPONENTS = 64  # principal components that are clustered
ROW = 16  # images of a cluster on the sheet
Method = Literal["kmeans", "hdbscan"]


def cluster(
    source: Any,
    output: Any,
    *,
    of: str = "pocket",
    k: int = 10,
    method: Method = "kmeans",
    resolution: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Cluster the images of a source by their features, and write what belongs together to a new folder.

    The first 64 principal components of the features are clustered by k-means (best of ten starts) or HDBSCAN, where
    `k` is the smallest size of a cluster.  `output` gets clusters.csv, clusters.png (the images nearest to each centre,
    a row a cluster) and, for a folder of images, a sub-folder of links a cluster.  Returns sizes and, where there are
    labels, purity, NMI and ARI.  Raises `UsageError` for a `k` that the data cannot meet.
    """
    network = open_representation(of, device=device)
    data = network.open(source, resolution)
    check_number(k, method, len(data))
    folder = user_path(output, "--output")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds other files; give a new folder.")
    rows = components(network, data, seed)
    numbers, distance = assign(rows, k, method, seed)
    names = None if isinstance(source, Dataset) else file_names(str(source), data)
    with explain_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "clusters.csv", data, names, numbers, distance)
        write_sheet(folder / "clusters.png", data, numbers, distance)
        if names is not None:
            link(Path(str(source)), folder, names, numbers)
    return {"output": str(folder), **describe(data, numbers, method), **network.features.protocol, "data": data.name}


def check_number(k: int, method: Method, images: int) -> None:
    """Raise `UsageError` for fewer than two clusters, or more than images."""
    if method not in ("kmeans", "hdbscan"):
        raise UsageError(f"--method is kmeans or hdbscan, not {method!r}.")
    if not 2 <= k <= images:
        raise UsageError(f"--k must be from 2 to the number of images, {images:,}; got {k}.")


def components(network: Representation, data: Dataset, seed: int) -> np.ndarray:
    """The first principal components of the features, (N, at most 64); features pass through a file."""
    from sklearn.decomposition import PCA, IncrementalPCA

    with tempfile.TemporaryFile() as file:
        for part in network.parts(data):
            file.write(part.numpy().data)
            width = part.shape[1]
        file.flush()
        rows = np.memmap(file, np.float32, "r", shape=(len(data), width))
        count = min(COMPONENTS, width, len(data))
        if rows.nbytes < 1 << 28:
            return PCA(count, svd_solver="auto", random_state=seed).fit_transform(rows)
        fit = IncrementalPCA(count, batch_size=max(512, count))
        return np.asarray(fit.fit_transform(rows))


def assign(rows: np.ndarray, k: int, method: Method, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of every row, (N,), -1 for noise, and its distance to the mean of its cluster, (N,)."""
    from sklearn.cluster import HDBSCAN, KMeans

    if method == "kmeans":
        numbers = KMeans(k, n_init=10, random_state=seed).fit_predict(rows)
    else:
        numbers = HDBSCAN(min_cluster_size=k, copy=True).fit_predict(rows)
    distance = np.full(len(rows), np.inf)
    for one in np.unique(numbers[numbers >= 0]):
        own = numbers == one
        distance[own] = np.linalg.norm(rows[own] - rows[own].mean(0), axis=1)
    return numbers.astype(np.int64), distance


def describe(data: Dataset, numbers: np.ndarray, method: Method) -> dict[str, Any]:
    """Sizes of the clusters, and their agreement with the classes where there are any."""
    sizes = np.bincount(numbers[numbers >= 0]).tolist()
    entries = {"images": len(data), "clusters": len(sizes), "sizes": sizes, "noise": int((numbers < 0).sum())}
    labelled = data.labelled if data.labels is not None else np.empty(0, np.int64)
    same = agreement(numbers[labelled], np.asarray(data.labels)[labelled]) if len(labelled) else {}
    return {**entries, **same, "method": method}


def file_names(source: str, data: Dataset) -> list[str] | None:
    """The files of a folder in the order of its data; None for any other source."""
    path = user_path(source)
    if not path.is_dir() or is_idx(path):
        return None
    unusable = {file for file, _ in data.skipped}
    names = [file for file in annotate_files(Folder(path), None).files if file not in unusable]
    return names if len(names) == len(data) else None


def write_table(file: Path, data: Dataset, names: Sequence[str] | None, numbers: np.ndarray, far: np.ndarray) -> None:
    """Write a line for each image: its number, file, class, cluster and distance to the centre."""
    with atomic_write(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["index", "file", "label", "cluster", "distance"])
        for k, (one, distance) in enumerate(zip(numbers.tolist(), far.tolist())):
            label = "" if data.labels is None or data.labels[k] < 0 else data.class_names[int(data.labels[k])]
            table.writerow([k, names[k] if names else "", label, one, f"{distance:.6g}" if one >= 0 else ""])


def write_sheet(file: Path, data: Dataset, numbers: np.ndarray, distance: np.ndarray) -> None:
    """Write a row for each cluster: its images nearest to the centre."""
    rows = []
    for one in np.unique(numbers[numbers >= 0]):
        own = np.flatnonzero(numbers == one)
        nearest = own[np.argsort(distance[own], kind="stable")[:ROW]]
        images = torch.cat([batch["image"] for batch in iterate_once(data.subset(nearest), ROW)])
        blank = torch.ones(ROW - len(images), *images.shape[1:])
        rows.append(torch.cat([images, blank]))
    if rows:
        with atomic_write(file) as temporary:
            grid(torch.cat(rows), ROW).save(temporary, "PNG")


def link(source: Path, folder: Path, names: Sequence[str], numbers: np.ndarray) -> None:
    """Make a folder a cluster with links to its images; copies where the system has no links."""
    for k, (name, one) in enumerate(zip(names, numbers.tolist())):
        place = folder / (f"cluster_{one:03d}" if one >= 0 else "noise")
        place.mkdir(exist_ok=True)
        target, new = (source / name).resolve(), place / f"{k:06d}_{Path(name).name}"
        try:
            os.symlink(target, new)
        except OSError:
            shutil.copyfile(target, new)
