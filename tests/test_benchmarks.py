"""Every script of benchmarks/ and examples/ imports with the names that the package has now."""

import ast
import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SCRIPTS = sorted([*TOP.glob("benchmarks/*.py"), *TOP.glob("examples/*.py")])


def imports(script: Path) -> list[ast.ImportFrom]:
    """The imports from ganvas of a script, those inside functions too."""
    nodes = ast.walk(ast.parse(script.read_text()))
    return [n for n in nodes if isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] == "ganvas"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_imports(script):
    runpy.run_path(str(script), run_name="imported")
    for node in imports(script):
        module = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(module, alias.name):
                importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("script", [s for s in SCRIPTS if "argparse" in s.read_text()], ids=lambda script: script.stem)
def test_a_script_has_help(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.slow
def test_the_figures_of_a_gpu_on_the_cpu():
    command = [sys.executable, str(TOP / "benchmarks/gpu.py"), "--device", "cpu", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert done.returncode == 0, done.stderr[-2000:]
    assert not [row for row in rows if "failed" in row]
    for word in (
        "step of dcgan",
        "step of wgan_gp",
        "R1 every 16th",
        "upscale x4",
        "pocket",
        "Frechet",
        "torchrun of one",
    ):
        assert any(word in row for row in rows), word
