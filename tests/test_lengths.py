"""Vectors have the length that the model has, and images the channels of the network: refused before anything runs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
from ganvas.config import Spec
from ganvas.data import Dataset
from ganvas.errors import UsageError, UserError
from ganvas.imaging.photo import open_photo
from ganvas.inference.enhance import Enhancer
from ganvas.inference.inpaint import Inpainter
from ganvas.inference.region import Region
from ganvas.inference.styles import Styles
from ganvas.inference.stylize import NetworkStylizer
from ganvas.inference.translate import Translator
from ganvas.losses.adversarial import NonSaturating
from ganvas.models.model import Model
from ganvas.models.resolve import ImageModel, resolve
from ganvas.networks import cyclegan, dcgan
from ganvas.networks.colorize_inpaint import Inpainter as Holes
from ganvas.policy import Policy
from ganvas.tasks.generation import Generation
from ganvas.tasks.infogan import InfoGAN
from ganvas.tasks.label_translation import AppliedLabelTranslation
from ganvas.tasks.translation import Applied

PLACE = Policy.choose("cpu", "fp32")
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def model_of(task, **data):
    return Model(task.eval(), PLACE, {"data": {"channels": 3, "resolution": [8, 8], "class_names": [], **data}})


def generation(task=Generation, **facts):
    parts = {"generator": Spec(dcgan.Generator, width=4, latent=6), "loss": Spec(NonSaturating)}
    head = {"head": Spec(ganvas.catalog.HEADS["info"])} if task is InfoGAN else {}
    parts["discriminator"] = Spec(dcgan.Discriminator, width=4, **head)
    return model_of(task(resolution=(8, 8), **parts, **facts))


@pytest.fixture(scope="module")
def models():
    translation = AppliedLabelTranslation(cyclegan.Generator(width=4, blocks=1, norm="none"), 5)
    return {
        "plain": generation(),
        "attributes": generation(conditional=True, attributes=4),
        "classes": generation(conditional=True, classes=3),
        "codes": generation(InfoGAN, categories=[2, 3], continuous=1),
        "domains": model_of(translation),
    }


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("attributes", [1.0, 0.0], "vector of 4 numbers, got 2 numbers"),
        ("attributes", np.zeros(5), "vector of 4 numbers, got 5 numbers"),
        ("attributes", torch.zeros(3), "vector of 4 numbers, got 3 numbers"),
        ("attributes", 1, "vector of 4 numbers, got a class"),
        ("classes", [1, 0, 0], r"from 0 to 2, got \[1, 0, 0\]"),
        ("classes", np.int64(3), "from 0 to 2, got 3"),
        ("codes", [1, 2], r"3 numbers \(2 categories, then 1 continuous ones\), got \[1, 2\] \(2\)"),
        ("codes", np.arange(4), r"3 numbers .*got \[0, 1, 2, 3\] \(4\)"),
        ("plain", [0.5], "trained without labels"),
    ],
)
def test_labels_of_another_length(models, name, label, reason):
    for call in (lambda m: m.sample(2, label=label), lambda m: m.walk([0, 1], steps=2, label=label)):
        with pytest.raises(UsageError, match=reason):
            call(models[name])


@pytest.mark.parametrize(
    ("name", "inputs", "reason"),
    [
        ("plain", {"z": torch.zeros(2, 7)}, r"latent of this model is 6 numbers: \(N, 6\), got \(2, 7\)"),
        ("plain", {"z": torch.zeros(6)}, r"\(N, 6\), got \(6,\)"),
        ("classes", {"z": torch.zeros(2, 5), "label": torch.zeros(2).long()}, r"got \(2, 5\)"),
        ("attributes", {"z": torch.zeros(2, 6), "label": torch.zeros(2, 3)}, r"label of this model is 4 .*\(2, 3\)"),
        ("codes", {"z": torch.zeros(2, 6), "label": torch.zeros(2, 3)}, r"label of this model is 6 .*\(2, 3\)"),
    ],
)  # fmt: skip
def test_vectors_of_another_length(models, name, inputs, reason):
    with pytest.raises(UsageError, match=reason):
        models[name].generate(inputs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1,0", "vector of 5 numbers, got 2 numbers"), ("0,0,1,0,0,1", "vector of 5 numbers, got 6 numbers"),
     ("1,0,0,0", "vector of 5 numbers, got 4 numbers")],
)  # fmt: skip
def test_attributes_of_the_command_line(models, text, reason):
    """`1,0` was read as the attribute of number 1, and the rest ignored."""
    model = models["domains"]
    with pytest.raises(UsageError, match=reason):
        Translator(model, model.read_label(text)).check()
    assert model.read_label("3") == 3
    assert model.read_label("0,0,0,1,0") == [0, 0, 0, 1, 0]


def test_weights_of_styles_are_as_many_as_the_styles():
    for shares in ([1.0], [1.0, 2.0, 3.0], [0.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0]):
        with pytest.raises(UsageError, match=r"each of the 2 styles, got \["):
            ganvas.stylize(PIXELS, [PIXELS, PIXELS], shares=np.array(shares))


# --- channels -------------------------------------------------------------------------------------------------


def convolution(inputs, outputs):
    return model_of(Applied(nn.Conv2d(inputs, outputs, 1)), source_channels=inputs, channels=outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [(1, 2, r"takes 1 channel\(s\) and gives 2; it predicts"), (3, 21, r"takes 3 channel\(s\) and gives 21"),
     (2, 3, r"takes 2 channel\(s\) and gives 3"), (6, 6, r"takes 6 channel\(s\) and gives 6")],
)  # fmt: skip
def test_channels_that_no_image_has(inputs, outputs, reason):
    model = convolution(inputs, outputs)
    for call in (
        Translator(model).check,
        lambda: model(PIXELS),
        lambda: model(Image.fromarray(PIXELS)),
        lambda: NetworkStylizer(model, Styles([], [])),
        lambda: ganvas.stylize(PIXELS, (), model),
    ):
        with pytest.raises(UsageError, match=reason):
            call()
    assert model(torch.zeros(1, inputs, 4, 4)).shape == (1, outputs, 4, 4)
    with pytest.raises(UsageError, match=rf"\(N, {inputs}, H, W\), got \(1, 4"):
        model(torch.zeros(1, 4, 4, 4) if inputs != 4 else torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 3), (3, 1), (3, 3), (4, 4), (4, 3)])
def test_channels_that_images_have(inputs, outputs):
    result = convolution(inputs, outputs)(PIXELS)
    assert result.shape == (16, 16, outputs)


@pytest.mark.parametrize(("source", "channels"), [(1, 3), (3, 1), (3, 21)])
def test_networks_that_change_channels_neither_upscale_nor_restore(source, channels, tmp_path):
    network = cyclegan.Generator(width=4, blocks=1, channels=channels, source_channels=source)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=rf"takes {source} channel\(s\) and gives {channels}; restore is for"):
        resolve(tmp_path / "net.pth", verb="restore")


def test_networks_of_other_channels_before_the_first_image(tmp_path):
    network = cyclegan.Generator(width=4, blocks=1, channels=5, source_channels=5)
    with pytest.raises(UsageError, match="takes images of 5 channels, and these have 1 or 3"):
        Enhancer(ImageModel(network, 5, "net"), PLACE).check_channels()
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    holes = Inpainter(ImageModel(Holes(resolution=16, channels=1), 1, "grey"), PLACE, Region(tmp_path / "a.png"))
    with pytest.raises(UserError, match="grey is for grey images, and this one has colours"):
        holes.photo(open_photo(tmp_path / "a.png"), np.ones((16, 16), bool))


def test_feature_networks_and_classifiers_of_other_channels(tmp_path):
    grey = PIXELS[None, ..., :1].repeat(4, 0)
    with pytest.raises(UsageError, match=r"Conv2d does not take images of shape \(4, 1, 16, 16\)"):
        ganvas.evaluate("fd", grey, grey, features=nn.Conv2d(3, 2, 1))
    data = Dataset(PIXELS[None].repeat(8, 0), [0, 1] * 4)
    small = {"images": 8, "batch": 8, "device": "cpu"}
    run = ganvas.train("classifier", data=data, outdir=tmp_path / "run", set={"classifier.width": 4}, **small)
    with pytest.raises(UsageError, match=r"shape \(N, 3, 16, 16\), got \(4, 1, 16, 16\)"):
        ganvas.evaluate("modes", grey, classifier=run.path)
