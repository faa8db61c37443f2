"""What is written for people is true: the one-file example has the library's numbers, the code in docs runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
from ganvas import catalog
from ganvas.policy import Policy
from ganvas.training.trainer import Trainer

ROOT = Path(__file__).parents[1]


def one_file():
    spec = importlib.util.spec_from_file_location("dcgan_in_one_file", ROOT / "examples" / "dcgan_in_one_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_weights(theirs, ours):
    """The library's weights into the example's layers, in order; the first layer is stored channels-last there."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)
    for mine, other in zip(*([m for m in net.modules() if isinstance(m, kinds)] for net in (ours, theirs))):
        weight = other.weight.detach()
        if isinstance(other, nn.Linear):  # 4x4 maps, (h, w, channels) in the flat dimension
            weight = weight.view(4, 4, -1, weight.shape[1]) if len(weight) > 1 else weight.view(1, 4, 4, -1)
            weight = weight.permute(3, 2, 0, 1) if weight.shape[0] == 4 else weight.permute(0, 3, 1, 2)
        mine.weight.data.copy_(weight)
        if mine.bias is not None:
            mine.bias.data.copy_(other.bias)


class Images:
    def __init__(self, batch):
        self.images = torch.rand(5, batch, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def stream(self, starts, count):
        for start in starts:
            yield {"image": self.images[start // count]}


def test_the_example_is_the_library_step_for_step():
    example = one_file()
    recipe = catalog.RECIPES["dcgan"]()
    for path, value in {"generator.width": "32", "discriminator.width": "32", "batch": "16"}.items():
        recipe.set(path, value)
    task = recipe.task.build(resolution=(32, 32), channels=1)
    data = Images(16)
    trainer = Trainer(task, recipe, data, Policy(torch.device("cpu")))
    g, d = example.generator(), example.discriminator()
    copy_weights(task.generator, g)
    copy_weights(task.discriminator.net, d)
    optimizers = example.optimizer(g), example.optimizer(d)
    for k in range(4):
        torch.manual_seed(100 + k)
        trainer.advance()
        ours = trainer.read()
        torch.manual_seed(100 + k)
        theirs = example.step(g, d, *optimizers, data.images[k], torch.randn(16, 100))
        assert ours["d/adversarial"] == pytest.approx(theirs[0], rel=2e-4), k
        assert ours["g/adversarial"] == pytest.approx(theirs[1], rel=2e-4), k


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one_file().main(steps=50)
    assert "step   50" in capsys.readouterr().out
    assert (tmp_path / "digits.png").exists()


def python_in(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_your_own_variant_in_one_file(tmp_path, monkeypatch):
    """The page's script trains, resumes and is loaded again by somebody who vouches for its classes."""
    monkeypatch.chdir(tmp_path)
    (code,) = python_in("docs/own_variant.md")
    file = tmp_path / "mine.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("mine", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mine", module)
    spec.loader.exec_module(module)
    options = {"data": "digits", "resolution": 8, "device": "cpu"}
    run = ganvas.train(module.mine(), outdir="runs/mine", images=256, **options)
    ganvas.train(module.mine(), outdir="runs/mine", images=512, resume=True, device="cpu")
    with pytest.raises(ganvas.UserError, match="not in the catalogue"):
        ganvas.load(run.path)
    model = ganvas.load(run.path, device="cpu", trust=[module.OneBigLayer, module.Exponential])
    assert model.sample(3).shape == (3, 1, 8, 8)


def test_readme_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = ganvas.train

    def short(*arguments, **options):
        assert options["images"] == 40_000
        small = ["generator.width=4", "discriminator.width=4"]
        return real(*arguments, **{**options, "images": 128, "device": "cpu", "set": small})

    monkeypatch.setattr(ganvas, "train", short, raising=False)
    array = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    Image.fromarray(array).save("photo.jpg")
    for code in python_in("README.md"):
        exec(compile(code, "README.md", "exec"), {"array": array})
    assert Image.open("large.png").size == (40, 40)
    assert (tmp_path / "runs" / "uniform" / "model" / "generator.safetensors").exists()


def test_the_page_about_judging(tmp_path, monkeypatch, capsys):
    """Its module of one's own measures; its tables name every measure, network and weight file there is."""
    from ganvas.catalog import METRICS
    from ganvas.checkpoints.download import FILES
    from ganvas.evaluation.during_training import watchable
    from ganvas.features.extractor import NETWORKS

    monkeypatch.chdir(tmp_path)
    options = {"resolution": 32, "device": "cpu", "set": ["generator.width=4", "discriminator.width=4"]}
    ganvas.train("dcgan", data="digits", outdir="runs/digits", images=64, **options)
    (code,) = python_in("docs/evaluation.md")
    exec(compile(code, "evaluation.md", "exec"), {})
    assert "Coarse {'name': 'runs/digits', 'images': 500" in capsys.readouterr().out
    page = (ROOT / "docs" / "evaluation.md").read_text()
    for name in (*METRICS, *NETWORKS, *FILES):
        assert f"`{name}`" in page, name
    for name, numbers in watchable().items():
        assert re.search(rf"^\| `{name}` \| {', '.join(f'`{n}`' for n in numbers)}", page, re.MULTILINE), name


def test_commands_in_documents_exist():
    """Every `ganvas ...` line of the documents parses: commands and options are the ones there are."""
    import typer.main

    from ganvas.cli import app

    commands = typer.main.get_command(app).commands
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = 0
    for text in texts:
        joined = text.read_text().replace("\\\n", " ")
        for line in re.findall(r"^(?:torchrun .* -m )?ganvas ([\w-]+)(.*)$", joined, re.MULTILINE):
            name, rest = line
            assert name in commands, (text.name, name)
            options = {o for p in commands[name].params for o in (*p.opts, *p.secondary_opts, "--help")}
            for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest):
                assert option in options, (text.name, name, option)
            found += 1
    assert found >= 8


def test_links_in_documents_lead_somewhere():
    for text in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("benchmarks/*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", text.read_text()):
            assert (text.parent / target).exists(), (text.name, target)


def test_the_options_that_the_page_of_hacks_names_exist():
    text = (ROOT / "docs/ganhacks.md").read_text()
    spans = [re.findall(r"--set ([\w.]+)=(\S+)", span) for span in re.findall(r"`([^`]*)`", text)]
    spans = [options for options in spans if options]
    assert len(spans) > 20
    for options in spans:
        recipe = catalog.RECIPES["dcgan"]()
        for path, value in [("discriminator.width", "8"), *options]:
            recipe.set(path, value)
        recipe.task.build(resolution=(32, 32), channels=1, classes=3)
    assert {*re.findall(r"ganvas train (\w+)", text)} <= {*catalog.RECIPES}
