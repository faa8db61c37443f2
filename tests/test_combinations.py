"""Every two parts work together: losses, heads, penalties of either player and what the discriminator looks through."""

from __future__ import annotations

import itertools

import pytest
import torch

import ganvas
from ganvas import catalog
from ganvas.errors import UsageError
from ganvas.policy import Policy
from ganvas.training.trainer import Trainer
from small import narrow, source
from test_trainer import Fixed, small

CPU = torch.device("cpu")
OPTIONS = {
    "consistency": "consistency(augment=diffaugment(policy=['translation']))",
    "lecam": "lecam(start=0)",
    "boundary_equilibrium": "boundary_equilibrium(rate=0.1)",
    "top_k": "top_k(loss=relativistic_pairing)",
    "weighted": "weighted(loss=energy_margin, d=0.5)",
    "ada": "ada(p=0.8)",
    "": "",
}
LOSSES = list(catalog.LOSSES)
HEADS = [name for name in catalog.HEADS if name != "info"]  # guesses codes, which InfoGAN alone draws
PENALTIES, SIGHT = [*catalog.PENALTIES], ["", *catalog.D_AUGMENT]


def covering():
    """Rows in which every loss meets every penalty, and any two of the four axes all of each other's values."""
    for i, j in itertools.product(range(len(LOSSES)), range(len(PENALTIES))):
        yield LOSSES[i], HEADS[(i + j) % len(HEADS)], PENALTIES[j], SIGHT[(i + j // 3) % len(SIGHT)]


def test_every_two_parts_meet():
    rows, axes = list(covering()), (LOSSES, HEADS, PENALTIES, SIGHT)
    for a, b in itertools.combinations(range(4), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(axes[a], axes[b]))


def place(penalty):
    """Where a penalty goes; what means something for both players is given to both."""
    text = OPTIONS.get(penalty, penalty)
    player = catalog.PENALTIES[penalty].player
    places = {"discriminator": ["penalties"], "generator": ["g_penalties"], "either": ["penalties", "g_penalties"]}
    return dict.fromkeys(places[player], text)


def learnt(module):
    return {k: v.detach().clone() for k, v in module.named_parameters()}


def step(loss, head, penalty, sight, bf16=False, **more):
    if penalty == "path_length":
        more = {"generator": "stylegan2_generator(latent=8, style=8, mapping=1, width=4, max_width=8)", **more}
    changes = {"loss": OPTIONS.get(loss, loss), "discriminator.head": head, "augment": OPTIONS.get(sight, sight)}
    recipe = small(**{**changes, **place(penalty), "conditional": "true", "discriminator.init": "kaiming", **more})
    torch.manual_seed(0)
    task = recipe.task.build(resolution=(8, 8), channels=3, classes=3)
    trainer = Trainer(task, recipe, Fixed(channels=3), Policy(CPU, bf16))
    trainer.advance()
    before = learnt(task.generator), learnt(task.discriminator)
    trainer.advance()
    return trainer, before


@pytest.mark.parametrize("loss", LOSSES)
def test_every_combination_moves_both_players(loss):
    for row in covering():
        if row[0] != loss:
            continue
        if row[:2] == ("realness", "classes"):  # a head whose one logit is a function of those of the classes
            with pytest.raises(UsageError, match="Realness needs a head that gives 51 outputs, and Classes cannot"):
                step(*row)
            continue
        trainer, before = step(*row)
        for weights, module in zip(before, (trainer.task.generator, trainer.task.discriminator)):
            assert any(not torch.equal(v, weights[k]) for k, v in module.named_parameters()), row
        said = trainer.read()
        assert said
        assert all(abs(v) < float("inf") for v in said.values()), (row, said)  # neither inf nor nan


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sight", SIGHT)
def test_penalties_and_augmentations_under_bf16_with_a_pool(penalty, sight):
    trainer, _ = step("hinge", "projection", penalty, sight, bf16=True, pool="5")
    assert all(abs(v) < float("inf") for v in trainer.read().values())
    kinds = {v.dtype for v in trainer.task.state_dict().values()}
    assert kinds <= {torch.float32, torch.int64}


@pytest.mark.parametrize("name", [*PENALTIES, *LOSSES, *catalog.D_AUGMENT])
def test_every_component_survives_json(name):
    from ganvas.config import Recipe

    which = {**place(name)} if name in PENALTIES else {"loss" if name in LOSSES else "augment": OPTIONS.get(name, name)}
    recipe = small(**which)
    assert Recipe.from_dict(recipe.to_dict()).to_dict() == recipe.to_dict()


ELSEWHERE = [  # tools that these tasks had refused or stumbled over
    *(("textgan", {"g_penalties": text}) for text in ("weight_clipping(bound=0.5)", "historical_averaging")),
    ("textgan", {"discriminator.head": "minibatch_discrimination(head=joint)"}),
    *(("infogan", {"discriminator.head": f"minibatch_{name}(head=info)"}) for name in ("discrimination", "stddev")),
    *(("semigan", {"g_penalties": text}) for text in ("historical_averaging", "pulling_away", "feature_matching")),
]


@pytest.mark.parametrize(("name", "changes"), ELSEWHERE, ids=str)
def test_tools_go_with_other_tasks(name, changes, tmp_path):
    run = ganvas.train(
        name,
        data=source(name, tmp_path),
        outdir=tmp_path / "run",
        resolution=8,
        images=24,
        batch=8,
        device="cpu",
        precision="fp32",
        set={**narrow(name), **changes},
    )
    line = run.log()[-1]
    assert line["images"] == 24
    assert all(abs(value) < float("inf") for value in line.values())
