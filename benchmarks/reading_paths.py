"""Lines of the functions that a command enters, in the files that say what it computes.

    python benchmarks/reading_paths.py            # the three commands of docs/architecture.md
    python benchmarks/reading_paths.py --all      # every file that is entered, with its lines

The second figure adds the fields and docstrings of the classes used.  Blank lines and module level are not counted; a
training ends at its first optimiser step.  The second list of a command has the definitions that the first takes on
trust.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
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
        "game networks/label_inputs networks/strided_conv networks/layers networks/heads training/choice",
    ),
    "upscale -i a/0.png -o large.png": (
        [],
        "cli/images cli/batch inference/batch models/resolve models/foreign networks/compact inference/enhance"
        " inference/tiling inference/receptive_field",
        "models/recognise checkpoints/files imaging/photo imaging/decode imaging/bit_depth imaging/encode",
    ),
    "eval fd a a": (
        [],
        "cli/evaluate evaluation/evaluate catalog evaluation/comparison evaluation/distribution evaluation/inputs"
        " features/extractor features/pocket metrics/frechet",
        "data/sources data/folder data/files data/annotations data/dataset data/batches",
    ),
}


class FirstStep(BaseException):
    """Ends a training at its first optimiser step."""


def entered(arguments: list[str]) -> set[tuple[str, int]]:
    """(file, first line) of every function of the package that a command calls, and of the classes of its objects."""
    calls: set[tuple[str, int]] = set()
    classes: set[type] = set()

    def profile(frame, event, _):
        code = frame.f_code
        if event != "call":
            return
        if code.co_filename.startswith(str(ROOT)):
            calls.add((code.co_filename, code.co_firstlineno))
        elif code.co_name == "step" and "optim" in code.co_filename:
            raise FirstStep
        if code.co_filename == "<string>":  # the constructor of a dataclass or a named tuple
            classes.update(type(frame.f_locals["self"]).__mro__ if "self" in frame.f_locals else ())
            classes.update([frame.f_locals["_cls"]] if "_cls" in frame.f_locals else ())

    sys.setprofile(profile)
    try:
        with contextlib.suppress(FirstStep, SystemExit), contextlib.redirect_stdout(io.StringIO()):
            app(arguments, standalone_mode=False)
    finally:
        sys.setprofile(None)
    for cls in classes:
        if (cls.__module__ or "").startswith("ganvas."):
            calls.add((inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]))
    return calls


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def span(node: ast.stmt) -> range:
    """The lines of a definition with its decorators."""
    return range(min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno + 1)


def lines_of(calls: set[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Lines that are not blank of the functions entered, without and with the bodies of their classes, by file."""
    counts: dict[str, tuple[int, int]] = {}
    for file in {file for file, _ in calls}:
        text, functions, bodies = Path(file).read_text().splitlines(), set(), set()
        tree = ast.parse("\n".join(text))
        met = {n for n in ast.walk(tree) if isinstance(n, (*FUNCTIONS, ast.ClassDef)) and known(file, n, calls)}
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS) and node in met:
                functions |= set(span(node))
            elif isinstance(node, ast.ClassDef) and met & {node, *node.body}:
                inner = [span(n) for n in node.body if isinstance(n, FUNCTIONS)]
                bodies |= set(span(node)).difference(*inner)
        both = ({n for n in lines if text[n - 1].strip()} for lines in (functions, functions | bodies))
        counts[str(Path(file).relative_to(ROOT).with_suffix(""))] = tuple(map(len, both))
    return counts


def known(file: str, node: ast.stmt, calls: set[tuple[str, int]]) -> bool:
    """True if a definition is among the calls, by its own line or that of its first decorator."""
    return bool({(file, node.lineno), (file, span(node)[0])} & calls)


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
        for command, (more, *parts) in COMMANDS.items():
            counts = lines_of(entered([*command.split(), *more, "--device", "cpu"]))
            for title, files in zip(("path", "definitions"), parts):
                read = {name: counts.get(name, (0, 0)) for name in files.split()}
                lines, more_lines = map(sum, zip(*read.values()))
                print(f"ganvas {command}: {title}: {len(read)} files, {lines} lines, {more_lines} with classes")
                for name, (lines, more_lines) in sorted(counts.items()) if every else read.items():
                    print(f"    {lines:4} {more_lines:4}  {name}")
        os.chdir("/")


if __name__ == "__main__":
    main()
