"""What each command may import: nothing that it does not use, so that it starts at once."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import ganvas
import processes

# Packages that take time to import; everything else is small.
HEAVY = {"PIL", "av", "kornia", "numpy", "pandas", "pydicom", "rich", "safetensors", "scipy", "skimage", "sklearn"}
HEAVY |= {
    "onnx",
    "onnxruntime",
    "onnxscript",
    "sympy",
    "tensorboard",
    "tifffile",
    "torch",
    "torch._dynamo",
    "torch._inductor",
    "typer",
}
CORE = {"torch", "numpy", "PIL", "safetensors"}
SMALL = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of images, and a run that was trained on it."""
    place = tmp_path_factory.mktemp("imports")
    for folder in ("a", "b"):
        (place / folder).mkdir()
        for k in range(8):
            pixels = np.random.default_rng(k).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(place / folder / f"{k}.png")
    small = ["generator.width=4", "discriminator.width=4"]
    ganvas.train("dcgan", data=str(place / "a"), outdir=place / "run", images=8, batch=8, set=small, device="cpu")
    return place


def imported(arguments, folder, allowed):
    """The packages of `HEAVY` that Python imports, by its own -X importtime.

    Where those of `CORE` are allowed, a module is forked from a process that has them, and says what else it imports.
    """
    if allowed >= CORE and arguments[0] == "-m":
        done = processes.run(*arguments, cwd=folder, warm_with=processes.CORE)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.modules & HEAVY
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, timeout=250, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2000:]
    modules = set(re.findall(r"^import time:.*\|\s+(\S+)$", done.stderr, re.MULTILINE))
    return {name for name in HEAVY if name in modules}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["-c", "import ganvas"], set()),
        (["-c", "import ganvas.api"], CORE),
        (["-m", "ganvas", "--help"], {"typer"}),
        (["-m", "ganvas", "upscale", "--help"], {"typer"}),
        (["-m", "ganvas", "list"], {"typer", "rich"}),
        (["-m", "ganvas", "list", "--json"], {"typer"}),
        (["-m", "ganvas", "show", "dcgan"], CORE | {"typer", "rich"}),
        (
            [
                "-m",
                "ganvas",
                "train",
                "dcgan",
                "--data",
                "a",
                "--outdir",
                "new",
                "--images",
                "8",
                "--batch",
                "8",
                *SMALL,
            ],
            CORE | {"typer", "rich"},
        ),
        (
            ["-m", "ganvas", "sample", "run", "-o", "x.png", "--seeds", "0-3", "--device", "cpu"],
            CORE | {"typer", "rich"},
        ),
        (  # shapes of meta tensors are computed by functions of PyTorch that import sympy
            ["-m", "ganvas", "upscale", "-i", "a/0.png", "-o", "y.png", "--device", "cpu"],
            CORE | {"typer", "rich", "sympy"},
        ),
        (["-m", "ganvas", "eval", "psnr", "a", "b"], CORE | {"typer", "rich"}),
        (["-m", "ganvas", "eval", "fd", "a", "b", "--device", "cpu"], CORE | {"typer", "rich", "scipy"}),
        (["-m", "ganvas", "doctor", "run"], CORE | {"typer", "rich"}),
        (["-m", "ganvas", "report", "run"], CORE | {"typer", "rich"}),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_uses(arguments, allowed, place):
    assert imported(arguments, place, allowed) <= allowed
