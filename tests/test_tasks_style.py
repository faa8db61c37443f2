"""One style in a network, any style by statistics: published objectives, who pays, foreign files, images in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
import published_style as published
from ganvas import catalog
from ganvas.cli import app
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.export.pth import save_network
from ganvas.features.gram import Perception, adapt, gram, moments
from ganvas.features.pocket import WIDTHS
from ganvas.game import Progress
from ganvas.imaging.photo import open_photo
from ganvas.inference.stylize import load_stylizer
from ganvas.models import foreign
from ganvas.models.recognise import read
from ganvas.networks.adain import Decoder, NormalisedVGG
from ganvas.networks.compact import Compact
from ganvas.networks.overpainting import ResidualStyleDecoder, ResidualStyleNet
from ganvas.networks.stargan import Generator as StarGAN
from ganvas.networks.transformer_net import TransformerNet
from ganvas.schedule import Inverse
from ganvas.tasks.adain import AnyStyle
from ganvas.tasks.fast_style import OneStyle, load_style

NOW, FACTS = Progress(), {"resolution": (16, 16), "channels": 3}


class Pixels(nn.Module):
    """An image, or a map, to an image by one matrix for all pixels."""

    def __init__(self, *, channels=3, widths=(3,)):
        super().__init__()
        self.conv = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, *maps):
        return torch.tanh(self.conv(maps[-1]))


class Squares(nn.Module):
    """Maps that can be worked out by hand."""

    def maps(self, x, names):
        found = {"relu1": x.square(), "relu2": (x * x.flip(1)).abs()}
        return {name: found[name] for name in names}


def random_images(seed, n=2, h=16, w=16, channels=3):
    return torch.rand(n, channels, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def same(term, expected):
    assert term.item() == pytest.approx(float(expected), rel=1e-4)


def one_style(**more):
    torch.manual_seed(0)
    task = OneStyle(generator=Spec(Pixels), perception=Spec(Perception), **more, **FACTS)
    perception = Perception(content=["relu2"], style=["relu1", "relu2"])
    perception.hidden = [Squares()]
    task.compare = [perception, perception(random_images(9, 1)).style]
    return task


def test_one_style_costs_what_is_published():
    """Johnson et al. 2016, eq. 2 to 5, with maps scaled as `Perception` says; in float64."""
    task, photo = one_style(content_weight=2.0, style_weight=5.0, smoothness=0.5), random_images(0)
    terms = task.g_loss({"image": photo}, NOW).terms
    made, style = task.generator(photo).detach().double().numpy(), random_images(9, 1).double().numpy()
    photo = photo.double().numpy()

    def second(x):
        return np.abs(x * x[:, ::-1])

    same(terms["content"], 2 * ((second(made) - second(photo)) ** 2).mean() / (2 * (second(photo) ** 2).mean()))
    expected = 0.0
    for layer in (np.square, second):
        a = layer(style)[0].reshape(3, -1)
        a = a @ a.T / a.shape[1]
        for k in range(2):
            f = layer(made)[k].reshape(3, -1)
            expected += ((f @ f.T / f.shape[1] - a) ** 2).sum() / (4 * np.trace(a) ** 2) / 2 / 2
    same(terms["style"], 5 * expected)
    rough = (np.diff(made, axis=2) ** 2).mean() + (np.diff(made, axis=3) ** 2).mean()
    same(terms["smoothness"], 0.5 * rough)
    assert terms.keys() == {"content", "style", "smoothness"}
    assert one_style(smoothness=0.0).g_loss({"image": random_images(0)}, NOW).terms.keys() == {"content", "style"}


def test_the_grid_of_one_style_shows_the_photograph_once():
    """There is no target: what the batch calls `image` is the photograph itself, beside its restyled self."""
    task, photo = one_style(), random_images(3)
    sheet = task.panel({"image": photo})
    assert sheet.shape[-1] == 2 * photo.shape[-1]
    torch.testing.assert_close(sheet, torch.cat([photo, task.sample({"image": photo})], -1))


def test_any_style_costs_what_is_published():
    """Huang and Belongie 2017, eq. 8 and 11 to 13; in float64."""
    torch.manual_seed(0)
    perception = Perception(style=["relu1", "relu2"])
    perception.hidden = [Squares()]
    task = AnyStyle(generator=Spec(Pixels), perception=Spec(Perception), content_weight=2.0, style_weight=3.0, **FACTS)
    task.hidden, task.generator = [perception], Pixels()
    content, style = random_images(0), random_images(1)
    terms = task.g_loss({"other": content, "image": style}, NOW).terms

    def layers(x):
        x = x.detach().double().numpy()
        return [x**2, np.abs(x * x[:, ::-1])]

    def statistics(x):
        return x.mean((2, 3), keepdims=True), np.sqrt(x.var((2, 3), ddof=1, keepdims=True) + 1e-5)

    (mean, deviation), (wanted, target) = statistics(layers(content)[-1]), statistics(layers(style)[-1])
    t = (layers(content)[-1] - mean) / deviation * target + wanted
    made = layers(task.generator(torch.from_numpy(t).float()))
    same(terms["content"], 2 * ((made[-1] - t) ** 2).mean())
    expected = sum(
        ((a - b) ** 2).mean() for f, s in zip(made, layers(style)) for a, b in zip(statistics(f), statistics(s))
    )
    same(terms["style"], 3 * expected)
    assert terms.keys() == {"content", "style"}


@pytest.mark.parametrize("name", ["fast_style", "adain"])
def test_every_term_moves_the_generator_and_nothing_else(name):
    recipe = catalog.RECIPES[name]()
    if name == "fast_style":
        for option, value in (("generator.width", "4"), ("generator.blocks", "1"), ("style_size", "80")):
            recipe.set(option, value)
    task = recipe.task.build(**FACTS)
    nn.init.normal_(list(task.generator.parameters())[-1])  # painting over begins with the content and all of it
    assert task.discriminator is None
    assert recipe.d_optimizer is None
    assert all(key.startswith("generator.") for key in task.state_dict())
    fixed = {"fast_style": lambda: task.compare[0].hidden[0], "adain": lambda: task.hidden[0].hidden[0]}
    for term in task.g_loss({"image": random_images(0), "other": random_images(1)}, NOW).terms.values():
        task.zero_grad(set_to_none=True)
        term.backward(retain_graph=True)
        assert any(p.grad is not None and p.grad.any() for p in task.generator.parameters())
        assert all(p.grad is None for p in fixed[name]().parameters())


def test_the_rate_of_adain_falls_as_published():
    """1e-4 / (1 + 5e-5 steps), 160,000 steps of 8 contents."""
    recipe = catalog.RECIPES["adain"]()
    for step in (0, 1000, 160_000):
        factor = recipe.lr_schedule.build()(8 * step / recipe.images)
        assert factor == pytest.approx(1 / (1 + 5e-5 * step))
    with pytest.raises(ValueError, match="at least 0"):
        Inverse(falls=-1)


def test_the_style_is_a_file_or_an_embedded_photograph(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    image = load_style(str(tmp_path / "red.png"), 10)
    assert image.shape == (1, 3, 10, 20)
    assert image[0, :, 3, 3].tolist() == pytest.approx([1, -1, -1])
    assert load_style(str(tmp_path / "red.png"), 256).shape == (1, 3, 20, 40)  # never enlarged
    assert min(load_style("ihc", 64).shape[2:]) == 64
    with pytest.raises(UsageError, match="no style 'icc'. Did you mean 'ihc'"):
        load_style("icc", 64)


def test_a_style_too_small_ends_before_anything_is_written(tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "s.png")
    options = {"set": [f"style={tmp_path / 's.png'}", "generator.width=4"], "resolution": 16, "device": "cpu"}
    with pytest.raises(UsageError, match=r"s\.png has 40x20 pixels where it is looked at, and relu3"):
        ganvas.train("fast_style", data="digits", outdir=tmp_path / "run", images=8, **options)
    assert not (tmp_path / "run").exists()


# --- statistics of maps -------------------------------------------------------------------------------------


def test_adapted_maps_have_the_statistics_of_the_style():
    content, style = random_images(0).double(), random_images(1, h=9, w=7).double() * 0.3 + 1
    np.testing.assert_allclose(adapt(content, moments(style)), published.adapted(content, style), rtol=1e-10)
    for found, wanted in zip(moments(adapt(content, moments(style))), moments(style)):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)  # what is added to variances


def test_a_share_of_one_is_no_share_and_what_is_left_out_does_not_count():
    x = random_images(0).double()
    whole = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    for found, wanted in zip(moments(x, whole), moments(x)):
        torch.testing.assert_close(found, wanted)
    half = whole.clone()
    half[..., 8:] = 0
    for found, wanted in zip(moments(x, half), moments(x[..., :8])):
        torch.testing.assert_close(found, wanted)


def test_one_place_does_not_vary():
    assert all(torch.isfinite(part).all() for part in moments(torch.ones(2, 3, 1, 1)))


# --- published files ----------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_papers_code():
    assert sum(p.numel() for p in TransformerNet().parameters()) == 1_679_235
    assert sum(p.numel() for p in Decoder(depths=(2, 2, 4, 1)).parameters()) == 3_505_219


@pytest.mark.parametrize("obsolete", [True, False])
def test_a_published_style_network(obsolete, tmp_path):
    state = published.filled(published.transformer_shapes(obsolete=obsolete))
    torch.save(state, tmp_path / "candy.pth")
    x = random_images(0, 1, 24, 20)
    expected = published.transformer(state, (x + 1) * 127.5) / 127.5 - 1
    made = foreign.load_network(tmp_path / "candy.pth")(x)
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        ganvas.load(tmp_path / "candy.pth", device="cpu", precision="fp32")(x),
        expected.clamp(-1, 1),
        rtol=1e-3,
        atol=1e-4,
    )


def test_overpainting_begins_with_the_image_itself(tmp_path):
    """Whatever its size and its contrast; and no other tool knows the network."""
    network, x = ResidualStyleNet(width=4), 0.3 * random_images(0, 2, 21, 18) + 0.2
    torch.testing.assert_close(network(x), x, rtol=0, atol=1e-6)
    network(x).square().sum().backward()
    assert network.last.conv2d.weight.grad.any()  # so that it learns
    assert network.ground.mix.weight.grad.all()  # the colours as they are, and evened


def test_overpainting_evens_colours_by_a_linear_map():
    """Every channel less its mean over its deviation, mixed and added: by the definition, in float64."""
    network, x = ResidualStyleNet(width=4).double(), 0.3 * random_images(0, 2, 21, 18).double() + 0.2
    mix = torch.randn(3, 6, dtype=torch.float64)
    network.ground.mix.weight.data = mix[..., None, None]
    rows = x.flatten(2)
    even = (rows - rows.mean(2, keepdim=True)) / (rows.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = mix[:, :3] @ rows + mix[:, 3:] @ even
    torch.testing.assert_close(network(x), expected.view_as(x))


def test_overpainting_has_no_layout_of_another_tool(tmp_path):
    network = ResidualStyleNet(width=4)
    with pytest.raises(UsageError, match="No other tool has a layout"):
        save_network(network, tmp_path / "mine.pth")
    assert not list(tmp_path.iterdir())


def test_a_published_style_network_is_written_back(tmp_path):
    save_network(TransformerNet(width=4), tmp_path / "mine.pth")
    written = torch.load(tmp_path / "mine.pth", weights_only=True)
    shapes = published.transformer_shapes(obsolete=False)
    assert {k: tuple(v.shape) for k, v in written.items()} == shapes


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    place = tmp_path_factory.mktemp("adain")
    states = published.filled(published.decoder_shapes()), published.filled(published.encoder_shapes())
    raw = published.decoder(states[0], published.encoder(states[1], torch.rand(1, 3, 16, 16)))
    states[0]["28.weight"] *= 0.2 / raw.std()  # so that little is cut off
    states[0]["28.bias"].fill_(0.5)
    for name, state in zip(("decoder.pth", "vgg_normalised.pth"), states):
        torch.save(state, place / name)
    return place, *states


def test_published_adain_files(halves, tmp_path):
    place, decodes, encodes = halves
    content, style = random_images(0, 1, 16, 24), random_images(1, 1, 72, 68)
    found = [foreign.load_network(place / name) for name in ("vgg_normalised.pth", "decoder.pth")]
    maps = [published.encoder(encodes, (x + 1) / 2) for x in (content, style)]
    torch.testing.assert_close(found[0](content), maps[0], rtol=1e-3, atol=1e-4)
    odd = random_images(2, 1, 18, 22)  # 9x11, 5x6 and 3x3 after the pools
    torch.testing.assert_close(found[0](odd), published.encoder(encodes, (odd + 1) / 2), rtol=1e-3, atol=1e-4)
    files = place / "decoder.pth", place / "vgg_normalised.pth"
    model = load_stylizer(*files, device="cpu")
    for alpha in (1.0, 0.3):
        t = alpha * published.adapted(*maps) + (1 - alpha) * maps[0]
        expected = (published.decoder(decodes, t) * 2 - 1).clamp(-1, 1)
        assert (expected.abs() < 1).float().mean() > 0.5
        made = ganvas.stylize(content, [style], model, alpha=alpha)
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=2e-3)
    for name, image in (("c.png", content), ("s.png", style)):
        save(image, tmp_path / name)
    how = ["-o", tmp_path / "o.png", "--model", files[0], "--encoder", files[1]]
    assert command(tmp_path / "c.png", tmp_path / "s.png", *how) == 0
    assert open_photo(tmp_path / "o.png").array.shape == (16, 24, 3)
    save_network(found[1], tmp_path / "back.pth", layout="adain")
    assert torch.load(tmp_path / "back.pth", weights_only=True).keys() == decodes.keys()
    save_network(Decoder(widths=(4, 6, 8)), tmp_path / "ours.safetensors")
    assert read(tmp_path / "ours.safetensors").options["widths"] == (4, 6, 8)


def test_halves_of_adain_say_what_they_need(halves, tmp_path):
    place = halves[0]
    with pytest.raises(UsageError, match="decodes feature maps and needs an encoder: .* --encoder"):
        ganvas.load(place / "decoder.pth")
    with pytest.raises(UsageError, match="encodes images and needs a decoder"):
        ganvas.load(place / "vgg_normalised.pth")
    save_network(Decoder(widths=(4, 6, 8)), tmp_path / "ours.safetensors")
    wrong = [
        (place / "vgg_normalised.pth", place / "vgg_normalised.pth", "the decoder of AdaIN is needed"),
        (place / "decoder.pth", place / "decoder.pth", "the normalised VGG, AdaIN's encoder, is needed"),
        (tmp_path / "ours.safetensors", place / "vgg_normalised.pth", "decodes maps of 4-6-8 channels"),
    ]
    save(random_images(0, 1), tmp_path / "c.png")
    for model, encoder, sentence in wrong:
        with pytest.raises(UsageError, match=sentence):
            command(
                tmp_path / "c.png", tmp_path / "c.png", "-o", tmp_path / "o.png", "--model", model, "--encoder", encoder
            )


# --- in use -------------------------------------------------------------------------------------------------


def save(image, file):
    array = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    Image.fromarray(array).save(file)


def command(*arguments):
    return app(["stylize", *map(str, arguments), "--device", "cpu"], standalone_mode=False) or 0


TINY = {"resolution": 16, "images": 8, "batch": 4, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    small = ["generator.width=4", "generator.blocks=1", "style_size=80"]
    ganvas.train("fast_style", data="digits", outdir=place / "fast", **TINY, set=small)
    ganvas.train("adain", data="a=photos,b=photos", outdir=place / "adain", **TINY)
    return place


def test_a_trained_style_paints_without_its_image(runs, tmp_path):
    save(random_images(0, 1, 20, 13), tmp_path / "c.png")
    assert command(tmp_path / "c.png", "-o", tmp_path / "o.png", "--model", runs / "fast", "--method", "fast") == 0
    assert open_photo(tmp_path / "o.png").array.shape == (20, 13, 1)
    x = random_images(0, 1, 20, 13, 1)
    model = ganvas.load(runs / "fast", device="cpu", precision="fp32")
    torch.testing.assert_close(ganvas.stylize(x, (), model), model(x))
    half = ganvas.stylize(x, (), model, alpha=0.5)
    torch.testing.assert_close(half, 0.5 * model(x) + 0.5 * x)
    for wrong in ({"styles": [x]}, {"mask": x}, {"colour": "histogram"}):
        with pytest.raises(UsageError, match="has one fixed style"):
            ganvas.stylize(x, wrong.pop("styles", ()), model, **wrong)


@pytest.mark.parametrize("run", ["fast", "adain"])
def test_what_is_said_to_do_next_can_be_done(run, runs, tmp_path):
    places = {word: tmp_path / f"{word.removesuffix('.png')}.png" for word in ("IMAGE", "STYLE", "OUT.png")}
    save(random_images(0, 1, 20, 24), places["IMAGE"])
    save(random_images(1, 1, 40, 36), places["STYLE"])
    words = ganvas.load(runs / run, device="cpu").task.next_step.format(run=runs / run).split()
    assert words[:2] == ["ganvas", "stylize"]
    assert command(*(places.get(word, word) for word in words[2:])) == 0
    assert (tmp_path / "OUT.png").is_file()


def test_any_style_alpha_shares_and_masks(runs):
    model = ganvas.load(runs / "adain", device="cpu", precision="fp32")
    assert model.task.generator.stages[0][0][0].weight.shape[1] == WIDTHS[2]
    content, one, two = random_images(0, 1, 19, 22), random_images(1, 1, 33, 33), random_images(2, 1, 34, 40)

    def made(*styles, **more):
        return ganvas.stylize(content, styles, model, **more)

    assert made(one).shape == content.shape
    torch.testing.assert_close(made(one, two, shares=[1, 0]), made(one))
    torch.testing.assert_close(made(one, alpha=0.0), made(two, alpha=0.0))
    assert not torch.allclose(made(one), made(two), atol=1e-3)
    white, black = torch.ones(1, 3, 19, 22), -torch.ones(1, 3, 19, 22)
    torch.testing.assert_close(made(one, two, mask=white), made(one), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made(one, two, mask=black), made(two), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made(one, mask=black), made(one, alpha=0.0), rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="alpha must be from 0 to 1"):
        made(one, alpha=2.0)
    with pytest.raises(UsageError, match="Missing STYLE"):
        made()
    with pytest.raises(UsageError, match="Style 2 has 32x50 pixels, and this model needs 33x33"):
        made(one, random_images(0, 1, 50, 32))
    with pytest.raises(UsageError, match="styles after the first need a weight"):
        made(one, two, mask=white, shares=[1, 0])
    with pytest.raises(UsageError, match="needs an image of the style: ganvas stylize"):
        model(content)


def test_any_style_is_what_adain_says(runs):
    """Colours and the pocket's three maps, with the second image's statistics, to the network."""
    model = ganvas.load(runs / "adain", device="cpu", precision="fp32")
    content, style = random_images(0, 1, 16, 24), random_images(1, 1, 40, 36)
    names = ["relu1", "relu2", "relu3"]
    seen = [[x, *model.task.hidden[0].hidden[0].maps(x, names).values()] for x in (content, style)]
    expected = model.task.generator(*(published.adapted(*maps).float() for maps in zip(*seen))).clamp(-1, 1)
    torch.testing.assert_close(ganvas.stylize(content, [style], model), expected, rtol=1e-4, atol=1e-4)


def any_style(**more):
    torch.manual_seed(0)
    recipe = catalog.RECIPES["adain"]()
    for option, value in more.items():
        recipe.set(option, str(value))
    return recipe.task.build(**{**FACTS, "resolution": (32, 32)})


def test_an_untrained_decoder_gives_the_styles_colours_to_the_content():
    """At every size: the mean and deviation of every channel (Huang and Belongie 2017, eq. 8), and no more."""
    task, style = any_style(), 0.4 * random_images(1, 1, 40, 36) - 0.2
    for h, w in ((19, 22), (16, 16), (33, 47)):
        content = random_images(0, 1, h, w)
        expected = published.adapted(content, style).float()
        torch.testing.assert_close(task.stylize(content, [style]), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(task.stylize(content, [style], alpha=0.0), content)


def test_the_published_decoder_is_a_choice():
    """It decodes the deepest map alone, whatever the others are."""
    task = any_style(generator="adain_decoder", least_alpha=1)
    content, style = random_images(0, 1), random_images(1, 1, 40, 36)
    maps = [task.hidden[0].hidden[0].maps(x, ["relu3"])["relu3"] for x in (content, style)]
    expected = task.generator(published.adapted(*maps).float())
    torch.testing.assert_close(task.stylize(content, [style]), expected, rtol=1e-4, atol=1e-4)
    assert isinstance(task.generator, Decoder)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_weaker_styles_are_trained_on_as_they_are_asked_for(alpha, monkeypatch):
    """What the loss wants at a strength is what `stylize` decodes at it, and its own statistics."""
    task = any_style()
    monkeypatch.setattr(task, "_alphas", lambda x: torch.full((len(x), 1, 1, 1), alpha))
    given = []
    monkeypatch.setattr(task.generator, "forward", lambda *maps: given.append(maps) or maps[0])
    content, style = random_images(0, 1, 32, 32), random_images(1, 1, 32, 32)
    terms = task.g_loss({"other": content, "image": style}, NOW).terms
    task.stylize(content, [style], alpha=alpha)
    for trained, asked in zip(*given):
        torch.testing.assert_close(trained, asked, rtol=1e-3, atol=1e-3)
    expected = 0.0
    for made, own, wanted in zip(*(task.encode(x) for x in (given[0][0], content, style))):
        made, own, wanted = (moments(m.double()) for m in (made, own, wanted))
        expected += sum((m - alpha * w - (1 - alpha) * o).square().mean() for m, o, w in zip(made, own, wanted))
    assert terms["style"].item() == pytest.approx(10 * float(expected), rel=1e-4, abs=1e-6)


def test_strengths_are_drawn_from_the_weakest_to_all():
    drawn = any_style(least_alpha=0.75)._alphas(torch.zeros(4000, 3, 1, 1))
    assert 0.75 <= drawn.min() < 0.752
    assert 0.998 < drawn.max() <= 1
    assert (any_style(least_alpha=1)._alphas(torch.zeros(9, 3, 1, 1)) == 1).all()
    with pytest.raises(UsageError, match="least_alpha must be from 0 to 1, got 2"):
        any_style(least_alpha=2)


def test_any_style_keeps_the_contents_transparency():
    recipe = catalog.RECIPES["adain"]()
    task = recipe.task.build(resolution=(32, 32), channels=4)
    content, style = random_images(0, 1, 19, 22, 4), random_images(1, 1, 40, 36, 4)
    made = task.stylize(content, [style])
    assert made.shape == content.shape
    torch.testing.assert_close(made[:, 3:], content[:, 3:])
    assert torch.isfinite(task.g_loss({"other": content, "image": style}, NOW).total)


def test_a_decoder_that_paints_over_learns_with_all_its_weights():
    network = ResidualStyleDecoder(widths=(4, 6, 8))
    nn.init.normal_(network.last.weight)
    x = [
        random_images(k, 2, *size, c)
        for k, (c, size) in enumerate(((3, (21, 18)), (4, (21, 18)), (6, (10, 9)), (8, (5, 4))))
    ]
    made = network(*x)
    assert made.shape == x[0].shape
    made.square().sum().backward()
    assert all(p.grad.any() for p in network.parameters())
    added = network(*x) - x[0]
    other = network(-x[0], *x[1:]) + x[0]
    assert not torch.allclose(added, other, atol=1e-4)  # it sees what it adds to
    with pytest.raises(UsageError, match="widths and a depth of at least 1"):
        ResidualStyleDecoder(widths=(4, 6), depth=0)


def test_kinds_of_image_that_go_in_come_out(runs):
    model = ganvas.load(runs / "adain", device="cpu", precision="fp32")
    array = np.random.RandomState(0).randint(0, 255, (37, 40, 3), np.uint8)
    made = ganvas.stylize(array, [array], model)
    assert (made.dtype, made.shape) == (np.uint8, array.shape)
    image = ganvas.stylize(Image.fromarray(array), [Image.fromarray(array)], model)
    np.testing.assert_array_equal(np.asarray(image), made)
    small = {"network": "pocket", "iterations": 1}
    grown = np.random.RandomState(0).randint(0, 255, (80, 90, 3), np.uint8)
    assert ganvas.stylize(array, [grown], **small).shape == array.shape
    with pytest.raises(UsageError, match="An image is"):
        ganvas.stylize(array.astype(float), [array], model)


def test_the_method_must_be_the_models(runs, tmp_path):
    save(random_images(0, 1), tmp_path / "c.png")
    with pytest.raises(UsageError, match="a model of --method fast, not of adain"):
        command(tmp_path / "c.png", "-o", tmp_path / "o.png", "--model", runs / "fast", "--method", "adain")
    with pytest.raises(UsageError, match="The mask no.png does not exist"):
        command(
            tmp_path / "c.png",
            tmp_path / "c.png",
            "-o",
            tmp_path / "o.png",
            "--model",
            runs / "adain",
            "--mask",
            "no.png",
        )


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Compact(width=4, convolutions=1), "ganvas restore or ganvas upscale"),
        (StarGAN(channels=3, width=4, blocks=1, attributes=5), "ganvas translate --label"),
    ],
)
def test_models_that_paint_nothing_are_refused(network, sentence, tmp_path):
    save_network(network, tmp_path / "m.pth")
    save(random_images(0, 1), tmp_path / "c.png")
    with pytest.raises(UsageError, match=sentence):
        command(tmp_path / "c.png", "-o", tmp_path / "new" / "o.png", "--model", tmp_path / "m.pth")
    assert not (tmp_path / "new").exists()


def test_the_published_encoder_looks_as_far_as_it_says():
    encoder = NormalisedVGG()
    for parameter in encoder.parameters():  # so that every path counts
        parameter.data.abs_()
    x = torch.rand(1, 3, 160, 160).requires_grad_()
    maps = encoder(x)
    maps[0, :, 10, 10].sum().backward()
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3))).flatten()
    assert rows.max() - rows.min() + 1 == encoder.reach


def test_a_style_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(random_images(0, 1, 90, 90), Path("s.png"))
    small = ["generator.width=4", "generator.blocks=1", "style_size=80", "style=s.png"]
    ganvas.train("fast_style", data="digits", outdir="run", **{**TINY, "images": 4}, set=small)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    ganvas.train("fast_style", outdir="../run", resume=True, images=8, set=["style=../s.png"])
    assert ganvas.load("../run").config["images"] == 8


def test_gram_matrices_stay_exact_under_autocast():
    x = random_images(0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(gram(x), gram(x.double()).float())
