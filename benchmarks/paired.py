"""Share of a training's processor time that the evaluation of held-out pairs takes, at its default interval.

python benchmarks/paired.py --images 12000       GANVAS_DATA has sr-train, and Set5 as low and high resolution

SPAN at x4 in its preset `tiny`; five pairs of Set5 by PSNR.  Loading and the report are part of the whole.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import ganvas
from ganvas.evaluation.during_training import Evaluation

DATA = Path(os.environ.get("GANVAS_DATA", "../shared/data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_000)
    asked = parser.parse_args()
    spent: list[float] = []
    look = Evaluation.look

    def timed(*arguments):
        begun = time.process_time()
        try:
            return look(*arguments)
        finally:
            spent.append(time.process_time() - begun)

    Evaluation.look = timed
    pairs = DATA / "sr-benchmark" / "Set5"
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        ganvas.train(
            "span",
            preset="tiny",
            data=DATA / "sr-train",
            outdir=Path(folder) / "run",
            images=asked.images,
            eval_data=f"source={pairs / 'LR'},target={pairs / 'HR'}",
        )
        whole = time.process_time() - begun
    share = sum(spent) / whole
    print(f"{len(spent)} evaluations, {sum(spent):.2f} s of {whole:.1f} s of processor time: {share:.2%}")


if __name__ == "__main__":
    main()
