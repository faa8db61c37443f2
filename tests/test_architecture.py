"""The shape of the code base: imports point down, parts stay small, names stay the field's."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ganvas
from ganvas import catalog

ROOT = Path(ganvas.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Which names may be imported from above: only layers of a smaller number. `pixels`, `resize`, `policy`, ...
# stand with `config` and `game`, because data, imaging, tasks and the trainer all need them.
LAYERS = {
    **dict.fromkeys(["version", "config", "game", "resize", "policy", "schedule", "colour"], 1),
    **dict.fromkeys(["pixels", "depth", "dicom", "hardware"], 1),
    **dict.fromkeys(["networks", "losses", "augment", "data", "metrics", "imaging"], 2),
    "tasks": 3,
    **dict.fromkeys(["recipes", "trainer", "players", "signals", "distributed"], 4),
    **dict.fromkeys(["run", "catalog", "describe"], 5),
    **dict.fromkeys(
        ["model", "training", "request", "transfer", "evaluation", "doctor", "foreign", "finding", "enhance"], 5.5
    ),
    **dict.fromkeys(["translating", "filling", "reporting", "descent", "gatys", "stylizing", "restyling"], 5.5),
    **dict.fromkeys(["api", "picture_jobs"], 6),
    "judging": 6.5,
    **dict.fromkeys(["cli", "terminal", "judge_commands", "enhance_commands", "weight_commands", "studio"], 7),
    **dict.fromkeys(["progress", "output", "translate_commands", "report_commands", "style_commands"], 7),
    **dict.fromkeys(["__main__", "__init__"], 7),
}
SAME_LAYER = {1, 4, 5, 5.5, 7}  # where parts of one layer may know each other
STRANGERS = {
    ("recipes", "trainer"),
    ("recipes", "players"),
    ("recipes", "distributed"),
    ("recipes", "signals"),
    ("trainer", "signals"),
    ("trainer", "distributed"),
}


def part(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(file):
    """Every part of ganvas that a file imports, wherever in the file."""
    inside = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = inside[: len(inside) - node.level + 1]
            target = [*base, *(node.module or "").split(".")] if node.module else list(base)
            yield from [target[0]] if target else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganvas"):
            yield [*str(node.module).split("."), node.names[0].name][1]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_down(file):
    me = part(file)
    assert me in LAYERS, f"{me} has no layer"
    for other in set(imports(file)) - {me}:
        if me == "__init__" or other not in LAYERS:
            continue
        allowed = LAYERS[other] < LAYERS[me] or (LAYERS[other] == LAYERS[me] and LAYERS[me] in SAME_LAYER)
        assert allowed, f"{file.name} imports {other} from above"
        assert (me, other) not in STRANGERS, f"{me} must not know {other}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_parts_stay_small(file):
    lines = file.read_text().splitlines()
    assert len(lines) <= (250 if file.name == "trainer.py" else 400)
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree) or not lines, f"{file.name} opens with one sentence"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_names_are_the_fields(file):
    for banned in ("utils", "util", "misc", "helper", "common", "manager"):
        assert banned not in file.name.lower()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            assert "manager" not in node.name.lower()
            assert "validity" not in node.name.lower()


@pytest.mark.parametrize("name", ["trainer.py", "players.py", "tasks/base.py"])
def test_the_loop_knows_no_recipe(name):
    text = (ROOT / name).read_text().lower()
    for recipe in catalog.RECIPES:
        words = text.replace("_", " ").replace(".", " ").split()
        assert recipe in ("gan", "began") or recipe not in words
    for architecture in ("dcgan", "resnet", "stylegan", "cyclegan", "esrgan"):
        assert architecture not in text


def test_there_is_one_backward_and_one_step():
    def calls(name):
        found = []
        for file in FILES:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                    found.append((file.name, ast.unparse(node.func.value)))
        return found

    assert [f for f, _ in calls("backward")] == ["trainer.py"]
    assert [f for f, v in calls("step") if "optimizer" in v] == ["players.py"]


def test_nothing_unpickles_or_evaluates():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "np.load") or (
                    name == "np.load" and "allow_pickle=False" in ast.unparse(node)
                ), f"{file.name}: {name}"
                if name == "torch.load":
                    assert "weights_only=True" in ast.unparse(node)


@pytest.mark.parametrize("word", ["torchvision", "timm", "lpips", "piq"])
def test_nothing_depends_on(word):
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] == word for n in names)


def test_help_imports_no_torch():
    script = "import sys\ntry:\n from ganvas.cli import app; app(['--help'])\nexcept SystemExit: pass\n"
    script += "heavy = {'torch', 'numpy', 'sklearn', 'skimage', 'kornia', 'PIL'} & set(sys.modules)\n"
    script += "assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_component_has_a_name_of_its_own():
    listed = [target for shelf in catalog.SHELVES.values() for target in shelf.values() if isinstance(target, type)]
    assert len(listed) == len({*listed}) == len({*catalog.COMPONENTS.values()} - {*catalog.TASKS.values()})


@pytest.mark.parametrize("shelf", catalog.SHELVES)
def test_everything_in_the_catalogue_says_what_it_is(shelf):
    for name, thing in catalog.SHELVES[shelf].items():
        said = catalog.sentence(thing)
        assert 10 < len(said) < 200, (name, said)
        assert said.endswith("."), (name, said)
