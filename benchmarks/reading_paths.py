"""Lines of the functions that a command enters, in the files that one reads to know what it computes.

    python benchmarks/reading_paths.py            # the three commands of docs/architecture.md
    python benchmarks/reading_paths.py --all      # every file that is entered, with its lines

Blank lines, module level and class bodies are not counted; a training ends at its first optimiser step.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import ganvas
from ganvas.cli import app

ROOT = Path(ganvas.__file__).parent
SMALL = ["--images", "8", "--batch", "8", "--set", "generator.width=4", "--set", "discriminator.width=4"]
COMMANDS = {
    "train dcgan --data a --outdir run": (
        SMALL,
        "cli/train training/session recipes/generation tasks/generation tasks/base networks/dcgan"
        " losses/adversarial training/trainer training/players",
    ),
    "upscale -i a/0.png -o large.png": (
        [],
        "cli/images cli/batch inference/batch models/resolve models/foreign networks/compact inference/enhance"
        " inference/tiling inference/receptive_field",
    ),
    "eval fd a a": (
        [],
        "cli/evaluate evaluation/evaluate catalog evaluation/comparison evaluation/distribution evaluation/inputs"
        " features/extractor features/pocket metrics/frechet",
    ),
}


class FirstStep(BaseException):
    """Ends a training at its first optimiser step."""


def entered(arguments: list[str]) -> set[tuple[str, int]]:
    """(file, first line) of every function of the package that a command calls."""
    calls: set[tuple[str, int]] = set()

    def profile(frame, event, _):
        code = frame.f_code
        if event != "call":
            return
        if code.co_filename.startswith(str(ROOT)):
            calls.add((code.co_filename, code.co_firstlineno))
        elif code.co_name == "step" and "optim" in code.co_filename:
            raise FirstStep

    sys.setprofile(profile)
    try:
        with contextlib.suppress(FirstStep, SystemExit), contextlib.redirect_stdout(io.StringIO()):
            app(arguments, standalone_mode=False)
    finally:
        sys.setprofile(None)
    return calls


def lines_of(calls: set[tuple[str, int]]) -> dict[str, int]:
    """Lines that are not blank of the functions entered, by file."""
    counts: dict[str, int] = {}
    for file in {file for file, _ in calls}:
        text, marked = Path(file).read_text().splitlines(), set()
        for node in ast.walk(ast.parse("\n".join(text))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if {(file, node.lineno), (file, first)} & calls:
                    marked |= {n for n in range(first, node.end_lineno + 1) if text[n - 1].strip()}
        counts[str(Path(file).relative_to(ROOT).with_suffix(""))] = len(marked)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="list every file that is entered")
    every = parser.parse_args().all
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("a").mkdir()
        for k in range(40):
            pixels = np.random.default_rng(k).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(f"a/{k}.png")
        for command, (more, files) in COMMANDS.items():
            counts = lines_of(entered([*command.split(), *more, "--device", "cpu"]))
            read = {name: counts.get(name, 0) for name in files.split()}
            print(f"ganvas {command}: {len(read)} files, {sum(read.values())} lines")
            for name, count in sorted(counts.items()) if every else read.items():
                print(f"    {count:4}  {name}")
        os.chdir("/")


if __name__ == "__main__":
    main()
