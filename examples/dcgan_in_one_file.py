"""A GAN in one file: DCGAN (Radford et al. 2015) learns scikit-learn's handwritten digits on a CPU.

    python examples/dcgan_in_one_file.py

Nothing of ganvas is imported; this is the idea that the package is built around.  A test holds every step of it to
the numbers of the library's own `dcgan` recipe.
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

LATENT, WIDTH, BATCH = 100, 32, 64


def generator():
    """Noise (N, 100) to images (N, 1, 32, 32) in [-1, 1]: each layer doubles the side and halves the channels."""
    return nn.Sequential(
        nn.Unflatten(1, (LATENT, 1, 1)),
        nn.ConvTranspose2d(LATENT, 4 * WIDTH, 4, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.ReLU(),  # 4x4
        nn.ConvTranspose2d(4 * WIDTH, 2 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * WIDTH), nn.ReLU(),  # 8x8
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),  # 16x16
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh(),  # 32x32
    )  # fmt: skip


def discriminator():
    """Images (N, 1, 32, 32) to logits (N, 1): how real each one looks."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * WIDTH), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * WIDTH, 4 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.LeakyReLU(0.2),
        nn.Conv2d(4 * WIDTH, 1, 4, bias=False), nn.Flatten(),
    )  # fmt: skip


def initialise(layer):
    """Weights from N(0, 0.02), batch-norm scales from N(1, 0.02)."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def step(g, d, g_optimizer, d_optimizer, real, z):
    """One step of the game; returns what the discriminator and the generator paid."""
    fake = g(z)

    # The discriminator: -log D(real) - log(1 - D(fake)), with D the sigmoid of the logit.
    d_loss = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    # The generator: -log D(fake), which keeps its gradient when the discriminator is sure.
    g_loss = F.softplus(-d(fake)).mean()
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    return d_loss.item(), g_loss.item()


def optimizer(network, rate=2e-4):
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))


def main(steps=600):
    from PIL import Image

    torch.manual_seed(0)
    digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1  # (1797, 1, 8, 8)
    images = F.interpolate(digits, size=32, mode="bicubic").clamp(-1, 1)
    g, d = generator().apply(initialise), discriminator().apply(initialise)
    g_optimizer, d_optimizer = optimizer(g, 1e-3), optimizer(d, 1e-3)
    for k in range(1, steps + 1):
        real = images[torch.randint(len(images), (BATCH,))]
        losses = step(g, d, g_optimizer, d_optimizer, real, torch.randn(BATCH, LATENT))
        if k % 50 == 0:
            print(f"step {k:4}   discriminator {losses[0]:.3f}   generator {losses[1]:.3f}")
    with torch.no_grad():
        fake = g.eval()(torch.randn(64, LATENT)).view(8, 8, 32, 32)
    sheet = ((fake.permute(0, 2, 1, 3).reshape(256, 256) + 1) * 127.5).byte()
    Image.fromarray(sheet.numpy()).save("digits.png")
    print("64 digits that nobody wrote are in digits.png")


if __name__ == "__main__":
    main()
