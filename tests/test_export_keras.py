"""Files of Keras: what is exported gives PyTorch's numbers, trains on in Keras and comes back; lessons' files load."""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import ganvas
from ganvas.api import find_recipe
from ganvas.config import Spec
from ganvas.errors import UsageError, UserError
from ganvas.networks import dcgan, dcgan_variants, keras_dcgan, mlp, resnet
from ganvas.networks.heads import AuxiliaryClassifier, Joint, Projection
from ganvas.networks.keras_dcgan import LESSON_OF_FACES
from ganvas.training.init_from import inherit_defaults, initialize

h5py = pytest.importorskip("h5py", reason="Keras' files need the extra keras")
if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras' files need the extra keras", allow_module_level=True)
from ganvas.export import keras as export  # noqa: E402
from ganvas.models.foreign import build_network  # noqa: E402
from ganvas.models.keras_networks import discriminator_beside, read_keras_network  # noqa: E402
from ganvas.models.keras_steps import chain_of  # noqa: E402

pytestmark = pytest.mark.slow  # run by make test-reach

TINY = {"device": "cpu", "precision": "fp32"}
FACES = {player: {**options, "width": 4} for player, options in LESSON_OF_FACES.items()}
GENERATORS = [  # class, options: every layer and every way a label comes in
    (keras_dcgan.Generator, {"width": 4, "resolution": 28, "channels": 1}),
    (keras_dcgan.Generator, {**FACES["generator"], "resolution": (17, 16)}),
    (keras_dcgan.Generator, {"width": 4, "resolution": 8, "attributes": 5}),
    (dcgan.Generator, {"width": 4, "resolution": (9, 12), "classes": 3}),
    (dcgan.Generator, {"width": 4, "max_width": 4, "resolution": 16}),
    (dcgan_variants.Generator, {"width": 4, "hidden": 8, "resolution": 16}),
    (mlp.Generator, {"width": 16, "resolution": (8, 9), "channels": 3}),
    (mlp.Generator, {"width": 16, "depth": 1, "resolution": 8, "activation": "elu", "classes": 3}),
]
NORMS = ("batch", "layer", "none")
DISCRIMINATORS = [
    (keras_dcgan.Discriminator, {"width": 4, "resolution": (9, 12)}),
    (keras_dcgan.Discriminator, {**FACES["discriminator"], "resolution": 17}),
    (keras_dcgan.Discriminator, {"width": 4, "resolution": 8, "attributes": 4, "join": True}),
    (dcgan.Discriminator, {"width": 4, "resolution": (9, 12)}),
    *[(dcgan.Discriminator, {"width": 4, "resolution": 16, "norm": n, "classes": 3, "join": True}) for n in NORMS],
    *[
        (dcgan.Discriminator, {"width": 4, "resolution": 8, "classes": 3, "head": Spec(head)})
        for head in (AuxiliaryClassifier, Projection, Joint)
    ],
    (dcgan_variants.Discriminator, {"width": 4, "hidden": 8, "resolution": 28, "norm": "layer"}),
    (mlp.Discriminator, {"width": 8, "resolution": 8, "channels": 3}),
    (mlp.LeakyDiscriminator, {"width": 8, "resolution": 8, "classes": 3, "join": True}),
]
QUICK = {0, 3}


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras on PyTorch; it writes its settings on import."""
    os.environ["KERAS_HOME"] = str(tmp_path_factory.mktemp("keras"))
    module = export.import_keras()
    if module.backend.backend() not in ("torch", "tensorflow"):
        pytest.skip("the exported files are compared on PyTorch and on TensorFlow")
    return module


def build(target, options):
    """A network whose weights, biases and averages are all different from those of the beginning."""
    torch.manual_seed(0)
    network = target(**options)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return network.eval()


def cases(table):
    return [pytest.param(*row, marks=() if k in QUICK else pytest.mark.slow) for k, row in enumerate(table)]


def labels(options, count=3):
    if "attributes" in options:
        return [torch.randn(count, options["attributes"])]
    return [torch.arange(count)] if "classes" in options else []


def differences(network, again, inputs):
    with torch.no_grad():
        ours, theirs = network(*inputs), again(*inputs)
    if isinstance(ours, torch.Tensor):
        return (ours - theirs).abs().max().item()
    pairs = [(ours.logits, theirs.logits), (ours.label_logits, theirs.label_logits)]
    return max((a - b).abs().max().item() for a, b in pairs if a is not None)


@pytest.mark.parametrize(("target", "options"), cases(GENERATORS))
def test_a_generator_is_the_same_in_keras_and_comes_back(target, options, keras, tmp_path):
    network, file = build(target, options), tmp_path / "m.keras"
    z, given = torch.randn(3, network.latent), labels(options)
    with torch.no_grad():
        image = network(z, *given)
    result = export._write(network, chain_of(network), [z, *given], [image], file, "generator", 2.0)
    assert result["difference"] <= 1e-4
    model = keras.saving.load_model(file)  # safe mode: no code of the file runs
    shown = model([z.numpy(), *(x.numpy() for x in given)] if given else z.numpy(), training=False)
    shown = torch.from_numpy(keras.ops.convert_to_numpy(shown).copy()).permute(0, 3, 1, 2)
    torch.testing.assert_close(shown, image, atol=1e-5, rtol=0)
    assert model.count_params() == sum(p.numel() for p in network.parameters()) + averages(network)
    again = build_network(read_keras_network(file))
    assert type(again) is target
    assert differences(network, again, [z, *given]) < 1e-5


def averages(network):
    return sum(v.numel() for k, v in network.state_dict().items() if "running" in k)


@pytest.mark.parametrize(("target", "options"), cases(DISCRIMINATORS))
def test_a_discriminator_is_the_same_in_keras_and_comes_back(target, options, keras, tmp_path):
    network, file = build(target, options), tmp_path / "m.keras"
    assert export.write_discriminator(network, file)["difference"] <= 1e-4
    again = build_network(read_keras_network(file))
    assert type(again) is target
    x = torch.rand(3, network.inputs - network.join.channels, *network.resolution) * 2 - 1
    assert differences(network, again, [x, *labels(options)]) < 1e-5


def test_spectral_norm_is_exported_divided(keras, tmp_path):
    network = build(dcgan.Discriminator, {"width": 4, "resolution": 16, "norm": "spectral"})
    assert export.write_discriminator(network, tmp_path / "m.keras")["difference"] <= 1e-4
    again = build_network(read_keras_network(tmp_path / "m.keras"))
    assert differences(network, again, [torch.randn(2, 3, 16, 16)]) < 1e-5


def test_networks_and_heads_without_counterpart_are_named():
    with pytest.raises(UsageError, match=r"this is another one; ONNX takes every network"):
        chain_of(resnet.Generator(resolution=16, width=4))
    with pytest.raises(UsageError, match="virtual batch norm"):
        chain_of(dcgan_variants.Generator(resolution=16, width=4, norm="virtual", reference=2))
    with pytest.raises(UsageError, match="sines and cosines"):
        chain_of(mlp.LeakyDiscriminator(resolution=8, frequencies=2))


# --- a run -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train(
        "keras_dcgan",
        data="digits",
        outdir=tmp_path_factory.mktemp("runs") / "run",
        images=16,
        batch=16,
        resolution=8,
        set={"generator.width": 2, "discriminator.width": 2},
        **TINY,
    ).path


@pytest.fixture(scope="module")
def exported(run, keras, tmp_path_factory):
    """The file of the run's generator, with the discriminator's beside it, and the facts."""
    file = tmp_path_factory.mktemp("exported") / "m.keras"
    return file, export.export_keras(run, file)


def test_export_writes_both_players(run, exported, command, tmp_path):
    file, printed = exported
    assert sorted(f.name for f in file.parent.iterdir()) == ["m.discriminator.keras", "m.keras"]
    assert printed["inputs"] == {"z": ["N", 100]}
    assert printed["discriminator"]["inputs"] == {"image": ["N", 8, 8, 1]}
    assert max(printed["difference"], printed["discriminator"]["difference"]) <= 1e-4
    code, out, _ = command("export", run, "-o", tmp_path / "generator.keras", "--json")
    assert json.loads(out).keys() == printed.keys()
    code, _, err = command("export", run, "-o", tmp_path / "generator.keras")
    assert code == 0
    assert "largest difference from PyTorch" in err
    assert (tmp_path / "discriminator.keras").is_file()
    torch.testing.assert_close(ganvas.load(file).sample(3), ganvas.load(run).sample(3), atol=1e-5, rtol=0)


def test_a_model_trained_in_keras_comes_back_and_samples(run, exported, keras, tmp_path):
    file, _ = exported
    model = keras.saving.load_model(file)
    model.compile(keras.optimizers.SGD(3.0), "mse")
    z = np.random.default_rng(0).standard_normal((32, 100)).astype(np.float32)
    model.fit(z, np.zeros((32, 8, 8, 1), np.float32), epochs=1, verbose=0)
    model.save(tmp_path / "trained.keras")
    model.save_weights(tmp_path / "trained.weights.h5")
    expected = keras.ops.convert_to_numpy(model(z, training=False)).transpose(0, 3, 1, 2)
    for name in ("trained.keras", "trained.weights.h5"):
        loaded = ganvas.load(tmp_path / name, **TINY)
        images = loaded.generate({"z": torch.from_numpy(z)})
        np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)
    assert (loaded.sample(3) - ganvas.load(run).sample(3)).abs().max() > 1e-2  # it has learnt


def test_a_run_begins_with_both_players(exported, tmp_path):
    file, _ = exported
    options = {"data": "digits", "images": 8, "batch": 8, "resolution": 8, "init_from": file, **TINY}
    begun = ganvas.train("keras_dcgan", outdir=tmp_path / "run", **options)
    assert json.loads((begun.path / "config.json").read_text())["recipe"]["task"]["generator"]["width"] == 2
    recipe = find_recipe("keras_dcgan")
    inherit_defaults(recipe, file, replace=False)
    task = recipe.task.build(resolution=(8, 8), channels=1)
    notices = initialize(task, file)
    assert notices == [f"The discriminator is that of {discriminator_beside(file)}."]
    for player, network in (("m", task.generator), ("m.discriminator", task.discriminator.net)):
        state = read_keras_network(file.with_name(f"{player}.keras")).state
        assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())


def test_what_the_command_refuses(exported, run, tmp_path, command):
    file, _ = exported
    assert "--fp16 is not for .keras" in command("export", run, "-o", tmp_path / "m.keras", "--fp16")[2]
    code, _, err = command("export", "compact-x2", "-o", tmp_path / "m.keras")
    assert code == 2
    assert "does not generate from noise" in err
    with pytest.raises(UsageError, match="takes it beside its generator"):
        ganvas.load(discriminator_beside(file))
    train = ["train", "dcgan", "--data", "digits", "--outdir", tmp_path / "run", "--images", 8]
    code, _, err = command(*train, "--init-from", file)
    assert code == 2
    assert "is the generator of Keras' DCGAN lessons (keras_dcgan_generator)" in err.replace("\n", " ")
    assert not (tmp_path / "m.keras").exists()


# --- files of lessons --------------------------------------------------------------------------------------


def lesson(layers, **more):
    """A file's configuration as Keras writes it."""
    rows = [{"class_name": kind, "config": {"name": f"l{k}", **config}} for k, (kind, config) in enumerate(layers)]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": rows}, **more}


def write(file, layers, weights):
    """A `.keras` by hand: `weights` maps the places of layers to arrays."""
    with h5py.File(file.with_suffix(".h5"), "w") as store:
        for place, arrays in weights.items():
            for k, array in enumerate(arrays):
                store[f"layers/{place}/vars/{k}"] = array
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(layers))
        archive.write(file.with_suffix(".h5"), "model.weights.h5")
    return file


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) * 0.3


SAME = {"padding": "same", "use_bias": True}
FACE_LAYERS = [  # of keras.io's lesson, narrow: images of 8x8 from a map of one pixel
    ("InputLayer", {"batch_shape": [None, 6]}),
    ("Dense", {"units": 2, "activation": "linear"}),
    ("Reshape", {"target_shape": [1, 1, 2]}),
    *[
        row
        for filters in (2, 4, 8)
        for row in (
            ("Conv2DTranspose", {"filters": filters, "strides": [2, 2], **SAME}),
            ("LeakyReLU", {"negative_slope": 0.20000000298023224}),
        )
    ],
    ("Conv2D", {"filters": 3, "strides": [1, 1], "activation": "sigmoid", **SAME}),
]
FACE_WEIGHTS = {
    "dense": [numbers(6, 2), numbers(2)],
    "conv2d_transpose": [numbers(4, 4, 2, 2), numbers(2)],
    "conv2d_transpose_1": [numbers(4, 4, 4, 2), numbers(4)],
    "conv2d_transpose_2": [numbers(4, 4, 8, 4), numbers(8)],
    "conv2d": [numbers(5, 5, 8, 3), numbers(3)],
}


def test_a_generator_that_ends_in_a_sigmoid_is_the_same_in_our_range(keras, tmp_path):
    """keras.io's lesson: images in [0, 1], and a convolution that ends what transposed ones begin."""
    file = write(tmp_path / "g.keras", lesson(FACE_LAYERS), FACE_WEIGHTS)
    checkpoint = read_keras_network(file)
    assert checkpoint.network == "keras_dcgan_generator"
    model = keras.Sequential([getattr(keras.layers, kind)(**with_kernel(kind, config)) for kind, config in FACE_LAYERS])
    model.set_weights([w for arrays in FACE_WEIGHTS.values() for w in arrays])
    z = numbers(3, 6)
    expected = 2 * keras.ops.convert_to_numpy(model(z)).transpose(0, 3, 1, 2) - 1
    model.save_weights(tmp_path / "g.weights.h5")
    for name in ("g.keras", "g.weights.h5"):
        images = ganvas.load(tmp_path / name, **TINY).generate({"z": torch.from_numpy(z)})
        np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def with_kernel(kind, config):
    sizes = {"Conv2DTranspose": {"kernel_size": 4}, "Conv2D": {"kernel_size": 5}}
    return {**config, **sizes.get(kind, {})}


def old_file(file, config=None):
    """The weights of a tensorflow.org generator of images of 8x8, as Keras 2 wrote them."""
    shapes = {
        "dense": {"kernel:0": (6, 32)},
        "batch_normalization": {f"{part}:0": (32,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
        "leaky_re_lu": {},
        "conv2d_transpose": {"kernel:0": (5, 5, 4, 8)},
        "batch_normalization_1": {f"{part}:0": (4,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
        "conv2d_transpose_1": {"kernel:0": (5, 5, 2, 4)},
        "batch_normalization_2": {f"{part}:0": (2,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
        "conv2d_transpose_2": {"kernel:0": (5, 5, 1, 2)},
    }
    with h5py.File(file, "w") as store:
        store.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, parts in shapes.items():
            group = store.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}".encode() for part in parts]
            for part, shape in parts.items():
                group[f"{name}/{part}"] = np.abs(numbers(*shape))
    return file


def test_weights_of_keras_2_load(tmp_path):
    checkpoint = read_keras_network(old_file(tmp_path / "g.h5"))
    assert checkpoint.network == "keras_dcgan_generator"
    expected = {
        "width": 2,
        "multiples": (4, 2, 1),
        "strides": (1, 2, 2),
        "resolution": (8, 8),
        "latent": 6,
        "slope": 0.3,
    }
    assert expected.items() <= checkpoint.options.items()
    np.testing.assert_array_equal(checkpoint.state["project.0.weight"].numpy(), np.abs(numbers(6, 32)).T)
    assert ganvas.load(tmp_path / "g.h5", **TINY).sample(2).shape == (2, 1, 8, 8)


CHECKPOINT = Path(__file__).parent / "data" / "tensorflow_lesson" / "ckpt-1.index"  # written by TensorFlow 2.21


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_checkpoint_of_tensorflow_has_the_weights_that_keras_wrote_beside_it(player):
    """`tf.train.Checkpoint`, as the lesson saves its training after some steps."""
    checkpoint = read_keras_network(CHECKPOINT, player)
    truth = read_keras_network(CHECKPOINT.with_name(f"{player}.weights.h5"))
    assert checkpoint.network == truth.network == f"keras_dcgan_{player}"
    assert checkpoint.options == truth.options
    assert checkpoint.state.keys() == truth.state.keys()
    assert all(torch.equal(checkpoint.state[k], v) for k, v in truth.state.items())


def test_a_run_begins_with_a_checkpoint(tmp_path):
    recipe = find_recipe("keras_dcgan")
    inherit_defaults(recipe, CHECKPOINT, replace=False)
    task = recipe.task.build(resolution=(8, 8), channels=1)
    assert initialize(task, CHECKPOINT) == [f"The discriminator is that of {CHECKPOINT}."]
    assert torch.equal(
        task.discriminator.net.head.score.bias, read_keras_network(CHECKPOINT, "discriminator").state["head.score.bias"]
    )
    images = ganvas.load(CHECKPOINT, **TINY).sample(2)
    torch.testing.assert_close(task.eval().sample({"z": ganvas.load(CHECKPOINT).task.inputs(range(2))["z"]}), images)


def test_checkpoints_that_cannot_be_read(tmp_path):
    index, data = (CHECKPOINT.with_suffix(s).read_bytes() for s in (".index", ".data-00000-of-00001"))
    file = tmp_path / "ckpt-1.index"
    file.write_bytes(index)
    with pytest.raises(UserError, match="is damaged, or its .data file beside it"):
        ganvas.load(file)
    file.with_suffix(".data-00000-of-00001").write_bytes(data[:5000])
    with pytest.raises(UserError, match="is damaged, or its .data file beside it"):
        ganvas.load(file)
    file.with_suffix(".data-00000-of-00001").write_bytes(data)
    for broken in (index[100:], index.replace(b"\x12\x04\x12\x02\x08", b"\x10\x04\x12\x02\x08")):  # a shape as a number
        assert broken != index
        file.write_bytes(broken)
        with pytest.raises(UserError, match="is damaged, or its .data file beside it"):
            ganvas.load(file)
    file.write_bytes(index.replace(b"generator", b"converter"))
    file.with_suffix(".data-00000-of-00001").write_bytes(data)
    with pytest.raises(UserError, match="and no generator with its weights"):
        ganvas.load(file)


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            [*FACE_LAYERS[:3], ("Conv2DTranspose", {"strides": [2, 2], "padding": "valid"}), *FACE_LAYERS[4:]],
            r"another architecture\. The nearest is .*: layer 3 is Conv2DTranspose \(strides \(2, 2\), padding valid",
        ),
        ([("InputLayer", {}), ("Lambda", {"function": "x"})], r"Its layers \(Lambda\) are those of no network"),
        ([*FACE_LAYERS, ("Dense", {"units": 1})], "is of another architecture"),
    ],
)
def test_another_architecture_says_what_differs(layers, sentence, tmp_path):
    file = write(tmp_path / "g.keras", lesson(layers), FACE_WEIGHTS)
    with pytest.raises(UserError, match=sentence):
        ganvas.load(file)


def test_a_model_of_another_class_is_named(tmp_path):
    file = write(tmp_path / "g.keras", {"class_name": "GAN", "config": {}}, {})
    with pytest.raises(UserError, match="a model of the class GAN, whose layers are in its code alone"):
        ganvas.load(file)


def hollow(store):
    del store["layers/dense/vars/0"]
    store.create_dataset("layers/dense/vars/0", shape=(6, 2), dtype="f4")


def elsewhere(store):
    del store["layers/dense/vars/0"]
    store.create_dataset("layers/dense/vars/0", shape=(6, 2), dtype="f4", external=[("/etc/hostname", 0, 48)])


def infinite(store):
    store["layers/dense/vars/0"][0, 0] = np.inf


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(hollow, "numbers of its own"), (elsewhere, "numbers of its own"), (infinite, "not finite")],
)
def test_weights_that_are_not_there(change, sentence, tmp_path):
    write(tmp_path / "g.keras", lesson(FACE_LAYERS), FACE_WEIGHTS)
    with h5py.File(tmp_path / "g.h5", "a") as store:
        change(store)
    with zipfile.ZipFile(tmp_path / "h.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(lesson(FACE_LAYERS)))
        archive.write(tmp_path / "g.h5", "model.weights.h5")
    with pytest.raises(UserError, match=sentence):
        ganvas.load(tmp_path / "h.keras")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_is_cut_off(share, tmp_path):
    file = write(tmp_path / "g.keras", lesson(FACE_LAYERS), FACE_WEIGHTS)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="damaged or cut off"):
        ganvas.load(file)


def test_without_h5py_one_sentence(tmp_path, monkeypatch):
    import sys

    file = write(tmp_path / "g.keras", lesson(FACE_LAYERS), FACE_WEIGHTS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs h5py: pip install \"ganvas\[keras\]\""):
        ganvas.load(file)
