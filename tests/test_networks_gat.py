"""GAT's transformers: the authors' parameter counts, equations in float64, sizes judged on their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganvas.augment import Chain
from ganvas.augment.diffaugment import DiffAugment
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.gradient_penalties import R1
from ganvas.losses.relativistic import RelativisticPairing
from ganvas.networks import gat, transformer
from ganvas.recipes.transformer import gat_small
from ganvas.tasks.scale_wise import Alike, ScaleWise
from ganvas.training.players import Player

# Parameters by the authors' code (github.com/hse1032/GAT, 21a2dd0) for latents 32x32x4, patch 2 and 1,000 classes: of
# the generator without its patch embedding, which is multiplied by zero, and of the discriminator without the projector
# to DINOv2; both without their fixed position embedding.  The paper has 602 million for GAT-XL/2.
PUBLISHED = {
    "S": ({"width": 384, "depth": 12, "heads": 6}, 29_256_512, 32_556_160),
    "B": ({"width": 768, "depth": 12, "heads": 12}, 116_545_088, 97_135_360),
    "L": ({"width": 1024, "depth": 24, "heads": 16}, 408_469_024, 314_904_544),
    "XL": ({"width": 1152, "depth": 28, "heads": 16}, 601_936_640, 459_252_544),
}
TINY = {"width": 8, "depth": 3, "heads": 2, "patch": 2, "stages": 3}


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    sizes, generator, discriminator = PUBLISHED[name]
    with torch.device("meta"):
        assert count(gat.Generator(resolution=32, channels=4, classes=1000, **sizes)) == generator
        # four stages are channels of one image in the authors' code
        assert count(gat.Discriminator(resolution=32, channels=16, classes=1000, stages=1, **sizes)) == discriminator


def test_the_recipe_is_gat_s():
    for net in (gat_small().task.kwargs["generator"], gat_small().task.kwargs["discriminator"]):
        assert {key: net.get(key) for key in ("width", "depth", "heads")} == PUBLISHED["S"][0]


def test_attention_is_its_equation():
    torch.manual_seed(0)
    net = transformer.Attention(8, 2).double()
    for norm in (net.q_norm, net.k_norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    x, segments = torch.randn(2, 5, 8, dtype=torch.float64), [2, 3]
    cosine, sine = transformer.rotation(torch.tensor([[0.0, 0], [1, 2], [3, 1], [0, 0], [2, 2]]).double(), 4)
    qkv = (x @ net.qkv.weight.T + net.qkv.bias).detach().numpy().reshape(2, 5, 3, 2, 4)
    angle = {0: (0, 0), 1: (1, 2), 2: (3, 1), 3: (0, 0), 4: (2, 2)}  # of pair (0, 2) by the row, (1, 3) by the column

    def prepared(vector, weight, token):
        vector = vector / np.sqrt((vector**2).mean() + 1e-6) * weight.detach().numpy()
        out = vector.copy()
        for pair, radians in zip(((0, 2), (1, 3)), angle[token]):
            a, b = vector[list(pair)]
            out[list(pair)] = a * np.cos(radians) - b * np.sin(radians), b * np.cos(radians) + a * np.sin(radians)
        return out

    expected = np.zeros((2, 5, 8))
    for n in range(2):
        for h in range(2):
            for begin, end in ((0, 2), (2, 5)):
                q = [prepared(qkv[n, t, 0, h], net.q_norm.weight, t) for t in range(begin, end)]
                k = [prepared(qkv[n, t, 1, h], net.k_norm.weight, t) for t in range(begin, end)]
                for t, query in enumerate(q):
                    weights = np.exp([query @ key / math.sqrt(4) for key in k])
                    rows = qkv[n, begin:end, 2, h]
                    expected[n, begin + t, 4 * h : 4 * h + 4] = weights / weights.sum() @ rows
    expected = expected @ net.out.weight.detach().numpy().T + net.out.bias.detach().numpy()
    np.testing.assert_allclose(net(x, cosine, sine, segments).detach().numpy(), expected, atol=1e-10)


def test_rotated_products_depend_on_distance_alone():
    places = transformer.grid(6, 6)
    cosine, sine = transformer.rotation(places.double(), 8)
    q, k = torch.randn(2, 8, dtype=torch.float64)
    products = transformer.turn(q.expand(36, 8), cosine, sine) @ transformer.turn(k.expand(36, 8), cosine, sine).T
    assert torch.allclose(products[0, 7], products[7, 14])
    assert not torch.allclose(products[0, 7], products[0, 8])


def test_places_are_the_sines_and_cosines_of_columns_then_rows():
    embedded = transformer.waves(torch.tensor([[2.0, 5.0]]), 8)[0]
    parts = [f(place * rate) for place in (5, 2) for f in (math.sin, math.cos) for rate in (1, 0.01)]
    np.testing.assert_allclose(embedded, parts, rtol=1e-5)


def test_stages_add_up_to_the_image():
    net = gat.Generator(resolution=(9, 13), channels=2, **TINY).eval()
    z = torch.randn(3, net.latent)
    stages = net.stages(z)
    assert stages.shape == (3, 6, 9, 13)
    assert torch.equal(stages[:, 4:], net(z))
    assert torch.equal(net.truncated(z, None, 0.0)[0], net.truncated(z, None, 0.0)[1])
    assert torch.allclose(net.truncated(z, None, 1.0), net(z), atol=1e-5)


def test_the_logit_of_a_size_depends_on_it_alone():
    torch.manual_seed(0)
    net = gat.Discriminator(resolution=(9, 13), channels=2, classes=3, embed=8, **TINY)
    image, label = torch.randn(2, 2, 9, 13), torch.tensor([0, 2])
    logits = net(image, label).logits
    assert logits.shape == (2, 1, 3)
    assert torch.allclose(net(image.repeat(1, 3, 1, 1), label).logits, logits)
    for stage in range(3):
        other = image.repeat(1, 3, 1, 1)
        other[:, 2 * stage : 2 * stage + 2] += 1
        changed = (net(other, label).logits - logits).abs().amax((0, 1)) > 1e-7
        assert changed.tolist() == [k == stage for k in range(3)]


def test_sizes_are_means_of_pixels():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert torch.equal(gat.pool(x, 2), torch.tensor([[[[2.5, 4.5], [8.5, 10.5]]]]))


def test_r1_of_all_sizes_is_the_numeric_gradient():
    torch.manual_seed(0)
    net = gat.Discriminator(resolution=8, channels=1, **(TINY | {"stages": 2})).double()
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    images = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(images).logits.sum(), images, create_graph=True)
    penalty = R1(gamma=1.0).penalize(gradient.flatten(1)).mean()
    numeric = torch.zeros_like(x)
    with torch.no_grad():
        for place in torch.cartesian_prod(torch.arange(2), torch.arange(8), torch.arange(8)).tolist():
            step = torch.zeros_like(x)
            step[(slice(None), *place)] = 1e-5
            numeric[(slice(None), *place)] = (net(x + step).logits - net(x - step).logits).sum((1, 2)) / 2e-5
    assert torch.allclose(penalty, numeric.square().sum((1, 2, 3)).mean() / 2)
    penalty.backward()
    assert net.read.weight.grad.abs().sum() > 0


def task(**options):
    sizes = TINY | {"depth": 2, "stages": 2}
    parts = {"generator": Spec(gat.Generator, **sizes), "discriminator": Spec(gat.Discriminator, **sizes)}
    return ScaleWise(**parts, loss=Spec(RelativisticPairing), resolution=(8, 8), channels=1, **options)


def test_losses_are_the_equations():
    torch.manual_seed(0)
    built = task(consistency=0.5).double()
    batch = {"image": torch.randn(4, 1, 8, 8, dtype=torch.float64)}
    built.noise = lambda like, progress: z
    z = torch.randn(4, 64, dtype=torch.float64)
    stages = built.generator.stages(z)
    real, fake = (built.discriminator.net(x).logits for x in (batch["image"], stages))
    expected = torch.log1p(torch.exp(-(real - fake))).mean()
    assert torch.allclose(built.d_loss(dict(batch), Progress()).total.double(), expected, rtol=1e-5)
    terms = built.g_loss(dict(batch), Progress()).terms
    assert torch.allclose(terms["adversarial"].double(), torch.log1p(torch.exp(real - fake)).mean(), rtol=1e-5)
    first, last = stages.split(1, 1)
    halved = [x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5)) for x in (first, last)]
    assert torch.allclose(terms["consistency"].double(), 0.5 * (halved[0] - halved[1]).square().mean(), rtol=1e-5)


def test_consistency_moves_the_first_stages_alone():
    built = task()
    stages = torch.randn(2, 2, 8, 8, requires_grad=True)
    built.misalignment(stages).backward()
    assert stages.grad[:, :1].abs().sum() > 0
    assert not stages.grad[:, 1:].any()


def test_stages_are_augmented_alike():
    chain = Alike(Chain([Spec(DiffAugment)]), 3)
    images = torch.randn(4, 2, 8, 8)
    one, two, three = chain(images.repeat(1, 3, 1, 1)).chunk(3, 1)
    assert torch.equal(one, two)
    assert torch.equal(two, three)
    assert not torch.equal(one, images)


@pytest.mark.parametrize("width", [96, 384, 1536])
def test_learning_rate_follows_the_width(width):
    with torch.device("meta"):
        net = gat.Generator(resolution=8, channels=1, width=width, depth=1, stages=1)
    player = Player(net, Spec(torch.optim.Adam, lr=2e-4), torch.device("cpu"))
    player.set_rate(1.0)
    assert player.optimizer.param_groups[0]["lr"] == pytest.approx(2e-4 * 768 / width)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"heads": 3}, "heads divide the width"), ({"stages": 4}, "from 1 to the depth of 3, got 4")],
)
def test_sizes_that_do_not_fit_are_refused(options, sentence):
    for network in (gat.Generator, gat.Discriminator):
        with pytest.raises(UsageError, match=sentence):
            network(resolution=8, channels=1, **(TINY | options))


def test_other_stages_of_the_discriminator_are_refused():
    with pytest.raises(UsageError, match="the generator has 2 stages, the discriminator 3"):
        ScaleWise(
            generator=Spec(gat.Generator, **(TINY | {"stages": 2})),
            discriminator=Spec(gat.Discriminator, **TINY),
            loss=Spec(RelativisticPairing),
            resolution=(8, 8),
        )
