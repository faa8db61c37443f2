"""Resident memory and the cost of data while training on tar shards that are streamed, of 1,000 and of 100,000 images.

    python benchmarks/data_stream.py [--images 1000 100000] [--steps 30]

Tiles of photographs (64x64, JPEG) in shards of 1,000, repeated; the cache may hold nothing (GANVAS_CACHE_GB=0).  Each
set is trained on in a process of its own; what is printed is the largest anonymous resident memory, the part of a
step that waits for data, the part that reading and decoding take in their thread, and the time to write the index.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from resident import own_path

PER_SHARD = 1000
CHILD = """
    import json, sys, time
    import numpy as np
    from ganvas import api
    from ganvas.data.streamed import Streamed
    from resident import Resident

    shards, out, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    from ganvas.data import open_source
    started = time.perf_counter()
    data = open_source(shards)
    index = time.perf_counter() - started
    assert isinstance(data.images, Streamed) and len(data) == int(sys.argv[4]), data
    memory = Resident()
    session = api.prepare(api.TrainRequest("dcgan", shards, out, images=64 * steps, snapshot_images=10**9))
    started = time.perf_counter()
    for _ in session:
        pass
    step = (time.perf_counter() - started) / steps
    waits = [line["diagnostics/data_wait_share"] for line in session.run.log()]
    batches, took = session.batches, []
    for k in range(20):
        started = time.perf_counter()
        batches.at(64 * k, 64)
        took.append(time.perf_counter() - started)
    session.close()
    numbers = {"anonymous_mb": memory.megabytes, "index_s": round(index, 1), "step_s": round(step, 3)}
    numbers |= {"wait_share": round(float(np.median(waits)), 4)}
    numbers |= {"decode_share": round(float(np.median(took)) / step, 4)}
    print(json.dumps(numbers))
"""


def fill(folder: Path, count: int) -> None:
    """`count` images in shards."""
    from ganvas.data import open_source

    files = []
    for image in open_source("photos").images[:PER_SHARD]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    folder.mkdir()
    for first in range(0, count, PER_SHARD):
        with tarfile.open(folder / f"{first // PER_SHARD:04d}.tar", "w") as tar:
            for k in range(first, min(first + PER_SHARD, count)):
                for kind, content in (("jpg", files[k % len(files)]), ("cls", str(k % 10).encode())):
                    info = tarfile.TarInfo(f"{k:08d}.{kind}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def measure(count: int, steps: int) -> dict:
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place, "shards"), count)
        environment = {**os.environ, "PYTHONPATH": own_path(), "GANVAS_CACHE": f"{place}/cache", "GANVAS_CACHE_GB": "0"}
        arguments = [f"{place}/shards", f"{place}/run", str(steps), str(count)]
        command = [sys.executable, "-c", textwrap.dedent(CHILD), *arguments]
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
        return {"images": count, **json.loads(done.stdout), "total_s": round(time.perf_counter() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    for count in args.images:
        print(json.dumps(measure(count, args.steps)), flush=True)


if __name__ == "__main__":
    main()
