"""Time the Frechet distance at Inception's size against the plain way, in turn in one process.

    python benchmarks/frechet.py                     the trace term, 10,000 images end to end (composed), bf16
    python benchmarks/frechet.py --memory            the most memory that 5,000 and 50,000 images take
    python benchmarks/frechet.py --pocket            images a second through the embedded network

The plain way is that of the public port most people use (pytorch-fid): batches of 50 through the network in NCHW
float32 with its batch norms, all features kept, `numpy.cov`, and `scipy.linalg.sqrtm` of the product of the
covariances.  It is written here from what it does, and nothing in it is slowed down.  The weights are random, which
changes no time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import scipy.linalg
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from ganvas.evaluation.inputs import Side, open_side
from ganvas.features.extractor import Features
from ganvas.features.inception import Inception
from ganvas.metrics.frechet import Gaussian, frechet_distance

IMAGES, DIMENSIONS = 10_000, 2048


class Files(torch.utils.data.Dataset):
    """Images of a folder as float tensors in [0, 1], opened one by one."""

    def __init__(self, folder: Path):
        self.files = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        image = np.asarray(Image.open(self.files[index]).convert("RGB"))
        return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


def plain_features(network: Inception, folder: Path) -> np.ndarray:
    """All features of a folder, (N, 2048)."""
    kept = np.empty((len(list(folder.iterdir())), DIMENSIONS))
    start = 0
    for batch in DataLoader(Files(folder), 50, num_workers=min(len(os.sched_getaffinity(0)), 8)):
        with torch.no_grad():
            maps = network.maps(2 * batch - 1)["2048"]
            pooled = torch.nn.functional.adaptive_avg_pool2d(maps, (1, 1))
        kept[start : start + len(batch)] = pooled.squeeze(3).squeeze(2).numpy()
        start += len(batch)
    return kept


def plain_statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.cov(features, rowvar=False)


def plain_distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    root = scipy.linalg.sqrtm(a[1].dot(b[1]))
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * np.trace(root.real))


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def spoken(name: str, plain: list[float], ours: list[float]) -> tuple[float, float]:
    """Print and return the two medians."""
    a, b = statistics.median(plain), statistics.median(ours)
    ratios = sorted(p / o for p, o in zip(plain, ours))
    print(f"{name}: plain {a:.3f} s, ganvas {b:.3f} s, x {a / b:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)
    return a, b


def trace(rounds: int) -> tuple[float, float]:
    """Seconds of the distance of two sets of statistics, the plain way and ours; both must agree."""
    source = np.random.default_rng(0)
    mixing = source.standard_normal((DIMENSIONS, DIMENSIONS)) / DIMENSIONS**0.5
    sets = [np.abs(source.standard_normal((IMAGES, DIMENSIONS)) @ mixing) + k * 0.01 for k in range(2)]
    theirs = [plain_statistics(x) for x in sets]
    mine = [Gaussian.of(torch.from_numpy(x)) for x in sets]
    plain, ours = [], []
    for _ in range(rounds):
        seconds, a = timed(lambda: plain_distance(*theirs))
        plain.append(seconds)
        seconds, b = timed(lambda: frechet_distance(*mine))
        ours.append(seconds)
    print(f"distances: plain {a:.10f}, ganvas {b:.10f}")
    return spoken("distance of statistics, 2,048 features", plain, ours)


def images(folder: Path, count: int) -> None:
    """Photograph-like JPEG files of 299x299."""
    source = np.random.default_rng(1)
    for k in range(count):
        small = Image.fromarray(source.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        small.resize((299, 299), Image.Resampling.BICUBIC).save(folder / f"{k:05}.jpg", quality=90)


def moments(network: Features, folder: Path) -> Gaussian:
    """Our way from a folder of files, nothing kept from before."""
    with TemporaryDirectory() as cache:
        return open_side(folder, cache=Path(cache)).gaussian(network)


def inception_features() -> tuple[Inception, Features, Features]:
    """The same random network: the plain one, ours, ours in bf16."""
    torch.manual_seed(0)
    plain = Inception().eval()
    ours = Features(Inception(), name="inception")
    ours.network.load_state_dict(plain.state_dict())
    ours.network.fold()
    ours.network.to(memory_format=torch.channels_last)
    rounded = ours.exact()
    rounded.bf16 = True
    return plain, ours, rounded


def end_to_end(count: int, rounds: int) -> None:
    plain, ours, rounded = inception_features()
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "bf16": []}
    with TemporaryDirectory() as place:
        folder = Path(place)
        images(folder, count)
        assert np.allclose(plain_statistics(plain_features(plain, folder))[0], moments(ours, folder).mean, rtol=1e-3)
        for _ in range(rounds):
            seconds["plain"].append(timed(lambda: plain_statistics(plain_features(plain, folder)))[0])
            seconds["ours"].append(timed(lambda: moments(ours, folder))[0])
            seconds["bf16"].append(timed(lambda: moments(rounded, folder))[0])
    theirs, mine = spoken(f"statistics of {count} files of 299x299, float32", seconds["plain"], seconds["ours"])
    _, fast = spoken("the same, ours in bf16", seconds["plain"], seconds["bf16"])
    plain_root, our_root = trace(3)
    for name, each, root in (("float32", mine, our_root), ("bf16", fast, our_root)):
        whole = (theirs * IMAGES / count + plain_root, each * IMAGES / count + root)
        ratio = whole[0] / whole[1]
        print(f"{IMAGES:,} images, {name}: plain {whole[0]:.0f} s, ganvas {whole[1]:.0f} s, x {ratio:.2f}")


def memory() -> None:
    """Peak memory of measuring, each number of images in a process of its own."""
    for count in (5_000, 50_000):
        subprocess.run([sys.executable, __file__, "--once", str(count)], check=True)


def once(count: int) -> None:
    """Draw `count` samples of a small generator and measure them through the embedded network."""
    network = Features("pocket")

    class Noise(Side):
        def parts(self):
            source = torch.Generator().manual_seed(0)
            for start in range(0, self.count, 256):
                yield {"image": torch.rand(min(256, self.count - start), 3, 32, 32, generator=source) * 2 - 1}

    found = Noise("noise", count).gaussian(network)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.count:,} images of 32x32: {peak:.0f} MiB at most")


def pocket(rounds: int) -> None:
    network, images = Features("pocket"), torch.rand(2048, 3, 32, 32) * 2 - 1
    rounded = Features("pocket", bf16=True)
    for name, used in (("float32", network), ("bf16", rounded)):
        used(images[:256])
        seconds = statistics.median(timed(partial(used, images))[0] for _ in range(rounds))
        print(f"pocket, {name}: {len(images) / seconds:,.0f} images/s on {torch.get_num_threads()} threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="files a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--pocket", action="store_true")
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        once(asked.once)
    elif asked.memory:
        memory()
    elif asked.pocket:
        pocket(asked.rounds)
    else:
        end_to_end(asked.images, asked.rounds)


if __name__ == "__main__":
    main()
