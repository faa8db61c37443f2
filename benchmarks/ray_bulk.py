"""Images a second of `upscale --on ray` by one and by two workers of one thread each.

    python benchmarks/ray_bulk.py

The rate is that between the dates of the first file written and of the last one.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, count: int, size: int) -> None:
    """Write images of noise."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for k in range(count):
        Image.fromarray(noise.integers(0, 255, (size, size, 3), np.uint8)).save(folder / f"{k:04d}.jpg")


def measure(source: Path, output: Path, workers: int) -> tuple[float, float]:
    """The seconds from the first file to the last, and those of the whole job."""
    from ganvas.cli.images import NetworkArguments, PlaceArguments, ResultArguments, TileArguments, open_work
    from ganvas.inference.batch import FileOptions
    from ganvas.sweeps.bulk import Bulk, Folder
    from ganvas.sweeps.cluster import WorkerOptions

    network = NetworkArguments(device="cpu", precision="fp32")
    work = partial(open_work, "upscale", "x4", PlaceArguments(), ResultArguments(), TileArguments(), network)
    options, start, done = FileOptions(), time.perf_counter(), 0
    for outcome in Bulk(Folder(source, output, options), work, output, options, WorkerOptions(workers)).run():
        done += outcome["status"] == "done"
    whole, dates = time.perf_counter() - start, [file.stat().st_mtime for file in output.iterdir()]
    assert done == len(dates) == len([*source.iterdir()])
    return max(dates) - min(dates), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    args = parser.parse_args()
    from ganvas.sweeps.cluster import connect

    connect()
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "in"
        write_images(source, args.images, args.size)
        results = {n: measure(source, Path(place) / f"out{n}", n) for n in (1, 2)}
    for n, (seconds, whole) in results.items():
        print(f"{n} workers: {args.images / seconds:.2f} images/s, {whole:.1f} s with start", flush=True)
    print(f"ratio {results[1][0] / results[2][0]:.2f}")


if __name__ == "__main__":
    main()
