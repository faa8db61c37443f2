"""The catalogue: every component, recipe, data source and measure by name.

A new variant is a class or a function in its own file and one line here; the command line, the tests and the
documentation tables follow.  Entries are `module:name` below ganvas and are imported when they are looked up, so that
a command imports only what it uses.  A saved config may name only what is listed here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from .legacy import component_name


class Shelf(Mapping[str, Any]):
    """Classes or functions by catalogue name, imported on first use."""

    def __init__(self, *tables: Mapping[str, str] | Shelf):
        self.addresses: dict[str, str] = {}
        for table in tables:
            self.addresses |= table.addresses if isinstance(table, Shelf) else table
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


RECIPES = Shelf(
    {
        "gan": "recipes.generation:gan",
        "dcgan": "recipes.generation:dcgan",
        "dcgan_small": "recipes.generation:dcgan_small",
        "lsgan": "recipes.generation:lsgan",
        "hinge": "recipes.generation:hinge",
        "dragan": "recipes.generation:dragan",
        "realness": "recipes.generation:realness",
        "wgan": "recipes.generation:wgan",
        "wgan_gp": "recipes.generation:wgan_gp",
        "sngan": "recipes.residual:sngan",
        "sagan": "recipes.residual:sagan",
        "biggan": "recipes.residual:biggan",
        "r3gan": "recipes.residual:r3gan",
        "stylegan2": "recipes.stylegan2:stylegan2",
        "ebgan": "recipes.energy:ebgan",
        "began": "recipes.energy:began",
        "cgan": "recipes.conditional:cgan",
        "acgan": "recipes.conditional:acgan",
        "projection": "recipes.conditional:projection",
        "r3gan_conditional": "recipes.conditional:r3gan_conditional",
        "stylegan2_conditional": "recipes.stylegan2:stylegan2_conditional",
        "gan_points": "recipes.points:gan_points",
        "wgan_gp_points": "recipes.points:wgan_gp_points",
        "sngan_points": "recipes.points:sngan_points",
        "minibatch_points": "recipes.points:minibatch_points",
        "r3gan_points": "recipes.points:r3gan_points",
        "infogan": "recipes.codes_text_classes:infogan",
        "textgan": "recipes.codes_text_classes:textgan",
        "semigan": "recipes.codes_text_classes:semigan",
        "classifier": "recipes.codes_text_classes:classifier",
        "pix2pix": "recipes.translation:pix2pix",
        "cyclegan": "recipes.translation:cyclegan",
        "cut": "recipes.translation:cut",
        "stargan": "recipes.translation:stargan",
        "cartoon": "recipes.translation:cartoon",
        "fast_style": "recipes.style_transfer:fast_style",
        "adain": "recipes.style_transfer:adain",
        "srresnet": "recipes.restoration:srresnet",
        "srgan": "recipes.restoration:srgan",
        "esrgan_psnr": "recipes.restoration:esrgan_psnr",
        "esrgan": "recipes.restoration:esrgan",
        "real_esrgan": "recipes.restoration:real_esrgan",
        "compact": "recipes.restoration:compact",
        "denoise": "recipes.restoration:denoise",
        "deblur": "recipes.restoration:deblur",
        "dejpeg": "recipes.restoration:dejpeg",
        "dehaze": "recipes.restoration:dehaze",
        "colorize": "recipes.restoration:colorize",
        "inpaint": "recipes.restoration:inpaint",
        "face_sr": "recipes.restoration:face_sr",
    }
)

LOSSES = Shelf(
    {
        "non_saturating": "losses.adversarial:NonSaturating",
        "minimax": "losses.adversarial:Minimax",
        "least_squares": "losses.adversarial:LeastSquares",
        "wasserstein": "losses.adversarial:Wasserstein",
        "hinge": "losses.adversarial:Hinge",
        "relativistic_pairing": "losses.relativistic:RelativisticPairing",
        "relativistic_average": "losses.relativistic:RelativisticAverage",
        "energy_margin": "losses.energy:EnergyMargin",
        "boundary_equilibrium": "losses.energy:BoundaryEquilibrium",
        "realness": "losses.realness:Realness",
        "top_k": "losses.wrappers:TopK",
        "weighted": "losses.wrappers:Weighted",
    }
)

TERMS = Shelf(
    {
        "l1": "losses.pixel:L1",
        "mse": "losses.pixel:MSE",
        "charbonnier": "losses.pixel:Charbonnier",
        "perceptual": "losses.perceptual:Perceptual",
        "total_variation": "losses.pixel:TotalVariation",
        "ldl": "losses.pixel:LDL",
        "colour": "losses.pixel:Colour",
    }
)

PENALTIES = Shelf(
    {
        "r1": "losses.gradient_penalties:R1",
        "r2": "losses.gradient_penalties:R2",
        "gradient_penalty": "losses.gradient_penalties:GradientPenalty",
        "dragan": "losses.gradient_penalties:DRAGAN",
        "lecam": "losses.score_penalties:LeCam",
        "consistency": "losses.score_penalties:Consistency",
        "feature_matching": "losses.score_penalties:FeatureMatching",
        "pulling_away": "losses.score_penalties:PullingAway",
        "path_length": "losses.path_length:PathLength",
        "weight_clipping": "losses.weight_penalties:WeightClipping",
        "orthogonal": "losses.weight_penalties:OrthogonalRegularisation",
        "historical_averaging": "losses.weight_penalties:HistoricalAveraging",
    }
)

HEADS = Shelf(
    {
        "plain": "networks.heads:Plain",
        "projection": "networks.heads:Projection",
        "auxiliary_classifier": "networks.heads:AuxiliaryClassifier",
        "joint": "networks.heads:Joint",
        "minibatch_discrimination": "networks.minibatch_heads:MinibatchDiscrimination",
        "minibatch_stddev": "networks.minibatch_heads:MinibatchStddev",
        "info": "networks.class_and_code_heads:InfoHead",
        "classes": "networks.class_and_code_heads:Classes",
    }
)

NETWORKS = Shelf(
    {
        "dcgan_generator": "networks.dcgan:Generator",
        "dcgan_discriminator": "networks.dcgan:Discriminator",
        "dcgan_variant_generator": "networks.dcgan_variants:Generator",
        "dcgan_variant_discriminator": "networks.dcgan_variants:Discriminator",
        "mlp_generator": "networks.mlp:Generator",
        "mlp_discriminator": "networks.mlp:Discriminator",
        "mlp_leaky_discriminator": "networks.mlp:LeakyDiscriminator",
        "resnet_generator": "networks.resnet:Generator",
        "resnet_discriminator": "networks.resnet:Discriminator",
        "biggan_generator": "networks.biggan:Generator",
        "biggan_discriminator": "networks.biggan:Discriminator",
        "r3gan_generator": "networks.r3gan:Generator",
        "r3gan_discriminator": "networks.r3gan:Discriminator",
        "stylegan2_generator": "networks.stylegan2:Generator",
        "stylegan2_discriminator": "networks.stylegan2:Discriminator",
        "noisy_generator": "networks.semigan:Generator",
        "noisy_dense": "networks.semigan:Dense",
        "noisy_convolutional": "networks.semigan:Convolutional",
        "autoencoder": "networks.autoencoder:Autoencoder",
        "autoencoder_generator": "networks.autoencoder:Decoder",
        "small_classifier": "networks.classifier:Classifier",
        "byte_encoder": "networks.text_encoder:ByteEncoder",
        "srresnet": "networks.srresnet:SRResNet",
        "msrresnet": "networks.srresnet:MSRResNet",
        "rrdb": "networks.rrdb:RRDBNet",
        "compact": "networks.compact:Compact",
        "vgg_discriminator": "networks.superres_discriminators:VGGDiscriminator",
        "unet_discriminator": "networks.superres_discriminators:UNetDiscriminator",
        "unet_generator": "networks.unet:Generator",
        "translation_generator": "networks.cyclegan:Generator",
        "patch_discriminator": "networks.patchgan:Discriminator",
        "stargan_generator": "networks.stargan:Generator",
        "stargan_discriminator": "networks.stargan:Discriminator",
        "colouriser": "networks.colorize_inpaint:Colouriser",
        "inpainter": "networks.colorize_inpaint:Inpainter",
        "content": "features.content:Content",
        "transformer_net": "networks.transformer_net:TransformerNet",
        "overpainting_net": "networks.overpainting:Overpainting",
        "adain_decoder": "networks.adain:Decoder",
        "overpainting_decoder": "networks.overpainting:OverpaintingDecoder",
        "normalised_vgg": "networks.adain:NormalisedVGG",
        "perception": "features.gram:Perception",
    }
)

TRANSFORMS = Shelf(  # random changes to the real images
    {
        "flip": "data.transforms:Flip",
        "turn": "data.transforms:Turn",
        "rotate": "data.transforms:Rotate",
        "scale": "data.transforms:Scale",
        "crop": "data.transforms:Crop",
        "brightness": "data.transforms:Brightness",
        "noise": "data.transforms:Noise",
        "blur": "data.transforms:Blur",
    }
)

D_AUGMENT = Shelf(  # differentiable augmentations applied to everything the discriminator sees
    {
        "diffaugment": "augment.diffaugment:DiffAugment",
        "ada": "augment.ada:ADA",
        "instance_noise": "augment.instance_noise:InstanceNoise",
    }
)

AUGMENT = Shelf(TRANSFORMS, D_AUGMENT)

DEGRADATIONS = Shelf(
    {
        "bicubic": "data.degrade.camera:Bicubic",
        "lens_blur": "data.degrade.camera:LensBlur",
        "motion_blur": "data.degrade.camera:MotionBlur",
        "sensor_noise": "data.degrade.camera:SensorNoise",
        "jpeg": "data.degrade.camera:Jpeg",
        "second_order": "data.degrade.second_order:SecondOrder",
        "stage": "data.degrade.second_order:Stage",
        "haze": "data.degrade.weather:Haze",
        "rain": "data.degrade.weather:Rain",
        "low_light": "data.degrade.weather:LowLight",
        "grey": "data.degrade.damage:Grey",
        "holes": "data.degrade.damage:Holes",
        "scratches": "data.degrade.damage:Scratches",
        "chain": "data.degrade.base:Chain",
    }
)

OPTIMIZERS = Shelf(
    {
        "adam": "torch.optim:Adam",
        "adamw": "torch.optim:AdamW",
        "rmsprop": "torch.optim:RMSprop",
        "sgd": "torch.optim:SGD",
    }
)

SCHEDULES = Shelf(
    {
        "constant": "schedule:Constant",
        "linear": "schedule:Linear",
        "cosine": "schedule:Cosine",
        "anneal": "schedule:Anneal",
        "inverse": "schedule:Inverse",
        "long_starts": "schedule:LongStarts",
        "steps": "schedule:Steps",
    }
)

TASKS = Shelf(
    {
        "generation": "tasks.generation:Generation",
        "infogan_task": "tasks.infogan:InfoGAN",
        "text_generation": "tasks.text_to_image:TextGeneration",
        "semi_supervised": "tasks.semi_supervised:SemiSupervised",
        "classification": "tasks.classification:Classification",
        "paired": "tasks.paired:Paired",
        "unpaired": "tasks.unpaired:Unpaired",
        "cut_task": "tasks.cut:CUT",
        "multi_domain": "tasks.multidomain:MultiDomain",
        "cartoon_task": "tasks.cartoon:Cartoon",
        "one_style": "tasks.fast_style:OneStyle",
        "any_style": "tasks.adain:AnyStyle",
        "restoration": "tasks.restoration:Restoration",
    }
)

METRICS = Shelf(
    {
        "fd": "evaluation.distribution:fd",
        "fid": "evaluation.distribution:fid",
        "kid": "evaluation.distribution:kid",
        "is": "evaluation.distribution:inception_score",
        "prdc": "evaluation.distribution:prdc",
        "memorisation": "evaluation.distribution:memorisation",
        "diversity": "evaluation.distribution:diversity",
        "modes": "evaluation.distribution:modes",
        "psnr": "evaluation.pairwise:psnr",
        "ssim": "evaluation.pairwise:ssim",
        "ms_ssim": "evaluation.pairwise:ms_ssim",
        "lpips": "evaluation.pairwise:lpips",
        "discriminator": "evaluation.discriminator:discriminator",
        "gan_train": "evaluation.classifiers:gan_train",
        "gan_test": "evaluation.classifiers:gan_test",
        "accuracy": "evaluation.classifiers:accuracy",
    }
)

SOURCES: dict[str, str] = {  # of data, as `--data` names them
    "digits": "1,797 real handwritten digits of scikit-learn, grey, ten classes (embedded).",
    "photos": "Tiles of the photographs in scikit-learn and scikit-image (embedded).",
    "ring": "2-D points of 8 Gaussians on a circle.",
    "grid": "2-D points of 25 Gaussians on a 5x5 grid.",
    "swissroll": "2-D points on a spiral.",
    "folder": "A folder of images, searched recursively; first-level sub-folders become labels.",
    "zip": "A zip of such a folder; nothing is unpacked to disk.",
    "metadata": "A metadata.jsonl or CSV beside the images: file_name, and label (word, number, list) or text.",
    "idx": "IDX files of MNIST, or a folder that holds them; labels are read from the files beside them.",
    "stacked": "stacked:SOURCE: three images of a grey source as R, G and B (Stacked MNIST: 1,000 modes).",
    "pairs": "source=DIR,target=DIR: two folders or zips with files of equal names; for pix2pix.",
    "halves": "AB:DIR or BA:DIR: images that hold two side by side; the left (or right) one is the source.",
    "derived": "edges:SOURCE (or grey, blur, mask, regions): images with sources computed from them.",
    "unpaired": "a=SOURCE,b=SOURCE: two unpaired image sets; for cyclegan, cut and cartoon.",
    "npz": "An .npz (images, labels) or .npy: (N, H, W), (N, H, W, C) or (N, C, H, W).",
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
