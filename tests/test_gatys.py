"""Images painted by iterations: the two ways down, what is kept, sizes, and the command."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import rosen, rosen_der

from ganvas.cli import app
from ganvas.cli.stylize import stylize as stylize_command
from ganvas.errors import BadImage, UsageError
from ganvas.features.gram import Perception, StyleFeatures, total_variation
from ganvas.imaging.channels import luma
from ganvas.imaging.photo import open_photo
from ganvas.inference.gatys import GatysOptions, initial_image, objective, optimize_image, plan_iterations
from ganvas.inference.optimizers import LBFGS, OPTIMIZERS, Adam, FrequencyPreconditioned
from ganvas.inference.styles import Styles
from ganvas.inference.stylize import GatysStylizer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def perception():
    return Perception(style=["relu1", "relu2"], content=["relu2"])


def random_image(seed, h=24, w=24, channels=3):
    source = torch.Generator().manual_seed(seed)
    return torch.nn.functional.interpolate(torch.rand(1, channels, 4, 4, generator=source) * 2 - 1, (h, w))


# --- ways down ----------------------------------------------------------------------------------------------


def textbook(x, gradient, memory, steps):
    """Nocedal and Wright 2006, algorithms 7.4 and 7.5, with steps of one."""
    pairs, g = [], gradient(x)
    for _ in range(steps):
        q, alphas = g.copy(), []
        for s, y in reversed(pairs):
            alphas.append(s @ q / (y @ s))
            q = q - alphas[-1] * y
        r = q * (pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1])) if pairs else q
        for (s, y), alpha in zip(pairs, reversed(alphas)):
            r = r + s * (alpha - y @ r / (y @ s))
        new = x - r
        found = gradient(new)
        pairs = [*pairs, (new - x, found - g)][-memory:]
        x, g = new, found
    return x


@pytest.mark.parametrize("memory", [2, 5, 40])
def test_lbfgs_is_the_textbooks(memory):
    random = np.random.RandomState(0)
    m = random.randn(12, 12)
    hessian, x = m @ m.T / 12 + 0.2 * np.eye(12), 0.1 * random.randn(12)

    def gradient(x):
        return hessian @ x + 0.05 * x**3

    way, at = LBFGS(memory=memory, max_step=1e9), torch.from_numpy(x)
    for _ in range(15):
        at = at + way.update(torch.from_numpy(gradient(at.numpy())))
    np.testing.assert_allclose(at, textbook(x, gradient, memory, 15), rtol=1e-6, atol=1e-9)


def test_lbfgs_reaches_the_bottom():
    at, way = torch.tensor([-1.2, 1.0], dtype=torch.float64), LBFGS()
    for _ in range(200):
        at = at + way.update(torch.from_numpy(rosen_der(at.numpy())))
    assert rosen(at.numpy()) < 1e-12


def test_a_step_has_its_limit_and_bad_curvature_is_left_out():
    way = LBFGS(max_step=0.1)
    assert way.update(torch.full((4,), 1000.0)).abs().mean() == pytest.approx(0.1)
    way.update(torch.full((4,), 2000.0))  # the gradient grew where it went: that is no valley
    assert way.pairs == []


def test_an_evened_way_is_another_in_a_space_of_scaled_frequencies():
    """x = A u with A symmetric: what is gone in u is A times it in x, and the gradient by u is A times that by x."""
    seen = []

    class Plain:
        def update(self, gradient):
            seen.append(gradient)
            return -gradient

    h, w = 6, 5
    down, across = np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None]
    factors = (4 * np.maximum(np.sqrt(down**2 + across**2), 1 / 128)) ** -0.75

    def through(x):
        return np.fft.ifft2(np.fft.fft2(x) * factors).real

    g = np.random.RandomState(0).randn(1, 3, h, w)
    made = FrequencyPreconditioned(Plain()).update(torch.from_numpy(g))
    np.testing.assert_allclose(seen[0], through(g), atol=1e-6)
    np.testing.assert_allclose(made, -through(through(g)), atol=1e-6)


def test_the_default_optimizer_is_preconditioned():
    g = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(OPTIMIZERS["lbfgs"]().update(g), FrequencyPreconditioned(LBFGS()).update(g))
    assert not torch.allclose(OPTIMIZERS["lbfgs"]().update(g), LBFGS().update(g))


def test_adam_is_pytorchs():
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    theirs, at, way = torch.optim.Adam([x], lr=0.05), x.detach().clone(), Adam(lr=0.05)
    for _ in range(20):
        x.grad = x.detach() ** 3
        theirs.step()
        at = at + way.update(at**3)
    torch.testing.assert_close(at, x.detach())


# --- painting -----------------------------------------------------------------------------------------------


def test_the_objective_is_the_weighted_sum(perception):
    x, content, style = random_image(0), random_image(1), random_image(2)
    target = StyleFeatures(perception(content).content, perception(style).style)
    total, (c, s) = objective(x, target, perception, GatysOptions(content_weight=2, style_weight=3, smoothness=0.5))
    expected = 2 * perception.content_loss(perception(x), target) + 3 * perception.style_loss(perception(x), target)
    torch.testing.assert_close(total, expected + 0.5 * total_variation(x))
    assert c.item() == pytest.approx(perception.content_loss(perception(x), target).item())
    assert s.item() == pytest.approx(perception.style_loss(perception(x), target).item())


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("begin", ["content", "noise"])
def test_painting_comes_nearer_to_both(optimizer, begin, perception):
    content, style = random_image(0), random_image(1, 20, 28)
    how = GatysOptions(iterations=25, optimizer=optimizer, begin=begin)
    with torch.no_grad():
        target = StyleFeatures(perception(content).content, perception(style).style)
        first = objective(initial_image(content, how), target, perception, how)[0]
    made = optimize_image(content, [style], perception, how)
    assert made.total < 0.3 * first
    assert made.image.shape == content.shape
    assert made.image.abs().max() <= 1


def test_what_is_optimised_is_the_image_alone(perception):
    content, style = random_image(0), random_image(1)
    before = content.clone(), [p.clone() for p in perception.hidden[0].parameters()]
    optimize_image(content, [style], perception, GatysOptions(iterations=2))
    assert torch.equal(content, before[0])
    assert not content.requires_grad
    for p, q in zip(perception.hidden[0].parameters(), before[1]):
        assert torch.equal(p, q)
        assert p.grad is None


def test_weights_and_shares_count(perception):
    content, one, two = random_image(0), random_image(1), random_image(2)
    near = optimize_image(content, [one], perception, GatysOptions(iterations=20, style_weight=1))
    far = optimize_image(content, [one], perception, GatysOptions(iterations=20, style_weight=1000))
    assert near.content < far.content
    assert near.style > far.style
    alone = optimize_image(content, [one], perception, GatysOptions(iterations=3))
    shared = optimize_image(content, [one, two], perception, GatysOptions(iterations=3), shares=[1, 0])
    torch.testing.assert_close(alone.image, shared.image)
    other = optimize_image(content, [one, two], perception, GatysOptions(iterations=3), shares=[1, 1])
    assert not torch.allclose(alone.image, other.image)


def test_noise_follows_its_seed(perception):
    hows = [GatysOptions(iterations=1, begin="noise", seed=s) for s in (1, 1, 2)]
    made = [optimize_image(random_image(0), [random_image(1)], perception, how) for how in hows]
    assert torch.equal(made[0].image, made[1].image)
    assert not torch.equal(made[0].image, made[2].image)


def test_what_is_told_on_the_way(perception):
    told = []
    painting = GatysOptions(iterations=7)
    optimize_image(
        random_image(0), [random_image(1)], perception, painting, progress=lambda k, x: told.append((k, x.shape))
    )
    assert [k for k, _ in told] == list(range(1, 8))


WRONG = [
    {"iterations": 0},
    {"style_weight": -1.0},
    {"content_weight": float("nan")},
    {"optimizer": "sgd"},
    {"begin": "style"},
    {"style_scale": 0.0},
]


@pytest.mark.parametrize(
    ("side", "iterations", "expected"),
    [(384, 300, [300]), (385, 300, [180, 120]), (1000, 300, [180, 72, 48]), (1000, 1, [1]), (1000, 2, [1, 1])],
)
def test_large_images_begin_small(side, iterations, expected):
    content = torch.zeros(1, 3, side, 2 * side)
    assert plan_iterations(GatysOptions(iterations=iterations), content) == expected
    assert plan_iterations(GatysOptions(iterations=iterations, one_size=True), content) == [iterations]


def test_what_changed_at_a_small_size_is_added_to_the_details(perception, monkeypatch):
    monkeypatch.setattr("ganvas.inference.gatys.LARGE", 16)
    content, seen = random_image(0, 32, 36), []
    content = content + 0.1 * torch.randn(content.shape, generator=torch.Generator().manual_seed(0))
    made = optimize_image(
        content, [random_image(1)], perception, GatysOptions(iterations=8), progress=lambda k, x: seen.append(x)
    )
    assert made.iterations == [5, 3]
    starts = []

    def lighter(image, *_):
        starts.append(image)
        return image + 0.25

    with monkeypatch.context() as patch:
        patch.setattr("ganvas.inference.gatys._optimize", lighter)
        optimize_image(content, [random_image(1)], perception, GatysOptions(iterations=8))
    torch.testing.assert_close(starts[1], content + 0.25)
    assert [tuple(x.shape[2:]) for x in seen] == [(16, 18)] * 5 + [(32, 36)] * 3
    detail = [x[..., 1:] - x[..., :-1] for x in (content, seen[5])]
    assert torch.corrcoef(torch.stack([d.flatten() for d in detail]))[0, 1] > 0.6


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: next(iter(w)))
def test_what_cannot_be_is_a_sentence(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        GatysOptions(**wrong)


# --- whole images -----------------------------------------------------------------------------------------


def painter(perception, **more):
    return GatysStylizer(Styles([random_image(1)], [1.0], **more), perception, GatysOptions(iterations=4))


def test_luminance_alone_keeps_the_chroma(perception):
    content = random_image(0) * 0.3
    made = painter(perception, colour="luminance").stylize(content)
    for k in (0, 2):
        torch.testing.assert_close(made[:, k] - luma(made)[:, 0], content[:, k] - luma(content)[:, 0])
    assert not torch.allclose(made, content, atol=0.02)


def test_colours_made_alike_first(perception):
    content = random_image(0)
    plain, alike = (painter(perception, colour=c).stylize(content) for c in ("style", "histogram"))
    means = [x[0].mean((1, 2)) for x in (plain, alike, content)]
    assert (means[1] - means[2]).norm() < (means[0] - means[2]).norm()


def draw(file, *shape, seed=0):
    array = np.random.RandomState(seed).randint(0, 255, (shape[0] // 4, shape[1] // 4, *shape[2:])).astype(np.uint8)
    array = array.repeat(4, 0).repeat(4, 1)
    Image.fromarray(array).save(file)
    return array


def command(*arguments):
    looking = [] if "--model" in arguments else ["--network", "pocket"]
    return app(["stylize", *map(str, arguments), "--device", "cpu", *looking], standalone_mode=False) or 0


FAST = ["--style-layer", "relu1", "--content-layer", "relu2", "--iterations", "4"]


def test_a_image_with_all_it_has(tmp_path):
    array = draw(tmp_path / "a.png", 24, 20, 4)
    draw(tmp_path / "s.png", 24, 24, 3, seed=1)
    previews = ["--preview", tmp_path / "p", "--preview-every", 2]
    assert command(tmp_path / "a.png", tmp_path / "s.png", "-o", tmp_path / "o.png", *FAST, *previews) == 0
    made = open_photo(tmp_path / "o.png").array
    np.testing.assert_array_equal(made[..., 3], array[..., 3])
    assert (made[..., :3] != array[..., :3]).any()
    assert {f.name for f in (tmp_path / "p").iterdir()} == {"o-000002.png", "o-000004.png"}


def test_a_folder_says_what_was_done(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    draw(tmp_path / "in" / "a.png", 16, 16, 3)
    draw(tmp_path / "in" / "b.png", 16, 20)
    draw(tmp_path / "s.png", 24, 24, 3, seed=1)
    said = []
    monkeypatch.setattr("ganvas.cli.batch.print_json", said.append)
    assert command(tmp_path / "in", tmp_path / "s.png", "-o", tmp_path / "out", *FAST, "--json") == 0
    assert said[0]["network"] == "pocket"
    assert said[0]["done"] == len(said[0]["losses"]) == 2
    assert all(np.isfinite(list(loss.values())).all() for loss in said[0]["losses"])


MISTAKES = [
    (["a.png"], [], "Missing STYLE"),
    (["a.png", "none.png"], [], "none.png does not exist"),
    (["none.png", "s.png"], [], "none.png does not exist"),
    (["a.png", "s.png", "s.png"], ["--weights", "1"], "must be a number for each of the 2 styles"),
    (["a.png", "s.png"], ["--weights", "-1"], "must be a number for each of the 1 styles"),
    (["a.png", "s.png"], ["--colour", "luma"], "--colour must be one of style"),
    (["a.png", "s.png"], ["--method", "gaty"], "Did you mean 'gatys'"),
    (["a.png", "s.png"], ["--method", "fast"], "needs --model: a run of fast_style"),
    (["a.png", "s.png"], ["--method", "gatys", "--model", "m"], "takes no --model"),
    (["a.png", "s.png"], ["--mask", "m.png"], "--mask needs --model"),
    (["a.png", "s.png"], ["--model", "m"], "m does not exist"),
    (["a.png", "s.png"], ["--model", "m", "--style-weight", "3"], "--style-weight is an option of --method gatys"),
    (["a.png", "s.png"], ["--model", "m", "--preview", "p"], "--preview is an option of --method gatys"),
    (["a.png", "s.png"], ["--preview", "a.png"], "--preview must be a folder, and a.png is a file"),
    (["a.png", "s.png"], ["--style-layer", "relu1=0"], "one at least must count something"),
    (["a.png", "s.png"], ["--style-layer", "relu9"], "pocket has no layer 'relu9'"),
    (["a.png", "s.png"], [], "s.png has 24x24 pixels"),
    (["a.png", "s.png"], ["--style-layer", "relu1", "--iterations", "0"], "iterations must be from 1"),
    (["a.png", "s.png"], ["--style-layer", "relu1", "--preview-every", "0"], "--preview-every must be at least 1"),
]


@pytest.mark.parametrize(("files", "options", "sentence"), MISTAKES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_mistake_is_a_sentence_and_leaves_nothing(files, options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw("a.png", 16, 16, 3)
    draw("s.png", 24, 24, 3)
    with pytest.raises(UsageError, match=sentence):
        command(*files, "-o", "o.png", *options)
    assert {f.name for f in tmp_path.iterdir()} == {"a.png", "s.png"}


def test_defaults_in_the_help_are_those_of_the_options():
    annotations = inspect.signature(stylize_command, eval_str=True).parameters
    for field in fields(GatysOptions):
        option = annotations[field.name].annotation.__metadata__[0]
        if field.default is not False:
            assert option.show_default == str(field.default), field.name


def test_a_style_that_is_no_image(tmp_path):
    draw(tmp_path / "a.png", 16, 16, 3)
    (tmp_path / "s.png").write_bytes(b"no image")
    with pytest.raises(BadImage, match="s.png"):
        command(tmp_path / "a.png", tmp_path / "s.png", "-o", tmp_path / "o.png")
