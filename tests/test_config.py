"""Specs and recipes: refused where they are written wrong, the same after a trip through JSON."""

from __future__ import annotations

import json

import pytest
import torch

from ganvas import catalog, legacy
from ganvas.config import Recipe, Spec, decode, encode, options
from ganvas.describe import meanings
from ganvas.errors import UsageError, UserError
from ganvas.losses.adversarial import Hinge
from ganvas.losses.gradient_penalties import R1
from ganvas.networks import dcgan

FLIP_NOISE = ["Flip", "Noise"]


def test_unknown_option_is_refused_where_it_is_written():
    with pytest.raises(UsageError, match=r"no option 'widht'\. Did you mean 'width'"):
        Spec(dcgan.Generator, widht=3)


@pytest.mark.parametrize("value", ["64", 6.4, True, None, [64]])
def test_wrong_type_is_refused_where_it_is_written(value):
    with pytest.raises(UsageError, match="width must be int"):
        Spec(dcgan.Generator, width=value)


def test_build_gives_the_facts_that_a_component_names():
    assert Spec(Hinge).build(resolution=(8, 8), channels=3)
    generator = Spec(dcgan.Generator, width=8).build(resolution=(16, 16), channels=1, features=7)
    assert generator(torch.randn(2, 100)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("generator.width", "32", lambda r: r.task.get("generator").get("width") == 32),
        ("task.generator.width", "32", lambda r: r.task.get("generator").get("width") == 32),
        ("batch", "16", lambda r: r.batch == 16),
        ("clip_norm", "1", lambda r: r.clip_norm == 1),
        ("clip_norm", "none", lambda r: r.clip_norm is None),
        ("loss", "hinge", lambda r: r.task.get("loss") == Spec(Hinge)),
        ("g_optimizer.lr", "1e-4", lambda r: r.g_optimizer.get("lr") == 1e-4),
        ("g_optimizer.betas", "0, 0.9", lambda r: tuple(r.g_optimizer.get("betas")) == (0, 0.9)),
        ("penalties", "r1(gamma=2.0, every=4)", lambda r: r.task.get("penalties") == [Spec(R1, gamma=2.0, every=4)]),
        ("penalties", "[]", lambda r: r.task.get("penalties") == []),
        ("lr_schedule", "cosine(to=0.1)", lambda r: r.lr_schedule.build()(1.0) == pytest.approx(0.1)),
        ("transforms", "flip, noise(std=0.1)", lambda r: [t.target.__name__ for t in r.transforms] == FLIP_NOISE),
        ("prior", "uniform", lambda r: r.task.get("prior") == "uniform"),
        ("sync_batch_norm", "true", lambda r: r.sync_batch_norm is True),
        ("generator.init", "orthogonal", lambda r: r.task.get("generator").get("init") == "orthogonal"),
    ],
)
def test_set_by_path(path, text, expected):
    recipe = catalog.RECIPES["dcgan"]()
    recipe.set(path, text)
    assert expected(recipe)


def test_set_reaches_into_a_list():
    recipe = catalog.RECIPES["dcgan_small"]()
    recipe.set("penalties.0.gamma", "3.5")
    assert recipe.task.get("penalties")[0].get("gamma") == 3.5


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("widht", "1", "no option 'widht'"),
        ("generator.widht", "1", "Did you mean 'width'"),
        ("generator.width", "big", "must be int"),
        ("generator.width", "1.5", "must be int"),
        ("generator.width.more", "1", "no component to look into"),
        ("loss", "hinje", "Did you mean 'hinge'"),
        ("loss", "hinge(x=1)", "has no option 'x'"),
        ("prior", "gaussian", "one of 'normal', 'uniform'"),
        ("batch", "__import__('os').system('true')", "must be int"),
        ("g_optimizer.lr", "abc", "must be float"),
        ("penalties.3.gamma", "1", "no component to look into"),
        ("bach", "1", "Did you mean 'batch'"),
    ],
)
def test_set_refuses_with_a_sentence(path, text, said):
    recipe = catalog.RECIPES["dcgan_small"]()
    before = recipe.to_dict()
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        recipe.set(path, text)
    assert recipe.to_dict() == before


def test_set_does_not_reach_another_copy():
    one = catalog.RECIPES["dcgan_small"]()
    two = one.copy()
    two.set("penalties.0.gamma", "9.0")
    two.set("generator.width", "8")
    two.set("g_optimizer.lr", "1.0")
    assert one.to_dict() == catalog.RECIPES["dcgan_small"]().to_dict()


def test_players_of_a_recipe_do_not_share_an_optimizer():
    for name, make in catalog.RECIPES.items():
        recipe = make()
        recipe.set("g_optimizer.lr", "0.5")
        assert recipe.d_optimizer is None or recipe.d_optimizer.get("lr") != 0.5, name


@pytest.mark.parametrize("text", ["[relu1, relu2=0.5]", "relu1,relu2=0.5", '["relu1", "relu2=0.5"]'])
def test_a_list_of_words_needs_no_quotes(text):
    recipe = catalog.RECIPES["adain"]()
    recipe.set("perception.style", text)
    assert recipe.task.get("perception").get("style") == ["relu1", "relu2=0.5"]


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_recipe_survives_json(name):
    recipe = catalog.RECIPES[name]()
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again.to_dict() == recipe.to_dict()


@pytest.mark.parametrize(
    "name",
    ["os:system", "torch.hub:load", "torch:load", "ganvas.config:decode", "builtins:eval", None, 3, ["os:system"]],
)
def test_a_file_may_name_only_what_the_catalogue_lists(name):
    with pytest.raises(UserError, match="not in the catalogue"):
        decode({"()": name})


def test_a_saved_recipe_is_checked():
    good = catalog.RECIPES["dcgan"]().to_dict()
    for bad, said in (
        ({**good, "batch": "many"}, "batch must be int"),
        ({**good, "surprise": 1}, "not a recipe"),
        ({k: v for k, v in good.items() if k != "task"}, "it has no task"),
    ):
        with pytest.raises(UserError, match=said):
            Recipe.from_dict(bad)


def test_what_cannot_be_saved_is_refused():
    with pytest.raises(TypeError, match="wrap it in a Spec"):
        encode(lambda: 1)


def test_files_name_components_by_catalogue_name():
    for name, target in catalog.COMPONENTS.items():
        written = {k: encode(Spec(target).get(k)) for k in getattr(target, "written", ())}
        assert Spec(target).to_dict() == {"()": name, **written}
        assert decode({"()": name}).target is target


def test_addresses_of_earlier_versions_are_read():
    assert len(legacy.COMPONENTS) == 126  # every component of the first version that named classes
    for address, name in legacy.COMPONENTS.items():
        assert decode({"()": address}).target is catalog.COMPONENTS[name]
    assert decode({"()": "ganvas.losses.penalties:R1"}).target.__name__ == "R1"
    assert decode({"()": "ganvas.metrics.style:Perception"}).target is catalog.COMPONENTS["perception"]


def test_options_of_the_class_above_are_options_too():
    """InfoGAN takes those of generation that it does not decide itself, in their order, and its own after them."""
    above, own = options(catalog.TASKS["generation"]), options(catalog.TASKS["infogan_task"])
    assert list(own) == [k for k in above if k not in catalog.TASKS["infogan_task"].decides] + [
        "categories",
        "continuous",
    ]
    assert own["penalties"] == above["penalties"]
    assert (above["prior"].default, own["prior"].default) == ("normal", "uniform")
    with pytest.raises(UsageError, match="InfoGAN has no option 'pool'"):
        Spec(catalog.TASKS["infogan_task"], pool=3)
    said = [meanings(catalog.TASKS[name]) for name in ("generation", "infogan_task")]
    assert said[0]["penalties"] == said[1]["penalties"]
    assert said[0]["generator"] != said[1]["generator"]
