"""Images a second of `upscale --on ray` by one and by two workers of one thread each, and the most two processes give.

    OMP_NUM_THREADS=1 python benchmarks/ray_bulk.py [--pairs 3] [--images 200] [--size 128] [--free]

The limit is that of two plain processes on half of the images each, without Ray.  Both are measured one after the
other, in pairs.  The rate is that between the dates of the first file written and of the last one.  Each worker has a
core of its own; with --free the threads in which it reads and writes may take another one, too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


def open_network(cores: Path | None = None):
    """The work on an image: that of `ganvas upscale --device cpu --precision fp32`.

    `cores` is a folder in which each process takes a core of its own.
    """
    from ganvas.cli.images import NetworkArguments, PlaceArguments, ResultArguments, TileArguments, open_work

    if cores is not None:
        os.sched_setaffinity(0, {take_core(cores)})
    network = NetworkArguments(device="cpu", precision="fp32")
    return open_work("upscale", "x4", PlaceArguments(), ResultArguments(), TileArguments(), network)


def take_core(cores: Path) -> int:
    """The first core that no other process has taken in a folder."""
    for core in sorted(os.sched_getaffinity(0)):
        try:
            (cores / str(core)).mkdir()
            return core
        except FileExistsError:
            continue
    raise SystemExit("There are more workers than cores.")


def by_ray(source: Path, output: Path, workers: int, cores: Path | None) -> None:
    """Upscale a folder by the workers of a local cluster."""
    from ganvas.inference.batch import FileOptions
    from ganvas.sweeps.bulk import Bulk, Folder
    from ganvas.sweeps.cluster import WorkerOptions

    bulk = Bulk(Folder(source, output, FileOptions()), partial(open_network, cores), WorkerOptions(workers))
    assert {outcome["status"] for outcome in bulk.run()} == {"done"}


def by_processes(source: Path, output: Path, workers: int, cores: Path | None) -> None:
    """Upscale a folder by plain processes, each of which has every `workers`-th image."""
    command = [sys.executable, __file__, "--part", str(source), str(output), str(cores or ""), str(workers)]
    running = [subprocess.Popen([*command, str(k)]) for k in range(workers)]
    assert [process.wait() for process in running] == [0] * workers


def do_part(source: Path, output: Path, cores: Path | None, workers: int, k: int) -> None:
    """Upscale the images of one plain process: the local command."""
    from dataclasses import replace

    from ganvas.inference.batch import jobs_for, run_jobs

    batch, work = jobs_for(source, output), open_network(cores)
    batch = replace(batch, jobs=batch.jobs[k::workers])
    assert {outcome.status for outcome in run_jobs(batch, work.change, None, work.size)} == {"done"}


Way = Callable[[Path, Path, int, Path | None], None]


def measure(way: Way, source: Path, place: Path, workers: int, free: bool) -> tuple[float, float]:
    """The seconds from the first file to the last, and those of the whole job."""
    output, cores = Path(tempfile.mkdtemp(dir=place)), None if free else Path(tempfile.mkdtemp(dir=place))
    start = time.perf_counter()
    way(source, output, workers, cores)
    whole, dates = time.perf_counter() - start, [file.stat().st_mtime for file in output.iterdir()]
    assert len(dates) == len([*source.iterdir()])
    return max(dates) - min(dates), whole


def compare(name: str, way: Way, source: Path, place: Path, free: bool) -> list[float]:
    """The ratios of two workers to one: of the rates, and with their start."""
    results = {n: measure(way, source, place, n, free) for n in (1, 2)}
    ratios = [one / two for one, two in zip(results[1], results[2])]
    seconds = ", ".join(f"{n}: {rate:.1f} s ({whole:.1f} with start)" for n, (rate, whole) in results.items())
    print(f"{name:10} {seconds}; ratio {ratios[0]:.2f} ({ratios[1]:.2f} with start)", flush=True)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--free", action="store_true", help="let a worker use every core")
    parser.add_argument("--part", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        source, output, cores, workers, k = args.part
        return do_part(Path(source), Path(output), Path(cores) if cores else None, int(workers), int(k))
    from ganvas.sweeps.cluster import connect

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    connect()
    ratios: dict[str, list[list[float]]] = {"processes": [], "ray": []}
    with tempfile.TemporaryDirectory() as place:
        write_images(source := Path(place, "in"), args.images, args.size)
        for _ in range(args.pairs):
            for name, way in (("processes", by_processes), ("ray", by_ray)):
                ratios[name].append(compare(name, way, source, Path(place), args.free))
    for name, values in ratios.items():
        median, whole = (statistics.median(part) for part in zip(*values))
        print(f"{name}: two are {median:.2f} times one, with start {whole:.2f}")


if __name__ == "__main__":
    main()
