"""Restoration: what it pays for, what it learns from, and its models in people's hands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import ganvas
from ganvas import api, cli
from ganvas.catalog import RECIPES
from ganvas.config import Spec
from ganvas.data.transforms import Turn
from ganvas.errors import UsageError
from ganvas.game import BaseDiscriminator, ImageToImage, Progress, Scores
from ganvas.imaging.colour import to_lab
from ganvas.inference.enhance import Enhancer, as_photo
from ganvas.inference.inpaint import Inpainter
from ganvas.inference.region import Region
from ganvas.losses.adversarial import NonSaturating
from ganvas.losses.pixel import L1, LDL, MSE
from ganvas.losses.wrappers import Weighted
from ganvas.models.resolve import ImageModel, resolve
from ganvas.networks import colorize_inpaint as lost
from ganvas.networks import compact
from ganvas.policy import Policy
from ganvas.schedule import Steps
from ganvas.tasks.restoration import Restoration

CPU = Policy(torch.device("cpu"))
QUICK = {"device": "cpu", "precision": "fp32", "batch": 4, "images": 16}
SMALL = {"generator.width": 4, "generator.convolutions": 1}
FACTS = {"resolution": (8, 8), "channels": 3, "source_scale": 2}


class Larger(ImageToImage):
    """Every pixel repeated, then one matrix for all."""

    def __init__(self, *, channels=3, scale=1):
        super().__init__()
        self.scale, self.conv = scale, nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.conv(x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3))


class Repeat(nn.Module):
    """A plain module, which declares nothing about itself: every pixel four times, then one matrix for all."""

    def __init__(self, *, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


class Judge(BaseDiscriminator):
    def __init__(self, *, resolution, channels=3):
        super().__init__()
        self.score = nn.Linear(channels * resolution[0] * resolution[1], 1)

    def forward(self, x, label=None):
        return Scores(self.score(x.flatten(1)))


def rows(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def batch():
    return {"image": rows(0, 4, 3, 8, 8), "source": rows(1, 4, 3, 4, 4), "target": rows(2, 4, 3, 8, 8)}


def task(**more):
    torch.manual_seed(0)
    return Restoration(generator=Spec(Larger), **{"terms": [Spec(L1), Spec(MSE, weight=2.0)], **FACTS, **more}).double()


def judged(**more):
    return task(discriminator=Spec(Judge), loss=Spec(Weighted, loss=Spec(NonSaturating), g=0.01), **more)


# --- objectives ---------------------------------------------------------------------------------------------


def test_terms_compare_with_the_target():
    """The degradation's target, not the image: Real-ESRGAN sharpens the one and shows the other to its judge."""
    found, given = task().g_loss(batch(), Progress()), batch()
    made = task().generator(given["source"])
    assert found.terms.keys() == {"l1", "mse"}
    assert found.terms["l1"].item() == pytest.approx((made - given["target"]).abs().mean().item() / 2, rel=1e-6)
    assert found.terms["mse"].item() == pytest.approx((made - given["target"]).square().mean().item() / 2, rel=1e-6)


def test_without_a_target_the_image_is_it():
    given = batch()
    del given["target"]
    found = task().g_loss(dict(given), Progress())
    expected = (task().generator(given["source"]) - given["image"]).abs().mean() / 2
    assert found.terms["l1"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_game_is_the_papers():
    """Ledig et al. 2017, eq. 3 and section 2.2.2: real images against made ones, the generator paid -log D / 100."""
    made, given = judged(), batch()
    score, fake = made.discriminator.net.score, made.generator(given["source"])

    def verdict(x):
        return x.flatten(1) @ score.weight.t() + score.bias

    def softplus(x):
        return torch.log1p(torch.exp(x))

    d, g = made.d_loss(dict(given), Progress()), made.g_loss(dict(given), Progress())
    expected = softplus(-verdict(given["image"])).mean() + softplus(verdict(fake)).mean()
    assert d.terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert g.terms["adversarial"].item() == pytest.approx(0.01 * softplus(-verdict(fake)).mean().item(), rel=1e-6)
    d.total.backward()
    assert all(p.grad is None for p in made.generator.parameters())


def test_a_shared_fake_changes_nothing():
    made, one, two, calls = judged(), batch(), batch(), []
    made.generator.register_forward_hook(lambda *_: calls.append(1))
    found = made.d_loss(one, Progress(share_fakes=True)), made.g_loss(one, Progress(share_fakes=True))
    assert len(calls) == 1
    assert "fakes" not in one
    expected = made.d_loss(two, Progress()), made.g_loss(two, Progress())
    for a, b in zip(found, expected):
        for name in b.terms:
            torch.testing.assert_close(a.terms[name], b.terms[name])


def test_psnr_is_logged():
    given, made = batch(), task()
    image = made.generator(given["source"]).clamp(-1, 1)
    errors = ((image - given["target"]) / 2).square().mean((1, 2, 3))
    expected = (10 * torch.log10(1 / errors)).mean().item()
    assert made.g_loss(given, Progress()).stats["psnr"].item() == pytest.approx(expected, rel=1e-5)


def test_the_averaged_generator_is_asked_only_by_terms_that_look_at_it():
    made, asked = task(terms=[Spec(L1)]), []
    average = Larger(scale=2).double()
    made.average = lambda: asked.append(1) or average
    made.g_loss(batch(), Progress())
    assert not asked
    steady = task(terms=[Spec(LDL)])
    steady.average = lambda: average
    given = batch()
    expected = LDL()(steady.generator(given["source"]), given["target"], average(given["source"]))
    torch.testing.assert_close(steady.g_loss(given, Progress()).terms["ldl"], expected)


def test_the_trainer_says_which_generator_is_the_average(photographs, tmp_path):
    changes = {**SMALL, "terms": "[ldl]", "degradation.scale": 2}
    request = api.TrainRequest("compact", str(photographs), tmp_path / "run", resolution=16, set=changes, **QUICK)
    session = api.prepare(request)
    trainer = session.trainer
    assert trainer.task.average() is trainer.average
    session.close()


def test_terms_of_one_kind_are_numbered_and_all_count():
    one, two = task(terms=[Spec(L1)]), task(terms=[Spec(L1), Spec(MSE), Spec(L1, weight=2.0)])
    a, b = one.g_loss(batch(), Progress()), two.g_loss(batch(), Progress())
    assert list(b.terms) == ["l1_0", "mse", "l1_1"]
    assert b.terms["l1_0"].item() == pytest.approx(a.terms["l1"].item(), rel=1e-6)
    assert b.terms["l1_1"].item() == pytest.approx(2 * a.terms["l1"].item(), rel=1e-6)
    assert b.total.item() == pytest.approx(3 * a.total.item() + b.terms["mse"].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"terms": []}, "Missing terms"), ({"discriminator": Spec(Judge)}, "Missing loss")],
)
def test_what_cannot_be_played_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        task(**options)


def test_steps_fall_where_they_are_told():
    rate = Steps(at=[0.25, 0.5], factor=0.1)
    assert [rate(f) for f in (0, 0.2499, 0.25, 0.49)] == pytest.approx([1, 1, 0.1, 0.1])
    assert rate(0.5) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="shares"):
        Steps(at=[2.0])


@pytest.mark.parametrize(("size", "ways"), [((6, 6), 4), ((6, 8), 2)])
def test_quarter_turns(size, ways):
    image = torch.arange(size[0] * size[1], dtype=torch.float32).view(1, 1, *size) / 100
    torch.manual_seed(0)
    seen = {tuple(x.flatten().tolist()) for x in Turn()(image.expand(64, -1, -1, -1))}
    possible = {tuple(image[0, 0].rot90(k).flatten().tolist()) for k in range(0, 4, 4 // ways)}
    assert seen == possible


# --- colour and holes -----------------------------------------------------------------------------------------


def test_lightness_is_kept():
    torch.manual_seed(0)
    network = lost.Colorizer(resolution=16).eval()
    lightness = torch.full((1, 1, 16, 16), 0.1)
    lightness[..., 8:] = -0.2
    with torch.no_grad():
        made = to_lab(network(lightness))
    dull = made[:, 1:].abs().amax((1, 2, 3)) < 0.3  # colours that sRGB has
    assert made.shape == (1, 3, 16, 16)
    inside = (network(lightness).abs() < 0.999).all(1, keepdim=True)
    assert inside.any() or not dull
    assert (made[:, :1] - lightness)[inside].abs().max() < 1e-3


def colours(k=0):
    """A network that colours everything by one constant chroma."""
    network = lost.Colorizer(resolution=16).eval().requires_grad_(False)
    network.net = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(network.net.weight)
    network.net.bias.data = torch.tensor([0.2, -0.1])
    return network


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_grey_image_gets_colours(channels):
    array = np.random.default_rng(0).integers(60, 180, (20, 24, channels)).astype(np.uint8)
    if channels > 2:
        array[..., :3] = array[..., :1]
    if channels in (2, 4):
        array[..., -1] = 255
    enhancer = Enhancer(ImageModel(colours().on_images(), 3, "test"), CPU)
    made = enhancer.photo(as_photo(array)).array
    assert made.shape == (20, 24, 4 if channels in (2, 4) else 3)
    if channels in (2, 4):
        assert (made[..., 3] == 255).all()
    lab = to_lab(torch.from_numpy(made[..., :3].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1)
    before = torch.from_numpy(array[..., :1].repeat(3, 2).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert (lab[:, :1] - to_lab(before)[:, :1]).abs().max() < 0.01
    assert (lab[:, 1] - 0.2).abs().max() < 0.01
    assert (lab[:, 2] + 0.1).abs().max() < 0.01


def test_an_inpainter_changes_holes_alone():
    torch.manual_seed(0)
    network, given = lost.Inpainter(resolution=16).eval(), rows(0, 2, 4, 16, 16).float()
    given[:, 3] = -1.0
    given[:, 3, 4:9, 5:12] = 1.0
    with torch.no_grad():
        changed = (network(given) != given[:, :3]).all(1)
    assert torch.equal(changed, given[:, 3] > 0)


def test_a_compact_begins_as_its_enlarged_image():
    torch.manual_seed(0)
    network = compact.Compact(scale=4, width=32, convolutions=4, init="kaiming")
    expected = 0.1 * (2 / (1 + 0.2**2) / (32 * 9)) ** 0.5
    assert network.body[-1].weight.std().item() == pytest.approx(expected, rel=0.05)
    assert not network.body[-1].bias.any()
    assert network.body[0].weight.std().item() == pytest.approx((2 / (1 + 0.2**2) / 27) ** 0.5, rel=0.1)


class White(ImageToImage):
    """Fills holes with white."""

    masked, scale = True, 1

    def forward(self, x):
        hole = (x[:, -1:] + 1) / 2
        return x[:, :-1] * (1 - hole) + hole


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_holes_change(channels, dtype, tmp_path):
    top = np.iinfo(dtype).max
    array = np.random.default_rng(0).integers(0, top, (300, 310, channels)).astype(dtype)
    if channels == 4:
        array[..., 3] = top
    mask = np.zeros((300, 310), np.uint8)
    mask[10:20, 30:33] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    inpainter = Inpainter(ImageModel(White(), 3, "test"), CPU, Region(tmp_path / "mask.png"))
    made = inpainter.photo(as_photo(array), inpainter.region.read("a", (300, 310))).array
    assert np.array_equal(made[mask == 0], array[mask == 0])
    assert (made[mask > 0] == top).all()
    assert made.dtype == dtype


def test_whatever_the_network_does_outside_is_not_taken(tmp_path):
    class Everything(White):
        def forward(self, x):
            return -x[:, :-1]

    array = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[3:6, 30:38] = True
    made = Inpainter(ImageModel(Everything(), 3, "test"), CPU, Region(tmp_path)).photo(as_photo(array), hole).array
    assert np.array_equal(made[~hole], array[~hole])
    assert (made[hole] == 128).all()  # mid-grey, turned round


def test_the_network_sees_the_hole_and_what_is_around_it(tmp_path):
    seen = []

    class Looking(White):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    mask = np.zeros((600, 700), np.uint8)
    mask[300:310, 300:500] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    array = np.full((600, 700, 3), 255, np.uint8)
    inpainter = Inpainter(ImageModel(Looking(), 3, "test"), CPU, Region(tmp_path))
    inpainter.photo(as_photo(array), inpainter.region.read("m", (600, 700)))
    assert seen[0].shape == (1, 4, 10 + 2 * 128, 600)
    hole = seen[0][:, 3:] > 0
    assert hole.sum() == 2000
    assert (seen[0][:, :3].masked_select(hole.expand(-1, 3, -1, -1)) == 0).all()  # mid-grey, as in training
    assert (seen[0][:, :3].masked_select(~hole.expand(-1, 3, -1, -1)) == 1).all()


def test_masks_that_do_not_fit_are_refused(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    inpainter = Inpainter(ImageModel(White(), 3, "test"), CPU, Region(tmp_path))
    with pytest.raises(ganvas.errors.UserError, match="is 8x8 and the image 9x8"):
        inpainter.region.read("a", (8, 9))
    with pytest.raises(ganvas.errors.UserError, match="no mask b.png"):
        inpainter.region.read("b", (8, 8))
    with pytest.raises(UsageError, match="takes no --mask"):
        Inpainter(ImageModel(Larger(), 3, "test"), CPU, Region(tmp_path))
    with pytest.raises(UsageError, match="fills holes"):
        Enhancer(ImageModel(White(), 3, "test"), CPU)


# --- from images to models to images ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[:64, :80]
    for k in range(6):
        waves = [127 + 100 * np.sin(x / (3 + k) + c) * np.cos(y / (4 + c)) for c in range(3)]
        Image.fromarray(np.stack(waves, 2).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def larger(photographs, tmp_path_factory):
    """A run that makes images twice as large."""
    place = tmp_path_factory.mktemp("runs") / "larger"
    changes = {**SMALL, "degradation.scale": 2}
    return ganvas.train("compact", data=str(photographs), resolution=16, outdir=place, set=changes, **QUICK).path


def command(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_a_run_enlarges_images(larger, photographs, tmp_path):
    config = json.loads((larger / "config.json").read_text())
    assert config["data"]["source_scale"] == 2
    done = command("upscale", "-i", photographs / "0.png", "-o", tmp_path / "out.png", "--model", larger)
    assert done.exit_code == 0, done.output
    made = Image.open(tmp_path / "out.png")
    assert made.size == (160, 128)
    other = command("translate", "-i", photographs / "0.png", "-o", tmp_path / "t.png", "--model", larger)
    assert isinstance(other.exception, UsageError)
    assert "ganvas upscale" in str(other.exception)
    model = ganvas.load(larger, device="cpu", precision="fp32")
    again = model(Image.open(photographs / "0.png"))
    assert np.abs(np.asarray(again).astype(int) - np.asarray(made)).max() <= 1


def test_a_plain_module_restores(photographs, tmp_path):
    """It says nothing about masks or its scale, which is that of the data."""
    recipe = RECIPES["compact"]()
    recipe.task = recipe.task.replace(generator=Spec(Repeat))
    changes = {"degradation.scale": 2}
    run = ganvas.train(recipe, data=str(photographs), resolution=16, outdir=tmp_path / "run", set=changes, **QUICK)
    model, x = ganvas.load(run.path, device="cpu", precision="fp32", trust=[Repeat]), torch.rand(1, 4, 8, 8)
    assert model.task.next_step.startswith("ganvas upscale")
    assert torch.equal(model.task.image_of(x, 4), x)
    assert model(Image.open(photographs / "0.png")).size == (160, 128)


def test_a_game_begins_from_pixels_and_is_mixed_with_them(larger, photographs, tmp_path):
    changes = {"generator": "compact(width=4,convolutions=1,init='kaiming')", "degradation.scale": 2}
    changes |= {"discriminator.width": 4, "discriminator.hidden": 8}
    game = ganvas.train(
        "srgan", data=str(photographs), resolution=16, outdir=tmp_path / "game", init_from=larger, set=changes, **QUICK
    )
    mixed = command("interpolate-weights", larger, game.path, "--alpha", "0.5", "-o", tmp_path / "mixed.safetensors")
    assert mixed.exit_code == 0, mixed.output
    a, b, c = (resolve(m).network.state_dict() for m in (larger, game.path, tmp_path / "mixed.safetensors"))
    for key in a:
        torch.testing.assert_close(c[key], (a[key] + b[key]) / 2)
    options = ["--model", game.path, "--psnr-model", larger, "--strength", "0.5"]
    assert command("upscale", "-i", photographs / "0.png", "-o", tmp_path / "x.png", *options).exit_code == 0


def test_a_game_can_be_left_out(photographs, tmp_path):
    """`--set discriminator=none`: Real-ESRNet, from which Real-ESRGAN begins."""
    changes = {"discriminator": "none", "generator.width": 4, "generator.growth": 4, "generator.blocks": 1}
    changes["terms"] = "[l1(weight=1.0), perceptual(weight=0.1, layers=['relu2','relu3']), ldl(weight=1.0)]"
    options = {**QUICK, "resolution": 32, "set": changes}
    run = ganvas.train("real_esrgan", data=str(photographs), outdir=tmp_path / "run", **options)
    assert {"g/l1", "g/perceptual", "g/ldl"} <= run.log()[-1].keys()
    assert not any(key.startswith("d/") for key in run.log()[-1])


def test_pairs_of_two_sizes_are_learnt_from(photographs, tmp_path):
    for side, factor in (("low", 1), ("high", 3)):
        (tmp_path / side).mkdir()
        for file in photographs.iterdir():
            image = Image.open(file)
            image.resize((40 * factor, 32 * factor)).save(tmp_path / side / file.name)
    data = f"source={tmp_path / 'low'},target={tmp_path / 'high'}"
    run = ganvas.train("compact", data=data, resolution=16, outdir=tmp_path / "run", set=SMALL, **QUICK)
    assert resolve(run.path).network.scale == 3
    assert run.config()["data"]["resolution"] == [18, 18]  # the next that three divides


def test_sixteen_bits_of_grey_are_learnt_from_and_kept(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(4):
        values = (np.random.default_rng(k).random((40, 40)) * 65535).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "in" / f"{k}.png")
    options = {"set": {"generator.width": 4, "generator.blocks": 1}, **QUICK}
    run = ganvas.train("denoise", data=str(tmp_path / "in"), resolution=16, outdir=tmp_path / "run", **options)
    assert run.config()["data"]["channels"] == 1
    done = command("restore", "-i", tmp_path / "in" / "0.png", "-o", tmp_path / "o.png", "--model", run.path)
    assert done.exit_code == 0, done.output
    assert np.asarray(Image.open(tmp_path / "o.png")).dtype == np.uint16


def test_colours_and_holes_from_the_command_line(photographs, tmp_path):
    small = {"generator.net.width": 4, "generator.net.depth": 2, "discriminator.width": 4}
    for name in ("colorize", "inpaint"):
        ganvas.train(name, data=str(photographs), resolution=16, outdir=tmp_path / name, set=small, **QUICK)
    grey = Image.open(photographs / "0.png").convert("L")
    grey.save(tmp_path / "grey.png")
    done = command("restore", "-i", tmp_path / "grey.png", "-o", tmp_path / "c.png", "--model", tmp_path / "colorize")
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "c.png").mode == "RGB"
    mask = Image.new("L", grey.size)
    mask.paste(255, (5, 6, 15, 30))
    mask.save(tmp_path / "mask.png")
    options = ["-i", photographs / "0.png", "-o", tmp_path / "f.png", "--model", tmp_path / "inpaint"]
    assert isinstance(command("restore", *options).exception, UsageError)
    idle = command("restore", *options, "--mask", tmp_path / "mask.png", "--grain", 3).exception
    assert isinstance(idle, UsageError)
    assert "--grain" in str(idle)
    assert not (tmp_path / "f.png").exists()
    for unused in (["--outscale", 2], ["--strength", 0.5], ["--tile", 64], ["--wrap"], ["--psnr-model", "bicubic"]):
        refusal = command("restore", *options, "--mask", tmp_path / "mask.png", *unused).exception
        assert isinstance(refusal, UsageError)
        assert unused[0] in str(refusal)
        assert not (tmp_path / "f.png").exists()
    done = command("restore", *options, "--mask", tmp_path / "mask.png")
    assert done.exit_code == 0, done.output
    files = (photographs / "0.png", tmp_path / "f.png", tmp_path / "mask.png")
    before, after, hole = (np.asarray(Image.open(f)) for f in files)
    assert np.array_equal(before[hole == 0], after[hole == 0])
    assert not np.array_equal(before[hole > 0], after[hole > 0])


def test_resuming_cuts_the_same_patches(photographs, tmp_path):
    options = {"data": str(photographs), "resolution": 16, "set": {**SMALL, "degradation.scale": 2}, **QUICK}
    ganvas.train("compact", outdir=tmp_path / "once", **options)
    ganvas.train("compact", outdir=tmp_path / "parts", snapshot_images=8, minutes=0.0, **options)
    ganvas.train(outdir=tmp_path / "parts", resume=True)
    a, b = (resolve(tmp_path / name).network.state_dict() for name in ("once", "parts"))
    assert all(torch.equal(a[k], b[k]) for k in a)
