"""The heads against their equations, in float64 and written out here."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import leaky_relu

from ganvas.errors import UsageError
from ganvas.networks.heads import AuxiliaryClassifier, Contrastive, Joint, Plain, Projection

FEATURES, CLASSES = 5, 3


@pytest.fixture
def h():
    torch.manual_seed(0)
    return torch.randn(4, FEATURES, dtype=torch.float64)


LABEL = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("bias", [True, False])
def test_plain_is_a_linear_map_that_does_not_hear_the_label(h, bias):
    head = Plain(features=FEATURES, classes=CLASSES, bias=bias).double()
    expected = h @ head.score.weight[0] + (head.score.bias if bias else 0)
    torch.testing.assert_close(head(h, LABEL).logits[:, 0], expected)
    assert head.loss(head(h, LABEL), LABEL) == {}


@pytest.mark.parametrize("bias", [True, False])
def test_projection_is_equation_3(h, bias):
    """f(x, y) = y^T V phi(x) + psi(phi(x)), one number an image (Miyato and Koyama 2018)."""
    head = Projection(features=FEATURES, classes=CLASSES, bias=bias).double()
    v = head.embed.weight  # (classes, features)
    expected = [(v[y] * x).sum() + (head.score.weight[0] * x).sum() for x, y in zip(h, LABEL)]
    expected = torch.stack(expected) + (head.score.bias if bias else 0)
    found = head(h, LABEL).logits
    assert found.shape == (4, 1)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-12, atol=1e-12)
    assert head.loss(head(h, LABEL), LABEL) == {}  # the label is in the logit and nowhere else


def test_projection_of_several_outputs_is_one_equation_each(h):
    head = Projection(features=FEATURES, classes=CLASSES, outputs=2).double()
    v = head.embed.weight.view(CLASSES, 2, FEATURES)
    expected = torch.stack([(v[y] + head.score.weight) @ x for x, y in zip(h, LABEL)]) + head.score.bias
    torch.testing.assert_close(head(h, LABEL).logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cls", [Plain, Projection, Contrastive, AuxiliaryClassifier, Joint])
def test_heads_have_as_many_outputs_as_the_loss_needs(h, cls):
    scores = cls(features=FEATURES, classes=CLASSES, outputs=7).double()(h, LABEL)
    assert scores.logits.shape == (4, 7)


def test_projection_of_a_vector_goes_through_its_linear_map(h):
    head = Projection(features=FEATURES, attributes=2).double()
    y = torch.randn(4, 2, dtype=torch.float64)
    embedded = y @ head.embed.weight.t() + head.embed.bias
    expected = (embedded * h).sum(1) + h @ head.score.weight[0] + head.score.bias
    torch.testing.assert_close(head(h, y).logits[:, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_auxiliary_classifier_applies_softmax_once(h, weight):
    """-log of softmax(W h + b) at the label, averaged over the images (Odena et al. 2017, eq. 3)."""
    head = AuxiliaryClassifier(features=FEATURES, classes=CLASSES, weight=weight)
    scores = head(h.float(), LABEL)
    torch.testing.assert_close(scores.logits[:, 0], h.float() @ head.score.weight[0] + head.score.bias)
    logits = h @ head.classify.weight.double().t() + head.classify.bias.double()
    chosen = logits.exp()[range(4), LABEL] / logits.exp().sum(1)
    (term,) = head.loss(scores, LABEL).values()
    assert term.item() == pytest.approx(-weight * chosen.log().mean().item(), rel=1e-6)
    with pytest.raises(UsageError, match="needs data with classes"):
        AuxiliaryClassifier(features=FEATURES)


@pytest.mark.parametrize("vectors", [False, True])
def test_the_contrastive_term_is_equation_4(h, vectors):
    """-log of exp(cos(f, v_i) / t) over the sum for all v_j whose label is another (Zhang et al. 2021)."""
    head = Contrastive(features=FEATURES, **({"attributes": 2} if vectors else {"classes": CLASSES}),
                       temperature=0.3, weight=0.7).double()  # fmt: skip
    y = torch.tensor([[1.0, 0.5], [0.0, 2.0], [-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64) if vectors else LABEL
    scores = head(h, y)
    torch.testing.assert_close(scores.logits[:, 0], (head.embed(y) * h).sum(1) + head.score(h)[:, 0])
    unit = [v / v.norm() for v in head.embed(y)]
    likeness = [[(x / x.norm() @ v / 0.3).exp() for v in unit] for x in h]
    others = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3]]  # the first and the last have the same label
    terms = [-(row[i] / sum(row[j] for j in others[i])).log() for i, row in enumerate(likeness)]
    assert head.loss(scores, y)["contrast"].item() == pytest.approx(0.7 * sum(terms).item() / 4, rel=1e-5)
    with pytest.raises(UsageError, match="temperature must be more than 0, got 0"):
        Contrastive(features=FEATURES, classes=CLASSES, temperature=0)


def test_joint_reads_features_and_label_together(h):
    head = Joint(features=FEATURES, classes=CLASSES, size=2, width=6).double()
    joined = torch.cat([h, head.embed.weight[LABEL]], 1)
    hidden = leaky_relu(joined @ head.hidden[0].weight.t() + head.hidden[0].bias, 0.2)
    expected = hidden @ head.score.weight[0] + head.score.bias
    torch.testing.assert_close(head(h, LABEL).logits[:, 0], expected, rtol=1e-12, atol=1e-12)
