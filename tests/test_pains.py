"""What users of today's tools suffer from, where no other file names it (4 to 12 and 14: tiling, enhance, finding)."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas import cli
from ganvas.networks import cyclegan as translation
from ganvas.networks.compact import Compact

ROOT = Path(__file__).parents[1]
QUICK = {"device": "cpu", "precision": "fp32", "batch": 2, "images": 8, "resolution": 8}
SMALL = {"generator.width": 4, "generator.convolutions": 1, "degradation.scale": 2}


def imported():
    """Every module that the package imports, by its first name, and whether that is at the top of a file."""
    found = {}
    for file in (ROOT / "src" / "ganvas").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.partition(".")[0], []).append((file.name, node.col_offset == 0))
    return found


def test_no_other_project_can_break_the_import():
    """Pain 1: private doors of torchvision; pain 3: frameworks in lock-step."""
    others = {"torchvision", "basicsr", "realesrgan", "mmcv", "mmengine", "mmagic", "diffusers", "timm", "lpips", "piq"}
    found = imported()
    assert not others & found.keys()
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {e for extra in told["optional-dependencies"].values() for e in extra}
    assert not [d for d in [*told["dependencies"], *extras] for other in others if d.startswith(other)]


def test_the_package_is_described_not_computed():
    """Pain 2: an installer that runs code of ours breaks with the next Python."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert not (ROOT / "setup.py").exists()
    assert "torch" not in " ".join(told["build-system"]["requires"])
    assert "<" not in told["project"]["requires-python"]


def test_what_the_package_needs_is_installed_with_it():
    """Every file beside the code is named, or an installation would lack it."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ganvas"]
    package = ROOT / "src" / "ganvas"
    others = {f for f in package.rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")}
    assert others == {f for pattern in told for f in package.glob(pattern)}


def test_help_does_not_wait_for_torch():
    """Pain 1 again: what a command does not need is not imported."""
    code = "import sys, ganvas.cli; sys.exit(bool({'torch', 'kornia', 'matplotlib'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_frames_stay_one_for_one(tmp_path):
    """Pain 13: a film is a folder of frames here; none is lost, made up or renamed, and a bad one is named."""
    (tmp_path / "frames").mkdir()
    names = [f"frame_{k:06d}.png" for k in (1, 2, 10, 11, 100)]
    for k, name in enumerate(names):
        Image.new("RGB", (12, 10), (40 * k, 0, 0)).save(tmp_path / "frames" / name)
    torch.save(Compact(scale=2, width=4, convolutions=1).state_dict(), tmp_path / "model.pth")
    arguments = ["upscale", "-i", tmp_path / "frames", "-o", tmp_path / "out", "--model", tmp_path / "model.pth"]
    assert CliRunner().invoke(cli.app, [str(a) for a in arguments]).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    (tmp_path / "frames" / names[2]).write_bytes(b"no image")
    arguments[4] = tmp_path / "again"
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert done.exit_code == 1
    assert names[2] in done.output
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == [n for n in names if n != names[2]]


def test_training_goes_on_with_its_optimiser(tmp_path):
    """Pain 15: a training that is resumed is one that never stopped, optimiser and all."""
    options = {"data": "digits", "set": SMALL, **QUICK}
    ganvas.train("compact", outdir=tmp_path / "once", **options)
    ganvas.train("compact", outdir=tmp_path / "parts", snapshot_images=4, minutes=0.0, **options)
    ganvas.train(outdir=tmp_path / "parts", resume=True)
    a, b = (ganvas.load(tmp_path / name, device="cpu", precision="fp32") for name in ("once", "parts"))
    for x, y in zip(a.task.generator.parameters(), b.task.generator.parameters()):
        assert torch.equal(x, y)


def test_any_size_goes_through_and_no_checkerboard():
    """Pain 15: 256 pixels only, and the pattern of transposed convolutions."""
    torch.manual_seed(0)
    network = translation.Generator(width=4, blocks=1, up="resize").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 37, 50)).shape == (1, 3, 37, 50)
        flat = network(torch.full((1, 3, 64, 64), 0.3))[..., 24:40, 24:40]
    assert flat.std((2, 3)).max() < 1e-5  # of a flat image, far from the edges, nothing but flat is made


def test_psnr_says_its_convention(tmp_path):
    """Pain 15: numbers that do not match the papers', because nobody says channel and border."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        noise = np.random.default_rng(ord(name)).integers(0, 255, (20, 20, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / name / "x.png")
    for channel, border in (("y", 4), ("rgb", 0)):
        sides = [str(tmp_path / "a"), str(tmp_path / "b")]
        options = ["--channel", channel, "--border", str(border)]
        done = CliRunner().invoke(cli.app, ["eval", "psnr", *sides, *options])
        assert done.exit_code == 0, done.output
        lines = [line.strip() for line in done.output.splitlines()]
        assert f"channel: {channel}" in lines
        assert f"border: {border}" in lines
