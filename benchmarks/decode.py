"""Time to decode small PNGs, of this tree and of another, in turn.

    python benchmarks/decode.py                            # this tree alone
    python benchmarks/decode.py --against ../earlier/src   # another checkout's `src` in turn: the median ratio

Each round decodes 1,000 files of 32x32 pixels (RGB, every tenth grey, RGBA or with a palette) ten times in a fresh
process.  Of every 50 files the least of the ten processor times counts, so that other work disturbs it little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FILES, TIMES = 1000, 10
ROUND = f"""
import sys, time
from pathlib import Path
from ganvas.imaging.decode import read_image
files = sorted(Path(sys.argv[1]).iterdir())
read_image(files[0])
times = []
for _ in range({TIMES}):
    for k in range(0, len(files), 50):
        start = time.process_time()
        for file in files[k : k + 50]:
            read_image(file)
        times.append((k, time.process_time() - start))
print({TIMES} * sum(min(t for place, t in times if place == k) for k in {{k for k, _ in times}}))
"""


def write_files(place: Path) -> None:
    """1,000 PNGs of 32x32 pixels."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for k in range(FILES):
        image = Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8))
        mode = {1: "L", 2: "RGBA", 3: "P"}.get(k % 10, "RGB")
        image.convert(mode).save(place / f"{k:04}.png")


def measure(source: str, place: str) -> float:
    """Seconds of processor time in which the tree at `source` decodes 10,000 files."""
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    return float(subprocess.check_output([sys.executable, "-c", ROUND, place], env=environment))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the `src` folder of another checkout")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    sources = [str(Path(__file__).parents[1] / "src"), *([str(given.against.resolve())] if given.against else [])]
    times: list[list[float]] = []
    with tempfile.TemporaryDirectory() as place:
        write_files(Path(place))
        for k in range(given.rounds):
            times.append([measure(source, place) for source in (sources if k % 2 else sources[::-1])])
            times[-1] = times[-1] if k % 2 else times[-1][::-1]
    for source, column in zip(sources, zip(*times)):
        print(f"{source}: median {statistics.median(column):.3f} s for 10,000 files")
    if given.against:
        ratios = [here / there for here, there in times]
        print(f"ratio: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
