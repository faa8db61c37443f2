"""The DCGAN of TensorFlow's lesson in TensorFlow: it trains with `tf.GradientTape` on data that ganvas reads.

    pip install "ganvas[keras]" tensorflow
    python examples/dcgan_in_keras.py --data digits --resolution 28 --out runs/keras
    ganvas sample runs/keras/generator.keras -o samples.png
    ganvas train keras_dcgan --data digits --resolution 28 --init-from runs/keras/generator.keras --outdir runs/on

The networks are those that `ganvas export` writes, so training goes on in either.  With `--init-from RUN.keras` it
begins with exported ones.
"""

import argparse
import os
from pathlib import Path

LATENT, RATE = 100, 1e-4


def networks(shape, width=64):
    """The generator and the discriminator of the lesson for images (H, W, C)."""
    from ganvas.export.keras import build, import_keras
    from ganvas.models.keras_steps import chain_of
    from ganvas.networks.keras_dcgan import Discriminator, Generator

    facts = {"resolution": shape[:2], "channels": shape[2], "width": width}
    players = {"generator": Generator(latent=LATENT, **facts), "discriminator": Discriminator(**facts)}
    return [build(import_keras(), chain_of(network), name) for name, network in players.items()]


def batches(source, resolution, size):
    """Shuffled batches of images (N, H, W, C) in [-1, 1], without end, as a `tf.data.Dataset`."""
    import numpy as np
    import tensorflow as tf

    from ganvas.data.batches import iterate_once
    from ganvas.data.sources import open_source

    parts = [batch["image"].numpy() for batch in iterate_once(open_source(source, resolution=resolution), 256)]
    images = np.concatenate(parts).transpose(0, 2, 3, 1)
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images), seed=0).repeat().batch(size)
    return data, images.shape[1:]


def trainer(generator, discriminator):
    """A function of a batch that takes one step of both players and returns their losses."""
    import keras
    import tensorflow as tf

    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    optimizers = [keras.optimizers.Adam(RATE) for _ in range(2)]

    @tf.function
    def step(real):
        noise = tf.random.normal((tf.shape(real)[0], LATENT))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(noise, training=True)
            on_real, on_fake = discriminator(real, training=True), discriminator(fake, training=True)
            g_loss = entropy(tf.ones_like(on_fake), on_fake)
            d_loss = entropy(tf.ones_like(on_real), on_real) + entropy(tf.zeros_like(on_fake), on_fake)
        for tape, loss, network, optimizer in zip(
            (g_tape, d_tape), (g_loss, d_loss), (generator, discriminator), optimizers
        ):
            weights = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return d_loss, g_loss

    return step


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="digits", help="what ganvas train --data takes")
    parser.add_argument("--resolution", type=int, default=28)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="the lesson's is 64")
    parser.add_argument("--init-from", type=Path, help="a generator that ganvas exported")
    parser.add_argument("--out", type=Path, default=Path("runs/keras"))
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # Keras reads it when it is imported
    data, shape = batches(options.data, (options.resolution,) * 2, options.batch)
    generator, discriminator = networks(shape, options.width)
    if options.init_from:
        import keras

        from ganvas.models.keras_networks import discriminator_beside

        generator = keras.saving.load_model(options.init_from)
        discriminator = keras.saving.load_model(discriminator_beside(options.init_from))
    step = trainer(generator, discriminator)
    for k, real in enumerate(data.take(options.steps), 1):
        d_loss, g_loss = step(real)
        if k % 50 == 0 or k == options.steps:
            print(f"step {k:5}   discriminator {float(d_loss):.3f}   generator {float(g_loss):.3f}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    generator.save(options.out / "generator.keras")
    discriminator.save(options.out / "discriminator.keras")


if __name__ == "__main__":
    main()
