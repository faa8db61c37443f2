"""The classifier: learns, sees labelled images alone, is judged by the names of classes, and draws nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ganvas
from ganvas import api, catalog, cli
from ganvas.config import Spec
from ganvas.data import Dataset, open_source
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.networks import (
    class_and_code_heads as codes,
)
from ganvas.networks import (
    dcgan,
    heads,
)
from ganvas.networks import (
    minibatch_heads as minibatch,
)
from ganvas.networks import (
    semigan as noisy,
)
from ganvas.networks.classifier import Classifier
from ganvas.tasks.classification import Classification

OPTIONS = {"device": "cpu", "precision": "fp32", "resolution": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train(
        "classifier", data="digits", outdir=tmp_path_factory.mktemp("classify") / "run", images=6000, **OPTIONS
    )


def test_it_learns_digits(run):
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    assert api.accuracy(model, "digits") > 0.95
    line = run.log()[-1]
    assert line["g/accuracy"] > 0.85
    assert not any(key.startswith("d/") for key in line)


def test_classes_are_compared_by_name(run):
    model, digits = ganvas.load(run.path, device="cpu"), open_source("digits", resolution=(8, 8))
    right = api.accuracy(model, digits)
    turned = Dataset(digits.images, 9 - digits.labels, tuple("9876543210"), name="turned")
    assert api.accuracy(model, turned) == right
    some = np.where(np.arange(len(digits)) % 3 == 0, digits.labels, -1)
    part = api.accuracy(model, Dataset(digits.images, some, digits.class_names))
    assert part == pytest.approx(api.accuracy(model, digits.subset(range(0, len(digits), 3))))
    wrong = api.accuracy(model, Dataset(digits.images, (digits.labels + 1) % 10, digits.class_names))
    assert wrong < 0.05


def test_logits_do_not_depend_on_the_batch(run):
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    images = torch.rand(70, 1, 8, 8) * 2 - 1
    logits = model.logits(images)
    assert logits.shape == (70, 10)
    torch.testing.assert_close(logits[65:], model.logits(images[65:]), rtol=1e-4, atol=1e-5)
    assert torch.equal(model.classify(images), logits.argmax(1))


def test_what_it_refuses(run):
    model = ganvas.load(run.path, device="cpu")
    for shape in ((1, 3, 8, 8), (1, 1, 9, 8), (1, 8, 8)):
        with pytest.raises(UsageError, match=r"shape \(N, 1, 8, 8\)"):
            model.logits(torch.zeros(shape))
    digits = open_source("digits", resolution=(8, 8))
    for data in (Dataset(digits.images, digits.labels, tuple("abcdefghij")), Dataset(digits.images)):
        with pytest.raises(UsageError, match="images of the model's classes"):
            api.accuracy(model, data)
    with pytest.raises(UsageError, match="does not name their classes"):
        catalog.RECIPES["dcgan"]().task.build(resolution=(8, 8)).logits(torch.zeros(1, 3, 8, 8))


def test_the_command_draws_no_images_and_says_what_to_do(run, tmp_path, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["ganvas", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code or 0, capsys.readouterr()
        return 0, capsys.readouterr()

    code, said = call("sample", run.path, "-o", tmp_path / "x.png")
    assert (code, (tmp_path / "x.png").exists()) == (2, False)
    assert "it makes none" in said.err
    arguments = ["train", "classifier", "--data", "digits", "--outdir", tmp_path / "r", "--images", 64]
    code, said = call(*arguments, "--resolution", 8, "--set", "classifier.width=4", "--device", "cpu")
    assert code == 0
    assert "g " in said.err
    assert "README.md" in said.err
    assert "ganvas sample" not in said.err


def test_without_classes_it_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="the data have none"):
        ganvas.train("classifier", data="photos", outdir=tmp_path / "r", images=64, device="cpu")
    with pytest.raises(UsageError, match="Discriminator has no class logits; give it head=classes"):
        Classification(classifier=Spec(dcgan.Discriminator, width=4), resolution=(8, 8), classes=3)
    assert not (tmp_path / "r").exists()


def test_of_partly_labelled_data_it_sees_the_labelled_images_alone():
    spec = Spec(Classifier, width=4)
    whole = Classification(classifier=spec, resolution=(8, 8), channels=1, classes=3)
    part = Classification(classifier=spec, resolution=(8, 8), channels=1, classes=3, unlabelled=5)
    assert whole.needs == {"image", "label"}
    assert part.needs == {"labelled"}
    part.eval()
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 2])
    batch = {"image": torch.full_like(x, float("nan")), "labelled_image": x, "labelled_label": y}
    loss = part.g_loss({**batch, "label": torch.full_like(y, -1)}, Progress()).total
    expected = -part.logits(x).double().log_softmax(1)[range(4), y].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


CLASSIFIERS = [
    Spec(Classifier, width=8),
    Spec(noisy.DenseDiscriminator, width=32),
    Spec(noisy.ConvDiscriminator, width=8),
    Spec(dcgan.Discriminator, width=8, head=Spec(codes.Classes)),
    Spec(dcgan.Discriminator, width=8, head=Spec(heads.AuxiliaryClassifier)),
]


@pytest.mark.parametrize("spec", CLASSIFIERS, ids=lambda s: f"{s.target.__module__[16:]}.{s.target.__name__}")
@pytest.mark.parametrize("resolution", [(8, 8), (28, 28), (9, 31), (65, 33)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_network_with_class_logits_will_do(spec, resolution, channels):
    task = Classification(classifier=spec, resolution=resolution, channels=channels, classes=5)
    assert task.logits(torch.randn(2, channels, *resolution)).shape == (2, 5)
    assert task.training


@pytest.mark.parametrize("target", [Classifier, noisy.ConvDiscriminator])
def test_images_that_are_too_small(target):
    with pytest.raises(UsageError, match="at least 8x8 pixels, these are 5x9"):
        target(resolution=(9, 5), channels=1, classes=2)


def test_stages_can_be_frozen():
    for spec in CLASSIFIERS:
        net = spec.build(resolution=(16, 16), channels=1, classes=3)
        inside = [id(p) for stage in net.stages() for p in stage.parameters()]
        assert len(inside) == len(set(inside)) > 0
        assert set(inside) <= {id(p) for p in net.parameters()}


@pytest.mark.parametrize(("fakes", "paid"), [(False, {"class_real"}), (True, {"class_real", "class_fake"})])
@pytest.mark.parametrize("inside", [False, True])
def test_who_teaches_the_auxiliary_classifier(fakes, paid, inside):
    """Real images alone unless asked: paid for naming fakes, the two players agree on a code of their own."""
    head = Spec(heads.AuxiliaryClassifier, fakes=fakes)
    recipe = catalog.RECIPES["acgan"]()
    critic = Spec(dcgan.Discriminator, width=4, head=Spec(minibatch.MinibatchStddev, head=head) if inside else head)
    task = recipe.task.replace(generator=Spec(dcgan.Generator, width=4), discriminator=critic)
    built = task.build(resolution=(8, 8), channels=1, classes=3)
    batch = {"image": torch.randn(4, 1, 8, 8), "label": torch.tensor([0, 1, 2, 0])}
    assert built.d_loss(dict(batch), Progress()).terms.keys() == {"adversarial", *paid}
    assert built.g_loss(dict(batch), Progress()).terms.keys() == {"adversarial", "class"}


def test_smoothed_labels_are_the_papers():
    """Szegedy et al. 2016, section 7: (1 - s) of the label, s spread over all classes."""
    torch.manual_seed(0)
    task = Classification(classifier=Spec(Classifier, width=4), smoothing=0.2, resolution=(8, 8), channels=1, classes=3)
    batch = {"image": torch.rand(5, 1, 8, 8) * 2 - 1, "label": torch.tensor([0, 2, 1, 1, 0])}
    task.eval()
    found = task.g_loss(batch, Progress()).terms["class"]
    logs = task.logits(batch["image"]).double().log_softmax(1)
    wanted = torch.full((5, 3), 0.2 / 3, dtype=torch.float64)
    wanted[range(5), batch["label"]] += 0.8
    torch.testing.assert_close(found.double(), -(wanted * logs).sum(1).mean(), rtol=1e-6, atol=0)
    with pytest.raises(UsageError, match="smoothing"):
        Classification(classifier=Spec(Classifier), smoothing=1.0, resolution=(8, 8), channels=1, classes=3)
