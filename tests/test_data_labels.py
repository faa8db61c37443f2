"""Labels that are vectors, that are missing, hidden or composed; and labelled images in every batch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas import api
from ganvas.data import Dataset, open_source
from ganvas.data.batches import Batches, iterate_once
from ganvas.data.cache import SourceOptions
from ganvas.data.stacked_mnist import open_stacked
from ganvas.data.transforms import Noise
from ganvas.errors import UsageError, UserError
from ganvas.run import weights_hash
from ganvas.training.recorder import Snapshot

PIXELS = np.random.RandomState(0).randint(0, 256, (30, 8, 8, 1), np.uint8)


def random_images(folder, *names):
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * k).save(folder / name)


def described(folder, *labels):
    random_images(folder, *(f"{k}.png" for k in range(len(labels))))
    lines = [json.dumps({"file_name": f"{k}.png"} | ({} if v is None else {"label": v})) for k, v in enumerate(labels)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(folder)


# --- vectors ----------------------------------------------------------------------------------------------


def forms(folder, rows):
    """The same vectors (None: unlabelled) in the three ways they may be written."""
    yield described(folder / "jsonl", *rows)
    random_images(folder / "csv", *(f"{k}.png" for k in range(len(rows))))
    cells = [f"{k}.png,{','.join(map(str, row)) if row else ','}" for k, row in enumerate(rows)]
    (folder / "csv" / "metadata.csv").write_text("\n".join(["file_name,label_0,label_1", *cells]))
    yield str(folder / "csv")
    array = np.array([row or [np.nan, np.nan] for row in rows], np.float64)
    np.savez(folder / "x.npz", images=PIXELS[: len(rows)], labels=array)
    yield str(folder / "x.npz")


def test_vectors_in_every_form(tmp_path):
    rows = [[0.1, -2.0], None, [3, 4e-3], [0, 0]]
    for name in forms(tmp_path, rows):
        for _ in range(2):  # made, then found in the cache
            data = open_source(name)
            assert (data.facts.attributes, data.facts.classes, data.facts.unlabelled) == (2, 0, 1), name
            assert data.vectors.dtype == np.float32
            np.testing.assert_array_equal(data.vectors, np.array([r or [np.nan] * 2 for r in rows], np.float32))
            assert dict(data.summary())["labels"] == "2 numbers from -2 to 3; 1 unlabelled"
            batch = Batches(data, seed=0).at(0, 4)
            assert batch["label"].dtype == torch.float32
            np.testing.assert_array_equal(batch["label"], data.vectors[batch["index"].numpy()])
        part = data.subset([3, 1])
        np.testing.assert_array_equal(part.vectors, data.vectors[[3, 1]])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[1.0, 2.0], [1.0]], "lists of 1 and of 2 numbers"),
        ([[1.0], "cat"], "some labels are words"),
        ([[1.0, "x"]], "a word, a number or a list of numbers, not [1.0, 'x']"),
        ([[]], "a list of numbers, not []"),
        ([[True]], "a list of numbers, not [True]"),
        ([[[1.0]]], "a list of numbers, not [[1.0]]"),
        ([[float("nan")]], "a list of numbers, not [nan]"),
        ([{"x": 1}], "a list of numbers, not {'x': 1}"),
    ],
)
def test_vectors_that_are_none(labels, said, tmp_path):
    with pytest.raises(UserError) as problem:
        open_source(described(tmp_path / "x", *labels))
    assert said in str(problem.value)


def test_a_half_filled_row_of_a_table_is_refused(tmp_path):
    random_images(tmp_path / "x", "0.png")
    (tmp_path / "x" / "metadata.csv").write_text("file_name,label_0,label_1\n0.png,1,\n")
    with pytest.raises(UserError, match="label in line 2 must be"):
        open_source(str(tmp_path / "x"))


def test_images_that_cannot_be_used_take_their_vectors_along(tmp_path):
    name = described(tmp_path / "x", [0.5], [1.5], [2.5])
    (tmp_path / "x" / "1.png").write_bytes(b"not an image")
    data = open_source(name)
    assert data.vectors.tolist() == [[0.5], [2.5]]
    assert len(data) == 2


def test_of_two_descriptions_the_vectors_of_the_named_one_count(tmp_path):
    random_images(tmp_path, "0.png")
    for file, value in (("one.csv", 1), ("two.csv", 2)):
        (tmp_path / file).write_text(f"file_name,label_0\n0.png,{value}\n")
    assert [open_source(str(tmp_path / f)).vectors.tolist() for f in ("one.csv", "two.csv")] == [[[1.0]], [[2.0]]]


def test_another_vector_is_another_data_set(tmp_path):
    found = [open_source(described(tmp_path / "x", [1.0, v])).fingerprint for v in (2.0, 3.0)]
    assert found[0] != found[1]
    one, two = (Dataset(PIXELS, vectors=np.full((30, 1), v, np.float32)).fingerprint for v in (2, 3))
    assert one != two
    with pytest.raises(ValueError, match="not both"):
        Dataset(PIXELS, np.zeros(30, np.int64), ("a",), vectors=np.zeros((30, 1), np.float32))


def test_a_model_is_asked_with_a_vector(tmp_path):
    from ganvas.recipes.generation import dcgan

    vectors = np.stack([np.arange(30), -np.arange(30)], 1).astype(np.float32)
    recipe = dcgan()
    recipe.task.put("conditional", True)
    options = {"batch": 8, "device": "cpu", "set": {"generator.width": 4, "discriminator.width": 4}}
    run = ganvas.train(
        recipe, data=Dataset(PIXELS, vectors=vectors, name="v"), outdir=tmp_path / "r", images=16, **options
    )
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    one, two = (model.sample(2, label=model.read_label(text)) for text in ("1,-1", "20, -20"))
    assert not torch.equal(one, two)
    with pytest.raises(UsageError, match="vector of 2 numbers, got 3 numbers"):
        model.sample(1, label=[1, 2, 3])
    with pytest.raises(UsageError, match="The label of this model is numbers such as"):
        model.read_label("cat")


# --- missing and hidden labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
def test_a_folder_called_unlabelled_holds_no_class(name, tmp_path):
    random_images(tmp_path / "x", "cat/0.png", f"{name}/1.png", f"{name}/deep/2.png", "dog/3.png")
    data = open_source(str(tmp_path / "x"))
    assert data.class_names == ("cat", "dog")
    named = dict(zip([int(p[0, 0, 0]) // 10 for p in data.images], data.labels.tolist()))
    assert named == {0: 0, 1: -1, 2: -1, 3: 1}
    assert data.facts.unlabelled == 2
    assert dict(data.summary())["classes"] == "2: cat 1, dog 1; 2 unlabelled"


def test_a_folder_of_nothing_but_unlabelled_has_no_labels(tmp_path):
    random_images(tmp_path / "x", "unlabelled/0.png", "unlabelled/1.png")
    assert open_source(str(tmp_path / "x")).labels is None


def test_kept_labels_are_balanced_and_follow_from_the_seed():
    data = open_source("digits", resolution=(8, 8))
    for count in (10, 100, 137):
        kept = data.keep_labels(count, seed=3)
        shown = kept.labels >= 0
        assert shown.sum() == count == len(kept.labelled)
        np.testing.assert_array_equal(kept.labels[shown], data.labels[shown])
        counts = np.bincount(kept.labels[shown], minlength=10)
        assert counts.max() - counts.min() <= 1
        assert kept.facts.unlabelled == len(data) - count
    again, other = data.keep_labels(100, seed=3), data.keep_labels(100, seed=4)
    np.testing.assert_array_equal(again.labelled, data.keep_labels(100, 3).labelled)
    assert not np.array_equal(again.labelled, other.labelled)
    assert len({data.fingerprint, again.fingerprint, other.fingerprint}) == 3
    assert kept.images is data.images
    assert (data.labels >= 0).all()


def test_kept_labels_of_uneven_classes():
    labels = np.array([0] * 20 + [1] * 3 + [2] * 4 + [-1] * 3, np.int64)
    kept = Dataset(PIXELS, labels, ("a", "b", "c")).keep_labels(15, 0)
    assert np.bincount(kept.labels[kept.labels >= 0]).tolist() == [8, 3, 4]


@pytest.mark.parametrize("count", [9, 0, -5, 2000])
def test_a_number_of_labels_that_cannot_be_kept(count):
    with pytest.raises(UsageError, match=r"from 10 \(one a class\) to 1,797"):
        open_source("digits").keep_labels(count, 0)
    with pytest.raises(UsageError, match="has no classes"):
        Dataset(PIXELS, name="x").keep_labels(count, 0)


def test_labels_of_a_run_are_kept_when_it_is_resumed(tmp_path):
    options = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "labels": 20, "precision": "fp32"}
    options |= {"set": {"discriminator.width": 16, "generator.width": 4}, "snapshot_images": 16, "images": 48}
    whole = ganvas.train("semigan", outdir=tmp_path / "whole", **options)
    session = api.prepare(api.TrainRequest("semigan", outdir=tmp_path / "part", **options))
    for event in session:
        if isinstance(event, Snapshot) and event.images == 32:
            break
    session.close()
    assert whole.config()["data"]["labels_kept"] == 20
    assert whole.config()["data"]["unlabelled"] == 1777
    for wrong in ({"labels": 30}, {"seed": 1}):
        with pytest.raises(UsageError, match="was started with"):
            ganvas.train(outdir=tmp_path / "part", resume=True, device="cpu", **wrong)
    resumed = ganvas.train(outdir=tmp_path / "part", resume=True, device="cpu", labels=20)
    assert weights_hash(resumed) == weights_hash(whole)
    everything = ganvas.train("semigan", outdir=tmp_path / "all", **{**options, "labels": None})
    assert weights_hash(everything) != weights_hash(whole)


# --- labelled images in every batch -----------------------------------------------------------------------


def partly():
    labels = np.full(30, -1, np.int64)
    labels[[2, 5, 11, 17, 23]] = [0, 1, 0, 1, 1]
    return Dataset(PIXELS, labels, ("a", "b"), name="partly")


def test_labelled_images_have_an_order_of_their_own():
    data = partly()
    plain, batches = Batches(data, seed=3), Batches(data, seed=3, needs={"image", "labelled"})
    seen = []
    for start in range(0, 40, 8):
        batch = batches.at(start, 8)
        assert torch.equal(batch["image"], plain.at(start, 8)["image"])
        for image, label in zip(batch["labelled_image"], batch["labelled_label"]):
            stored = ((image[0] + 1) * 127.5).round().to(torch.uint8).numpy()
            (place,) = np.flatnonzero((PIXELS[..., 0] == stored).all((1, 2)))
            assert data.labels[place] == label >= 0
            seen.append(place)
    for epoch in range(8):
        assert sorted(seen[5 * epoch : 5 * epoch + 5]) == [2, 5, 11, 17, 23]
    assert len({tuple(seen[5 * e : 5 * e + 5]) for e in range(8)}) > 4
    other = Batches(data, seed=4, needs={"labelled"}).at(0, 8)["labelled_image"]
    assert not torch.equal(other, batches.at(0, 8)["labelled_image"])


@pytest.mark.parametrize("transforms", [(), (Noise(),)], ids=["plain", "transformed"])
def test_workers_bring_the_same_labelled_images(transforms):
    alone = Batches(partly(), seed=1, needs={"labelled"}, transforms=transforms)
    together = Batches(partly(), seed=1, needs={"labelled"}, transforms=transforms, workers=1)
    for start, batch in zip((0, 8, 400), together.stream([0, 8, 400], 8)):
        for name, value in alone.at(start, 8).items():
            assert torch.equal(value, batch[name]), name
    if transforms:
        changed, plain = alone.at(0, 8), Batches(partly(), seed=1, needs={"labelled"}).at(0, 8)
        assert not torch.equal(changed["labelled_image"], plain["labelled_image"])
        assert torch.equal(changed["labelled_label"], plain["labelled_label"])


@pytest.mark.parametrize(
    ("need", "said"), [("label", "needs labels"), ("labelled", "called unlabelled"), ("text", "needs captions")]
)
def test_what_the_data_lack_is_a_sentence(need, said):
    with pytest.raises(UsageError, match=said):
        Batches(Dataset(PIXELS), seed=0, needs={"image", need})


def test_a_conditional_recipe_refuses_unlabelled_images(tmp_path):
    from ganvas.recipes.generation import dcgan

    recipe = dcgan()
    recipe.task.put("conditional", True)
    with pytest.raises(UsageError, match="25 images have no label"):
        ganvas.train(recipe, data=partly(), outdir=tmp_path / "r", images=16, batch=8, device="cpu")
    assert not (tmp_path / "r").exists()


def test_once_is_the_whole_data_set_in_its_own_order():
    batches = list(iterate_once(partly(), 8))
    assert [len(b["image"]) for b in batches] == [8, 8, 8, 6]
    images = torch.cat([b["image"] for b in batches])
    np.testing.assert_allclose(images, PIXELS.transpose(0, 3, 1, 2) / 127.5 - 1, atol=2e-7)
    assert torch.cat([b["label"] for b in batches]).tolist() == partly().labels.tolist()


# --- stacked ----------------------------------------------------------------------------------------------


def test_stacked_digits():
    base, data = open_source("digits", resolution=(8, 8)), open_source("stacked:2000:digits", resolution=(8, 8))
    assert data.images.shape == (2000, 8, 8, 3)
    assert data.facts.classes == 1000
    assert data.class_names[375] == "375"
    assert isinstance(data.images, np.memmap)
    known = {image.tobytes(): int(label) for image, label in zip(base.images, base.labels)}
    for image, label in zip(data.images[:200], data.labels):
        a, b, c = (known[np.ascontiguousarray(image[..., k : k + 1]).tobytes()] for k in range(3))
        assert label == 100 * a + 10 * b + c
    digits = np.stack([data.labels // 100, data.labels // 10 % 10, data.labels % 10])
    for channel in digits:  # uniform over the images
        assert abs(np.bincount(channel, minlength=10) - 200).max() < 75
    assert abs(np.corrcoef(digits) - np.eye(3)).max() < 0.1  # and independent of the other channels
    assert len(np.unique(data.labels)) > 800
    again = open_stacked(base, SourceOptions("x"), count=2000)
    assert again.fingerprint == data.fingerprint
    assert not np.array_equal(open_stacked(base, SourceOptions("x"), count=2000, seed=1).labels, data.labels)
    assert open_stacked(base, SourceOptions("x"), count=7).images.shape[0] == 7


def test_stacked_leaves_unlabelled_images_out():
    data = open_stacked(partly(), SourceOptions("x"), count=500)
    assert data.facts.classes == 8
    assert np.unique(data.labels).tolist() == list(range(8))
    known = {PIXELS[k].tobytes() for k in (2, 5, 11, 17, 23)}
    assert {np.ascontiguousarray(i[..., k : k + 1]).tobytes() for i in data.images for k in range(3)} == known


@pytest.mark.parametrize("name", ["stacked:photos", "stacked:ring", "stacked:0:digits", "stacked:nothing", "stacked:"])
def test_what_cannot_be_stacked(name):
    with pytest.raises(UsageError):
        open_source(name)


@pytest.mark.shared_data
def test_stacked_mnist(shared_data):
    data = open_source(f"stacked:1000:{shared_data / 'mnist' / 't10k-images-idx3-ubyte.gz'}")
    assert data.images.shape == (1000, 28, 28, 3)
    assert data.facts.classes == 1000
