"""Mutated files of every kind: no crash, no hang, nothing executed (of `benchmarks/fuzz.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks/fuzz.py"


def fuzz(*arguments):
    command = [sys.executable, str(FUZZ), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.mark.parametrize("parts", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused(parts, tmp_path):
    images, files = 100 * parts, 12 * parts
    done = fuzz("--images", images, "--files", files, "--seed", 5, "--state", tmp_path / "state.json")
    assert done.returncode == 0, done.stdout[-4000:]
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["counts"]["images"], state["counts"]["files"], state["findings"]) == (images, files, [])
    assert images / 3 < state["counts"]["images refused"] < images * 0.9, "both the readable and the unreadable"
    assert files / 5 < state["counts"]["files refused"] < files * 0.9


PLANTED = """
import sys
sys.path.insert(0, {folder!r})
import fuzz
from fuzz_bytes import Case

def crash(): return {{}}["x"]
def execute(): import os; os.system("true"); return ""
def write(): open({elsewhere!r}, "w").close(); return ""
def hang():
    while True: pass
def bloat(): return "" * len(b"x" * (300 << 20))
ACTS = [crash, execute, write, hang, bloat, lambda: "", lambda: "refused"]
fuzz.SECONDS, fuzz.BYTES = 1.0, 128 << 20
def build(kind, seed, number, folder): return Case("planted", ACTS[number] if kind == "image" else ACTS[5])
fuzz.build = build
fuzz.main(["--images", "7", "--files", "0", "--state", {state!r}])
"""


@pytest.mark.slow
def test_the_watch_sees_what_it_is_for(tmp_path):
    script = PLANTED.format(folder=str(FUZZ.parent), elsewhere=str(tmp_path / "x"), state=str(tmp_path / "state.json"))
    subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    findings = json.loads((tmp_path / "state.json").read_text())["findings"]
    said = {finding["case"]: finding["problem"] for finding in findings}
    for case, word in (("0", "KeyError"), ("1", "os.system"), ("2", "writes"), ("3", "hangs"), ("4", " MB")):
        assert word in said.pop(f"image {case}")
    assert not said
