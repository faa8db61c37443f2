"""Resident memory and the cost of data while training on folders of 1,000 and of 100,000 images.

    python benchmarks/data_memory.py [--images 1000 100000] [--side 32]

Each folder is trained on in a process of its own, from undecoded files; what is printed is the largest anonymous
resident memory (VmHWM without file pages, sampled), the part of a step that data takes, and the time to decode.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from resident import own_path

CHILD = """
    import json, sys, time
    import torch
    from ganvas import api
    from resident import Resident

    memory = Resident()

    folder, out, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    started = time.perf_counter()
    options = {"images": 64 * 30, "snapshot_images": 10**9, "workers": workers}
    session = api.prepare(api.TrainRequest("dcgan", folder, out, **options))
    prepared = time.perf_counter() - started
    data = []
    trainer = session.trainer
    stream = trainer.batches
    class Timed:
        def __iter__(self): return self
        def __next__(self):
            start = time.perf_counter()
            batch = next(stream)
            data.append(time.perf_counter() - start)
            return batch
    trainer.stream = Timed()
    started = time.perf_counter()
    for _ in session: pass
    took = time.perf_counter() - started
    share = sorted(data)[len(data) // 2] / (took / len(data))
    numbers = {"anonymous_mb": memory.megabytes, "prepare_s": round(prepared, 1), "data_share": round(share, 5)}
    print(json.dumps(numbers))
"""


def fill(folder: Path, count: int, side: int) -> None:
    """`count` PNG files in ten class folders; a thousand different images, repeated."""
    source = np.random.default_rng(0)
    files = []
    for _ in range(min(count, 1000)):
        buffer = io.BytesIO()
        Image.fromarray(source.integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    for k in range(10):
        (folder / f"class{k}").mkdir(parents=True)
    for k in range(count):
        (folder / f"class{k % 10}" / f"{k:06d}.png").write_bytes(files[k % len(files)])


def measure(count: int, side: int, workers: int) -> dict:
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place, "images"), count, side)
        environment = {**os.environ, "PYTHONPATH": own_path(), "GANVAS_CACHE": f"{place}/cache"}
        arguments = [f"{place}/images", f"{place}/run", str(workers)]
        command = [sys.executable, "-c", textwrap.dedent(CHILD), *arguments]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return {"images": count, **json.loads(done.stdout), "total_s": round(time.perf_counter() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    for count in args.images:
        print(json.dumps(measure(count, args.side, args.workers)), flush=True)


if __name__ == "__main__":
    main()
