"""What the zoo cannot do is one sentence and leaves nothing behind: the table of impossible wishes."""

from __future__ import annotations

import numpy as np
import pytest

import ganvas
from ganvas import catalog
from ganvas.data import Dataset
from ganvas.errors import UsageError
from small import FACTS, narrow

IMAGES = np.random.RandomState(0).randint(0, 256, (40, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(40) % 3
NAMES = ("a", "b", "c")
DATA = {
    "plain": Dataset(IMAGES, name="plain"),
    "labelled": Dataset(IMAGES, LABELS, NAMES, name="labelled"),
    "told": Dataset(IMAGES, captions=tuple("abcd" * 10), name="told"),
    "partly": Dataset(IMAGES, np.where(LABELS == 1, -1, LABELS), NAMES, name="partly"),
}
CONDITIONAL = ["cgan", "acgan", "projection", "biggan", "r3gan_conditional", "stylegan2_conditional"]

IMPOSSIBLE = [
    *((name, "plain", {}, "is conditional, but the data have no labels") for name in CONDITIONAL),
    ("acgan", "partly", {}, "13 images have no label"),
    ("semigan", "plain", {}, "sub-folder called unlabelled"),
    ("textgan", "labelled", {}, "caption"),
    ("dcgan", "plain", {"discriminator.head": "minibatch_discrimination", "batch": 1}, "at least two"),
    ("dcgan", "plain", {"discriminator.head": "minibatch_stddev", "batch": 1}, "at least two"),
    ("dcgan", "plain", {"discriminator.head": "auxiliary_classifier"}, "needs data with classes"),
    ("dcgan", "plain", {"discriminator.head": "projection"}, "no labels"),
    ("dcgan", "plain", {"discriminator.head": "info"}, "infogan"),
    ("dcgan", "plain", {"g_penalties": "[path_length]"}, "generator=stylegan2_generator"),
    ("dcgan", "plain", {"g_penalties": "[pulling_away]", "batch": 1}, "at least two"),
    ("dcgan", "plain", {"penalties": "[feature_matching]"}, "put it into g_penalties"),
    ("dcgan", "plain", {"g_penalties": "[r1]"}, "put it into penalties"),
    ("infogan", "plain", {"categories": "[]", "continuous": 0}, "needs a code"),
    ("infogan", "plain", {"discriminator.head": "plain"}, "with the head info, and Plain cannot"),
    ("infogan", "plain", {"discriminator.head": "minibatch_stddev(head=plain)"}, "with the head info"),
    ("dcgan", "plain", {"generator.latent": 0}, "latent must be at least 1"),
    ("dcgan", "plain", {"fakes": 0}, "fakes must be at least 1"),
    ("dcgan", "plain", {"freeze_d": -1}, "at least 0, got -1"),
    ("dcgan", "plain", {"discriminator.head": "minibatch_discrimination(kernels=0)"}, "are at least 1"),
    ("dcgan", "plain", {"generator": 'dcgan_variant_generator(norm="virtual", reference=0)'}, "at least 1 image"),
    ("dcgan", "plain", {"augment": "ada(p=1.5)"}, "a probability"),
    ("dcgan", "plain", {"augment": "instance_noise(sigma=-1)"}, "standard deviation"),
    ("stylegan2", "plain", {"generator.mixing": 3}, "mixing is a share"),
    ("textgan", "told", {"matching": 2}, "matching is a share"),
    ("textgan", "told", {"hidden": -1}, "hidden is a share"),
    ("textgan", "told", {"pixel": -1}, "pixel is a weight"),
]


@pytest.mark.parametrize(("recipe", "data", "changes", "said"), IMPOSSIBLE, ids=lambda v: str(v)[:60])
def test_what_is_impossible_is_a_sentence_and_nothing_is_written(recipe, data, changes, said, tmp_path):
    wished = {**narrow(recipe), "batch": 4, **changes}
    with pytest.raises(UsageError) as problem:
        ganvas.train(recipe, data=DATA[data], outdir=tmp_path / "r", images=8, device="cpu", set=wished)
    assert said.lower() in str(problem.value).lower()
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "r").exists()


def task(name):
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    return recipe.task.build(**FACTS)


@pytest.mark.parametrize("label", [3, -1, "b c", [0.5]])
@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_label_out_of_range_is_a_sentence(name, label):
    with pytest.raises(UsageError, match="from 0 to 2"):
        task(name).inputs([0], label)


@pytest.mark.parametrize("label", [[0.5], [1, 0.5], [1, 0.5, 0.5, 0.5]])
def test_a_code_of_the_wrong_length_is_a_sentence(label):
    with pytest.raises(UsageError, match="is 3 numbers"):
        task("infogan").inputs([0], label)
