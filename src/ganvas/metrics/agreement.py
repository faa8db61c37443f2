"""Agreement of clusters with classes: purity, normalised mutual information, adjusted Rand index."""

import numpy as np


def purity(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Share of images (N,) whose class is the most frequent one of their cluster; noise, -1, is never right."""
    right = 0
    for cluster in np.unique(clusters[clusters >= 0]):
        right += int(np.bincount(labels[clusters == cluster]).max())
    return right / len(labels)


def agreement(clusters: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Purity, NMI (arithmetic mean) and ARI of clusters (N,) with classes (N,)."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    nmi, ari = normalized_mutual_info_score(labels, clusters), adjusted_rand_score(labels, clusters)
    return {"purity": purity(clusters, labels), "nmi": float(nmi), "ari": float(ari)}
