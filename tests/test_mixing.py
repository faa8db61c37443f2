"""Mixtures of pairs and distillation: their equations, source and target alike, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ganvas
from ganvas.catalog import MIXTURES
from ganvas.data.batches import Batches
from ganvas.data.degrade.camera import Bicubic
from ganvas.data.mixing import CutBlur, CutMix, Mixup, draw_box
from ganvas.data.sources import open_source
from ganvas.data.transforms import parse_transforms
from ganvas.errors import UsageError

SCALE = 2


def batch(count=6, side=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, side, side, generator=random) * 2 - 1
    return {"source": small, "image": small.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)}


def enlarged(x):
    return x.repeat_interleave(SCALE, -2).repeat_interleave(SCALE, -1)


@pytest.mark.parametrize("name", [name for name in MIXTURES if name != "cutblur"])
def test_source_and_target_stay_a_pair(name):
    pairs = batch()
    mixed = MIXTURES[name](p=1.0).mix(pairs, np.random.default_rng(0))
    torch.testing.assert_close(mixed["image"], enlarged(mixed["source"]))
    assert not torch.equal(mixed["source"], pairs["source"])
    assert all(torch.equal(pairs[k], batch()[k]) for k in pairs)  # the batch itself stays


def test_mixup_is_its_equation():
    pairs, random, again = batch(), np.random.default_rng(3), np.random.default_rng(3)
    mixed = Mixup(p=0.7, alpha=0.4).mix(pairs, random)
    for k, other in enumerate(again.permutation(6)):
        x = again.beta(0.4, 0.4) if again.random() < 0.7 else 1.0
        torch.testing.assert_close(mixed["image"][k], x * pairs["image"][k] + (1 - x) * pairs["image"][other])


def test_cutmix_takes_a_box_of_the_other_pair():
    pairs = batch(2, 40)
    pairs["source"][0], pairs["source"][1] = -1.0, 1.0
    pairs["image"] = enlarged(pairs["source"])
    shares = []
    for seed in range(200):
        mixed = CutMix(p=1.0).one(pairs, 0, 1, 0.75, np.random.default_rng(seed))["source"]
        places = (mixed[0] == 1).nonzero()
        if len(places):
            (top, left), (bottom, right) = places.min(0).values, places.max(0).values
            assert (mixed[:, top : bottom + 1, left : right + 1] == 1).all()  # one box
        shares.append((mixed == 1).float().mean().item())
    assert max(shares) == pytest.approx(0.25, abs=0.01)  # 1 - 0.75, where no edge cuts it off


def test_cutblur_mixes_the_source_with_its_own_target():
    pairs = batch(3)
    pairs["image"] = -pairs["image"]
    for seed in range(8):
        mixed = CutBlur(p=1.0).mix(pairs, np.random.default_rng(seed))
        assert torch.equal(mixed["image"], pairs["image"])
        either = torch.isclose(mixed["source"], pairs["source"]) | torch.isclose(mixed["source"], -pairs["source"])
        assert either.all()


def test_boxes_stay_inside():
    pairs, random = batch(), np.random.default_rng(0)
    for _ in range(100):
        top, left, bottom, right = draw_box(pairs, random.random(), random)
        assert 0 <= top <= bottom <= 8
        assert 0 <= left <= right <= 8


def test_batches_mix_after_the_degradation_and_from_the_position_alone():
    data, options = open_source("digits", resolution=16), {"seed": 1, "needs": {"image", "source"}}
    plain = Batches(data, degradation=Bicubic(scale=2), **options)
    mixes = Batches(data, degradation=Bicubic(scale=2), transforms=[Mixup(p=1.0)], **options)
    first, second = mixes.at(8, 4), mixes.at(8, 4)
    assert all(torch.equal(first[k], second[k]) for k in ("image", "source"))
    expected = Mixup(p=1.0).mix(
        {k: v for k, v in plain.at(8, 4).items() if k in ("image", "source", "target")},
        np.random.default_rng([1, 8, 0x4D1]),
    )
    assert all(torch.equal(first[k], v) for k, v in expected.items())


def test_names_and_refusals(tmp_path):
    assert parse_transforms("flip,cutmix=0.3:2") == [("flip", {}), ("cutmix", {"p": 0.3, "alpha": 2.0})]
    with pytest.raises(UsageError, match="p from 0 to 1"):
        CutMix(p=2.0)
    options = {"resolution": 8, "batch": 16, "device": "cpu", "images": 16}
    with pytest.raises(UsageError, match="mixup mixes pairs of a source and a target"):
        ganvas.train("dcgan_small", data="digits", outdir=tmp_path / "run", augment="mixup", **options)


# --- distillation ----------------------------------------------------------------------------------------------

SMALL = {"generator.width": 4, "generator.convolutions": 1, "degradation.scale": 2}
OPTIONS = {"data": "photos", "resolution": 16, "batch": 4, "images": 8, "device": "cpu", "precision": "fp32"}


def test_a_teacher_is_a_second_target(tmp_path):
    changes = {**SMALL, "teacher": "x2", "teacher_terms": "[mse(weight=2.0)]"}
    run = ganvas.train("compact", outdir=tmp_path / "run", set=changes, **OPTIONS)
    line = run.log()[-1]
    assert line["g/teacher_mse"] > 0
    assert not [name for name in run.load_state()["trainer"]["task"] if "teach" in name]
    assert ganvas.load(run.path)(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 16, 16)


def test_the_distance_is_from_the_teachers_images():
    from ganvas.config import Spec
    from ganvas.game import Progress
    from ganvas.losses.pixel import L1
    from ganvas.networks.compact import Compact
    from ganvas.tasks.restoration import Restoration

    network = Spec(Compact, width=4, convolutions=1)
    task = Restoration(
        generator=network, terms=[Spec(L1, weight=3.0)], teacher="x", resolution=(16, 16), source_scale=2
    )
    task.teach = lambda x: torch.full((len(x), 3, 16, 16), 0.25)
    source, image = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)
    objective = task.g_loss({"source": source, "image": image}, Progress(0, 1, 0, False, 0, 1))
    expected = 3 * ((task.generator(source) - 0.25) / 2).abs().mean()
    torch.testing.assert_close(objective.terms["teacher_l1"], expected)


@pytest.mark.parametrize(
    ("teacher", "sentence"),
    [
        ("x4", "The teacher x4 is for x4 and 3 channels, and this run is for x2 and 3"),
        ("nowhere.pth", "no model nowhere.pth"),
    ],
)
def test_what_cannot_teach(teacher, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        ganvas.train("compact", outdir=tmp_path / "run", set={**SMALL, "teacher": teacher}, **OPTIONS)
    assert not (tmp_path / "run").exists()
