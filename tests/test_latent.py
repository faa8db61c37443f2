"""Latent spaces: codes, projection, directions with planted factors, edits, mixtures, path length."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
from ganvas.catalog import RECIPES
from ganvas.config import encode
from ganvas.errors import UsageError, UserError
from ganvas.evaluation.path_length import pairs_on_paths, ppl
from ganvas.game import Space
from ganvas.latent.codes import Codes
from ganvas.latent.directions import Direction, edit, move
from ganvas.latent.discover import difference, discover
from ganvas.latent.noise import noise_penalty
from ganvas.latent.project import Descent, ProjectOptions, Resemblance, project
from ganvas.latent.tune import tune
from ganvas.models.model import Model
from ganvas.policy import Policy
from ganvas.run import Run
from ganvas.tasks.base import Task
from small import facts, narrow

SIDE, LATENT = 8, 6
GAINS = torch.tensor([0.5, 0.35, 0.25, 0.1, 0.05, 0.02])  # of the factors, by which they are ranked


class Planted(nn.Module):
    """Images (N, 1, 8, 8) that are linear in noise: factor k, a direction of the noise, has gain `GAINS[k]`."""

    def __init__(self):
        super().__init__()
        self.latent = LATENT
        source = torch.Generator().manual_seed(1)
        self.factors = torch.linalg.qr(torch.randn(LATENT, LATENT, generator=source))[0].t()  # rows
        patterns = torch.linalg.qr(torch.randn(SIDE**2, LATENT, generator=source))[0].t()
        self.matrix = nn.Parameter((patterns.t() * GAINS) @ self.factors)  # (64, 6)

    def forward(self, z, label=None):
        return (z @ self.matrix.t()).view(-1, 1, SIDE, SIDE)

    def spaces(self):
        return {"z": Space(LATENT, self.forward, weights=lambda: [self.matrix])}


class Draws(Task):
    """A task that generates from a given network."""

    def __init__(self, network):
        super().__init__()
        self.generator = network

    def spaces(self):
        return self.generator.spaces()

    def inputs(self, seeds, label=None):
        source = torch.Generator()
        return {"z": torch.stack([torch.randn(LATENT, generator=source.manual_seed(s)) for s in seeds])}


class Side(Task):
    """A classifier by the sign of a factor of the planted generator: class a where it is positive."""

    draws_images = False

    def __init__(self, network, factor):
        super().__init__()
        self.generator, self.factor = network, factor

    def logits(self, images):
        z = torch.linalg.lstsq(self.generator.matrix, images.flatten(1).t()).solution.t()
        side = z @ self.factor
        return torch.stack([side, -side], 1)


def as_model(task, classes=()):
    data = {"resolution": [SIDE, SIDE], "channels": 1, "class_names": list(classes)}
    return Model(task.eval().requires_grad_(False), Policy(torch.device("cpu")), {"data": data})


@pytest.fixture(scope="module")
def planted():
    return as_model(Draws(Planted()))


def untrained(name, seed=0):
    """A tiny untrained model of a recipe."""
    recipe = RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    torch.manual_seed(seed)
    task = recipe.task.build(**facts(name))
    data = {"resolution": [8, 8], "channels": 1, "class_names": ["a", "b", "c"]}
    return Model(task.eval().requires_grad_(False), Policy(torch.device("cpu")), {"data": data})


GENERATORS = [
    *("gan", "dcgan", "wgan_gp", "biggan", "r3gan", "stylegan2", "fastgan", "began", "cgan", "stylegan2_conditional"),
    *("r3gan_conditional", "projected_conditional", "infogan", "textgan", "semigan"),
]
SPACES = {"stylegan2": ["z", "w", "w+"], "biggan": ["z", "y"], "cgan": ["z", "y"], "textgan": ["z", "y"]}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_space_draws_what_the_seed_draws(name):
    model = untrained(name)
    image = model.sample(3, seed=4)
    spaces = model.spaces()
    assert list(spaces) == SPACES.get(name, list(spaces))
    for space in spaces.values():
        labels = space.labels(range(4, 7))
        codes = space.sample(3, 4)
        assert codes.shape == (3, space.size)
        assert torch.equal(space.draw(codes, labels), image)
        assert not space.space.weights or all(w.shape[1] == space.size for w in space.space.weights())
        assert sum(space.space.parts) in (0, space.size)
        codes, point = codes.requires_grad_(), space.draw_exactly(codes.requires_grad_(), labels)
        assert point.requires_grad


@pytest.mark.parametrize(("name", "space"), [("stylegan2", "w"), ("biggan", "y"), ("dcgan", "z"), ("cgan", "y")])
def test_the_truncated_code_draws_the_truncated_image(name, space):
    model = untrained(name)
    codes = model.codes([3, 4], space=space, trunc=0.5)
    assert torch.allclose(codes.draw(model), model.sample_seeds([3, 4], trunc=0.5), atol=1e-5)
    assert not torch.allclose(codes.draw(model), model.sample_seeds([3, 4]), atol=1e-3)


@pytest.mark.parametrize("source", ["sefa", "pca"])
def test_planted_factors_are_given_back(planted, source):
    rows = discover(planted, source, count=4, samples=2000)
    for k, one in enumerate(rows):  # ranked by their effect, as the gains are
        factor = planted.task.generator.factors[k]
        assert abs(float(one.vector @ factor)) >= 0.95, (source, k)
        assert one.scale == pytest.approx(1, abs=0.1)
        # an image moves by gain along an orthonormal pattern: rms = 2 gain / 8
        assert one.effect == pytest.approx(float(2 * GAINS[k]) / SIDE * 127.5, rel=0.1)


def test_labels_give_their_factor_back(planted):
    factor = planted.task.generator.factors[2]
    judge = as_model(Side(planted.task.generator, factor), ("a", "b"))
    (one,) = discover(planted, "labels", classifier=judge, classes=("a", "b"), samples=4000)
    assert float(one.vector @ factor) >= 0.95
    assert one.facts["accuracy"] > 0.97
    a, b = (
        planted.codes([k for k in range(400) if bool((planted.codes([k]).values @ factor > 0) == s)]) for s in (1, 0)
    )
    assert float(difference(planted, a, b).vector @ factor) >= 0.9


def test_scales_follow_the_space(planted):
    one = discover(planted, "sefa", count=1)[0]
    codes = planted.codes(range(200))
    moved = move(planted.spaces()["z"], codes.values, [(one, 2.0)], ())
    assert torch.allclose((moved - codes.values) @ one.vector, torch.full((200,), 2 * one.scale), atol=1e-5)


def test_a_step_of_zero_changes_no_bit():
    for name, space in (("dcgan", "z"), ("stylegan2", "w"), ("biggan", "z")):
        model = untrained(name)
        one = model.directions("sefa", space=space, count=1, samples=50)[0]
        assert torch.equal(model.edit(5, [(one, 0.0)]), model.sample(1, seed=5))
        assert not torch.equal(model.edit(5, [(one, 2.0)]), model.sample(1, seed=5))
    layers = untrained("stylegan2")
    one = layers.directions("sefa", count=1, samples=50)[0]
    assert torch.equal(layers.edit(5, [(one, 0.0)], [1]), layers.sample(1, seed=5))
    every = layers.edit(5, [(one, 2.0)], range(layers.spaces()["w"].layers))
    assert torch.allclose(every, layers.edit(5, [(one, 2.0)]), atol=1e-5)
    wide = layers.codes([5], space="w+")
    assert torch.allclose(edit(layers, wide, [(one, 2.0)])[0], every, atol=1e-5)
    assert not torch.equal(layers.edit(5, [(one, 2.0)], [0]), every)


def test_mixtures_have_their_sources_at_the_ends():
    model = untrained("stylegan2")
    images, (a, b) = model.sample(4, seed=0), ([0, 1], [2, 3])
    assert torch.equal(
        model.mix(a, b, range(model.spaces()["w"].layers), space="w")[0], images[2:]
    )  # every layer is the column's
    assert model.mix(a, b).shape == (2, 2, 1, 8, 8)
    chunks = untrained("biggan")
    table = chunks.mix(a, b, [0])
    z = chunks.codes([0, 2]).values
    part = chunks.task.generator.sizes[0]
    expected = chunks.spaces()["z"].draw(torch.cat([z[1:, :part], z[:1, part:]], 1), torch.tensor([0]))
    assert torch.allclose(table[0, 0], expected[0], atol=1e-5)
    with pytest.raises(UsageError, match="in one layer"):
        untrained("dcgan").mix(a, b, [0])


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_codes_and_directions_survive_a_file(suffix, tmp_path, planted):
    codes = Codes(
        "z",
        torch.randn(2, 6),
        planted.fingerprint,
        "drawn",
        torch.tensor([1, 2]),
        (torch.ones(2, 1, 4, 4),),
        ["a", "b"],
    )
    codes.save(tmp_path / f"c{suffix}")
    again = Codes.read(tmp_path / f"c{suffix}")
    assert torch.equal(again.values, codes.values)
    assert torch.equal(again.label, codes.label)
    assert torch.equal(again.noise[0], codes.noise[0])
    assert (again.space, again.model, again.history, again.names) == ("z", planted.fingerprint, "drawn", ["a", "b"])
    one = discover(planted, "sefa", count=1)[0]
    one.save(tmp_path / f"d{suffix}")
    read = Direction.read(tmp_path / f"d{suffix}")
    assert torch.equal(read.vector, one.vector)
    assert (read.name, read.scale, read.facts) == (one.name, one.scale, one.facts)
    with pytest.raises(UserError, match="holds no codes"):
        Codes.read(tmp_path / f"d{suffix}")


def test_codes_know_their_model(planted):
    other = Planted()
    other.matrix.data *= 1.001
    strange = as_model(Draws(other))
    codes, one = planted.codes([0]), discover(planted, "sefa", count=1)[0]
    with pytest.raises(UsageError, match="of another model"):
        codes.draw(strange)
    with pytest.raises(UsageError, match="of another model"):
        strange.edit(0, [(one, 1.0)])
    with pytest.raises(UsageError, match="no latent space 'w'"):
        Codes("w", codes.values, planted.fingerprint).draw(planted)
    with pytest.raises(UsageError, match="--layers does not apply"):
        planted.edit(0, [(one, 1.0)], [1])


DAMAGED = {
    "no codes": ("gan", {"values": torch.zeros(0, 6)}, "holds no codes"),
    "not finite": ("gan", {"values": torch.full((2, 6), torch.nan)}, "not all of its numbers are finite"),
    "another width": ("gan", {"values": torch.zeros(2, 5)}, "A code in z is"),
    "labels where there are none": ("gan", {"label": torch.tensor([0, 1])}, "labels of another form"),
    "a class that there is none of": ("cgan", {"label": torch.tensor([0, 3])}, "not all of the classes 0 to 2"),
    "vectors in place of classes": ("cgan", {"label": torch.zeros(2, 3)}, "labels of another form"),
    "noise of another size": ("stylegan2", {"noise": (torch.ones(2, 1, 3, 3),)}, "noise maps .* this generator adds"),
    "noise where there is none": ("gan", {"noise": (torch.ones(2, 1, 4, 4),)}, "this generator adds none"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_codes_are_refused(case, tmp_path):
    name, changes, words = DAMAGED[case]
    model = untrained(name)
    replace(model.codes([0, 1], space="z"), **changes).save(tmp_path / "codes.npz")
    with pytest.raises(UserError, match=words):
        Codes.read(tmp_path / "codes.npz").draw(model)


def test_own_images_are_projected_exactly(planted):
    images = planted.spaces()["z"].draw(0.5 * planted.codes(range(10, 13)).values)
    result = project(planted, images, ProjectOptions(steps=120, loss="pixel", starts=2))
    assert min(result.psnr) > 40
    assert torch.equal(result.codes.draw(planted), result.images)
    assert max(result.random_psnr) < min(result.psnr)
    assert result.codes.space == "z"


def test_the_code_of_the_lowest_loss_is_the_result(planted):
    space, targets = planted.spaces()["z"], torch.zeros(2, 1, SIDE, SIDE)
    descent = Descent(space, Resemblance(targets, "pixel"), torch.zeros(2, 6), None, torch.tensor([0, 1]), 0)
    for value, losses in ((1.0, [3.0, 1.0]), (2.0, [2.0, 4.0]), (3.0, [5.0, 0.5])):
        descent.moving = [torch.full((2, 6), value)]
        descent._remember(torch.tensor(losses))
    assert descent.best[0][:, 0].tolist() == [2.0, 3.0]


def test_styles_and_noise_are_projected():
    model = untrained("stylegan2")
    for layer in model.task.maker.noise_layers():
        layer.strength.data.fill_(0.3)
    own = [layer.fixed.clone() for layer in model.task.maker.noise_layers()]
    images = model.sample(2, seed=50)
    result = project(model, images, ProjectOptions(steps=40, starts=2, loss="pixel"))
    assert result.codes.space == "w+"
    assert [tuple(maps.shape) for maps in result.codes.noise] == [(2, 1, *n.shape[2:]) for n in own]
    assert all(abs(float(maps.std(dim=(2, 3), unbiased=False).mean()) - 1) < 0.01 for maps in result.codes.noise)
    assert torch.equal(result.codes.draw(model), result.images)
    assert sum(result.psnr) > sum(result.random_psnr)
    assert all(torch.equal(a, b.fixed) for a, b in zip(own, model.task.maker.noise_layers()))  # the model's own stays


def test_the_noise_penalty_is_the_published_one():
    noise = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    total = 0.0
    for size in (16, 8):
        n = noise.reshape(16, 16) if size == 16 else noise.reshape(8, 2, 8, 2).mean((1, 3)) * 2  # halved, same variance
        for axis in (0, 1):
            total += float((n * np.roll(n.numpy(), 1, axis)).mean()) ** 2
    assert float(noise_penalty([noise])) == pytest.approx(total)
    flat = torch.ones(1, 1, 8, 8)
    assert float(noise_penalty([flat])) == pytest.approx(2)  # perfectly correlated in both axes


def test_tuning_draws_the_image_and_keeps_the_others(planted):
    model = untrained("dcgan", 3)
    target = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    result = project(model, target, ProjectOptions(steps=10, loss="pixel"))
    before = {k: v.clone() for k, v in model.task.generator.state_dict().items()}
    changed, codes = tune(model, result.codes, target, steps=100)
    near = (codes.draw(changed) - target).square().mean()
    assert near < 0.05 * (result.images - target).square().mean()
    assert codes.model == changed.fingerprint != model.fingerprint
    assert all(torch.equal(v, before[k]) for k, v in model.task.generator.state_dict().items())
    assert all(not p.requires_grad for p in changed.task.generator.parameters())


def test_path_length_of_a_linear_generator(planted):
    """An arc's speed is its angle: d = mean((A v)^2) with v of the length of the arc's derivative."""
    numbers = ppl.compare(planted, None, {"samples": 60, "sampling": "end", "distance": "pixels", "epsilon": 1e-2})
    a, b = (planted.codes([s + k for s in range(60)]).values.double() for k in (0, 60))
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    angle = torch.acos(cosine)[:, None]
    speed = angle / torch.sin(angle) * (b - torch.cos(angle) * a)
    values = ((speed @ planted.task.generator.matrix.double().t()) ** 2).mean(1)
    inner = values[(values >= values.quantile(0.01)) & (values <= values.quantile(0.99))]
    assert numbers["ppl"] == pytest.approx(float(inner.mean()), rel=0.03)
    assert (numbers["space"], numbers["sampling"], numbers["distance"]) == ("z", "end", "pixels")
    first, second, _ = next(pairs_on_paths(planted.spaces()["z"], 4, 0, "full", 1e-4))
    assert (first - second).norm(dim=1).max() < 1e-3


def test_walks_in_styles_and_truncated():
    model = untrained("stylegan2")
    path = model.walk([0, 1], steps=2, space="w", trunc=0.7)
    assert torch.allclose(path[::2], model.sample_seeds([0, 1], trunc=0.7), atol=1e-6)
    assert not torch.allclose(path[1], model.walk([0, 1], steps=2, trunc=0.7)[1], atol=1e-4)
    small = untrained("dcgan")
    assert torch.equal(small.walk([3, 4], steps=1, trunc=0.5), small.sample_seeds([3, 4], trunc=0.5))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The model folder of a tiny DCGAN, whose images are 8x8 and grey."""
    model, folder = untrained("dcgan"), tmp_path_factory.mktemp("latent") / "run"
    recipe = RECIPES["dcgan"]()
    for path, value in narrow("dcgan").items():
        recipe.set(path, str(value))
    data = {"resolution": [8, 8], "channels": 1, "class_names": [], "source": "digits"}
    config = {"format": 1, "task": encode(recipe.task), "data": data, "images": 0}
    folder.mkdir()
    Run(folder).save_model(model.task.generator, config, "", folder)
    return folder


def test_commands(run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save("photo.png")
    many = ("--steps", 4, "--tune", "--tune-steps", 2, "--film", "f.gif", "--device", "cpu", "--json")
    code, out, err = command("project", run, "photo.png", "-o", "out", *many)
    assert code == 0, err
    assert "cropped to the centre and scaled from 30x20 to 8x8, converted from RGB to grey" in err.replace("\n", " ")
    answer = json.loads(out)
    assert math.isfinite(answer["psnr"])
    assert math.isfinite(answer["lpips"])
    assert {"codes.safetensors", "photo.png", "sheet.png", "model"} == {p.name for p in (tmp_path / "out").iterdir()}
    assert Image.open("out/photo.png").size == (8, 8)
    assert Image.open("f.gif").n_frames > 1
    assert Codes.read(tmp_path / answer["code"]).draw(ganvas.load(answer["output"])).shape == (1, 1, 8, 8)
    assert command("project", run, "photo.png", "-o", "one.png", "--steps", 2)[0] == 0
    assert (tmp_path / "one.safetensors").exists()
    assert command("directions", run, "-o", "dirs", "--count", 2, "--samples", 20, "--json")[0] == 0
    assert {p.suffix for p in (tmp_path / "dirs").iterdir()} == {".safetensors", ".png", ".json"}
    assert command("sample", run, "-o", "a.png", "--seeds", 7)[0] == 0
    assert command("edit", run, "--seed", 7, "--direction", "dirs/sefa0=0", "-o", "b.png")[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert command("edit", run, "--seed", "0-2", "--direction", "dirs/sefa1=-2", "-o", "moved.npz")[0] == 0
    assert command("edit", run, "--code", "one.safetensors", "-o", "c.png")[0] == 0
    assert command("directions", run, "-o", "ab", "--from", "moved.npz,one.safetensors", "--samples", 20)[0] == 0
    assert command("mix", run, "--rows", "0-1", "--columns", "4-6", "-o", "mix.png")[0] == 0
    assert command("interpolate", run, "-o", "walk.png", "--trunc", 0.5, "--space", "z", "--steps", 2)[0] == 0


WRONG = [
    (["project", "RUN", "gone.png", "-o", "o"], 2, "does not exist"),
    (["project", "RUN", "text.png", "-o", "o"], 1, "text.png"),
    (["project", "RUN", "narrow.png", "-o", "o"], 2, "too narrow"),
    (["project", "RUN", "a.png", "-o", "o", "--space", "w"], 2, "no latent space 'w'"),
    (["project", "RUN", "a.png", "-o", "o", "--loss", "pockt"], 2, "Did you mean 'pocket'"),
    (["project", "RUN", "a.png", "-o", "o", "--starts", "0"], 2, "from 1 to 64"),
    (["project", "RUN", "a.png", "-o", "o.png", "--tune"], 2, "writes a model"),
    (["project", "RUN", "a.png", "-o", "o.bmp"], 2, "not o.bmp"),
    (["project", "RUN", "a.png", "-o", "a.safetensors"], 2, "a.png would be written over"),
    (["project", "RUN", "a.png", "-o", "."], 2, "a.png would be written over"),
    (["project", "RUN", "a.png", "-o", "o", "--film", "a.png"], 2, "a.png would be written over"),
    (["project", "RUN", "a.png", "-o", "text.png/o.png"], 2, "text.png is a file and no folder"),
    (["directions", "RUN", "-o", "d", "--from", "sefo"], 2, "--from is sefa, pca, labels"),
    (["directions", "RUN", "-o", "d", "--from", "labels"], 2, "no classes; give --classifier"),
    (["directions", "RUN", "-o", "d", "--from", "gone,a.png"], 2, "does not exist"),
    (["directions", "RUN", "-o", "d", "--classes", "3,8"], 2, "go with --from labels, not with sefa"),
    (["directions", "RUN", "-o", "d", "--from", "a.png,a.png", "--classes", "3,8"], 2, "not with two sets"),
    (["edit", "RUN", "-o", "e.png"], 2, "either --code FILE or --seed N"),
    (["edit", "RUN", "--code", "other.npz", "-o", "e.png"], 2, "of another model"),
    (["edit", "RUN", "--code", "a.png", "-o", "e.png"], 1, "holds no codes"),
    (["edit", "RUN", "--code", ".", "-o", "e.png"], 2, "is a folder; give a file of codes"),
    (["edit", "RUN", "--code", "junk.npz", "-o", "e.png"], 1, "junk.npz holds no codes"),
    (["edit", "RUN", "--seed", "1", "--direction", "d", "-o", "e.png"], 2, "FILE=STEP"),
    (["edit", "RUN", "--seed", "1", "--direction", "other=1", "-o", "e.png"], 2, "of another model"),
    (["edit", "RUN", "--seed", "1", "--layers", "1", "-o", "e.png"], 2, "--layers does not apply"),
    (["edit", "RUN", "--seed", "1", "--layers", "x", "-o", "e.png"], 2, "--layers takes numbers"),
    (["mix", "RUN", "-o", "m.gif"], 2, "takes a .png"),
    (["mix", "RUN", "-o", "m.png", "--rows", "0-20000"], 2, "must be from 1 to 10000, got 20001"),
    (["mix", "RUN", "-o", "m.png", "--rows", "0-200", "--columns", "0-99"], 2, "must be from 1 to 10000, got 20100"),
    (["interpolate", "RUN", "-o", "w.png", "--space", "w"], 2, "no latent space 'w'"),
    (["eval", "ppl", "RUN", "--samples", "4", "--epsilon", "1"], 2, "--epsilon"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"), WRONG, ids=lambda a: " ".join(a[:1] + a[2:]) if isinstance(a, list) else ""
)
def test_mistakes_are_sentences(arguments, code, said, run, planted, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("a.png")
    Image.new("L", (400, 8)).save("narrow.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04 no archive")
    planted.codes([0]).save(tmp_path / "other.npz")
    discover(planted, "sefa", count=1, samples=10)[0].save(tmp_path / "other.safetensors")
    before = {p.name for p in tmp_path.iterdir()}
    status, out, err = command(*(run if a == "RUN" else a for a in arguments))
    assert status == code, err
    assert said in err.replace("\n", " ")
    assert "Traceback" not in err
    assert out == ""
    assert {p.name for p in tmp_path.iterdir()} == before
