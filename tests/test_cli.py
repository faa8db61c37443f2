"""The command as a person meets it: answers, exit codes, sentences, and nothing but JSON on stdout when asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

import ganvas
import processes
from ganvas import catalog
from ganvas.cli import app
from ganvas.cli.sample import parse_seeds
from ganvas.errors import UsageError

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One small trained run for every command that needs one."""
    return ganvas.train("dcgan", outdir=tmp_path_factory.mktemp("cli") / "run", images=32, **TINY).path


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", ["", "list", "show", "train", "sample", "interpolate", "demo"])
def test_help_says_what_it_does(name, flag, command):
    code, out, _ = command(*[name] * bool(name), flag)
    assert code == 0
    assert "Usage: ganvas" in out


SCREENS = [(name,) for name in typer.main.get_command(app).commands] + [
    ("weights", n) for n in ("list", "fetch", "add")
]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("screen", SCREENS, ids=" ".join)
def test_help_fits_the_terminal_and_states_defaults_in_one_form(screen, width, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = command(*screen, "--help")
    assert max(map(len, out.splitlines())) <= width
    assert "-h, --help" in out
    assert not re.findall(r"default:\s*(?:\(|None|]|$)", out, re.MULTILINE)


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)
def test_every_option_is_a_sentence_and_its_default_stands_in_brackets(name):
    for option in typer.main.get_command(app).commands[name].params:
        assert option.help, option.name
        assert option.help.removesuffix(" [required]").endswith("."), option.help
        assert not re.search(r"\((?:none|all|off|auto|found|detected|as |the |\d)[^)]*\)\.?$", option.help), option.help


def test_help_begins_with_the_commands_that_most_users_need(command):
    _, out, _ = command("--help")
    names = re.findall(r"^  ([a-z]\S*) ", out, re.MULTILINE)
    assert names[:5] == ["demo", "train", "sample", "upscale", "eval"]
    assert sorted(names) == sorted(typer.main.get_command(app).commands)
    assert all(len(line) < 80 for line in out.splitlines())
    assert not re.search(r"^ {10,}\S", out, re.MULTILINE), "a summary of more than one line"


def test_version(command):
    assert command("--version")[:2] == (0, f"ganvas {ganvas.__version__}\n")


@pytest.mark.parametrize("shelf", catalog.SHELVES)
def test_list(shelf, command):
    code, out, _ = command("list", shelf, "--json")
    assert code == 0
    entries = json.loads(out)[shelf]
    assert [e["name"] for e in entries] == list(catalog.SHELVES[shelf])
    assert all(e["sentence"] for e in entries)
    code, out, _ = command("list", shelf)
    assert code == 0
    assert all(name in out for name in catalog.SHELVES[shelf])


def test_list_all(command):
    code, out, _ = command("list", "--json")
    assert code == 0
    assert json.loads(out).keys() == {*catalog.SHELVES, "metrics"}


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_show_lists_every_option_with_what_it_means(name, command):
    code, out, _ = command("show", name, "--json")
    assert code == 0
    options = {o["path"]: o for o in json.loads(out)["options"]}
    widths = [path for path in options if path.endswith("width")]
    assert bool(widths) != (name == "adain")  # whose widths are those of the features it decodes
    assert {options[path]["type"] for path in widths} <= {"int"}
    assert options["g_optimizer.lr"]["value"] == catalog.RECIPES[name]().g_optimizer.get("lr")
    silent = [p for p, o in options.items() if not o["meaning"] and o["type"] != "component"]
    assert not silent, f"these say nothing of themselves: {silent}"
    code, out, _ = command("show", name)
    assert code == 0
    assert (widths or ["g_optimizer.lr"])[0] in out


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_everything_that_show_lists_can_be_set(name, command):
    _, out, _ = command("show", name, "--json")
    recipe = catalog.RECIPES[name]()
    for option in json.loads(out)["options"]:
        value = option["value"]
        names = isinstance(value, list) and (not value or isinstance(value[0], str))
        if option["type"].startswith("component") or names:
            continue
        recipe.set(option["path"], "none" if value is None else str(value))
    assert json.dumps(recipe.to_dict())


def test_show_a_saved_config(run, command):
    code, out, _ = command("show", run / "config.json", "--json")
    assert code == 0
    options = {o["path"]: o["value"] for o in json.loads(out)["options"]}
    assert options["generator.width"] == 4


def test_train_answers_with_one_object(tmp_path, command):
    code, out, err = command(
        "train", "dcgan", "--data", "digits", "--outdir", tmp_path / "r", "--resolution", 8, "--images", 32,
        "--batch", 8, "--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    answer = json.loads(out)
    assert answer["images"] == 32
    assert answer["stopped"] == "done"
    assert "d/adversarial" in answer["losses"]
    assert "1,797" in err  # what was found is said before training
    again, out, err = command("train", "--resume", "--outdir", tmp_path / "r", "--images", 48, "--json")
    assert again == 0
    assert json.loads(out)["images"] == 48


WRONG = [
    (["trian"], 2, "trian"),
    (["train", "dcgan", "--dtaa", "x"], 2, "--data"),
    (["train", "dcgna", "--data", "digits", "--outdir", "OUT"], 2, "Did you mean 'dcgan'"),
    (["train", "dcgan", "--data", "digits"], 2, "--outdir"),
    (["train", "dcgan", "--outdir", "OUT"], 2, "needs data"),
    (["train", "dcgan", "--data", "digits", "--outdir", "OUT", "--resolution", "7"], 2, "7"),
    (["train", "dcgan", "--data", "digits", "--outdir", "OUT", "--batch", "5000"], 2, "larger than the data"),
    (["train", "dcgan", "--data", "digits", "--outdir", "OUT", "--set", "generator.wdth=3"], 2, "Did you mean 'width'"),
    (["train", "dcgan", "--data", "EMPTY", "--outdir", "OUT"], 1, "EMPTY"),
    (["train", "dcgan", "--data", "digits", "--outdir", "RUN"], 2, "holds another run"),
    (["train", "--resume", "--outdir", "OUT"], 2, "does not exist"),
    (["show", "nothing.json"], 1, "No such file"),
    (["show", "dcgn"], 2, "Did you mean 'dcgan'"),
    (["list", "recipe"], 2, "Did you mean 'recipes'"),
    (["sample", "EMPTY", "-o", "x.png"], 2, "holds no model"),
    (["sample", "RUN", "-o", "x.bmp"], 2, "not .bmp"),
    (["sample", "RUN", "-o", "x.png", "--seeds", "9-3"], 2, "--seeds takes"),
    (["sample", "RUN", "-o", "x.png", "--label", "cat"], 2, "no class 'cat'"),
    (["sample", "RUN", "-o", "x.png", "--label", "3"], 2, "without labels"),
    (["sample", "RUN", "-o", "x.png", "--grid", "0"], 2, "at least 1"),
    (["interpolate", "RUN", "-o", "x.webp"], 2, "not .webp"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "said"), WRONG, ids=lambda a: " ".join(a)[:60] if isinstance(a, list) else ""
)
def test_a_mistake_is_a_sentence_with_the_right_code(arguments, code, said, run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    places = {"RUN": run, "OUT": tmp_path / "OUT", "EMPTY": tmp_path / "EMPTY"}
    found, out, err = command(*(places.get(a, a) for a in arguments))
    assert found == code, err
    assert said in err.replace("\n", " ").replace("│", "")
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "OUT").exists()


def test_sample_as_grid_folder_and_archive(run, tmp_path, command):
    assert command("sample", run, "-o", tmp_path / "grid.png", "--seeds", "0-7", "--grid", 4)[0] == 0
    width, height = Image.open(tmp_path / "grid.png").size
    assert width == pytest.approx(2 * height, rel=0.05)
    code, out, _ = command("sample", run, "-o", tmp_path / "folder", "--seeds", "3,9-11", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 4
    names = sorted(p.name for p in (tmp_path / "folder").iterdir())
    assert names == ["seed000003.png", "seed000009.png", "seed000010.png", "seed000011.png"]
    assert command("sample", run, "-o", tmp_path / "x.npz", "--seeds", "9-11")[0] == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert archive["images"].shape == (3, 8, 8, 1)
        assert archive["seeds"].tolist() == [9, 10, 11]
        one = np.asarray(Image.open(tmp_path / "folder" / "seed000010.png"))
        assert np.abs(one.astype(int) - archive["images"][1, ..., 0]).max() <= 1  # bf16 in other batches


def test_truncation_moves_samples_to_the_centre(run):
    model = ganvas.load(run, device="cpu", precision="fp32")
    wide, narrow = (model.sample_seeds(range(32), trunc=t) for t in (1.0, 0.3))
    assert narrow.var(0).mean() < 0.5 * wide.var(0).mean()


@pytest.mark.parametrize("suffix", [".png", ".gif", ".mp4"])
def test_interpolate(suffix, run, tmp_path, command):
    if suffix == ".mp4":
        pytest.importorskip("av")
    file = tmp_path / f"walk{suffix}"
    code, out, _ = command("interpolate", run, "-o", file, "--seeds", "0-2", "--steps", 4, "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 12
    if suffix == ".gif":
        assert Image.open(file).n_frames == 12
    elif suffix == ".mp4":
        import av

        with av.open(str(file)) as film:
            assert sum(1 for _ in film.decode(video=0)) == 12
    else:
        assert Image.open(file).size[1] > 64


def test_a_walk_begins_and_passes_at_its_seeds(run):
    model = ganvas.load(run, device="cpu", precision="fp32")
    walk = model.walk([5, 6], steps=10)
    ends = model.sample_seeds([5, 6])
    assert len(walk) == 20
    torch.testing.assert_close(walk[0], ends[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(walk[10], ends[1], rtol=1e-4, atol=1e-4)


def test_slerp_stays_on_the_sphere():
    from ganvas.latent.walk import slerp

    a, b = torch.randn(2, 100, dtype=torch.float64)
    path = slerp(a / a.norm(), b / b.norm(), torch.linspace(0, 1, 9))
    torch.testing.assert_close(path.norm(dim=1), torch.ones(9, dtype=torch.float64))
    steps = (path[1:] - path[:-1]).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0-3", [0, 1, 2, 3]), ("0,3,9-12", [0, 3, 9, 10, 11, 12]), (" 1 , 2 - 3", [1, 2, 3])],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-3", "5-2", "0-2000000", "1,,2", "0-999999999999999999999"])
def test_seeds_that_are_none(text):
    with pytest.raises(UsageError, match="--seeds takes"):
        parse_seeds(text)


def test_the_demo_never_writes_over_another_run(tmp_path, monkeypatch, command):
    monkeypatch.setitem(catalog.RECIPES._objects, "dcgan_small", tiny_demo)
    answers = [json.loads(command("demo", "--outdir", tmp_path / "demo", "--json")[1]) for _ in range(2)]
    assert [a["run"].rsplit("/")[-1] for a in answers] == ["demo", "demo-2"]
    assert all(Path(a["photograph"]) == Path(a["run"]) / "photo.png" for a in answers)
    code, _, err = command("demo", "--outdir", tmp_path / "demo-2")
    assert code == 0
    assert "ganvas train --data FOLDER" in err
    assert err.rstrip().endswith((tmp_path / "demo-3" / "report.html").as_uri())  # a line that a terminal opens


def tiny_demo():
    from ganvas.recipes.generation import dcgan_small

    recipe = dcgan_small()
    for path, value in {"generator.width": "4", "discriminator.width": "4", "batch": "8", "images": "16"}.items():
        recipe.set(path, value)
    return recipe


def test_progress_is_readable_without_a_terminal(tmp_path):
    """Piped into a file, the command says what it found and a line at every log; stdout stays empty."""
    arguments = ["train", "dcgan", "--data", "digits", "--outdir", str(tmp_path / "r"), "--resolution", "8"]
    arguments += ["--images", "64", "--batch", "8", "--device", "cpu", "--set", "generator.width=4"]
    done = processes.run("-m", "ganvas", *arguments)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "img/s" in done.stderr
    assert "ganvas sample" in done.stderr
    assert "\x1b" not in done.stderr
