"""Semi-supervised GANs: K logits as K + 1 classes, feature matching, who moves, and the classifier that is saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

import ganvas
from ganvas import api, catalog
from ganvas.config import Spec
from ganvas.data import Dataset, open_source
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.adversarial import NonSaturating
from ganvas.losses.score_penalties import FeatureMatching
from ganvas.networks import dcgan
from ganvas.networks import semigan as noisy
from ganvas.networks.class_and_code_heads import Classes
from ganvas.networks.heads import Plain
from ganvas.policy import Policy
from ganvas.tasks.semi_supervised import SemiSupervised
from ganvas.training.trainer import Trainer
from small import FACTS, Fixed

CPU = torch.device("cpu")


def task(**changes):
    spec = Spec(
        SemiSupervised,
        generator=Spec(noisy.Generator, width=8, latent=5),
        discriminator=Spec(noisy.DenseDiscriminator, width=64),
        loss=Spec(NonSaturating),
    )
    return spec.replace(**changes).build(**FACTS)


def batch(start=0, count=6):
    return next(Fixed().stream([start], count))


def test_class_logits_are_k_plus_one_classes():
    """Salimans et al. 2016, section 5: a softmax over l and a zero for fake, written out."""
    source = np.random.default_rng(0)
    real, fake = source.normal(0, 3, (9, 4)), source.normal(0, 3, (9, 4))
    r, f = (torch.from_numpy(x).requires_grad_() for x in (real, fake))
    logit = [x.logsumexp(1, keepdim=True) for x in (r, f)]
    value = NonSaturating().d(*logit)
    whole = [log_softmax(torch.cat([x, torch.zeros(9, 1, dtype=x.dtype)], 1), 1) for x in (r, f)]
    expected = -(1 - whole[0][:, -1].exp()).log().mean() - whole[1][:, -1].mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    for x in (r, f):
        (found,), (wanted,) = (torch.autograd.grad(v, x, retain_graph=True) for v in (value, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)
    # and the labelled term: the class given that it is real is the softmax over l alone
    given_real = whole[0][:, :-1] - (1 - whole[0][:, -1:].exp()).log()
    torch.testing.assert_close(given_real, log_softmax(r, 1))
    head = Classes(features=5, classes=4)
    h = torch.randn(3, 5)
    scores = head(h)
    assert scores.logits.shape == (3, 1)
    torch.testing.assert_close(scores.logits[:, 0], head.classify(h).exp().sum(1).log())


def test_terms_are_the_published_ones():
    t = task(supervised=0.7, unsupervised=0.3).eval()
    b = batch()
    torch.manual_seed(1)
    objective = t.d_loss(b, Progress())
    torch.manual_seed(1)
    fake = t.draw(b["image"], Progress()).image
    net = t.discriminator.net
    real, made, known = (net(x).label_logits.double() for x in (b["image"], fake, b["labelled_image"]))
    z_real, z_fake = real.exp().sum(1), made.exp().sum(1)
    expected = 0.3 * (-(z_real / (z_real + 1)).log().mean() - (1 / (z_fake + 1)).log().mean())
    assert objective.terms.keys() == {"adversarial", "class"}
    assert objective.terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    right = known.softmax(1)[range(6), b["labelled_label"]]
    assert objective.terms["class"].item() == pytest.approx(-0.7 * right.log().mean().item(), rel=1e-5)
    assert objective.stats["accuracy"].item() == (known.argmax(1) == b["labelled_label"]).float().mean()


def test_the_generator_matches_means_of_features():
    t = task().eval()
    b = batch()
    torch.manual_seed(1)
    terms = t.g_loss(b, Progress()).terms
    torch.manual_seed(1)
    fake = t.draw(b["image"], Progress()).image
    features = [t.discriminator.net(x).features[-1].double().mean(0) for x in (b["image"], fake)]
    assert terms.keys() == {"feature_matching"}
    assert terms["feature_matching"].item() == pytest.approx((features[0] - features[1]).abs().mean().item(), rel=1e-5)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.manual_seed(1)
    turned = t.g_loss({**b, "image": b["image"][order]}, Progress()).terms["feature_matching"]
    assert turned.item() == pytest.approx(terms["feature_matching"].item(), rel=1e-5)  # means, not pairs


def moved_by(term, *modules):
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return [p is not None and bool(p.abs().sum() > 0) for p in found]


def test_gradient_routing():
    t = task()
    b = batch()
    objective = t.d_loss(b, Progress())
    for name in ("adversarial", "class"):
        assert all(moved_by(objective.terms[name], t.discriminator.net)), name
        assert not any(moved_by(objective.terms[name], t.generator)), name
    t.discriminator.requires_grad_(False)
    objective = t.g_loss(b, Progress())
    assert all(moved_by(objective.total, t.maker))
    assert not any(p.requires_grad for p in t.generator["classifier"].parameters())


def test_real_images_are_judged_without_their_labels():
    """Of the main batch nobody looks at labels: hidden ones cannot leak."""
    t = task()
    one, two = batch(), batch()
    two["label"] = torch.full_like(two["label"], -1)
    values = []
    for b in (one, two):
        torch.manual_seed(0)
        values.append((t.d_loss(b, Progress()).total.item(), t.g_loss(b, Progress()).total.item()))
    assert values[0] == values[1]


def test_the_saved_classifier_is_the_average_of_the_discriminator():
    recipe = catalog.RECIPES["semigan"]()
    for path, value in {"batch": "4", "discriminator.width": "64", "generator.width": "8", "ema_images": "8.0"}.items():
        recipe.set(path, value)
    recipe.ema_ramp = 1e9
    t = Trainer(recipe.task.build(resolution=(8, 8), channels=1, classes=3), recipe, Fixed(), Policy(CPU))
    key = "head.classify.weight"
    average = dict(t.average["classifier"].named_parameters())[key].clone()
    for _ in range(4):
        t.advance()
        now = dict(t.task.discriminator.net.named_parameters())[key]
        average = average.lerp(now, 1 - 0.5 ** (4 / 8))
        assert torch.equal(t.task.generator["classifier"].head.classify.weight, now)
    torch.testing.assert_close(dict(t.average["classifier"].named_parameters())[key], average)
    assert len(t.g.weights) == len(list(t.task.maker.parameters()))  # the copy is nobody's to move
    with t.use_average() as averaged:
        logits = averaged.logits(torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(logits, t.average["classifier"](torch.zeros(1, 1, 8, 8)).label_logits)


def test_the_classifier_also_has_what_is_no_parameter():
    """Here the vectors of spectral norm, which follow the weights: the classifier would compute something else."""
    t = task(discriminator=Spec(dcgan.Discriminator, width=4, norm="spectral", head=Spec(Classes)))
    for buffer in t.discriminator.net.buffers():
        buffer.add_(1)
    t._copy_discriminator()
    copied, judged = dict(t.generator["classifier"].named_buffers()), dict(t.discriminator.net.named_buffers())
    assert judged
    assert all(torch.equal(copied[name], judged[name]) for name in judged)


def test_a_run_is_a_generator_and_a_classifier(tmp_path):
    options = {"data": "digits", "resolution": 8, "labels": 50, "device": "cpu", "precision": "fp32"}
    options |= {"set": {"discriminator.width": 256, "generator.width": 64, "ema_images": 2000.0}}
    run = ganvas.train("semigan", outdir=tmp_path / "r", images=12_000, **options)
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert api.accuracy(model, "digits") > 0.75
    assert {"d/class", "d/adversarial", "g/feature_matching"} <= run.log()[-1].keys()


def test_a_partly_labelled_folder_will_do(tmp_path):
    digits = open_source("digits", resolution=(8, 8)).subset(range(60))
    labels = np.where(np.arange(60) < 30, digits.labels, -1)
    data = Dataset(digits.images, labels, digits.class_names, name="partly")
    options = {"batch": 10, "device": "cpu", "set": {"discriminator.width": 16, "generator.width": 4}}
    run = ganvas.train("semigan", data=data, outdir=tmp_path / "r", images=40, **options)
    assert run.config()["data"]["unlabelled"] == 30


def test_what_it_refuses(tmp_path):
    with pytest.raises(UsageError, match="sub-folder called unlabelled"):
        ganvas.train("semigan", data="photos", outdir=tmp_path / "r", images=64, device="cpu")
    with pytest.raises(UsageError, match="give it head=classes"):
        task(discriminator=Spec(noisy.DenseDiscriminator, width=64, head=Spec(Plain)))
    assert not (tmp_path / "r").exists()
    assert task().needs == {"image", "labelled"}
    with pytest.raises(UsageError, match="without labels"):
        task().inputs([0], label=1)


@pytest.mark.parametrize("body", [noisy.ConvDiscriminator, dcgan.Discriminator])
def test_other_bodies(body):
    t = task(discriminator=Spec(body, width=8, head=Spec(Classes)), generator=Spec(dcgan.Generator, width=4))
    assert torch.isfinite(t.d_loss(batch(), Progress()).total)
    assert torch.isfinite(t.g_loss(batch(), Progress()).total)


def test_weight_norm():
    layer = noisy.NormedLinear(7, 5)
    x = torch.randn(3, 7)
    rows = layer.weight / layer.weight.norm(dim=1, keepdim=True) * layer.gain[:, None]
    torch.testing.assert_close(layer(x), x @ rows.t() + layer.bias)
    before = layer(x)
    layer.weight.data *= 3
    torch.testing.assert_close(layer(x), before)  # only the direction counts
    conv = noisy.NormedConv(2, 4, 3, 2)
    assert conv(torch.randn(1, 2, 8, 10)).shape == (1, 4, 4, 5)
    lengths = noisy.apply_weight_norm(conv.weight, conv.gain).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, conv.gain)


def test_noise_is_there_while_training_only():
    net = noisy.DenseDiscriminator(resolution=8, channels=1, classes=3, width=64)
    x = torch.randn(2, 1, 8, 8)
    assert not torch.equal(net(x).logits, net(x).logits)
    net.eval()
    assert torch.equal(net(x).logits, net(x).logits)
    net.train()
    scores = net(x)
    assert (scores.features[-1] >= 0).all()  # rectified: what generators match carries no noise, what is judged does
    assert not torch.allclose(scores.label_logits, net.head.classify(scores.features[-1]))
    still = noisy.Noise(0.5).eval()
    assert still(x) is x
    assert (noisy.Noise(0.5)(torch.zeros(20_000)).std() - 0.5).abs() < 0.02


def test_the_networks_are_those_of_the_paper():
    """Salimans et al. 2016 for MNIST, by its layers: weights, one bias and one gain an output; batch norm's two."""
    dense = [784, 1000, 500, 250, 250, 250]
    expected = sum((i + 2) * o for i, o in zip(dense, dense[1:])) + (250 + 1) * 10  # the classes have no gain
    net = noisy.DenseDiscriminator(resolution=28, channels=1, classes=10)
    assert sum(p.numel() for p in net.parameters()) == expected
    made = noisy.Generator(resolution=28, channels=1)
    hidden = 100 * 500 + 500 * 500 + 2 * 2 * 500
    assert sum(p.numel() for p in made.parameters()) == hidden + (500 + 2) * 784


def test_a_penalty_called_like_a_term_counts_beside_it():
    t = task(g_penalties=[Spec(FeatureMatching, weight=2.0)])
    terms = t.g_loss(batch(), Progress()).terms
    assert set(terms) == {"feature_matching", "feature_matching_0"}
    assert terms["feature_matching_0"].item() == pytest.approx(2 * terms["feature_matching"].item(), rel=1e-5)
