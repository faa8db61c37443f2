"""Keras on TensorFlow itself: `make test-keras`, in an environment of its own.

Padding, an exported run that trains on by `tf.GradientTape` and comes back, files of the two lessons as TensorFlow
writes them, and the example.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import layers

import ganvas
from ganvas.export.keras import export_keras
from ganvas.models.foreign import build_network
from ganvas.models.keras_networks import discriminator_beside, read_keras_network
from ganvas.networks.keras_dcgan import SameConv, SameUpConv

TINY = {"device": "cpu", "precision": "fp32"}
EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "dcgan_in_keras.py"))


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (5, 1), (4, 2), (3, 2), (3, 3), (2, 2)])
@pytest.mark.parametrize("size", [(6, 6), (7, 4)])
def test_padding(kernel, stride, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    channels_last = x.permute(0, 2, 3, 1).numpy()
    down, up = (layer(3, 4, kernel, stride, bias=False).double() for layer in (SameConv, SameUpConv))
    expected = tf.nn.conv2d(channels_last, down.weight.detach().permute(2, 3, 1, 0).numpy(), stride, "SAME").numpy()
    np.testing.assert_allclose(down(x).detach().permute(0, 2, 3, 1).numpy(), expected, atol=1e-12)
    shape = (2, size[0] * stride, size[1] * stride, 4)
    kernels = up.weight.detach().permute(2, 3, 1, 0).numpy()
    expected = tf.nn.conv2d_transpose(channels_last, kernels, shape, stride, "SAME").numpy()
    np.testing.assert_allclose(up(x).detach().permute(0, 2, 3, 1).numpy(), expected, atol=1e-12)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A DCGAN of the lesson, at half its width, after a few steps on digits."""
    return ganvas.train(
        "keras_dcgan",
        data="digits",
        outdir=tmp_path_factory.mktemp("runs") / "run",
        images=1280,
        batch=64,
        resolution=28,
        set={"generator.width": 32, "discriminator.width": 32},
        **TINY,
    ).path


def images_of(model, z):
    """Images (N, C, H, W) of noise, by TensorFlow."""
    return model(z, training=False).numpy().transpose(0, 3, 1, 2)


def test_an_exported_run_trains_on_in_tensorflow_and_comes_back(run, tmp_path):
    result = export_keras(run, tmp_path / "generator.keras")
    print(f"largest difference: generator {result['difference']:.1e}, of the range")
    print(f"largest difference: discriminator {result['discriminator']['difference']:.1e}, of the range")
    assert max(result["difference"], result["discriminator"]["difference"]) <= 1e-4
    before = ganvas.load(tmp_path / "generator.keras").sample(8)
    np.testing.assert_allclose(before.numpy(), ganvas.load(run).sample(8).numpy(), atol=1e-4)
    data = ["--data", "digits", "--resolution", "28", "--steps", "20", "--batch", "32"]
    EXAMPLE["main"]([*data, "--init-from", str(tmp_path / "generator.keras"), "--out", str(tmp_path / "on")])
    trained = keras.saving.load_model(tmp_path / "on" / "generator.keras")
    z = np.random.default_rng(0).standard_normal((8, 100)).astype(np.float32)
    again = ganvas.load(tmp_path / "on" / "generator.keras", **TINY)
    images = again.generate({"z": torch.from_numpy(z)}).numpy()
    print(f"largest difference after TensorFlow's steps: {np.abs(images - images_of(trained, z)).max() / 2:.1e}")
    np.testing.assert_allclose(images, images_of(trained, z), atol=2e-4)
    assert np.abs(images - ganvas.load(run, **TINY).generate({"z": torch.from_numpy(z)}).numpy()).max() > 0.05
    options = {"data": "digits", "resolution": 28, "batch": 32, "images": 64, **TINY}
    on = ganvas.train("keras_dcgan", outdir=tmp_path / "run", init_from=tmp_path / "on" / "generator.keras", **options)
    assert on.config()["recipe"]["task"]["discriminator"]["width"] == 32
    print("a run went on from TensorFlow's files:", on.log()[-1])


# --- files of the lessons ----------------------------------------------------------------------------------


def lesson_of_digits():
    """The networks of tensorflow.org's lesson, by its text."""
    norm = [layers.BatchNormalization, layers.LeakyReLU]
    generator = keras.Sequential(
        [
            layers.Input((100,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            *(part() for part in norm),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 5, padding="same", use_bias=False),
            *(part() for part in norm),
            layers.Conv2DTranspose(64, 5, strides=2, padding="same", use_bias=False),
            *(part() for part in norm),
            layers.Conv2DTranspose(1, 5, strides=2, padding="same", use_bias=False, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(64, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Conv2D(128, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return generator, discriminator


def lesson_of_faces():
    """The networks of keras.io's lesson, by its text."""
    generator = keras.Sequential([layers.Input((128,)), layers.Dense(8 * 8 * 128), layers.Reshape((8, 8, 128))])
    for filters in (128, 256, 512):
        generator.add(layers.Conv2DTranspose(filters, 4, strides=2, padding="same"))
        generator.add(layers.LeakyReLU(negative_slope=0.2))
    generator.add(layers.Conv2D(3, 5, padding="same", activation="sigmoid"))
    discriminator = keras.Sequential([layers.Input((64, 64, 3))])
    for filters in (64, 128, 128):
        discriminator.add(layers.Conv2D(filters, 4, strides=2, padding="same"))
        discriminator.add(layers.LeakyReLU(negative_slope=0.2))
    discriminator.add(layers.Flatten())
    discriminator.add(layers.Dropout(0.2))
    discriminator.add(layers.Dense(1, activation="sigmoid"))
    return generator, discriminator


def steps_of_the_lesson(generator, discriminator, real, latent, count=3):
    """A few steps by the lesson's own loop, for weights and averages that are not those of the beginning."""
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    optimizers = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    for _ in range(count):
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(tf.random.normal((len(real), latent)), training=True)
            on_real, on_fake = discriminator(real, training=True), discriminator(fake, training=True)
            g_loss = entropy(tf.ones_like(on_fake), on_fake)
            d_loss = entropy(tf.ones_like(on_real), on_real) + entropy(tf.zeros_like(on_fake), on_fake)
        pairs = (g_tape, g_loss, generator), (d_tape, d_loss, discriminator)
        for (tape, loss, network), optimizer in zip(pairs, optimizers):
            weights = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
    return optimizers


def save_players(generator, discriminator, folder, suffix, optimizers=()):
    """Both players as files of that kind; `.index` is the lesson's own checkpoint."""
    if suffix == ".index":
        parts = dict(zip(("generator_optimizer", "discriminator_optimizer"), optimizers))
        tf.train.Checkpoint(**parts, generator=generator, discriminator=discriminator).save(str(folder / "ckpt"))
        return
    for model, name in ((generator, "generator"), (discriminator, "discriminator")):
        save = model.save_weights if "weights" in suffix else model.save
        save(folder / f"{name}{suffix}")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5", ".index"])
def test_the_files_of_the_lesson_of_digits_load_and_train_on(suffix, tmp_path):
    keras.utils.set_random_seed(0)
    generator, discriminator = lesson_of_digits()
    assert (generator.count_params(), discriminator.count_params()) == (2_330_944, 212_865)
    optimizers = steps_of_the_lesson(generator, discriminator, tf.random.uniform((16, 28, 28, 1), -1, 1), 100)
    save_players(generator, discriminator, tmp_path, suffix, optimizers)
    z = np.random.default_rng(0).standard_normal((4, 100)).astype(np.float32)
    file = tmp_path / ("ckpt-1.index" if suffix == ".index" else f"generator{suffix}")
    images = ganvas.load(file, **TINY).generate({"z": torch.from_numpy(z)}).numpy()
    print(f"{suffix}: largest difference {np.abs(images - images_of(generator, z)).max() / 2:.1e} of the range")
    np.testing.assert_allclose(images, images_of(generator, z), atol=2e-4)
    x = np.random.default_rng(1).uniform(-1, 1, (4, 28, 28, 1)).astype(np.float32)
    network = build_network(read_keras_network(discriminator_beside(file), "discriminator"))
    logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2))).logits.numpy()
    np.testing.assert_allclose(logits, discriminator(x, training=False).numpy(), atol=1e-4)
    options = {"data": "digits", "resolution": 28, "batch": 16, "images": 32, "init_from": file, **TINY}
    ganvas.train("keras_dcgan", outdir=tmp_path / "run", **options)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_files_of_the_lesson_of_faces_load(suffix, tmp_path):
    generator, discriminator = lesson_of_faces()
    assert (generator.count_params(), discriminator.count_params()) == (3_979_651, 404_801)
    save_players(generator, discriminator, tmp_path, suffix)
    z = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
    images = ganvas.load(tmp_path / f"generator{suffix}", **TINY).generate({"z": torch.from_numpy(z)}).numpy()
    np.testing.assert_allclose(images, 2 * images_of(generator, z) - 1, atol=2e-4)
    x = np.random.default_rng(1).uniform(0, 1, (4, 64, 64, 3)).astype(np.float32)
    network = build_network(read_keras_network(tmp_path / f"discriminator{suffix}"))
    logits = network(torch.from_numpy(2 * x.transpose(0, 3, 1, 2) - 1)).logits.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), discriminator(x, training=False).numpy(), atol=1e-5)


def test_the_example(tmp_path, capsys):
    EXAMPLE["main"](["--steps", "3", "--batch", "8", "--width", "8", "--out", str(tmp_path)])
    assert "step     3" in capsys.readouterr().out
    assert ganvas.load(tmp_path / "generator.keras").sample(2).shape == (2, 1, 28, 28)
