"""The embedded models: every one loads and does what its card says, and nothing else; cards are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import ganvas
from ganvas.errors import UsageError
from ganvas.imaging.photo import open_photo
from ganvas.inference.apply import ApplyOptions, apply
from ganvas.models import cards
from ganvas.models.cards import EMBEDDED, FOLDER
from ganvas.models.resolve import resolve

PACKAGE = Path(ganvas.__file__).parent
PROJECT = Path(__file__).parents[1]
CHANGES = ("upscale", "restore")


def use(name: str, command: str) -> torch.Tensor:
    """What a model makes of a small grey slope, (1, 3, H, W), or of two seeds."""
    if command == "sample":
        return ganvas.load(name, device="cpu", precision="fp32").sample(2)
    slope = torch.linspace(-0.8, 0.8, 40).expand(1, 3, 36, 40).contiguous()
    if command == "stylize":
        return ganvas.load(name, device="cpu", precision="fp32")(slope)
    network = resolve(name, verb=command).network
    x = torch.cat([slope, -torch.ones_like(slope[:, :1])], 1) if network.masked else slope
    with torch.inference_mode():
        return network(x)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_model_does_what_its_card_says(name):
    card = EMBEDDED[name]
    result = use(name, card.commands[0])
    assert torch.isfinite(result).all()
    if card.commands[0] in CHANGES:
        assert result.shape[2:] == (36 * card.scale, 40 * card.scale)
        assert resolve(name, verb=card.commands[0]).network.masked == card.masked


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_card_is_complete(name):
    card = EMBEDDED[name]
    assert re.fullmatch(r"[A-Z].*\.", card.purpose)
    assert {*card.commands} <= {*cards.ORDER}
    assert all((card.license, card.data, card.training, card.limits, card.measured, card.commands))
    assert all((row.what and row.value and row.command) for row in card.measured)
    assert not re.search(
        r"/(home|root|work|tmp)/", "".join(file.read_text() for file in (FOLDER / name).glob("*.json"))
    )
    log = re.search(r"benchmarks/\S+\.jsonl", card.training)
    assert log is not None
    assert (PROJECT / log[0]).stat().st_size < 60_000
    assert card.license.startswith("Apache-2.0") or name in {"digits"}


@pytest.mark.parametrize("name", [name for name in EMBEDDED if (FOLDER / name / "config.json").is_file()])
def test_settings_name_components_of_the_package_alone(name):
    """A class of a benchmark, `module:name`, would not be there for who applies the model."""
    text = (FOLDER / name / "config.json").read_text()
    assert not re.search(r'"\(\)": "[^"]*:', text)
    assert re.search(r'"\(\)": "\w+"', text)


def test_the_package_stays_small():
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files) < 25_000_000
    assert {file.name for file in FOLDER.glob("*/*")} <= {"card.json", "config.json", *cards.WEIGHT_NAMES}


@pytest.mark.parametrize(
    ("name", "command", "sentence"),
    [
        ("digits", "upscale", "digits cannot upscale; embedded models that can: x2, x4, x4_sharp"),
        ("digits", "restore", "It is for `ganvas sample`: Generates handwritten digits"),
        ("x4", "restore", "x4 cannot restore"),
        ("compact-x4", "restore", "x4 cannot restore"),
        ("dgits", "restore", "There is no model dgits. Did you mean 'digits'?"),
        ("x3", "upscale", "one of x2, x4"),
    ],
)
def test_a_model_is_refused_where_it_cannot_work(name, command, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        resolve(name, verb=command)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sample x4 -o out.png", "x4 cannot sample; embedded models that can: digits"),
        ("interpolate x4 -o out.gif", "x4 cannot sample"),
        ("sample digts -o out.png", "Did you mean 'digits'?"),
        ("stylize in.png -o out.png --model x2", "x2 cannot stylize"),
        ("translate -i in.png -o out.png --model digits", "digits cannot translate"),
        ("restore -i in.png -o out.png --model x2", "x2 cannot restore"),
        ("restore -i in.png -o out.png --model inpaint", "--mask"),
        ("restore -i in.png -o out.png --model clean --mask in.png", "clean takes no --mask"),
        (
            "upscale -i in.png -o out.png --model clean",
            "clean cannot upscale; embedded models that can: x2, x4, x4_sharp.",
        ),
        ("list modls", "Did you mean 'models'?"),
    ],
)
def test_commands_refuse_a_model_in_one_sentence(line, sentence, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (24, 24)).save("in.png")
    code, _, err = command(*line.split())
    assert (code, sentence in " ".join(err.split())) == (2, True), err
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("caption", "channel"), [("red heart", 0), ("large blue circle", 2), ("large red square", 0), ("green heart", 1)]
)
def test_emoji_are_sampled_by_caption(caption, channel):
    """Most of the shape has the colour that was asked for; the corners are transparent."""
    images = ganvas.load("emoji", device="cpu", precision="fp32").sample_seeds(range(4), label=caption)
    assert images.shape == (4, 4, 64, 64)
    shape = images[:, 3:] > 0.5
    others = [k for k in range(3) if k != channel]
    leads = (images[:, [channel]] > images[:, others].amax(1, keepdim=True) + 0.2) & shape
    assert leads.sum() > 0.6 * shape.sum() > 500
    assert (images[:, 3, :2, :2] < -0.8).all()


def test_digits_are_sampled_by_label(command, tmp_path):
    code, out, _ = command("sample", "digits", "--label", "7", "--seeds", "0-3", "-o", tmp_path / "x", "--json")
    assert (code, json.loads(out)["images"]) == (0, 4)
    sevens, model = [np.asarray(Image.open(f)) for f in sorted((tmp_path / "x").iterdir())], ganvas.load("digits")
    expected = model.sample(4, label=7)[:, 0]
    assert np.abs(np.stack(sevens) / 127.5 - 1 - expected.numpy()).max() < 0.01
    assert model.class_names == [*"0123456789"]


def test_a_folder_of_that_name_is_taken_by_its_path(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    code, _, err = command("sample", "digits", "-o", "x.png", "--seeds", "0")
    assert (code, "./digits" in err) == (0, True)
    assert "digits holds no model" in command("sample", "./digits", "-o", "y.png")[2]
    with pytest.raises(UsageError, match="holds no model"):
        ganvas.load(Path("digits"))


def test_the_list_shows_embedded_public_and_own_models(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"resolution": 8, "batch": 8, "images": 8, "device": "cpu", "set": ["generator.width=4"]}
    ganvas.train("dcgan", data="digits", outdir="runs/mine", **options)
    code, out, _ = command("list", "models", "--json")
    lists = json.loads(out)
    assert code == 0
    assert [row["name"] for row in lists["embedded"]] == [*EMBEDDED]
    assert {"inception", "vgg16"} <= {row["name"] for row in lists["public"]}
    assert lists["own"] == [{"name": "runs/mine", "kind": "folder", "purpose": "dcgan on digits."}]
    shown = command("list", "models")[1]
    assert all(name in shown for name in (*EMBEDDED, "runs/mine", "inception"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_list_says_at_80_columns_what_a_model_is_for(name, command, monkeypatch, tmp_path):
    """The whole purpose in at most three lines, the licence in one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("list", "models")[1].splitlines()
    first = next(k for k, line in enumerate(lines) if line.split()[:1] == [name])
    more = next(k for k, line in enumerate(lines[first + 1 :]) if not line.startswith("   ") or not line.strip())
    words = [word for line in lines[first : first + 1 + more] for word in line.split()]
    card, license = EMBEDDED[name], re.split(r"[,;(]", EMBEDDED[name].license)[0].strip()
    assert (more <= 2, max(map(len, lines)) <= 80, lines[first].rstrip().endswith(license)) == (True, True, True)
    for word in license.split():
        words.remove(word)
    assert words == [name, *", ".join(card.commands).split(), *card.purpose.split()]


def deep_and_transparent(file: Path) -> np.ndarray:
    """Write noise of 16 bits with alpha (24, 32, 4) as TIFF, and return it."""
    levels = np.random.default_rng(0).normal(30_000, 3_000, (24, 32, 4)).clip(0, 65_535).astype(np.uint16)
    levels[..., 3] = np.linspace(20_001, 65_535, 32)
    tifffile.imwrite(file, levels, photometric="rgb", extrasamples=["unassalpha"])
    return levels


@pytest.mark.parametrize("name", [n for n, c in EMBEDDED.items() if c.commands[0] != "sample" and not c.masked])
def test_transparency_and_16_bits_are_kept(name, tmp_path):
    """Levels between those of 8 bits; alpha bit for bit, or enlarged without going beyond its levels by much."""
    levels, card = deep_and_transparent(tmp_path / "in.tif"), EMBEDDED[name]
    (outcome,) = apply(card.commands[0], tmp_path / "in.tif", tmp_path / "out.tif", ApplyOptions(model=name))
    assert outcome.status == "done"
    after = open_photo(tmp_path / "out.tif").array
    assert (after.dtype, after.shape) == (np.uint16, (24 * card.scale, 32 * card.scale, 4))
    assert (after[..., :3] % 257).any()
    if card.scale == 1:
        assert np.array_equal(after[..., 3], levels[..., 3])
    assert np.abs(after[:: card.scale, :: card.scale, 3].astype(int) - levels[..., 3]).max() < 1_500


def test_restore_without_a_model_takes_clean_and_says_so(command, tmp_path):
    """Transparency and 16 bits are kept: alpha bit for bit, and levels between those of 8 bits."""
    levels = deep_and_transparent(tmp_path / "in.tif")
    code, out, err = command("restore", "-i", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--json")
    assert (code, json.loads(out)["model"], "Model: clean." in err) == (0, "clean", True)
    after = open_photo(tmp_path / "out.tif").array
    assert (after.dtype, after.shape) == (np.uint16, levels.shape)
    assert np.array_equal(after[..., 3], levels[..., 3])
    assert (after[..., :3] % 257).any()
    assert after[..., :3].std() < 0.6 * levels[..., :3].std()


def test_restore_with_a_mask_fills_by_inpaint_and_says_so(command, tmp_path):
    """An image of 16 bits with alpha, wider than what the network sees: only the scratch changes, to the slope."""
    y, x = np.mgrid[:40, :600]
    levels = np.stack([20_000 + 50 * x, 30_000 - 20 * x, 25_000 + 100 * y, 65_535 - 10 * x], 2).astype(np.uint16)
    hole = np.abs(x - y - 300) < 4
    damaged = np.where(hole[..., None], np.uint16([65_535, 0, 65_535, 0]), levels)
    damaged[..., 3] = levels[..., 3]
    tifffile.imwrite(tmp_path / "in.tif", damaged, photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(hole).save(tmp_path / "mask.png")
    options = ["-i", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--mask", tmp_path / "mask.png"]
    code, out, err = command("restore", *options, "--json")
    assert (code, json.loads(out)["model"], "Model: inpaint." in err) == (0, "inpaint", True)
    after = open_photo(tmp_path / "out.tif").array
    assert np.array_equal(after[~hole], levels[~hole])
    assert np.abs(after[hole].astype(int) - levels[hole]).max() < 4_000


def test_without_embedded_models_a_restorer_is_asked_for(monkeypatch):
    monkeypatch.setattr(cards, "EMBEDDED", {})
    with pytest.raises(UsageError, match="Missing --model: a run of recipe inpaint"):
        cards.pick_restorer(masked=True)
    with pytest.raises(UsageError, match="Missing --model: a run or a weight file"):
        cards.pick_restorer()
