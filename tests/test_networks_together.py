"""Every network of the zoo at once: second derivatives, bf16, freezing, training and resuming."""

from __future__ import annotations

import copy

import pytest
import torch

from ganvas import catalog
from ganvas.config import Spec
from ganvas.game import Match, Progress
from ganvas.losses.gradient_penalties import R1
from ganvas.networks import biggan, dcgan_variants, mlp, resnet
from ganvas.networks.attention import SelfAttention
from ganvas.networks.heads import Projection
from ganvas.networks.minibatch_heads import MinibatchDiscrimination, MinibatchStddev
from ganvas.policy import Policy
from ganvas.training.trainer import Trainer

STDDEV, LIKENESS = Spec(MinibatchStddev), Spec(MinibatchDiscrimination, kernels=5)
DISCRIMINATORS = {
    **{
        f"dcgan {n}": (dcgan_variants.Discriminator, {"norm": n, "reference": 3})
        for n in ("batch", "spectral", "virtual", "layer", "none")
    },
    "resnet": (resnet.Discriminator, {"attention": 8}),
    "resnet mean": (resnet.Discriminator, {"pooling": "mean", "spectral": False, "head": LIKENESS}),
    "resnet projection": (resnet.Discriminator, {"head": Spec(Projection), "join": True}),
    "biggan": (biggan.Discriminator, {"head": STDDEV, "attention": 4}),
    "mlp": (mlp.Discriminator, {"spectral": True}),
    "mlp leaky": (mlp.LeakyDiscriminator, {"spectral": True, "head": LIKENESS}),
}


def discriminator(name):
    network, options = DISCRIMINATORS[name]
    return network(resolution=(16, 12), channels=1, classes=3, width=8, **options)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_r1_differentiates_every_discriminator_twice(name):
    net, label = discriminator(name), torch.tensor([0, 1, 2, 0])
    attention = [m for m in net.modules() if isinstance(m, SelfAttention)]
    for layer in attention:
        layer.gamma.data.fill_(0.5)
    real = torch.randn(4, 1, 16, 12)
    scores = net(real, label)
    value = R1()(Match(real, real, scores, scores, lambda x, y=None: net(x, label)), Progress())
    value.backward()
    assert value > 0
    grads = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    assert any("body" in n and g.abs().sum() > 0 for n, g in grads.items())
    assert all(torch.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_second_derivatives_are_right(name):
    """The gradient of |grad D|^2 by the images, along a direction, against a difference quotient in float64."""
    net, label = discriminator(name).double().eval(), torch.tensor([0, 1, 2])
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x = torch.rand(3, 1, 16, 12, dtype=torch.float64, requires_grad=True)

    def steepness(x):
        (g,) = torch.autograd.grad(net(x, label).logits.square().sum(), x, create_graph=True)
        return g.square().sum()

    direction = torch.randn_like(x)
    (found,) = torch.autograd.grad(steepness(x), x)
    step = 1e-7
    quotient = (steepness(x + step * direction) - steepness(x - step * direction)) / (2 * step)
    assert (found * direction).sum().item() == pytest.approx(quotient.item(), rel=1e-4)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_in_bf16(name):
    net, label = discriminator(name), torch.tensor([0, 1, 2, 0])
    real = torch.randn(4, 1, 16, 12, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = net(real, label).logits.float().square().sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(real.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_stages_cover_the_body(name):
    net = discriminator(name)
    of_stages = {id(p) for stage in net.stages() for p in stage.parameters()}
    assert of_stages == {id(p) for p in net.body.parameters()}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        (dcgan_variants, {"norm": "virtual", "reference": 3}),
        (resnet, {"attention": 8}),
        (resnet, {"spectral": True}),
        (biggan, {"attention": 8}),
        (biggan, {"hierarchical": False}),
    ],
)
def test_generators_in_bf16(family, options, classes):
    net = family.Generator(resolution=(16, 12), channels=1, classes=classes, width=8, **options)
    label = torch.tensor([0, 1, 2, 0]) if classes else None
    z = torch.randn(4, net.latent)
    exact = net(z, label)
    with torch.autocast("cpu", torch.bfloat16):
        image = net(z, label)
    assert image.shape == (4, 1, 16, 12)
    assert (image.float() - exact).abs().max() < 0.1
    image.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


# --- in a run ---------------------------------------------------------------------------------------------


class Fixed:
    """Data whose batch depends on its position alone."""

    def stream(self, starts, count):
        for start in starts:
            source = torch.Generator()
            rows = [torch.rand(1, 8, 8, generator=source.manual_seed(start + k)) for k in range(count)]
            yield {"image": torch.stack(rows) * 2 - 1, "label": torch.arange(start, start + count) % 3}


RUNS = {
    "sngan": ("resnet_generator(width=4)", "resnet_discriminator(width=4)"),
    "sagan": ("resnet_generator(width=8, attention=8, spectral=true)", "resnet_discriminator(width=8, attention=4)"),
    "biggan": ("biggan_generator(width=4)", "biggan_discriminator(width=4, head=projection)"),
    "virtual": (
        'dcgan_variant_generator(width=4, norm="virtual", reference=4)',
        'dcgan_variant_discriminator(width=4, norm="virtual", reference=4, head=minibatch_discrimination(kernels=3))',
    ),
    "mlp": ("mlp_generator(width=4)", "mlp_leaky_discriminator(width=4, spectral=true, head=minibatch_stddev)"),
}


def trainer(name, seed=0):
    recipe = catalog.RECIPES["dcgan"]()
    changes = {"generator": RUNS[name][0], "discriminator": RUNS[name][1], "conditional": "true", "batch": "4"}
    for path, value in changes.items():
        recipe.set(path, value)
    torch.manual_seed(seed)
    task = recipe.task.build(resolution=(8, 8), channels=1, classes=3)
    return Trainer(task, recipe, Fixed(), Policy(torch.device("cpu")))


def advanced(t, steps):
    for _ in range(steps):
        t.advance()
    return t


@pytest.mark.parametrize("name", RUNS)
def test_runs_train_and_resume_exactly(name):
    whole = advanced(trainer(name), 4)
    state = copy.deepcopy(advanced(trainer(name), 2).state_dict())
    second = advanced(trainer(name, seed=1), 1)
    second.load_state_dict(state)
    advanced(second, 2)
    for key, value in whole.task.state_dict().items():
        assert torch.equal(value, second.task.state_dict()[key]), key
    with whole.use_average() as task, second.use_average() as other:
        inputs = task.inputs([0, 1, 2])
        assert torch.equal(task.sample(inputs), other.sample(inputs))
        rows = [task.sample({k: v[i : i + 1] for k, v in inputs.items()}) for i in range(3)]
        torch.testing.assert_close(task.sample(inputs), torch.cat(rows), rtol=1e-4, atol=1e-5)
