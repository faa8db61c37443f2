"""Features by a discriminator's stages; clusters and linear probes of images whose answer is known."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch.nn.functional import max_pool2d

import ganvas
from ganvas.data.dataset import Dataset
from ganvas.data.sources import open_source
from ganvas.errors import UserError
from ganvas.evaluation.cluster import cluster
from ganvas.evaluation.discriminator import load_adversary
from ganvas.evaluation.export_features import export_features
from ganvas.evaluation.probe import linear_accuracy, probe, rotate
from ganvas.evaluation.representation import Stages, open_representation
from ganvas.metrics.agreement import agreement, purity
from ganvas.networks import dcgan
from small import narrow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run on the digits, in 16x16."""
    folder = tmp_path_factory.mktemp("runs") / "dcgan"
    options = {"images": 32, "batch": 16, "resolution": 16, "device": "cpu", "precision": "fp32"}
    ganvas.train("dcgan", data="digits", outdir=folder, set=narrow("dcgan"), **options)
    return folder


def shapes(count=60):
    """8x8 images of three kinds, far apart, and their kinds."""
    random, kinds = np.random.default_rng(0), np.arange(count) % 3
    images = random.integers(0, 30, (count, 8, 8, 1)).astype(np.uint8)
    for image, kind in zip(images, kinds):
        image[2 * kind + 1 : 2 * kind + 3] += 200
    return Dataset(images, kinds, ("a", "b", "c"))


# --- features --------------------------------------------------------------------------------------------------------


def test_dcgan_features_are_those_of_the_paper():
    """Every stage's map, max-pooled to 4x4, flat and joined (Radford et al. 2015, section 5.1): here 16x16 and 8x8."""
    net = dcgan.Discriminator(resolution=32, channels=1, width=4).eval()
    x = torch.randn(3, 1, 32, 32)
    parts, h = [], x
    for layer in net.body:
        h = layer(h)
        if isinstance(layer, torch.nn.LeakyReLU):
            parts.append(max_pool2d(h, h.shape[2] // 4).flatten(1))
    with torch.no_grad():
        torch.testing.assert_close(Stages(net)(x), torch.cat(parts, 1))
        torch.testing.assert_close(Stages(net, last=True)(x), parts[-1])


def test_a_run_gives_features_of_its_own_size(run, tmp_path, command):
    code, out, err = command("features", "digits", "--of", run, "-o", tmp_path / "f.npz", "--json")
    result = json.loads(out)
    assert (code, result["images"]) == (0, 1797), err
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["features"].shape == (1797, result["width"])
        np.testing.assert_array_equal(file["labels"], open_source("digits").labels)
        assert json.loads(str(file["protocol"]))["layers"].startswith("all")
        rows = file["features"][[5, 1700]]
    images = open_source("digits", resolution=(16, 16)).images[[5, 1700]]
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        expected = Stages(load_adversary(str(run), "cpu").net)(images)
    np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_features_are_refused_in_a_sentence(run, tmp_path):
    with pytest.raises(UserError, match="is a model folder, which has no discriminator"):
        open_representation(str(run / "model"))
    with pytest.raises(UserError, match="is neither a run nor a feature network"):
        open_representation("poket")
    colour = Dataset(np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="was trained on grey images"):
        open_representation(str(run), device="cpu").open(colour)
    with pytest.raises(UserError, match="takes an .npz"):
        export_features("digits", tmp_path / "f.npy")
    with pytest.raises(UserError, match="holds points"):
        open_representation("pocket", device="cpu").open("ring")


# --- clusters --------------------------------------------------------------------------------------------------------


def test_agreement_is_the_published_one():
    labels, clusters = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, -1])
    assert purity(clusters, labels) == pytest.approx(4 / 6)  # two 0, and two 1 beside a 0; noise is never right
    assert agreement(clusters, labels) == {
        "purity": purity(clusters, labels),
        "nmi": pytest.approx(normalized_mutual_info_score(labels, clusters)),
        "ari": pytest.approx(adjusted_rand_score(labels, clusters)),
    }


@pytest.mark.parametrize(("method", "k"), [("kmeans", 3), ("hdbscan", 8)])
def test_images_far_apart_are_clusters(method, k, tmp_path):
    data = shapes()
    result = cluster(data, tmp_path / "out", of="pocket", k=k, method=method, device="cpu")
    assert (result["clusters"], result["purity"], result["ari"]) == (3, 1.0, 1.0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clusters.csv", "clusters.png"]
    rows = list(csv.DictReader((tmp_path / "out/clusters.csv").open()))
    assert len({(row["label"], row["cluster"]) for row in rows}) == 3


def test_folders_link_to_the_files_of_a_cluster(tmp_path):
    data = shapes(30)
    (tmp_path / "in").mkdir()
    for k, image in enumerate(data.images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"in/{'abc'[k % 3]}{k:02d}.png")
    (tmp_path / "in/broken.png").write_bytes(b"no image")
    result = cluster(str(tmp_path / "in"), tmp_path / "out", k=3, device="cpu")
    assert result["images"] == 30
    for folder in (tmp_path / "out").glob("cluster_*"):
        files = list(folder.iterdir())
        assert len(files) == 10
        assert len({file.resolve().name[0] for file in files}) == 1
        assert all(file.resolve().parent == (tmp_path / "in").resolve() for file in files)


@pytest.mark.parametrize(
    ("k", "method", "words"), [(1, "kmeans", "--k must be from 2"), (61, "kmeans", "to the number")]
)
def test_numbers_of_clusters_are_checked(k, method, words, tmp_path):
    with pytest.raises(UserError, match=words):
        cluster(shapes(), tmp_path / "out", k=k, method=method, device="cpu")
    assert not (tmp_path / "out").exists()


# --- probe -----------------------------------------------------------------------------------------------------------


def test_an_svm_is_the_same_in_the_space_of_its_images():
    random = np.random.default_rng(0)
    train, test = random.normal(size=(20, 90)), random.normal(size=(50, 90))
    near, far = rotate(train, test)
    np.testing.assert_allclose(near @ near.T, train @ train.T, atol=1e-9)
    np.testing.assert_allclose(far @ near.T, test @ train.T, atol=1e-9)


def test_separable_features_are_read():
    random, labels = np.random.default_rng(0), np.arange(90) % 3
    rows = random.normal(size=(90, 200)) + 3 * np.eye(3)[labels] @ random.normal(size=(3, 200))
    assert linear_accuracy(rows[:45], labels[:45], rows[45:], labels[45:], 0) == 1.0
    assert linear_accuracy(rows[:45], labels[:45], rows[45:][::-1], random.permutation(labels[45:]), 0) < 0.7


def test_a_probe_beside_pixels_and_training_from_scratch(run):
    data = open_source("digits", resolution=(16, 16)).subset(range(400))
    result = probe(data, of=str(run), labels=40, repeats=2, train_images=64, device="cpu")
    assert {"probe", "pixels", "pocket", "scratch"} <= result.keys()
    assert result["pixels"] > 0.6
    assert all(result[f"{name}_low"] <= result[name] <= result[f"{name}_high"] for name in ("probe", "pixels"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": 5}, "--labels takes from 10"),
        ({"repeats": 1}, "--repeats must be at least 2"),
        ({"held_out": "photos"}, "The test images have the classes none"),
    ],
)
def test_probes_are_refused_in_a_sentence(options, words):
    with pytest.raises(UserError, match=words):
        probe("digits", of="pocket", device="cpu", **options)


def test_a_probe_needs_classes():
    with pytest.raises(UserError, match="has no classes"):
        probe("photos", of="pocket", device="cpu")
