"""Names that files written by earlier versions use, and their present names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Configs of 0.1 before December 2026 name a component by its class: `ganvas.MODULE:CLASS`.  MODULE CLASS=NAME ...
_CLASSES = """
    losses.adversarial NonSaturating=non_saturating Minimax=minimax LeastSquares=least_squares
    losses.adversarial Wasserstein=wasserstein Hinge=hinge
    losses.relativistic RelativisticPairing=relativistic_pairing RelativisticAverage=relativistic_average
    losses.energy EnergyMargin=energy_margin BoundaryEquilibrium=boundary_equilibrium
    losses.wrapped TopK=top_k Weighted=weighted
    losses.fidelity L1=l1 MSE=mse Charbonnier=charbonnier TotalVariation=total_variation LDL=ldl Colour=colour
    metrics.perceptual Perceptual=perceptual
    losses.penalties R1=r1 R2=r2 GradientPenalty=gradient_penalty DRAGAN=dragan
    losses.verdicts LeCam=lecam Consistency=consistency FeatureMatching=feature_matching PullingAway=pulling_away
    losses.path_length PathLength=path_length
    losses.weights WeightClipping=weight_clipping OrthogonalRegularisation=orthogonal
    losses.weights HistoricalAveraging=historical_averaging
    networks.heads Plain=plain Projection=projection AuxiliaryClassifier=auxiliary_classifier Joint=joint
    networks.minibatch MinibatchDiscrimination=minibatch_discrimination MinibatchStddev=minibatch_stddev
    networks.codes InfoHead=info Classes=classes
    networks.dcgan Generator=dcgan_generator Discriminator=dcgan_discriminator
    networks.mlp Generator=mlp_generator Discriminator=mlp_discriminator LeakyDiscriminator=mlp_leaky_discriminator
    networks.resnet Generator=resnet_generator Discriminator=resnet_discriminator
    networks.biggan Generator=biggan_generator Discriminator=biggan_discriminator
    networks.r3gan Generator=r3gan_generator Discriminator=r3gan_discriminator
    networks.stylegan2 Generator=stylegan2_generator Discriminator=stylegan2_discriminator
    networks.noisy Generator=noisy_generator Dense=noisy_dense Convolutional=noisy_convolutional
    networks.autoencoder Autoencoder=autoencoder Decoder=autoencoder_generator
    networks.classifier Classifier=small_classifier
    networks.text ByteEncoder=byte_encoder
    networks.srresnet SRResNet=srresnet MSRResNet=msrresnet
    networks.rrdb RRDBNet=rrdb
    networks.compact Compact=compact
    networks.critics VGGDiscriminator=vgg_discriminator UNetDiscriminator=unet_discriminator
    networks.unet Generator=unet_generator
    networks.translation Generator=translation_generator
    networks.patch Discriminator=patch_discriminator
    networks.stargan Generator=stargan_generator Discriminator=stargan_discriminator
    networks.lost Colouriser=colouriser Inpainter=inpainter
    metrics.content Content=content
    networks.transformer_net TransformerNet=transformer_net
    networks.overpainting Overpainting=overpainting_net OverpaintingDecoder=overpainting_decoder
    networks.adain Decoder=adain_decoder NormalisedVGG=normalised_vgg
    metrics.style Perception=perception
    data.transforms Flip=flip Turn=turn Rotate=rotate Scale=scale Crop=crop Brightness=brightness Noise=noise
    data.transforms Blur=blur
    augment.diffaugment DiffAugment=diffaugment
    augment.ada ADA=ada
    augment.noise InstanceNoise=instance_noise
    data.degrade.camera Bicubic=bicubic LensBlur=lens_blur MotionBlur=motion_blur Noisy=sensor_noise Jpeg=jpeg
    data.degrade.second_order SecondOrder=second_order Stage=stage
    data.degrade.weather Haze=haze Rain=rain LowLight=low_light
    data.degrade.damage Grey=grey Holes=holes Scratches=scratches
    data.degrade.base InTurn=chain
    schedule Constant=constant Linear=linear Cosine=cosine Anneal=anneal Inverse=inverse LongStarts=long_starts
    schedule Steps=steps
    tasks.generation Generation=generation
    tasks.infogan InfoGAN=infogan_task
    tasks.text TextGeneration=text_generation
    tasks.semi SemiSupervised=semi_supervised
    tasks.classify Classification=classification
    tasks.paired Paired=paired
    tasks.unpaired Unpaired=unpaired
    tasks.multidomain MultiDomain=multi_domain
    tasks.cartoon Cartoon=cartoon_task
    tasks.one_style OneStyle=one_style
    tasks.any_style AnyStyle=any_style
    tasks.restoration Restoration=restoration
"""

COMPONENTS: dict[str, str] = {
    f"ganvas.{module}:{old}": name
    for module, *pairs in (line.split() for line in _CLASSES.split("\n") if line.strip())
    for old, name in (pair.split("=") for pair in pairs)
}
COMPONENTS |= {f"torch.optim.{name.lower()}:{name}": name.lower() for name in ("Adam", "AdamW", "RMSprop", "SGD")}

CATALOGUE_NAMES = {"noisy": "sensor_noise", "in_turn": "chain"}  # {old name: present name}, to type as well

# Fields of log.jsonl.
LOG_KEYS: dict[str, str] = {
    "signal/ranking": "diagnostics/d_auc",
    "signal/gap": "diagnostics/score_gap",
    "signal/real_sign": "diagnostics/real_sign",
    "signal/fake_sign": "diagnostics/fake_sign",
    "signal/real_accuracy": "diagnostics/real_accuracy",
    "signal/held_accuracy": "diagnostics/held_out_accuracy",
    "signal/overfit": "diagnostics/overfitting",
    "signal/gradient_ratio": "diagnostics/gradient_ratio",
    "signal/g_update": "diagnostics/g_update_ratio",
    "signal/d_update": "diagnostics/d_update_ratio",
    "signal/g_dead": "diagnostics/g_dead_unit_share",
    "signal/d_dead": "diagnostics/d_dead_unit_share",
    "signal/g_spectral": "diagnostics/g_spectral_norm",
    "signal/d_spectral": "diagnostics/d_spectral_norm",
    "signal/diversity": "diagnostics/diversity",
    "signal/variety": "diagnostics/feature_diversity",
    "signal/lost": "diagnostics/missing_cluster_share",
    "signal/told_apart": "diagnostics/nn_two_sample_accuracy",
    "signal/nearness": "diagnostics/nearest_real_ratio",
    "signal/wander": "diagnostics/mean_shift",
    "signal/off_centre": "diagnostics/mean_offset",
    "signal/saturated": "diagnostics/saturated_share",
    "signal/real_saturated": "diagnostics/real_saturated_share",
    "signal/low": "diagnostics/percentile_1",
    "signal/high": "diagnostics/percentile_99",
    "signal/real_low": "diagnostics/real_percentile_1",
    "signal/real_high": "diagnostics/real_percentile_99",
    "signal/nonfinite": "diagnostics/nonfinite_values",
    "signal/checkerboard": "diagnostics/checkerboard_share",
    "signal/real_checkerboard": "diagnostics/real_checkerboard_share",
    "signal/label_effect": "diagnostics/label_effect",
    "signal/label_contrast": "diagnostics/label_contrast",
    "signal/real_label_contrast": "diagnostics/real_label_contrast",
    "signal/data_wait": "diagnostics/data_wait_share",
    "returns": "rollbacks",
    "healed": "heal",
}

# Penalties and image terms in the log: {class in small letters: catalogue name}.
_TERM_NAMES = {
    address.rpartition(":")[2].lower(): name
    for address, name in COMPONENTS.items()
    if address.startswith(("ganvas.losses.", "ganvas.metrics.perceptual"))
}
_TERM = re.compile(r"([dg]/)([a-z0-9]+?)(_\d+)?(_[ab])?")  # player, class, place in the list, side of unpaired data

OPTIONS: dict[str, dict[str, str]] = {}  # component: {old option: present option}
METRIC_NAMES = {"critic": "discriminator"}  # {old: present}
EVALUATION_KEYS = {  # fields of evaluation.jsonl: {old: present}
    "critic": "discriminator",
    "on_training": "training_above_samples",
    "memory": "training_above_held_out",
    "deviation": "std",
    "low": "ci_low",
    "high": "ci_high",
    "of": "total_modes",
    "good": "high_quality",
    "within": "mode_radius",
    "each": "per_image",
    "trained_on": "training_set",
}


# DCGAN's networks had these options themselves.
VARIANTS = {
    "dcgan_generator": ("dcgan_variant_generator", {"hidden", "norm", "reference"}),
    "dcgan_discriminator": ("dcgan_variant_discriminator", {"hidden", "reference"}),
}


def component_name(name: str) -> str:
    """The catalogue name of a component, from that name, an old one, or the address that old files use."""
    return COMPONENTS.get(name) or CATALOGUE_NAMES.get(name, name)


def current(value: Any) -> Any:
    """A config as the present version writes it: components by catalogue name, options by their present names."""
    if isinstance(value, list):
        return [current(v) for v in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("()"), str):
        return {k: current(v) for k, v in value.items()}
    name = component_name(value["()"])
    variant, own = VARIANTS.get(name, (name, set()))
    name = variant if own & value.keys() or value.get("norm") == "virtual" else name
    options = OPTIONS.get(name, {})
    return {options.get(k, k): name if k == "()" else current(v) for k, v in value.items()}


def current_evaluation(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of evaluation.jsonl with the present names of its metric and fields."""
    entries = current_keys(line, EVALUATION_KEYS)
    if isinstance(entries.get("metric"), str):
        entries["metric"] = METRIC_NAMES.get(entries["metric"], entries["metric"])
    return entries


def current_keys(line: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A line of a log with its fields' present names."""
    return {names.get(k, k): v for k, v in line.items()}


def current_log_line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of log.jsonl, or the running means of a saved state, with the present names of the fields."""
    renamed = _current_terms(current_keys(line, LOG_KEYS))
    if isinstance(renamed.get("heal"), dict):
        renamed["heal"] = current_keys(renamed["heal"], {"done": "action"})
    return renamed


def _current_terms(line: dict[str, Any]) -> dict[str, Any]:
    """A log line whose penalties and image terms have catalogue names, numbered only where one stands twice.

    They had class names, and penalties always a number: `d/gradientpenalty_0` is now `d/gradient_penalty`.
    """
    matches = {key: match for key in line if (match := _TERM.fullmatch(key)) and match[2] in _TERM_NAMES}
    twins: dict[tuple[str, ...], list[str]] = {}
    for key, match in matches.items():
        twins.setdefault((match[1], match[2], match[4] or ""), []).append(key)
    renamed: dict[str, str] = {}
    for (player, name, side), keys in twins.items():
        for k, key in enumerate(keys):
            renamed[key] = f"{player}{_TERM_NAMES[name]}{f'_{k}' if len(keys) > 1 else ''}{side}"
    return {renamed.get(key, key): value for key, value in line.items()}
