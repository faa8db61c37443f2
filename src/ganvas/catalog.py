"""The catalogue: every component, recipe, data source and measure by name.

A new variant is a class or a function in its own file and one word here; the command line, the tests and the
documentation tables follow.  Modules are those below ganvas; an entry is imported when it is looked up, so that
a command imports only what it uses.  A saved config may name only what is listed here.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from .legacy import component_name


class Shelf(Mapping[str, Any]):
    """Classes or functions by catalogue name, imported on first use, from tables of `module: name name=Class ...`."""

    def __init__(self, *tables: "str | Shelf"):
        self.addresses: dict[str, str] = {}  # {name: module:Class}
        for table in tables:
            self.addresses |= table.addresses if isinstance(table, Shelf) else _read(table)
        self._objects: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._objects:
            module, _, attribute = self.addresses[name].partition(":")
            home = module if module.startswith("torch") else f"{__package__}.{module}"
            self._objects[name] = getattr(importlib.import_module(home), attribute)
        return self._objects[name]

    def __contains__(self, name: object) -> bool:
        return name in self.addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self.addresses)

    def __len__(self) -> int:
        return len(self.addresses)


def _read(table: str) -> dict[str, str]:
    addresses, module = {}, ""
    for word in table.split():
        if word.endswith(":"):
            module = word
        else:
            name, _, attribute = word.partition("=")
            addresses[name] = module + (attribute or name)
    return addresses


RECIPES = Shelf(
    """
    recipes.generation: gan dcgan dcgan_small keras_dcgan lsgan hinge dragan realness wgan wgan_gp
    recipes.residual: sngan sagan biggan r3gan
    recipes.stylegan2: stylegan2
    recipes.few_images: fastgan projected
    recipes.transformer: gat_small
    recipes.energy: ebgan began
    recipes.conditional: cgan acgan projection r3gan_conditional
    recipes.stylegan2: stylegan2_conditional
    recipes.few_images: projected_conditional
    recipes.transformer: gat_small_conditional
    recipes.points: gan_points wgan_gp_points sngan_points minibatch_points r3gan_points
    recipes.codes_text_classes: infogan bigan textgan semigan classifier
    recipes.translation: pix2pix cyclegan cut stargan cartoon
    recipes.style_transfer: fast_style adain
    recipes.restoration: srresnet srgan esrgan_psnr esrgan real_esrgan compact span realplksr denoise deblur dejpeg
        dehaze colorize inpaint face_sr
    """
)

LOSSES = Shelf(
    """
    losses.adversarial: non_saturating=NonSaturating minimax=Minimax least_squares=LeastSquares
        wasserstein=Wasserstein hinge=Hinge
    losses.relativistic: relativistic_pairing=RelativisticPairing relativistic_average=RelativisticAverage
    losses.energy: energy_margin=EnergyMargin boundary_equilibrium=BoundaryEquilibrium
    losses.realness: realness=Realness
    losses.wrappers: top_k=TopK weighted=Weighted
    """
)

TERMS = Shelf(
    """
    losses.pixel: l1=L1 mse=MSE charbonnier=Charbonnier
    losses.perceptual: perceptual=Perceptual
    losses.pixel: total_variation=TotalVariation ldl=LDL colour=Colour
    losses.frequency: fft=FFT focal_frequency=FocalFrequency
    losses.similarity: ms_ssim=MSSSIM dists=DISTS downscale_consistency=DownscaleConsistency
    losses.hsluv: hsluv=HSLuv
    """
)

PENALTIES = Shelf(
    """
    losses.gradient_penalties: r1=R1 r2=R2 gradient_penalty=GradientPenalty dragan=DRAGAN
    losses.score_penalties: lecam=LeCam consistency=Consistency feature_matching=FeatureMatching
        pulling_away=PullingAway
    losses.path_length: path_length=PathLength
    losses.weight_penalties: weight_clipping=WeightClipping orthogonal=OrthogonalRegularisation
        historical_averaging=HistoricalAveraging
    """
)

HEADS = Shelf(
    """
    networks.heads: plain=Plain projection=Projection contrastive=Contrastive
        auxiliary_classifier=AuxiliaryClassifier joint=Joint
    networks.minibatch_heads: minibatch_discrimination=MinibatchDiscrimination minibatch_stddev=MinibatchStddev
    networks.class_and_code_heads: info=InfoHead classes=Classes
    """
)

NETWORKS = Shelf(
    """
    networks.dcgan: dcgan_generator=Generator dcgan_discriminator=Discriminator
    networks.dcgan_variants: dcgan_variant_generator=Generator dcgan_variant_discriminator=Discriminator
    networks.keras_dcgan: keras_dcgan_generator=Generator keras_dcgan_discriminator=Discriminator
    networks.mlp: mlp_generator=Generator mlp_discriminator=Discriminator
        mlp_leaky_discriminator=LeakyDiscriminator
    networks.resnet: resnet_generator=Generator resnet_discriminator=Discriminator
    networks.biggan: biggan_generator=Generator biggan_discriminator=Discriminator
    networks.r3gan: r3gan_generator=Generator r3gan_discriminator=Discriminator
    networks.stylegan2: stylegan2_generator=Generator stylegan2_discriminator=Discriminator
    networks.fastgan: fastgan_generator=Generator fastgan_discriminator=Discriminator
    networks.projected: projected_discriminator=Discriminator
    networks.gat: gat_generator=Generator gat_discriminator=Discriminator
    networks.semigan: noisy_generator=Generator noisy_dense=DenseDiscriminator noisy_convolutional=ConvDiscriminator
    networks.autoencoder: autoencoder=Autoencoder autoencoder_generator=Decoder
    networks.classifier: small_classifier=Classifier
    networks.encoder: image_encoder=Encoder
    networks.text_encoder: byte_encoder=ByteEncoder word_encoder=WordEncoder
    networks.srresnet: srresnet=SRResNet msrresnet=MSRResNet
    networks.rrdb: rrdb=RRDBNet
    networks.compact: compact=Compact
    networks.span: span=SPAN
    networks.realplksr: realplksr=RealPLKSR
    networks.superres_discriminators: vgg_discriminator=VGGDiscriminator unet_discriminator=UNetDiscriminator
    networks.unet: unet_generator=Generator
    networks.residual_unet: residual_unet=ResidualUNet
    networks.cyclegan: translation_generator=Generator
    networks.patchgan: patch_discriminator=Discriminator
    networks.stargan: stargan_generator=Generator stargan_discriminator=Discriminator
    networks.colorize_inpaint: colouriser=Colorizer inpainter=Inpainter
    networks.dehazer: dehazer=Dehazer
    features.content: content=Content
    networks.transformer_net: transformer_net=TransformerNet
    networks.overpainting: overpainting_net=ResidualStyleNet
    networks.adain: adain_decoder=Decoder
    networks.overpainting: overpainting_decoder=ResidualStyleDecoder
    networks.adain: normalised_vgg=NormalisedVGG
    features.gram: perception=Perception
    """
)

TRANSFORMS = Shelf(  # random changes to the real images
    """
    data.transforms: flip=Flip turn=Turn rotate=Rotate scale=Scale crop=Crop brightness=Brightness noise=Noise
        blur=Blur
    """
)

D_AUGMENT = Shelf(  # differentiable augmentations applied to everything the discriminator sees
    """
    augment.diffaugment: diffaugment=DiffAugment
    augment.ada: ada=ADA
    augment.instance_noise: instance_noise=InstanceNoise
    """
)

MIXTURES = Shelf(  # of the pairs of a batch
    """
    data.mixing: mixup=Mixup cutmix=CutMix cutblur=CutBlur
    """
)

AUGMENT = Shelf(TRANSFORMS, MIXTURES, D_AUGMENT)

DEGRADATIONS = Shelf(
    """
    data.degrade.camera: bicubic=Bicubic lens_blur=LensBlur motion_blur=MotionBlur sensor_noise=SensorNoise
        jpeg=Jpeg
    data.degrade.second_order: second_order=SecondOrder stage=Stage
    data.degrade.sampling: resample=Resample aliasing=Aliasing interlacing=Interlacing ringing=Ringing
    data.degrade.codecs: video_codec=VideoCodec webp=WebP avif=Avif chroma_subsampling=ChromaSubsampling
    data.degrade.tones: banding=Banding ordered_dither=OrderedDither error_diffusion=ErrorDiffusion halftone=Halftone
        screentone=Screentone
    data.degrade.weather: haze=Haze rain=Rain low_light=LowLight
    data.degrade.damage: grey=Grey holes=Holes scratches=Scratches
    data.degrade.guided: guided_holes=GuidedHoles
    data.degrade.base: chain=Chain sometimes=Sometimes
    """
)

OPTIMIZERS = Shelf(
    """
    torch.optim: adam=Adam adamw=AdamW rmsprop=RMSprop sgd=SGD
    training.schedule_free: schedule_free_adamw=ScheduleFreeAdamW
    """
)

SCHEDULES = Shelf(
    """
    schedule: constant=Constant linear=Linear cosine=Cosine anneal=Anneal inverse=Inverse long_starts=LongStarts
        steps=Steps warmup=Warmup pause_ahead=PauseAhead
    """
)

TASKS = Shelf(
    """
    tasks.generation: generation=Generation
    tasks.scale_wise: scale_wise=ScaleWise
    tasks.infogan: infogan_task=InfoGAN
    tasks.bigan: bigan_task=BiGAN
    tasks.text_to_image: text_generation=TextGeneration
    tasks.semi_supervised: semi_supervised=SemiSupervised
    tasks.classification: classification=Classification
    tasks.paired: paired=Paired
    tasks.unpaired: unpaired=Unpaired
    tasks.cut: cut_task=CUT
    tasks.multidomain: multi_domain=MultiDomain
    tasks.cartoon: cartoon_task=Cartoon
    tasks.fast_style: one_style=OneStyle
    tasks.adain: any_style=AnyStyle
    tasks.restoration: restoration=Restoration
    """
)

METRICS = Shelf(
    """
    evaluation.distribution: fd fid kid is=inception_score prdc memorisation diversity modes
    evaluation.patches: swd
    evaluation.pairwise: psnr ssim ms_ssim lpips
    evaluation.discriminator: discriminator
    evaluation.path_length: ppl
    evaluation.classifiers: gan_train gan_test accuracy
    evaluation.gain: gain
    """
)

SOURCES: dict[str, str] = {  # of data, as `--data` names them
    "digits": "1,797 real handwritten digits of scikit-learn, grey, ten classes (embedded).",
    "photos": "Tiles of the photographs in scikit-learn and scikit-image (embedded).",
    "ring": "2-D points of 8 Gaussians on a circle.",
    "grid": "2-D points of 25 Gaussians on a 5x5 grid.",
    "gaussians": "2-D points of 3 wide Gaussians.",
    "swissroll": "2-D points on a spiral.",
    "line": "2-D points on a diagonal line.",
    "folder": "A folder of images, searched recursively; first-level sub-folders become labels.",
    "zip": "A zip of such a folder; nothing is unpacked to disk.",
    "tar shards": "shards/{0000..0099}.tar, or a folder of .tar: WebDataset's; streamed if they exceed the cache.",
    "parquet files": "A .parquet or a folder of them: image bytes, label and caption, as on the Hugging Face Hub.",
    "hf": "hf:user/name, hf:user/name:SPLIT: a data set of the Hugging Face Hub.",
    "address": "s3://, gs://, https://: any of these files and folders where fsspec reads it, kept in the cache.",
    "metadata": "A table beside the images (CSV, JSON lines, dataset.json, CelebA's): file_name, and label or text.",
    "idx": "IDX files of MNIST, or a folder that holds them; labels are read from the files beside them.",
    "levels": "levels:LOW:HIGH:PATH: images whose values LOW and HIGH are black and white, as masks of 0 and 1.",
    "stacked": "stacked:SOURCE: three images of a grey source as R, G and B (Stacked MNIST: 1,000 modes).",
    "mix": "mix:A=3,B=1: several sources by weight; mix:labels:A=1,B=1: the source is the label.",
    "pairs": "source=DIR,target=DIR: two folders or zips, by name, or two arrays, in order; for pix2pix.",
    "stacks": "pages:PATH or channels:PATH: the pages of TIFFs as images, or as the channels of one image each.",
    "image_mask": "image=DIR,mask=DIR: images and masks of equal names, which are generated together.",
    "halves": "AB:DIR or BA:DIR: images that hold two side by side; the left (or right) one is the source.",
    "derived": "edges:SOURCE (or grey, blur, mask, regions): images with sources computed from them.",
    "unpaired": "a=SOURCE,b=SOURCE: two unpaired image sets; for cyclegan, cut and cartoon.",
    "npz": "An .npz (images, labels) or .npy: (N, H, W), (N, H, W, C) or (N, C, H, W), or points: (N, 2) floats.",
}

SHELVES: dict[str, Mapping[str, Any]] = {
    "recipes": RECIPES,
    "data": SOURCES,
    "losses": LOSSES,
    "terms": TERMS,
    "penalties": PENALTIES,
    "heads": HEADS,
    "networks": NETWORKS,
    "augment": AUGMENT,
    "degradations": DEGRADATIONS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "metrics": METRICS,
}

COMPONENTS = Shelf(LOSSES, TERMS, PENALTIES, HEADS, NETWORKS, AUGMENT, DEGRADATIONS, OPTIMIZERS, SCHEDULES, TASKS)

_NAMES = {address: name for name, address in COMPONENTS.addresses.items()}


def address(target: type) -> str:
    """`module:Class` of a class, the module below ganvas where it is ours."""
    module = target.__module__.removeprefix(f"{__package__}.")
    return f"{'torch.optim' if module.startswith('torch.optim.') else module}:{target.__qualname__}"


def name_of(target: type) -> str:
    """The catalogue name of a class; of one that is not listed, its address."""
    return _NAMES.get(address(target), address(target))


def component(name: str, trust: tuple[type, ...] = ()) -> type | None:
    """The class of that name: of the catalogue, or one of `trust` (by address); None if there is none."""
    own = {name_of(target): target for target in trust}
    return own.get(name) or COMPONENTS.get(component_name(name))
