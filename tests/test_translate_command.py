"""`ganvas translate`: an image or a folder, by a run or a weight file; what cannot be is one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
import published_translation as published
from ganvas.cli import app
from ganvas.errors import UsageError, UserError

TINY = {"resolution": 8, "images": 16, "batch": 8, "device": "cpu", "precision": "fp32"}
PARTS = {"generator.width": 4, "discriminator.width": 4, "generator.blocks": 1}


def command(*arguments):
    """The exit code of a command; a person's mistake is raised."""
    return app(["translate", *map(str, arguments), "--device", "cpu"], standalone_mode=False) or 0


def draw(file, *shape, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.RandomState(seed).randint(0, 255, shape).astype(np.uint8)
    Image.fromarray(array).save(file)
    return array


@pytest.fixture(scope="module")
def there_and_back(tmp_path_factory):
    place = tmp_path_factory.mktemp("piles")
    return ganvas.train("cyclegan", data="a=digits,b=digits", outdir=place / "run", **TINY, set=PARTS).path


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    place = tmp_path_factory.mktemp("many")
    return ganvas.train("stargan", data="digits", outdir=place / "run", **TINY, set=PARTS).path


@pytest.fixture
def unet(tmp_path):
    state = published.filled(published.unet_shapes())
    torch.save(state, tmp_path / "latest_net_G.pth")
    return tmp_path / "latest_net_G.pth", state


def run(*arguments):
    """What a command with --json says."""
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("ganvas.cli.batch.print_json", said.append)
        code = command(*arguments, "--json")
    return code, said[0]


def test_a_image_by_a_published_file(unet, tmp_path):
    file, state = unet
    array = draw(tmp_path / "in.png", 32, 64, 3)
    code, said = run("-i", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", file)
    assert (code, said["done"], said["precision"]) == (0, 1, "fp32")
    x = torch.from_numpy(array).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = (published.unet(state, x)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out.png")), expected, atol=0.6)


def test_noise_is_seeded(tmp_path):
    torch.save(published.filled(published.unet_shapes(depth=7, width=2)), tmp_path / "g.pth")
    draw(tmp_path / "in.png", 128, 128, 3)
    made = []
    for seed in (1, 1, 2):
        options = ["--model", tmp_path / "g.pth", "--noise", seed]
        assert command("-i", tmp_path / "in.png", "-o", tmp_path / "o.png", *options) == 0
        made.append((tmp_path / "o.png").read_bytes())
    assert made[0] == made[1] != made[2]


def test_both_ways(there_and_back, tmp_path):
    array = draw(tmp_path / "in.png", 11, 9)
    model = ganvas.load(there_and_back, device="cpu", precision="fp32")
    for options, back in (([], False), (["--back"], True)):
        assert command("-i", tmp_path / "in.png", "-o", tmp_path / "o.png", "--model", there_and_back, *options) == 0
        made = np.asarray(Image.open(tmp_path / "o.png"))
        network = model.task.generator["ba" if back else "ab"]
        expected = network(torch.from_numpy(array)[None, None].float() / 127.5 - 1)[0, 0]
        np.testing.assert_allclose(made, (expected.numpy() + 1) * 127.5, atol=0.51)
        np.testing.assert_array_equal(made, model(array[..., None], back=back)[..., 0])


def test_the_domain_that_is_asked_for(many, tmp_path):
    array, model = draw(tmp_path / "in.png", 11, 9), ganvas.load(many, device="cpu", precision="fp32")
    for label in ("3", "7"):
        assert command("-i", tmp_path / "in.png", "-o", tmp_path / "o.png", "--model", many, "--label", label) == 0
        made = np.asarray(Image.open(tmp_path / "o.png"))
        np.testing.assert_array_equal(made, model(array[..., None], label=int(label))[..., 0])


def test_a_folder_in_which_one_image_is_damaged(there_and_back, tmp_path):
    for name in ("a.png", "deep/b.png", "c.jpg"):
        draw(tmp_path / "in" / name, 10, 12)
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    (tmp_path / "in" / "notes.txt").write_text("no image either")
    options = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--model", there_and_back, "--recursive"]
    code, said = run(*options)
    assert (code, said["done"], said["failed"], said["other_files"]) == (1, 3, 1, 1)
    assert sorted(f.name for f in (tmp_path / "out").rglob("*") if f.is_file()) == ["a.png", "b.png", "c.jpg"]
    code, said = run(*options, "--resume")
    assert (said["skipped"], said["failed"]) == (3, 1)


def test_what_cannot_be_is_a_sentence(there_and_back, many, tmp_path):
    draw(tmp_path / "in.png", 10, 12)
    dcgan = ganvas.train("dcgan", data="digits", outdir=tmp_path / "noise", **TINY, set={"generator.width": 4}).path
    mistakes = [
        ([], "Missing --model: a run"),
        (["--model", tmp_path / "nowhere"], "does not exist"),
        (["--model", there_and_back, "--label", "3"], "There is no class|one kind of image"),
        (["--model", many], "needs a target label"),
        (["--model", many, "--label", "nine"], "no class 'nine'"),
        (["--model", dcgan], "generates from noise and cannot translate; ganvas sample"),
        (["--model", there_and_back, "--quality", "0"], "--quality"),
    ]
    for options, said in mistakes:
        with pytest.raises(UsageError, match=said):
            command("-i", tmp_path / "in.png", "-o", tmp_path / "out.png", *options)
    with pytest.raises(UsageError, match="written over itself"):
        command("-i", tmp_path / "in.png", "-o", tmp_path / "in.png", "--model", there_and_back)
    (tmp_path / "d.pth").write_bytes(b"\x80nothing")
    with pytest.raises(UserError, match="d.pth"):
        command("-i", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", tmp_path / "d.pth")
    assert not (tmp_path / "out.png").exists()


def test_sampling_a_model_that_translates(there_and_back, tmp_path):
    with pytest.raises(UsageError, match="ganvas translate"):
        app(["sample", str(there_and_back), "-o", str(tmp_path / "s.png"), "--device", "cpu"], standalone_mode=False)
    card = (there_and_back / "model" / "README.md").read_text()
    assert "pipeline_tag: image-to-image" in card
    draw(tmp_path / "a.png", 10, 12)
    with pytest.raises(UsageError, match="translates images and cannot upscale; ganvas translate"):
        app(
            ["upscale", "-i", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--model", str(there_and_back)],
            standalone_mode=False,
        )
    assert json.loads((there_and_back / "config.json").read_text())["data"]["source_channels"] == 1
