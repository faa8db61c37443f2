"""Bicubic scaling against the public x4 test sets, whose small images were made by MATLAB.

    python benchmarks/bicubic.py ../shared/data/sr-benchmark/Set5 ../shared/data/sr-benchmark/BSD100

Each folder holds HR and LR.  Printed: how far our small images are from MATLAB's, in levels of 255, and the PSNR on
Y of the small images enlarged again, four pixels of border cut off.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from ganvas.imaging.decode import read_image
from ganvas.imaging.resize import resize
from ganvas.metrics.psnr import psnr


def levels(file: Path) -> Tensor:
    """(1, C, H, W) float64 in [0, 255]."""
    return torch.from_numpy(read_image(file).array.copy()).double().permute(2, 0, 1)[None]


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        apart, same, measured, names = 0.0, [], [], []
        small = {file.stem.split("x4")[0]: file for file in sorted((folder / "LR").iterdir())}
        for file in sorted((folder / "HR").iterdir()):
            good, low = levels(file), levels(small[file.stem])
            ours = resize(good, scale=1 / 4, edges="repeat", top=255)
            apart = max(apart, (ours - low).abs().max().item())
            same.append((ours == low).double().mean().item())
            measured.append(psnr(resize(low, scale=4).round().clamp(0, 255), good, channel="y", border=4).item())
            names.append(file.stem)
        count = len(names)
        print(
            f"{folder.name}: {count} images, largest difference {apart:g}, equal pixels {100 * sum(same) / count:.2f} %"
        )
        print(f"{folder.name}: PSNR of bicubic x4 {sum(measured) / count:.3f} dB")


if __name__ == "__main__":
    main()
