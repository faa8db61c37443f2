"""Python's own values: numbers, arrays, images and paths of NumPy, PyTorch, Pillow and pathlib."""

import json
import logging
import os
import random
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torch import nn

import ganvas
from ganvas import Recipe, Spec, UserError, api
from ganvas.config import plain
from ganvas.data import Dataset, open_source
from ganvas.errors import UsageError
from ganvas.imaging.photo import open_photo
from ganvas.imaging.values import as_given, to_batch
from ganvas.models.model import Model
from ganvas.networks import dcgan
from ganvas.policy import Policy
from ganvas.tasks.translation import Applied

LEVELS = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
LEVELS[:, 0, :2] = [[0], [255]]
LARGE = LEVELS[:2].repeat(10, 1).repeat(10, 2)
SMALL = {"images": 8, "batch": 8, "device": "cpu", "set": {"generator.width": 4, "discriminator.width": 4}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on labelled images in memory, whose options are all NumPy's, PyTorch's or pathlib's."""
    return ganvas.train(
        "cgan",
        data=Dataset(torch.from_numpy(LEVELS).permute(0, 3, 1, 2), torch.arange(16) % 2),
        outdir=tmp_path_factory.mktemp("values") / "run",
        images=np.int64(8),
        batch=torch.tensor(8),
        seed=np.uint32(3),
        hold_out=np.int16(2),
        eval_images=np.int64(8),
        eval_samples=np.array(8),
        minutes=np.float32(5),
        heal=np.bool_(False),
        device=torch.device("cpu"),
        cache=str(tmp_path_factory.mktemp("cache")),
        set={"generator.width": np.int64(4), "discriminator.width": torch.tensor(4), "g_optimizer.betas": np.zeros(2)},
    )


@pytest.fixture(scope="module")
def model(run):
    return ganvas.load(run.path, device=torch.device("cpu"))


def test_a_config_is_plain(run):
    config = json.loads((run.path / "config.json").read_text())
    assert (config["seed"], config["data"]["held_out"], config["recipe"]["batch"]) == (3, 2, 8)
    assert config["evaluation"]["eval_samples"] == 8
    assert config["recipe"]["g_optimizer"]["betas"] == [0, 0]
    assert config["data"]["class_names"] == ["0", "1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (torch.tensor(2.5), 2.5),
        (torch.arange(2), [0, 1]),
        (torch.device("cpu"), "cpu"),
        (Path("a/b"), "a/b"),
        ((np.int64(1), [np.float64(2)]), (1, [2.0])),
        ({"a": np.int8(1)}, {"a": 1}),
        (np.str_("x"), "x"),
        ("as it is", "as it is"),
        (None, None),
    ],
)
def test_plain_values(value, expected):
    result = plain(value)
    assert (result, type(result)) == (expected, type(expected))
    assert json.dumps(result) == json.dumps(expected)


def test_components_and_recipes_take_them():
    spec = Spec(dcgan.Generator, width=np.int32(4), init=np.str_("he"))
    assert json.dumps(spec.to_dict()) == '{"()": "dcgan_generator", "width": 4, "init": "he"}'
    recipe = api.find_recipe("dcgan")
    recipe.batch, recipe.ema_ramp = np.int64(16), torch.tensor(0.25)
    copy = Recipe.from_dict(json.loads(json.dumps(recipe.copy().to_dict())))
    assert (copy.batch, copy.ema_ramp) == (16, 0.25)
    with pytest.raises(UsageError, match=r"width must be int, got 4\.5"):
        Spec(dcgan.Generator, width=np.float64(4.5))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"seed": np.float64(1.5)}, "seed must be int or none, got 1.5"),
        ({"images": 1e5}, "images must be int or none"),
        ({"eval_samples": "8"}, "eval_samples must be int or none, got '8'"),
        ({"hold_out": np.array([1, 2])}, r"hold_out must be int or none, got \[1, 2\]"),
        ({"seed": np.int64(-1)}, "--seed must be from 0"),
        ({"heal": 1}, "heal must be bool"),
    ],
)
def test_what_a_request_refuses(options, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        ganvas.train("dcgan_small", data="digits", outdir=tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_a_model_takes_them(model):
    expected = model.sample(3, seed=1, label=1)
    for seeds, label in ((np.arange(1, 4), np.int64(1)), (torch.arange(1, 4), torch.tensor(1)), ((1, 2, 3), 1)):
        assert torch.equal(model.sample_seeds(seeds, label=label), expected)
    assert torch.equal(model.sample(np.int64(3), seed=np.uint8(1), label=1), expected)
    frames = model.walk(np.arange(2), steps=np.int64(2), label=np.int64(0))
    assert torch.equal(frames, model.walk([0, 1], steps=2, label=0))
    for call in (lambda: model.sample(2.5), lambda: model.sample(0), lambda: model.sample_seeds(np.array([])),
                 lambda: model.sample_seeds([0.5]), lambda: model.sample_seeds(["1"]), lambda: model.sample_seeds([-1]),
                 lambda: model.sample_seeds(3), lambda: model.sample_seeds([2**32]),
                 lambda: model.sample(2, seed=2**32 - 1)):  # fmt: skip
        with pytest.raises(UsageError, match=r"seed|sample\("):
            call()


def test_an_evaluation_takes_them_and_is_json(run, model):
    options = {"samples": np.int64(8), "seed": torch.tensor(0), "device": torch.device("cpu")}
    expected = ganvas.evaluate("fd", str(run.path), model, samples=8, seed=0, device="cpu")
    assert ganvas.evaluate("fd", run.path, model, **options)["fd"] == expected["fd"]
    assert json.dumps(expected)
    numbers = ganvas.evaluate("prdc", LEVELS, torch.from_numpy(LEVELS[::-1].copy()), k=np.int8(2))
    assert numbers["precision"] == 1
    assert json.dumps(numbers)
    floats = torch.from_numpy(LEVELS).permute(0, 3, 1, 2) / 127.5 - 1
    assert ganvas.evaluate("kid", LEVELS, floats, size=np.int64(8), subsets=2) == ganvas.evaluate(
        "kid", Dataset(LEVELS), Dataset(LEVELS), size=8, subsets=2
    )
    for wrong in (np.float64(2.5), "many", np.arange(2)):
        with pytest.raises(UsageError, match="--samples must be int"):
            ganvas.evaluate("fd", run.path, model, samples=wrong)


# --- images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (LEVELS, (16, 8, 8, 3)),
        (LEVELS[..., 0], (16, 8, 8, 1)),
        (LEVELS.transpose(0, 3, 1, 2), (16, 8, 8, 3)),
        (LEVELS.astype(np.int64), (16, 8, 8, 3)),
        (LEVELS.astype(">u2"), (16, 8, 8, 3)),
        (LEVELS.astype(np.float64) / 127.5 - 1, (16, 8, 8, 3)),
        (torch.from_numpy(LEVELS[:, :4, :3]).permute(0, 3, 1, 2), (16, 4, 3, 3)),
        (torch.from_numpy(LEVELS).permute(0, 3, 1, 2).double() / 127.5 - 1, (16, 8, 8, 3)),
        ([Image.fromarray(x) for x in LEVELS], (16, 8, 8, 3)),
        (list(LEVELS), (16, 8, 8, 3)),
    ],
)
def test_data_in_memory(images, shape):
    data = Dataset(images)
    assert data.images.shape == shape
    assert data.facts.kind == "images"
    np.testing.assert_array_equal(data.images[..., 0], LEVELS[:, : shape[1], : shape[2], 0])


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (LEVELS / 255, "float64 from 0 to 1"),
        ((LEVELS / 255).astype(np.float32), "float32 from 0 to 1"),
        (torch.from_numpy(LEVELS).permute(0, 3, 1, 2) / 255, "float32 from 0 to 1"),
        (LEVELS.astype(np.float32), "float32 from 0 to 255"),
        (LEVELS / 100 - 1.3, r"float64 from -1\.3 to 1\.25"),
        (LEVELS > 127, "bool from 0 to 1"),
        ((LEVELS > 127).astype(np.int64), "int64 from 0 to 1"),
        (LEVELS.astype(np.int32) * 16, "int32 from 0 to 4080"),
        (np.where(LEVELS == 0, np.nan, -0.5), "from nan to nan"),
        (LEVELS.astype(str), "<U3"),
        (LEVELS[0, 0], r"got \(8, 3\)"),
        (np.zeros((2, 65, 66, 67), np.uint8), r"got \(2, 65, 66, 67\)"),
        (LEVELS[:0], r"got \(0, 8, 8, 3\)"),
        ([LEVELS[0], LEVELS[0, :4]], r"one shape, got \(4, 8, 3\) and \(8, 8, 3\)"),
        ({"images": LEVELS}, "got dict"),
    ],
)
def test_data_in_memory_that_could_mean_anything(images, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        Dataset(images)
    with pytest.raises(UsageError, match=reason):
        ganvas.train("dcgan_small", data=images, outdir=tmp_path / "r")


def test_labels_in_memory():
    for labels in ([7, 3] * 8, torch.tensor([7, 3] * 8), np.array(["b", "a"] * 8)):
        data = Dataset(LEVELS, labels)
        assert data.labels.tolist() == [1, 0] * 8
        assert data.facts.classes == 2
    assert Dataset(LEVELS, vectors=[[0.5, 1]] * 16).facts.attributes == 2
    for more in ({"labels": [0] * 15}, {"vectors": np.zeros((17, 2))}, {"captions": ["x"]}):
        with pytest.raises(UsageError, match="There are 16 images and 1"):
            Dataset(LEVELS, **more)
    with pytest.raises(UsageError, match=r"got float64 \(16,\)"):
        Dataset(LEVELS, np.full(16, 0.5))


@pytest.fixture(scope="module")
def translator():
    """Images to their negatives; of a kernel of one pixel."""
    net = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(net.weight)
    net.weight.data *= -1
    return Model(Applied(net), Policy.choose("cpu", "fp32"), {"data": {"channels": 3, "class_names": []}})


def test_a_model_changes_what_it_is_given(translator, tmp_path):
    image = Image.fromarray(LEVELS[0])
    image.save(tmp_path / "a.png")
    for given in (image, tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(np.asarray(translator(given)), 255 - LEVELS[0])
    np.testing.assert_array_equal(translator(LEVELS[0]), 255 - LEVELS[0])
    np.testing.assert_array_equal(translator(LEVELS), 255 - LEVELS)
    assert translator(LEVELS[0, ..., 0]).shape == (8, 8, 3)
    batch = torch.from_numpy(LEVELS).permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(translator(batch.double()), -batch)
    deep = Image.fromarray(LEVELS[0, ..., 0].astype(np.uint16) * 257)
    assert (np.asarray(translator(deep)) == 255 - LEVELS[0, ..., :1]).all()


def noise(low, high, *shape):
    x = torch.rand(*(shape or (1, 3, 8, 8)), generator=torch.Generator().manual_seed(0))
    return low + (high - low) * (x - x.min()) / (x.max() - x.min())


WRONG = [
    (noise(0, 1), "are from 0 to 1, as images in"),
    (noise(0, 255), r"are from 0 to 255; x / 127\.5 - 1"),
    (noise(-2.1, 2.6), r"are from -2\.1 to 2\.6"),
    (noise(-1, 1.2), r"are from -1 to 1\.2; x\.clamp"),
    (noise(-1, 1).masked_fill(torch.rand(1, 3, 8, 8) > 0.5, torch.nan), "nan"),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"floats in \[-1, 1\], got torch.uint8"),
    (noise(-1, 1, 3, 8, 8), r"\(N, C, H, W\), got \(3, 8, 8\)"),
    (LEVELS[0] / 255, r"float64 \(8, 8, 3\) from 0 to 1"),
    (LEVELS[0].astype(np.float32), r"float32 \(8, 8, 3\) from 0 to 255"),
    (LEVELS[0] > 9, "got bool"),
    (LEVELS[0][..., :2], r"\(8, 8, 2\)"),
    ({"image": 1}, "got object"),
    (Image.fromarray(LEVELS[0, ..., 0] / np.float32(255)), "mode F from 0 to 1"),
]


@pytest.mark.parametrize(("image", "reason"), WRONG)
def test_images_of_another_range_or_type(translator, image, reason):
    calls = [lambda: translator(image), lambda: ganvas.stylize(image, [LEVELS[0]], translator),
             lambda: ganvas.stylize(LEVELS[0], [image])]  # fmt: skip
    if isinstance(image, torch.Tensor):
        calls.append(lambda: translator.translate(image))
    for call in calls:
        with pytest.raises(UsageError, match=reason):
            call()


def test_bright_images_and_rounding_pass():
    for image in (torch.ones(1, 1, 4, 4), noise(0.4, 0.9), noise(-1.004, 1.004), noise(-0.1, 1)):
        assert torch.equal(to_batch(image), image)
    white = np.full((4, 4), 255, np.uint8)
    assert to_batch(white).eq(1).all()
    np.testing.assert_array_equal(as_given(to_batch(white), white), white)


# --- what belongs to the caller --------------------------------------------------------------------------------


def surroundings():
    """All state of the process that a library could touch."""
    torch_flags = (
        torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(), torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_float32_matmul_precision(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.is_anomaly_enabled(), torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )  # fmt: skip
    logs = [(n, logging.getLogger(n).level, len(logging.getLogger(n).filters), len(logging.getLogger(n).handlers))
            for n in (None, "PIL", "tifffile", "torch", "ganvas")]  # fmt: skip
    rest = (
        random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state()), np.geterr(), logs,
        list(warnings.filters), id(warnings.filters), [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        dict(os.environ), os.getcwd(), list(sys.path), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES,
        os.umask(os.umask(0o22)), sys.getrecursionlimit(), sys.excepthook, sys.stdout, sys.stderr,
    )  # fmt: skip
    return [*torch_flags, *rest]


class Draws(nn.Module):
    """A feature network that draws random numbers, and is being trained."""

    def forward(self, x):
        return (x + 1e-3 * torch.rand_like(x)).flatten(1)


FUNCTIONS = {
    "train": lambda f, m, t: ganvas.train("dcgan_small", data=LEVELS, outdir=f / "run", **SMALL),
    "prepare": lambda f, m, t: api.prepare(api.TrainRequest("dcgan_small", LEVELS, f / "run", **SMALL)).close(),
    "load": lambda f, m, t: ganvas.load(m.path),
    "accuracy": lambda f, m, t: refused(lambda: api.accuracy(ganvas.load(m.path), Dataset(LEVELS))),
    "sample": lambda f, m, t: ganvas.load(m.path).sample(2),
    "walk": lambda f, m, t: ganvas.load(m.path).walk([0, 1], steps=2),
    "translate": lambda f, m, t: t(LEVELS[0]),
    "fd": lambda f, m, t: ganvas.evaluate("fd", LEVELS, m.path, samples=8),
    "kid": lambda f, m, t: ganvas.evaluate("kid", LEVELS, LEVELS, size=8, features=Draws()),
    "is": lambda f, m, t: ganvas.evaluate("is", LEVELS, splits=2),
    "diversity": lambda f, m, t: ganvas.evaluate("diversity", LEVELS.repeat(2, 1).repeat(2, 2)),
    "stylize": lambda f, m, t: ganvas.stylize(LARGE[0], [LARGE[1]], iterations=1),
    "stylize by a model": lambda f, m, t: ganvas.stylize(LEVELS[0], (), t),
    "report": lambda f, m, t: ganvas.report(m.path, output=f / "x.html"),
    "open_source": lambda f, m, t: open_source(str(damaged(f).parent)),
    "open_photo": lambda f, m, t: open_photo(damaged(f)),
    "refusal": lambda f, m, t: refused(lambda: ganvas.train("nothing", data="digits", outdir=f / "run")),
}  # fmt: skip


def refused(call):
    with pytest.raises(UserError):
        call()


def damaged(folder):
    """A JPEG with EXIF that Pillow warns of."""
    (folder / "data").mkdir()
    Image.fromarray(LEVELS[0]).save(folder / "data/a.jpg", exif=b"Exif\0\0II*\0\xff\xff\0\0rubbish")
    return folder / "data/a.jpg"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_callers_surroundings_stay(name, tmp_path, run, translator):
    for state in (1, 2):  # of the caller, who may be in the middle of a training
        torch.manual_seed(state)
    before = surroundings()
    FUNCTIONS[name](tmp_path, run, translator)
    after = surroundings()
    assert [k for k, (a, b) in enumerate(zip(before, after)) if a != b] == []


def test_between_events_the_random_numbers_are_the_callers(tmp_path):
    """Drawing in `on_event` changes nothing of the training, and the training nothing of the draws."""
    drawn, hashes = [], []
    for k in range(2):
        torch.manual_seed(5)
        numbers = drawn.append if k else lambda _: None
        done = ganvas.train("dcgan_small", data=LEVELS, outdir=tmp_path / str(k), **{**SMALL, "images": 16},
                            on_event=lambda _, keep=numbers, k=k: keep(torch.rand(())) if k else None)  # fmt: skip
        hashes.append(api_hash(done))
    torch.manual_seed(5)
    assert drawn == [torch.rand(()) for _ in drawn]
    assert len(drawn) > 2
    assert hashes[0] == hashes[1]


def api_hash(run):
    from ganvas.run import weights_hash

    return weights_hash(run)


def test_a_feature_network_of_the_callers_goes_on_training():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Dropout()).train()
    ganvas.evaluate("fd", LEVELS, LEVELS, features=net)
    assert net.training
    assert all(part.training for part in net)
