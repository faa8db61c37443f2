"""Presets of recipes: option changes for smaller machines, one row each, in the form of `--set`.

`paper` is the recipe with its published sizes and changes nothing.  `tiny` shows recognisable images within minutes on
one processor thread: narrow networks, small batches, the learning rates and steps per player that such networks need.
`small` lies between, for a GPU of any size or an hour of a processor.
"""

from dataclasses import dataclass, field

NAMES = ("tiny", "small", "paper")


@dataclass(frozen=True)
class Preset:
    """Option changes of one recipe for one size of machine."""

    changes: dict[str, str] = field(default_factory=dict)  # path: value as text, applied in this order
    largest: int | None = None  # longest side in pixels of images without --resolution; None: the data's

    @classmethod
    def read(cls, *rows: str, largest: int | None = None) -> "Preset":
        """A preset of rows `path=value path=value ...`; `*.x` is x of both networks, or of both optimisers."""
        changes: dict[str, str] = {}
        for change in " ".join(rows).split():
            path, _, value = change.partition("=")
            for full in _both(path):
                changes[full] = value
        return cls(changes, largest)


def _both(path: str) -> list[str]:
    if not path.startswith("*."):
        return [path]
    ends = ("g_optimizer", "d_optimizer") if path in ("*.lr", "*.betas") else ("generator", "discriminator")
    return [path.replace("*", end, 1) for end in ends]


PAPER = Preset()

FALL = "lr_schedule=linear(begin=0.5,to=0.1)"
NO_MOMENTUM = "*.betas=[0.0,0.99]"
# At 28 pixels DCGAN's discriminator has two convolutions and sees parts of a digit alone; a fully connected layer sees
# the whole.  Rates, penalty and average are those of `dcgan_small`.
D_DENSE = "dcgan_variant_discriminator(hidden=96,norm='none')"
D_SPECTRAL = D_DENSE.replace("none", "spectral")
G_DENSE = "dcgan_variant_generator(hidden=96,latent=64)"
FAST = f"batch=32 *.lr=2e-3 {NO_MOMENTUM} ema_images=4_000 {FALL}"
DENSE = f"generator={G_DENSE} discriminator={D_DENSE} *.width=32 {FAST}"
DENSE_SPECTRAL = f"generator={G_DENSE} discriminator={D_SPECTRAL} *.width=32 {FAST}"
G_PLAIN = "generator=dcgan_generator(latent=64) generator.width=32"  # by label a dense one may draw one image a class
RESIDUAL = f"generator.width=16 generator.growth=4 discriminator={D_SPECTRAL} discriminator.width=32 {FAST}"
LONG = "ema_images=10_000 lr_schedule=linear(begin=0.4,to=0.02) images=300_000"
LAZY_R1 = "penalties=[r1(gamma=0.5,every=8)]"
R3 = "penalties=[r1(gamma=0.5,every=8),r2(gamma=0.5,every=8)] augment=[]"
# R3GAN's blocks, residual and StyleGAN2's discriminators take 3 to 10 times as long a step as DCGAN's bodies.
STYLE = (
    f"discriminator={D_DENSE} discriminator.width=32 generator.width=16 generator.max_width=64"
    f" generator.mapping=2 generator.mixing=0 g_penalties=[] batch=32 {LAZY_R1} ema_images=4_000 {FALL}"
)
PROJECTED = (
    "generator.width=16 generator.latent=64 discriminator.width=16 discriminator.max_width=64 batch=32 *.lr=5e-4"
    " ema_images=2_000 ema_ramp=0.1"
)
GAT = (
    "*.width=64 *.depth=3 *.heads=4 *.patch=7 *.stages=2 generator.tanh=true discriminator.embed=64 batch=32 *.lr=1e-4"
    " penalties=[r1(gamma=0.1,every=4),r2(gamma=0.1,every=4)] ema_images=10_000"
)
# Few labels: convolutions, and shifts of two pixels in 28, teach the classifier more than the published noise.
SEMI = (
    "generator=dcgan_generator(latent=64)"
    " discriminator=dcgan_variant_discriminator(hidden={hidden},norm='none',head=classes)"
    " *.width={width} augment=[diffaugment(policy=['translation'],shift=0.08)] g_optimizer.lr=1e-3 d_optimizer.lr=5e-4"
    " ema_images=20_000 lr_schedule=linear(begin=0.4,to=0.02)"
)
# Instance norm takes the colour of a small image away; without norm the weights begin as He et al. 2015.
UNPAIRED = (
    "generator.norm=none generator.init=kaiming discriminator.width=32 discriminator.field=16 g_optimizer.lr=4e-4"
)

ONE_THREAD = 64  # pixels

TINY = {
    "gan": f"generator.width=512 discriminator.width=240 {FAST} {LAZY_R1} batch=64 *.lr=1e-3 images=400_000",
    "dcgan": f"{DENSE} {LAZY_R1} {LONG}",
    "dcgan_small": "",
    "keras_dcgan": f"*.width=32 {FAST} {LAZY_R1} {LONG}",
    "lsgan": f"{DENSE} {LAZY_R1} {LONG} images=400_000",
    "hinge": f"{DENSE} {LAZY_R1} {LONG}",
    "dragan": f"{DENSE} {G_PLAIN} penalties.0.spread=1 g_optimizer.lr=1e-3 d_optimizer.lr=4e-4 {LONG} images=200_000",
    "realness": f"{DENSE} {G_PLAIN} {LAZY_R1} {LONG} images=500_000",
    "wgan": f"generator={G_DENSE} discriminator=dcgan_variant_discriminator(hidden=96,norm='batch') *.width=32 batch=32"
    f" *.lr=5e-4 d_steps=2 ema_images=4_000 {FALL} images=200_000",
    "wgan_gp": f"{DENSE} d_steps=1 fakes=1 penalties.0.every=2 {LONG} images=450_000",
    "sngan": f"{RESIDUAL} d_steps=1 fakes=1 *.lr=1e-3 {LONG} images=450_000",
    "sagan": f"{RESIDUAL} generator.attention=8 *.lr=1e-3 {LONG} images=450_000",
    "biggan": f"{RESIDUAL} generator.spectral=false discriminator.head=projection d_steps=1 *.lr=1e-3 images=40_000",
    "r3gan": f"{DENSE} {R3} {LONG} images=400_000",
    # weights that are scaled where they are used move little at the rates of the others
    "stylegan2": f"{STYLE} g_optimizer.lr=1e-2 {LONG} images=400_000",
    "ebgan": f"generator={G_DENSE} *.width=32 {FAST} *.lr=1e-3 loss.margin=0.3 {LONG}",
    "began": "*.width=32 *.batch_norm=true discriminator.error=squared *.lr=5e-4 loss.gamma=1.0 loss.rate=5e-3"
    " ema_images=4_000 lr_schedule=linear(begin=0.4,to=0.02) images=150_000",
    "fastgan": "*.width=16 generator.latent=64 batch=16 *.lr=4e-4 ema_images=2_000 images=60_000",
    "projected": f"{PROJECTED} images=100_000",
    "projected_conditional": f"{PROJECTED} images=100_000",
    "gat_small": f"{GAT} images=150_000",
    "gat_small_conditional": f"{GAT} images=50_000",
    "cgan": f"{DENSE} {LAZY_R1} discriminator.join=true images=60_000",
    "acgan": f"{DENSE} {G_PLAIN} {LAZY_R1} discriminator.head=auxiliary_classifier images=40_000",
    "projection": f"{DENSE_SPECTRAL} {G_PLAIN} discriminator.head=projection d_steps=1 fakes=1 *.lr=1e-3 images=60_000",
    "r3gan_conditional": f"{DENSE} {G_PLAIN} {R3} discriminator.head=projection images=50_000",
    "stylegan2_conditional": f"{STYLE} discriminator.head=projection images=60_000",
    "infogan": f"{FAST} *.width=32 generator.hidden=0 discriminator.hidden=96 discriminator.norm='none' {LAZY_R1}"
    f" {LONG}",
    "bigan": f"{DENSE_SPECTRAL} generator=dcgan_generator(latent=20) discriminator.head=joint encoder.width=32"
    " encoder.init=kaiming *.lr=1e-3 images=150_000",
    "semigan": SEMI.format(width=32, hidden=256) + " images=400_000",
    "textgan": f"{DENSE} {G_PLAIN} {LAZY_R1} discriminator.head=contrastive generator.label_norm=1 text.width=32"
    " images=60_000",
    "pix2pix": "*.width=32 generator.norm=batch_running discriminator.field=34 batch=16 g_optimizer.lr=8e-4"
    " d_optimizer.lr=4e-4 images=40_000",
    "cyclegan": f"generator.width=16 generator.blocks=1 {UNPAIRED} batch=8 identity=0 discriminator.norm=none"
    " penalties=[r1(gamma=0.02,every=4)] g_optimizer.lr=8e-4 d_optimizer.lr=4e-4 lr_schedule.begin=0.9 images=72_000",
    "cut": "*.width=16 generator.blocks=3 discriminator.field=34 batch=4 *.lr=4e-4 images=30_000",
    "stargan": "generator.width=16 generator.blocks=3 discriminator.width=32 discriminator.depth=4 d_steps=2 *.lr=4e-4"
    " images=100_000",
    "cartoon": f"generator.width=16 generator.blocks=2 {UNPAIRED} batch=8 warmup=0.14 images=30_000",
    "srresnet": "generator.width=32 generator.blocks=4 g_optimizer.lr=1e-3 patch=48 images=60_000",
    "srgan": "generator.width=32 generator.blocks=4 discriminator.width=32 *.lr=2e-4 patch=48 images=20_000",
    "esrgan_psnr": "generator.width=32 generator.growth=16 generator.blocks=2 g_optimizer.lr=1e-3 patch=64"
    " images=40_000",
    "esrgan": "generator.width=32 generator.growth=16 generator.blocks=2 discriminator.width=32 *.lr=2e-4 patch=64"
    " images=20_000",
    "real_esrgan": "generator.width=32 generator.growth=16 generator.blocks=2 discriminator.width=32 *.lr=4e-4 batch=16"
    " patch=96 images=30_000",
    "span": "generator.width=24 g_optimizer.lr=1e-3 batch=16 patch=96 images=60_000",
    "realplksr": "generator.width=32 generator.blocks=4 generator.kernel=9 g_optimizer.lr=1e-3 batch=16 patch=64"
    " images=40_000",
    "denoise": "generator.width=32 generator.blocks=4 g_optimizer.lr=1e-3 patch=48 images=60_000",
    "deblur": "generator.width=32 generator.growth=16 generator.blocks=2 g_optimizer.lr=1e-3 patch=64 images=40_000",
    "dejpeg": "generator.width=32 generator.blocks=4 g_optimizer.lr=1e-3 patch=48 images=60_000",
    "dehaze": "generator.width=32 generator.growth=16 generator.blocks=2 g_optimizer.lr=1e-3 patch=64 images=40_000",
    "colorize": "generator.net.width=32 discriminator.width=32 discriminator.field=34 *.lr=4e-4 patch=64 images=60_000",
    "inpaint": "generator.net.width=32 discriminator.width=32 discriminator.field=34 *.lr=4e-4 patch=64 images=60_000",
    "face_sr": "generator.width=32 generator.blocks=4 discriminator.width=32 *.lr=4e-4 images=40_000",
}
SMALL = {
    "dcgan_small": "",
    "gan": "generator.width=800 discriminator.width=160 images=1_500_000",
    "dcgan": "*.width=48 *.lr=4e-4 images=500_000",
    "keras_dcgan": "*.width=48 *.lr=2e-4 batch=128 images=1_000_000",
    "lsgan": "*.width=48 *.lr=4e-4 images=500_000",
    "hinge": "*.width=48 *.lr=4e-4 images=500_000",
    "dragan": "*.width=48 *.lr=4e-4 penalties.0.every=2 images=500_000",
    "realness": "*.width=48 *.lr=4e-4 images=500_000",
    "wgan": "*.width=48 *.lr=2e-4 images=2_000_000",
    "wgan_gp": "*.width=32 *.growth=4 images=1_000_000",
    "sngan": "*.width=32 *.growth=4 d_steps=2 images=1_000_000",
    "sagan": "*.width=32 *.growth=4 images=1_000_000",
    "biggan": "*.width=32 *.growth=4 d_steps=1 images=1_000_000",
    "r3gan": "*.width=32 *.growth=4 *.blocks=1 *.cardinality=4 penalties.0.every=4 penalties.1.every=4 *.lr=4e-4"
    " images=400_000",
    "stylegan2": "*.width=16 *.max_width=128 generator.mapping=2 images=400_000",
    "ebgan": "*.width=48 *.lr=4e-4 images=500_000",
    "began": "*.width=48 *.lr=2e-4 images=500_000",
    "fastgan": "*.width=32 generator.latent=128 batch=16 images=150_000",
    "projected": "generator.width=48 generator.latent=128 discriminator.width=32 discriminator.max_width=128"
    " images=200_000",
    "gat_small": "*.width=128 *.depth=6 *.heads=4 *.patch=7 *.stages=3 generator.tanh=true discriminator.embed=256"
    " batch=32 *.lr=5e-5 penalties=[r1(gamma=0.1,every=8),r2(gamma=0.1,every=8)] ema_images=10_000 images=300_000",
    "cgan": "*.width=48 *.lr=4e-4 images=500_000",
    "acgan": "*.width=48 *.lr=4e-4 images=500_000",
    "projection": "*.width=32 *.growth=4 d_steps=2 images=1_000_000",
    "infogan": "*.width=48 *.hidden=768 batch=64 images=500_000",
    "bigan": "*.width=48 encoder.width=48 *.lr=4e-4 images=500_000",
    "textgan": "*.width=48 *.lr=4e-4 images=1_000_000",
    "semigan": SEMI.format(width=64, hidden=512) + " images=1_500_000",
    "pix2pix": "*.width=48 generator.norm=batch_running batch=4 images=60_000",
    "cyclegan": "*.width=32 generator.blocks=6 images=120_000",
    "cut": "*.width=32 generator.blocks=6 images=240_000",
    "stargan": "*.width=48 d_steps=2 images=800_000",
    "cartoon": "*.width=32 generator.blocks=4 images=150_000",
    "srresnet": "generator.width=48 generator.blocks=8 images=1_000_000",
    "esrgan_psnr": "generator.width=48 generator.growth=24 generator.blocks=6 images=1_000_000",
    "real_esrgan": "generator.width=48 generator.growth=24 generator.blocks=6 discriminator.width=48 batch=16"
    " patch=128 images=1_000_000",
    "span": "batch=16 patch=192 images=2_000_000",
    "realplksr": "generator.width=48 generator.blocks=12 generator.kernel=13 batch=16 patch=192 images=1_000_000",
    "denoise": "generator.width=48 generator.blocks=8 images=1_000_000",
    "deblur": "generator.width=48 generator.growth=24 generator.blocks=4 patch=128 images=500_000",
    "dejpeg": "generator.width=48 generator.blocks=8 images=1_000_000",
    "dehaze": "generator.width=48 generator.growth=24 generator.blocks=4 patch=128 images=500_000",
    "face_sr": "generator.width=48 generator.blocks=8 discriminator.width=48 images=500_000",
    "colorize": "generator.net.width=48 discriminator.width=48 images=500_000",
    "inpaint": "generator.net.width=48 discriminator.width=48 images=500_000",
}
ALIKE = {
    "projected_conditional": "projected",
    "gat_small_conditional": "gat_small",
    "r3gan_conditional": "r3gan",
    "stylegan2_conditional": "stylegan2",
    "srgan": "srresnet",
    "esrgan": "esrgan_psnr",
}
SMALL |= {name: SMALL[other] for name, other in ALIKE.items()}

PRESETS: dict[str, dict[str, Preset]] = {
    name: {"tiny": Preset.read(row, largest=ONE_THREAD), "small": Preset.read(SMALL[name])}
    for name, row in TINY.items()
}


def presets(recipe: str) -> dict[str, Preset]:
    """The presets of a recipe by name, the smallest first."""
    return {**PRESETS.get(recipe, {}), "paper": PAPER}
