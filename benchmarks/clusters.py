"""Clusters of labelled images by the features of runs, beside k-means on pixels: purity, NMI, ARI.

python benchmarks/clusters.py TEST runs/infogan runs/dcgan pocket [--k 10]
"""

import argparse
import tempfile
from pathlib import Path

import torch
from sklearn.decomposition import PCA

from ganvas.api import cluster, open_source
from ganvas.evaluation.cluster import COMPONENTS, assign, describe
from ganvas.evaluation.probe import pixels


def by_pixels(name: str, k: int) -> dict[str, float]:
    """As `ganvas cluster` does it with features: k-means on the first principal components."""
    data = open_source(name)
    numbers, _ = assign(PCA(COMPONENTS, random_state=0).fit_transform(pixels(data)), k, "kmeans", 0)
    return describe(data, numbers, "kmeans")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--k", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| | purity | NMI | ARI |\n|---|---|---|---|")
    for name in [*asked.networks, "pixels"]:
        with tempfile.TemporaryDirectory() as folder:
            if name == "pixels":
                found = by_pixels(asked.data, asked.k)
            else:
                found = cluster(asked.data, Path(folder) / "clusters", of=name, k=asked.k)
        print(f"| `{name}` | {100 * found['purity']:.1f} % | {found['nmi']:.2f} | {found['ari']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
