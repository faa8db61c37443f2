"""A run that begins with another run's weights: which ones, what stays fresh, what is refused."""

from __future__ import annotations

import pytest
import torch

import ganvas
from ganvas import catalog
from ganvas.errors import UsageError
from ganvas.networks.label_inputs import LABEL_SIZED
from ganvas.run import Run
from ganvas.training.init_from import fit, initialize
from small import FACTS, facts, narrow

SMALL = ["generator.width=4", "discriminator.width=4"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    place = tmp_path_factory.mktemp("transfer")
    return train(place / "first", images=128)


def train(outdir, recipe="dcgan", **options):
    given = {"data": "digits", "resolution": 8, "batch": 16, "device": "cpu", "precision": "fp32", "set": SMALL}
    return ganvas.train(recipe, outdir=outdir, **{**given, **options})


def start(run):
    """The weights at the first snapshot of a run of one step."""
    state = sorted((run.path / "state").glob("*.pt"))[0]
    return torch.load(state, weights_only=True)["trainer"]


@pytest.mark.parametrize("raw", [False, True])
def test_both_players_begin_with_the_other_runs_weights(source, tmp_path, raw):
    begun = start(train(tmp_path / "b", images=16, init_from=source.path, init_raw=raw, seed=5))
    old = source.load_state()["trainer"]
    kept = old["task"] if raw else {f"generator.{k}": v for k, v in old["average"].items()}
    for key, value in begun["task"].items():
        wanted = kept[key] if key.startswith("generator.") else old["task"][key]
        assert torch.equal(value, wanted), key
    for key, value in begun["average"].items():
        assert torch.equal(value, kept[f"generator.{key}"])


def test_averaged_and_raw_are_not_the_same(source):
    old = source.load_state()["trainer"]
    assert any(not torch.equal(v, old["task"][f"generator.{k}"]) for k, v in old["average"].items())


def test_the_recipe_comes_along(source, tmp_path):
    run = train(tmp_path / "b", recipe=None, images=16, init_from=source.path, set=[])
    assert run.config()["recipe"]["task"]["generator"]["width"] == 4
    assert run.config()["init_from"] == str(source.path)


def test_a_model_folder_gives_the_generator_alone(source, tmp_path):
    recipe = catalog.RECIPES["dcgan"]()
    for change in SMALL:
        recipe.set(*change.split("="))
    task = recipe.task.build(resolution=(8, 8), channels=1)
    judge = {k: v.clone() for k, v in task.discriminator.state_dict().items()}
    (told,) = initialize(task, source.path / "model")
    assert "discriminator begins anew" in told
    assert all(torch.equal(v, judge[k]) for k, v in task.discriminator.state_dict().items())
    saved = source.load_state()["trainer"]["average"]
    assert all(torch.equal(v, saved[k]) for k, v in task.generator.state_dict().items())


def test_freeze_d_leaves_the_first_stages(source, tmp_path):
    changes = [*SMALL, "discriminator.norm=none"]
    first = train(tmp_path / "a", images=16, resolution=16, set=changes)
    run = train(tmp_path / "b", images=64, resolution=16, set=changes, init_from=first.path, freeze_d=1)
    before, after = start(run)["task"], run.load_state()["trainer"]["task"]
    stages = [k for k in before if k.startswith("discriminator.net.body") and k.endswith("weight")]
    assert len(stages) == 2
    assert torch.equal(before[stages[0]], after[stages[0]])
    assert not torch.equal(before[stages[1]], after[stages[1]])


def test_a_run_that_began_so_resumes_exactly(source, tmp_path):
    whole = train(tmp_path / "w", images=64, init_from=source.path)
    half = train(tmp_path / "h", images=32, init_from=source.path)
    ganvas.train(outdir=half.path, images=64, resume=True, device="cpu")
    one, two = (ganvas.run.weights_hash(Run.open(r.path)) for r in (whole, half))
    assert one == two


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolution": 16}, "for another size"),
        ({"set": ["generator.width=8", "discriminator.width=4"]}, "another shape"),
        ({"recipe": "gan", "set": []}, "another network"),
        ({"init_from": "nowhere"}, "neither"),
        ({"freeze_d": 9}, "stages"),
    ],
)
def test_what_does_not_fit_is_a_sentence(source, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        train(tmp_path / "b", images=16, **{"init_from": source.path, **options})
    assert not (tmp_path / "b").exists()


MEMORIES = [
    ("dcgan", {}, {"augment": "ada"}),
    ("dcgan", {"augment": "ada"}, {}),
    ("dcgan", {}, {"penalties": "lecam", "pool": "6"}),
    ("dcgan", {"pool": "6"}, {"pool": "6"}),
    ("dcgan", {}, {"penalties": "historical_averaging"}),
    ("cyclegan", {}, {}),
    ("textgan", {}, {"augment": "ada"}),
]


@pytest.mark.parametrize(("name", "first", "second"), MEMORIES, ids=str)
def test_weights_come_along_and_memories_do_not(name, first, second, tmp_path):
    made, other = (built(name, changes) for changes in (first, second))
    with torch.no_grad():
        for part in (*made.parameters(), *(b for b in made.buffers() if b.is_floating_point())):
            part.add_(0.5)
    found = made.state_dict()
    folder = Run.create(tmp_path / "r")
    folder.write_config({})
    folder.save_state({"trainer": {"task": found, "average": made.generator.state_dict()}}, 0)
    fresh = {k: v.clone() for k, v in other.state_dict().items()}
    assert not initialize(other, folder.path)
    kept = 0
    for name, value in other.state_dict().items():
        memory = any(f".{part}." in f".{name}" for part in ("penalties", "augment", "pool", "loss"))
        assert torch.equal(value, (fresh if memory else found)[name])
        kept += memory
    assert kept or not second or "pool" in second


def built(name, changes, **facts):
    recipe = catalog.RECIPES[name]()
    for path, value in {**narrow(name), **changes}.items():
        recipe.set(path, str(value))
    return recipe.task.build(**{**FACTS, **facts})


def test_the_reference_batch_is_not_handed_on():
    small = {"generator": 'dcgan_variant_generator(width=4, norm="virtual", reference=4)'}
    first, second = (built("cgan", small, classes=k) for k in (5, 2))
    first.train().generator(torch.randn(4, first.generator.latent), torch.tensor([4, 4, 4, 4]))
    fit(second.generator, first.generator.state_dict(), "It")
    assert not second.generator.reference.chosen
    second.train().generator(torch.randn(4, second.generator.latent), torch.tensor([0, 1, 0, 1]))
    assert second.generator.reference.label.max() == 1


def test_by_label_and_not_is_said():
    first, second = built("dcgan", {}), built("cgan", {})
    with pytest.raises(UsageError, match="It is not conditioned on a label, and this one is"):
        fit(second.generator, first.generator.state_dict(), "It")


def test_other_classes_begin_anew(tmp_path):
    recipe = catalog.RECIPES["dcgan"]()
    for path, value in {"generator.width": "4", "discriminator.width": "4", "conditional": "true"}.items():
        recipe.set(path, value)
    recipe.set("discriminator.head", "projection")
    made = recipe.task.build(resolution=(8, 8), channels=1, classes=3)
    folder = Run.create(tmp_path / "r")
    folder.write_config({"recipe": recipe.to_dict()})
    folder.save_state({"trainer": {"task": made.state_dict(), "average": made.generator.state_dict()}}, 0)
    other = recipe.task.build(resolution=(8, 8), channels=1, classes=5)
    told = initialize(other, folder.path)
    assert len(told) == 2
    assert all("begin anew: other classes" in sentence for sentence in told)
    assert torch.equal(other.generator.project.weight, made.generator.project.weight)


OTHER_NAMES = {"projection", "stargan"}  # conditional norms and planes of labels: other classes are refused there


@pytest.mark.parametrize("name", sorted({*catalog.RECIPES} - OTHER_NAMES))
def test_parts_whose_shape_follows_from_the_labels_are_named_so(name):
    """The convention that `fit` relies on, of every network of the catalogue."""
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    few, many = (recipe.task.build(**{**facts(name), "classes": n}).state_dict() for n in (3, 5))
    for key in few.keys() | many.keys():
        same = key in few and key in many and few[key].shape == many[key].shape
        assert same or {*key.split(".")} & {*LABEL_SIZED}, key
