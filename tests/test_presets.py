"""Presets of recipes: which there are, what they change, what wins over them, and what a resumed run keeps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas import catalog
from ganvas.api import find_recipe, open_source
from ganvas.errors import UsageError
from ganvas.recipes.presets import NAMES, PRESETS, presets
from ganvas.recipes.recommended import RULES, Shape, recommend
from ganvas.run import Run
from ganvas.training import choice
from ganvas.training.request import TrainRequest

WITHOUT = {name for name in catalog.RECIPES if name.endswith("_points")} | {"classifier"}  # no images
WITHOUT |= {"fast_style", "adain", "compact"}  # sized for a processor
TINY = {"data": "digits", "resolution": 8, "device": "cpu", "precision": "fp32"}
NARROW = ["generator.width=4", "discriminator.width=4"]


def sized(name, preset):
    recipe = find_recipe(name)
    choice.apply_preset(recipe, choice.find_preset(name, preset))
    return recipe


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_every_recipe_of_images_has_presets_that_its_options_take(name):
    assert list(presets(name)) == (["paper"] if name in WITHOUT else list(NAMES))
    for preset in presets(name):
        recipe = sized(name, preset)
        for optimizer in filter(None, [recipe.g_optimizer, recipe.d_optimizer]):
            optimizer.build(params=[nn.Parameter(torch.zeros(1))])
        for schedule in filter(None, [recipe.lr_schedule, recipe.beta2]):
            schedule.build()


def test_paper_changes_nothing():
    for name in catalog.RECIPES:
        assert sized(name, "paper").to_dict() == find_recipe(name).to_dict()


def test_every_row_belongs_to_a_recipe():
    assert PRESETS.keys() <= catalog.RECIPES.keys()
    assert all(set(rows) < set(NAMES) for rows in PRESETS.values())


def parameters(recipe):
    task = recipe.task.build(resolution=(16, 16), channels=3, classes=10)
    return sum(p.numel() for p in task.parameters())


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "stylegan2", "r3gan", "began"])
def test_smaller_presets_have_fewer_parameters(name):
    counts = [parameters(sized(name, preset)) for preset in presets(name)]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize(
    ("asked", "preset", "notices"),
    [
        ({"preset": "auto"}, "tiny", 1),
        ({"preset": "auto", "recipe": "gan_points"}, None, 0),
        ({"preset": "auto", "init_from": "elsewhere"}, None, 0),
        ({"preset": "auto", "set": ["batch=8"]}, None, 0),
        ({"preset": "auto", "recipe": "saved.json"}, None, 0),
        ({"preset": "auto", "device": "meta"}, None, 0),  # any device that is no CPU
        ({"preset": "small"}, "small", 0),
        ({}, None, 0),
    ],
)
def test_tiny_is_chosen_without_a_gpu_where_nothing_else_says(asked, preset, notices):
    request, said = choice.with_preset(TrainRequest(**{"recipe": "dcgan", "data": "digits", "outdir": "x"} | asked))
    assert request.preset == preset
    assert len(said) == notices


@pytest.mark.parametrize(
    ("recipe", "preset", "sentence"),
    [
        ("dcgan", "tinny", "Did you mean 'tiny'"),
        ("gan_points", "tiny", "gan_points has no preset tiny; it has: paper"),
        ("run/config.json", "tiny", "use --set"),
        (find_recipe("dcgan"), "tiny", "use --set"),
    ],
)
def test_what_no_preset_is(recipe, preset, sentence):
    with pytest.raises(UsageError, match=sentence):
        choice.with_preset(TrainRequest(recipe, "digits", "x", preset=preset))


def test_options_win_over_a_preset(tmp_path):
    run = ganvas.train("dcgan", outdir=tmp_path / "r", preset="tiny", images=8, batch=8, set=NARROW, **TINY)
    saved = run.config()["recipe"]
    assert saved["batch"] == 8
    assert saved["task"]["generator"]["width"] == 4
    assert saved["g_optimizer"] == sized("dcgan", "tiny").to_dict()["g_optimizer"]
    assert saved["g_optimizer"] != find_recipe("dcgan").to_dict()["g_optimizer"]


def test_the_command_chooses_a_preset_and_a_resumed_run_keeps_it(tmp_path, command):
    line = ["train", "dcgan", "--data", "digits", "--resolution", 8, "--batch", 8, "--outdir", tmp_path / "r"]
    line += ["--device", "cpu", "--precision", "fp32", "--json", "--resume"]
    code, _, err = command(*line, "--images", 8)
    assert code == 0, err
    assert "preset tiny" in err
    config = Run(tmp_path / "r").config()
    assert config["preset"] == "tiny"
    assert config["recipe"]["task"] == sized("dcgan", "tiny").to_dict()["task"]
    code, out, err = command(*line, "--images", 16)  # the same line again
    assert code == 0, err
    assert json.loads(out)["images"] == 16
    assert "preset" not in err
    assert command(*line, "--images", 16, "--preset", "tiny")[0] == 0
    code, _, err = command(*line, "--images", 24, "--preset", "paper")
    assert code == 2
    assert "was started with preset tiny (requested: paper)" in err


def test_a_run_of_an_earlier_version_resumes_as_it_was(tmp_path, command):
    """Its config.json names no preset: the published options, also for a line that would choose one now."""
    ganvas.train("dcgan", outdir=tmp_path / "r", images=8, batch=8, set=NARROW, **TINY)
    run = Run(tmp_path / "r")
    config = run.config()
    assert config.pop("preset") is None
    (run.path / "config.json").write_text(json.dumps(config))
    line = ["train", "dcgan", "--data", "digits", "--outdir", run.path, "--images", 16, "--resume", "--json"]
    assert command(*line)[0] == 0
    assert run.config()["recipe"] == {**config["recipe"], "images": 16}
    assert "was started with preset paper" in command(*line, "--preset", "tiny")[2]


def test_show_lists_presets(command):
    _, out, _ = command("show", "dcgan", "--json")
    answer = json.loads(out)["presets"]
    assert list(answer) == list(presets("dcgan"))
    assert answer["paper"] == {}
    _, out, _ = command("show", "dcgan")
    assert all(word in out for word in ("--preset", "tiny", "generator.width=32"))
    assert "--preset" not in command("show", "gan_points")[1]


def test_a_run_from_another_takes_its_preset(tmp_path, command):
    first = ganvas.train("dcgan", outdir=tmp_path / "a", preset="tiny", images=8, batch=8, **TINY).path
    line = ["train", "dcgan", "--data", "digits", "--resolution", 8, "--batch", 8, "--images", 8, "--device", "cpu"]
    code, _, err = command(*line, "--init-from", first, "--outdir", tmp_path / "b", "--json")
    assert code == 0, err
    assert "Preset tiny, as in" in err
    assert Run(tmp_path / "b").config()["preset"] == "tiny"


@pytest.mark.parametrize(
    ("asked", "size", "limit"),
    [
        ({"preset": "tiny"}, (48, 96), (32, 64)),
        ({"preset": "tiny"}, (1, 1), None),  # points
        ({"preset": "tiny"}, (64, 64), None),
        ({"preset": "tiny"}, (8, 128), (8, 64)),  # no side becomes smaller than networks take
        ({"preset": "tiny", "resolution": 96}, (96, 96), None),
        ({"preset": "paper"}, (128, 128), None),
        ({}, (128, 128), None),
    ],
)
def test_tiny_limits_the_size_of_images_until_one_is_given(asked, size, limit):
    request, _ = choice.with_preset(TrainRequest("dcgan", "photos", "x", **asked))
    assert choice.smaller(request, size) == limit


def test_a_run_on_limited_images_resumes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (16, 24, 96, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    small = {"set": NARROW, "device": "cpu", "batch": 8, "images": 8, "preset": "tiny"}
    run = ganvas.train("dcgan", data=str(tmp_path / "images.npy"), outdir=tmp_path / "r", **small)
    assert run.config()["data"]["resolution"] == run.config()["data"]["asked_resolution"] == [16, 64]
    ganvas.train(outdir=run.path, resume=True, images=16)
    assert run.load_state()["trainer"]["images"] == 16


RECOMMENDED = [  # the data, the recipe, an option that goes with it
    (Shape(60_000, classes=10, each=5_421), "dcgan_small", "conditional=true"),  # MNIST
    (Shape(50_000, classes=10, each=5_000), "dcgan_small", "images=200_000"),  # CIFAR-10
    (Shape(1_797, classes=10, each=174), "dcgan_small", None),  # digits: few of a class
    (Shape(400, classes=40, each=10), "dcgan_small", None),  # faces in folders
    (Shape(6_000, classes=2, each=900), "dcgan_small", "conditional=true"),
    (Shape(500_000, classes=1_000, each=500), "dcgan_small", "images=200_000"),  # too many classes
    (Shape(3_545, colours=True), "dcgan_small", None),  # emoji
    (Shape(3_545, colours=True, minutes=3), "dcgan_small", "images=200_000"),
    (Shape(3_545, colours=True, minutes=30), "dcgan_small", None),
    (Shape(400, minutes=3), "dcgan_small", None),  # grey faces
    (Shape(20_000), "dcgan_small", "images=200_000"),
    (Shape(800, sources="paired"), "pix2pix", None),
    (Shape(800, sources="paired", scale=4), "compact", None),
    (Shape(800, sources="unpaired"), "cyclegan", None),
    (Shape(50_000, kind="points", classes=8, each=6_250), "wgan_gp_points", None),
]


@pytest.mark.parametrize(("data", "recipe", "change"), RECOMMENDED)
def test_the_recipe_that_is_recommended(data, recipe, change):
    rule = recommend(data)
    assert rule.recipe == recipe
    assert change in rule.changes if change else not rule.changes
    TrainRequest(recipe, "digits", "x", set=rule.changes)
    find_recipe(recipe)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.why)
def test_a_rule_is_taken_for_some_data_and_its_options_exist(rule):
    assert any(recommend(data) is rule for data, _, _ in RECOMMENDED)
    recipe = find_recipe(rule.recipe)
    for change in rule.changes:
        recipe.set(*change.split("="))


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ("digits", Shape(1_797, classes=10, each=174)),
        ("edges:digits", Shape(1_797, sources="paired", classes=10, each=174)),
        ("a=digits,b=digits", Shape(1_797, sources="unpaired")),
        ("ring", Shape(50_000, kind="points", classes=8, each=6_250)),
    ],
)
def test_the_shape_of_data(source, shape):
    found = choice.shape_of(open_source(source))
    assert replace(found, images=0) == replace(shape, images=0)


def test_train_without_a_recipe(tmp_path, command):
    line = ["train", "--data", "digits", "--resolution", 8, "--batch", 8, "--outdir", tmp_path / "r", "--resume"]
    line += ["--device", "cpu", "--json", "--set", "generator.width=4", "--set", "discriminator.width=4"]
    code, _, err = command(*line, "--images", 8)
    assert code == 0, err
    assert "Recipe dcgan_small, for images (1,797 of 8x8)" in err
    assert "preset tiny" in err
    config = Run(tmp_path / "r").config()
    assert (config["recipe_name"], config["preset"]) == ("dcgan_small", "tiny")
    assert config["recipe"]["task"]["generator"]["width"] == 4
    code, out, err = command(*line, "--images", 16)
    assert code == 0, err
    assert json.loads(out)["images"] == 16


@pytest.mark.parametrize(
    ("minutes", "more", "size"),
    [
        (3, {}, (32, 32)),
        (30, {}, None),
        (None, {}, None),
        (3, {"resolution": 48}, (48, 48)),
        (3, {"preset": "paper"}, None),
    ],
)
def test_colour_images_and_a_few_minutes(minutes, more, size, monkeypatch):
    monkeypatch.setattr(choice, "pick_device", lambda _: torch.device("cpu"))
    request = TrainRequest(None, "photos", "x", minutes=minutes, preset=more.pop("preset", choice.AUTO), **more)
    chosen, notices = choice.choose(request, lambda: open_source("photos", resolution=(64, 64)))
    assert chosen.size == size
    assert ("Images are reduced to 32x32" in notices[0]) == (size == (32, 32))


def test_several_processes_need_a_recipe(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="Missing RECIPE"):
        choice.choose(TrainRequest(None, "digits", "x"), lambda: open_source("digits"))
