"""The one loop: who moves when, what is averaged, what is saved, and what stops it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.config import Recipe, Spec
from ganvas.game import Progress
from ganvas.policy import Policy
from ganvas.training.players import Group
from ganvas.training.trainer import Diverged, Trainer, progress_at
from small import FACTS, Fixed, facts, narrow

CPU = torch.device("cpu")


def small(name="dcgan", **changes):
    recipe = catalog.RECIPES[name]()
    for path, value in {**narrow(name), "batch": "4", "images": "4000", **changes}.items():
        recipe.set(path, str(value))
    return recipe


def trainer(recipe, bf16=False, data=None, seed=0, built=FACTS):
    torch.manual_seed(seed)
    channels = {k: built[k] for k in ("channels", "source_channels") if k in built}
    return Trainer(recipe.task.build(**built), recipe, data or Fixed(**channels), Policy(CPU, bf16))


def weights(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def moved(before, module):
    return {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}


def constant(key):
    """The critic's constant, which a loss over differences of logits cannot move, nor a hinge whose sides all count.

    And the random projections of Projected GAN, which are buffers.
    """
    return key.endswith("score.bias") or ".project.mix." in key or ".project.fuse." in key


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_every_recipe_moves_every_player(name):
    t = trainer(small(name), built=facts(name))
    before = weights(t.task)
    for _ in range(3):
        t.advance()
    changed = moved(before, t.task)
    for key in before:
        if key.endswith(("weight", "bias", "basis")) and not constant(key):
            assert key in changed, key
    assert all(v == v for v in t.read().values())


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_gradient_routing(name):
    """The discriminator's objective reaches no weight of the generator, nor the other way round."""
    t = trainer(small(name), built=facts(name))
    for _ in range(2):  # past the weights that begin as zeros and hide others
        t.advance()
    g, d = t.g.weights, t.d.weights if t.d else []
    for p in [*g, *d]:
        p.grad = None
    batch = next(t.batches)
    if t.d:
        t.task.d_loss(batch, t.progress).total.backward()
        assert all(p.grad is None for p in g)
        silent = {id(p) for key, p in t.task.discriminator.named_parameters() if constant(key)}
        assert all(p.grad is not None and (p.grad.abs().sum() > 0 or id(p) in silent) for p in d)
        for p in d:
            p.grad = None
        t.d.freeze()
    t.task.g_loss(batch, t.progress).total.backward()
    assert all(p.grad is None for p in d)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in g)


def test_only_the_player_whose_turn_it_is_moves():
    t = trainer(small(d_warmup_images="8"))
    before = weights(t.task.generator)
    t.advance(), t.advance()
    learnt = {k for k in moved(before, t.task.generator) if "running" not in k and "tracked" not in k}
    assert not learnt  # the discriminator warms up
    before = weights(t.task.generator)
    t.advance()
    assert "project.weight" in moved(before, t.task.generator)


def test_each_player_pays_for_its_own_gradients_alone():
    """The critic's weights need no gradient while the generator moves; the generator's, only where fakes are shared."""
    t, seen = trainer(small(d_steps="2")), {}
    for name in ("d_loss", "g_loss"):
        whole = getattr(t.task, name)

        def spy(*arguments, name=name, whole=whole):
            seen[name] = [any(p.requires_grad for p in part.weights) for part in (t.g, t.d)]
            return whole(*arguments)

        setattr(t.task, name, spy)
    t.advance()
    assert seen == {"d_loss": [False, True], "g_loss": [True, False]}


@pytest.mark.parametrize(("d_steps", "g_steps", "drawn"), [(1, 1, 1), (3, 1, 3), (1, 2, 2), (2, 3, 3)])
def test_steps_per_player(d_steps, g_steps, drawn):
    t = trainer(small(d_steps=str(d_steps), g_steps=str(g_steps)))
    t.advance()
    assert t.images == 4 * drawn
    assert int(next(iter(t.d.optimizer.state.values()))["step"]) == d_steps
    assert int(next(iter(t.g.optimizer.state.values()))["step"]) == g_steps
    assert t.data.asked == [4 * k for k in range(drawn)]


@pytest.mark.parametrize(("d_steps", "g_steps"), [(3, 1), (3, 2), (1, 2)])
def test_the_generator_plays_on_the_last_batches_of_a_step(d_steps, g_steps):
    """The last that the discriminator saw: it has just learnt to tell them apart."""
    t, seen = trainer(small(d_steps=str(d_steps), g_steps=str(g_steps))), {"d_loss": [], "g_loss": []}
    for name in seen:
        whole = getattr(t.task, name)

        def spy(batch, progress, name=name, whole=whole):
            seen[name].append(batch["image"])
            return whole(batch, progress)

        setattr(t.task, name, spy)
    t.advance()
    drawn = [t.data._images(4 * k, 4) for k in range(max(d_steps, g_steps))]
    assert all(torch.equal(a, b) for a, b in zip(seen["d_loss"], drawn[:d_steps], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(seen["g_loss"], drawn[-g_steps:], strict=True))


def test_schedule_sets_both_rates():
    recipe = small(images="40", lr_schedule="linear(begin=0.5, to=0.1)")
    recipe.set("d_optimizer.lr", "4e-4")
    t = trainer(recipe)
    rates = []
    for _ in t:
        rates.append((t.g.optimizer.param_groups[0]["lr"], t.d.optimizer.param_groups[0]["lr"]))
    factors = [1.0] * 6 + [1 - 0.9 * k / 5 for k in range(1, 5)]
    assert [r[0] for r in rates] == pytest.approx([2e-4 * f for f in factors])
    assert [r[1] for r in rates] == pytest.approx([4e-4 * f for f in factors])


def test_average_has_its_half_life():
    t = trainer(small(ema_images="100.0", ema_ramp="1e9"))
    for p in t.average.parameters():
        p.zero_()
    for p in t.task.generator.parameters():
        p.data.fill_(1.0)
    for k in range(1, 26):
        t.images = 4 * k
        t._average(4)
    value = next(t.average.parameters()).flatten()[0].item()
    assert value == pytest.approx(0.5, abs=1e-5)  # 100 images: half the way


def test_average_is_shorter_at_the_start():
    t = trainer(small(ema_images="1e9", ema_ramp="0.1"))
    for p in t.average.parameters():
        p.zero_()
    for p in t.task.generator.parameters():
        p.data.fill_(1.0)
    t.images = 400
    t._average(40)  # half-life is 0.1 x 400 = 40 images
    assert next(t.average.parameters()).flatten()[0].item() == pytest.approx(0.5, abs=1e-5)


def test_average_copies_batch_statistics():
    t = trainer(small())
    for _ in range(3):
        t.advance()
    ours, theirs = dict(t.average.named_buffers()), dict(t.task.generator.named_buffers())
    assert ours
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert int(ours["body.0.num_batches_tracked"]) > 0


def test_sampling_uses_the_average_and_restores_everything():
    t = trainer(small())
    for _ in range(2):
        t.advance()
    for p in t.average.parameters():
        p.fill_(0.0)
    generator = t.task.generator
    with pytest.raises(RuntimeError, match="on purpose"), t.use_average() as task:  # noqa: PT012
        assert not task.training
        assert task.sample(task.inputs([0, 1])).abs().max() == 0
        raise RuntimeError("on purpose")
    assert t.task.generator is generator
    assert t.task.training
    assert generator.training


def test_accumulation_is_the_whole_batch():
    """Without batch norm, two halves give the gradient of the whole."""
    found = {}
    plain = {"g_optimizer": "sgd(lr=0.1)", "d_optimizer": "sgd(lr=0.1)"}  # Adam would hide a gradient twice as large
    for parts in (1, 2):
        recipe = small(**plain, **{"accumulate": str(parts), "discriminator.norm": "none"})
        t = trainer(recipe)
        seen = []
        whole = torch.randn(4, 100, generator=torch.Generator().manual_seed(5))
        t.task.draw = _drawing(t, whole, seen)
        t.advance()
        found[parts] = weights(t.task.discriminator)
    for key, value in found[1].items():
        torch.testing.assert_close(found[2][key], value, rtol=1e-4, atol=2e-5)


def _drawing(t, whole, seen):
    from ganvas.game import Draw

    def draw(real, progress, label=None):
        start = sum(seen) % 4
        seen.append(len(real))
        z = whole[start : start + len(real)]
        t.task.generator.eval()
        return Draw(t.task.generator(z), latent=z)

    return draw


def test_clipping_bounds_the_step():
    recipe = small(clip_norm="1e-3", **{"g_optimizer": "sgd(lr=1.0)", "d_optimizer": "sgd(lr=1.0)"})
    t = trainer(recipe)
    before = weights(t.task.discriminator)
    t.advance()
    after = dict(t.task.discriminator.named_parameters())
    change = torch.cat([(after[k] - before[k]).flatten() for k in after]).norm().item()
    assert change == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam(lr=1e-3)", "adamw(lr=1e-3)", "rmsprop(lr=1e-3)", "sgd(lr=1e-3)"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_touches_nothing(optimizer, bad):
    t = trainer(small(g_optimizer=optimizer, d_optimizer=optimizer))
    t.advance()
    before, states = weights(t.task), copy.deepcopy(t.d.optimizer.state_dict())
    right = t.task.discriminator.loss.d
    t.task.discriminator.loss.d = lambda real, fake: right(real, fake) * bad
    with pytest.raises(Diverged):
        t.advance()
    learnt = {k for k in moved(before, t.task) if "running" not in k and "tracked" not in k}
    assert not learnt
    after = t.d.optimizer.state_dict()["state"]
    for key, state in states["state"].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after[key][name])), (key, name)


def test_the_skip_on_a_device_is_found_out_when_the_log_is_read():
    """The path of a GPU, where nobody waits for the check: the fused optimiser skips by itself."""
    t = trainer(small())
    t.advance()
    for player in (t.g, t.d):
        player.skips_by_itself = True
    t.read()
    t.advance()
    assert t.read()
    before = weights(t.task.discriminator)
    right = t.task.discriminator.loss.d
    t.task.discriminator.loss.d = lambda real, fake: right(real, fake) * float("nan")
    t.advance()
    learnt = {k for k in moved(before, t.task.discriminator) if "running" not in k and "tracked" not in k}
    assert not learnt
    with pytest.raises(Diverged):
        t.read()


# in fp32 test_training does it for every recipe through the files of a run; in bf16 one of each kind is enough here
KINDS = ["dcgan", "wgan_gp", "stylegan2", "r3gan", "biggan", "semigan", "textgan", "cyclegan", "real_esrgan", "adain"]


@pytest.mark.parametrize("bf16", [pytest.param(False, marks=pytest.mark.slow), True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    "name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in catalog.RECIPES]
)
def test_resume_is_exact(name, bf16):
    recipe = small(name)
    one = trainer(recipe, bf16, built=facts(name))
    for _ in range(3):
        one.advance()
    saved = copy.deepcopy(one.state_dict())
    for _ in range(3):
        one.advance()
    two = trainer(recipe, bf16, seed=7, built=facts(name))
    two.load_state_dict(saved)
    for _ in range(3):
        two.advance()
    assert_same(one.state_dict(), two.state_dict())


def assert_same(a, b, path=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for k in a:
            assert_same(a[k], b[k], f"{path}/{k}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, list):
        for k, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{path}/{k}")
    else:
        assert a == b, path


def test_weights_that_were_frozen_on_purpose_stay_frozen():
    recipe = small()
    torch.manual_seed(0)
    task = recipe.task.build(resolution=(8, 8), channels=1)
    first = task.discriminator.net.body[0].requires_grad_(False)
    before = first.weight.clone()
    t = Trainer(task, recipe, Fixed(), Policy(CPU))
    t.advance(), t.advance()
    assert torch.equal(first.weight, before)
    assert not first.weight.requires_grad


def test_without_a_discriminator():
    """A task with one player trains in the same loop."""
    from ganvas.game import Objective
    from ganvas.tasks.base import Task

    class Mean(Task):
        def __init__(self):
            super().__init__()
            self.generator = nn.Linear(1, 1)
            nn.init.constant_(self.generator.weight, 3.0)

        def g_loss(self, batch, progress):
            return Objective({"distance": (self.generator.weight.sum() - batch["image"].mean()).square()})

    recipe = Recipe(task=Spec(torch.nn.Identity), g_optimizer=Spec(torch.optim.SGD, lr=0.1), batch=4, images=80)
    t = Trainer(Mean(), recipe, Fixed(), Policy(CPU))
    values = [t.read()["g/distance"] for _ in t]
    assert values[-1] < 0.1 * values[0]
    assert t.images == 80


def test_terms_are_read_as_means_since_the_last_reading():
    t = trainer(small())
    singles = []
    for _ in range(4):
        t.advance()
        singles.append(t.read()["g/adversarial"])
    again = trainer(small())
    for _ in range(4):
        again.advance()
    assert again.read()["g/adversarial"] == pytest.approx(sum(singles) / 4, rel=1e-5)


def test_bf16_keeps_float32_weights_and_statistics():
    t = trainer(small(), bf16=True)
    t.advance()
    kinds = {v.dtype for v in t.task.state_dict().values()} | {
        v.dtype for s in t.d.optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)
    }
    assert kinds <= {torch.float32, torch.int64}


def test_penalties_are_computed_in_float32():
    recipe, seen = small("dcgan_small"), []
    t = trainer(recipe, bf16=True)
    right = t.task.discriminator.net.head.forward
    t.task.discriminator.net.head.forward = lambda h, label=None: (seen.append(h.dtype), right(h, label))[1]
    t.advance()
    assert seen.count(torch.float32) == 1  # R1's own look at the real images
    assert seen.count(torch.bfloat16) == 3  # real, fake, and the generator's fakes


@pytest.mark.parametrize("penalty", ["r1(gamma=1)", "r2(gamma=1)", "gradient_penalty", "dragan"])
def test_penalties_are_float32_in_bf16_runs(penalty):
    """A norm of gradients squared loses all its digits in bf16; the networks run in it, the penalty does not."""
    values = []
    for bf16 in (False, True):
        t = trainer(small(penalties=penalty), bf16=bf16)
        adversary, images = t.task.discriminator, next(t.batches)["image"]
        torch.manual_seed(1)
        fake = torch.rand_like(images)
        with t.policy.autocast():
            objective, _ = adversary.d_loss(images, fake, Progress())
        values.append(next(v.item() for k, v in objective.terms.items() if k != "adversarial"))
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[0] > 0


@pytest.mark.parametrize(
    ("changes", "d_steps", "images", "expected"),
    [
        ({}, 1, 0, True),
        ({}, 2, 0, False),
        ({"g_steps": "2"}, 1, 0, False),
        ({"accumulate": "2"}, 1, 0, False),
        ({"d_warmup_images": "8"}, 1, 7, False),
        ({"d_warmup_images": "8"}, 1, 8, True),
    ],
)
def test_fakes_are_shared_where_both_players_move_once(changes, d_steps, images, expected):
    assert progress_at(small(**changes), images, 0, d_steps, Group()).share_fakes is expected


@pytest.mark.parametrize(
    ("optimizer", "name"), [("adam", "exp_avg"), ("rmsprop", "square_avg"), ("adamw", "exp_avg_sq")]
)
def test_an_optimizer_state_of_other_shapes_is_refused(optimizer, name):
    """PyTorch loads it, and its fused optimisers then write beyond the tensor."""
    t = trainer(small(**{"g_optimizer": optimizer, "g_optimizer.lr": 1e-3}))
    t.advance()
    state = copy.deepcopy(t.state_dict())
    memory = state["g"]["state"][0]
    memory[name] = memory[name].flatten()[:1]
    with pytest.raises(ValueError, match=f"optimiser's {name} of weight 0 is \\(1,\\), not"):
        t.load_state_dict(state)
    assert t.advance().step == 2


def test_an_optimizer_goes_on_with_its_recipes_options():
    """A damaged state may name flags that the optimiser fails on in its next step."""
    t, same = trainer(small()), trainer(small())
    t.advance()
    state = copy.deepcopy(t.state_dict())
    state["d"]["param_groups"][0] |= {"differentiable": [8, 8, 8], "lr": float("nan"), "maximize": True}
    same.load_state_dict(copy.deepcopy(t.state_dict()))
    t.load_state_dict(state)
    before = torch.get_rng_state()
    t.advance()
    torch.set_rng_state(before)
    same.advance()
    for key, value in weights(same.task).items():
        torch.testing.assert_close(weights(t.task)[key], value, rtol=0, atol=0)
    state["d"]["param_groups"][0]["params"] = [0]
    with pytest.raises(ValueError, match="state is of other weights"):
        t.load_state_dict(state)
