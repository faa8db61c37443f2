"""How many images a second each degradation makes on one core: python benchmarks/degrade_speed.py [SIDE]"""

import sys
import time

import torch

from ganvas.catalog import DEGRADATIONS
from ganvas.config import Spec
from ganvas.imaging.resize import resize


def main(side: int = 256) -> None:
    torch.set_num_threads(1)
    images = resize(torch.rand(8, 3, side // 8, side // 8), (side, side)).clamp(0, 1) * 2 - 1
    for name, target in DEGRADATIONS.items():
        parts = [Spec(DEGRADATIONS[n]) for n in ("lens_blur", "sensor_noise", "jpeg")]
        what = target(**{"chain": {"parts": parts}, "sometimes": {"part": parts[0]}}.get(name, {}))
        what(images[:1], [0], seed=1)
        began, done = time.process_time(), 0
        while time.process_time() - began < 2:
            what.source_and_target(images, range(done, done + len(images)), seed=0)
            done += len(images)
        print(f"{name:19}{done / (time.process_time() - began):8.0f} images of {side}x{side} a second of one core")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
