"""The networks of Keras' DCGAN lessons: published counts, and TensorFlow's SAME padding by its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganvas import catalog
from ganvas.errors import UsageError
from ganvas.networks import keras_dcgan
from ganvas.networks.keras_dcgan import LESSON_OF_FACES, SameConv, SameUpConv


def count(module):
    """Numbers that are trained."""
    return sum(p.numel() for p in module.parameters())


def test_counts_are_those_the_lessons_print():
    generator = keras_dcgan.Generator(resolution=28, channels=1)
    assert count(generator) == 2_305_472
    assert count(generator) + 2 * (12_544 + 128 + 64) == 2_330_944
    assert count(keras_dcgan.Discriminator(resolution=28, channels=1)) == 212_865
    assert count(keras_dcgan.Generator(resolution=64, **LESSON_OF_FACES["generator"])) == 3_979_651
    assert count(keras_dcgan.Discriminator(resolution=64, **LESSON_OF_FACES["discriminator"])) == 404_801


def same_convolution(x, weight, stride):
    """SAME by TensorFlow's definition, pixel by pixel in float64: x (H, W, I), weight (k, k, I, O)."""
    kernel, sides = weight.shape[0], [math.ceil(side / stride) for side in x.shape[:2]]
    before = [max((out - 1) * stride + kernel - side, 0) // 2 for out, side in zip(sides, x.shape)]
    y = np.zeros((*sides, weight.shape[3]))
    for i, j, a, b in np.ndindex(*sides, kernel, kernel):
        row, column = i * stride + a - before[0], j * stride + b - before[1]
        if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
            y[i, j] += x[row, column] @ weight[a, b]
    return y


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (5, 1), (4, 2), (4, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("size", [(6, 6), (7, 4)])
def test_same_padding_is_tensorflows(kernel, stride, size):
    layer = SameConv(2, 3, kernel, stride, bias=False).double()
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    expected = same_convolution(
        x[0].permute(1, 2, 0).numpy(), layer.weight.detach().permute(2, 3, 1, 0).numpy(), stride
    )
    np.testing.assert_allclose(layer(x)[0].permute(1, 2, 0).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (5, 1), (4, 2), (4, 1), (3, 2), (3, 3)])
def test_the_transposed_convolution_is_the_gradient_of_the_convolution(kernel, stride):
    """TensorFlow defines `conv2d_transpose` so."""
    up = SameUpConv(3, 2, kernel, stride, bias=False).double()
    down = SameConv(2, 3, kernel, stride, bias=False).double()
    down.weight.data = up.weight.data.clone()
    y = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    x = torch.zeros(2, 2, 4 * stride, 5 * stride, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(down(x), x, y)
    torch.testing.assert_close(up(y), expected)


def test_a_kernel_smaller_than_its_stride_is_refused():
    with pytest.raises(UsageError, match="stride 3 needs a kernel of as many"):
        SameUpConv(1, 1, 2, 3)


@pytest.mark.parametrize("resolution", [(8, 8), (28, 28), (9, 31), (65, 33)])
@pytest.mark.parametrize("lesson", [{"generator": {}, "discriminator": {}}, LESSON_OF_FACES])
def test_any_size(resolution, lesson):
    generator = keras_dcgan.Generator(resolution=resolution, **lesson["generator"] | {"width": 4})
    discriminator = keras_dcgan.Discriminator(resolution=resolution, **lesson["discriminator"] | {"width": 4})
    image = generator(torch.randn(2, generator.latent))
    assert image.shape == (2, 3, *resolution)
    assert image.abs().max() <= 1
    assert discriminator(image).logits.shape == (2, 1)


def test_maps_and_strides_are_as_many():
    with pytest.raises(UsageError, match="multiples and strides are as many"):
        keras_dcgan.Generator(resolution=16, strides=(2, 2))
    with pytest.raises(UsageError, match="8x8"):
        keras_dcgan.Generator(resolution=4)


def test_the_recipe_is_the_lessons():
    recipe = catalog.RECIPES["keras_dcgan"]()
    assert (recipe.batch, recipe.images) == (256, 50 * 60_000)
    optimizer = recipe.g_optimizer.build(params=[torch.zeros(1, requires_grad=True)])
    assert [optimizer.defaults[k] for k in ("lr", "betas", "eps")] == [1e-4, (0.9, 0.999), 1e-7]
    generator = recipe.task.get("generator").build(resolution=(28, 28), channels=1)
    assert [(m.eps, m.momentum) for m in generator.modules() if "BatchNorm" in type(m).__name__] == [(1e-3, 0.01)] * 3
