"""The table of rules: a problem, its severity, its symptom, the options to change, and what `--heal` does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from . import symptoms
from .log import History, Setup

Severity = Literal["note", "warning", "trouble"]
DCGAN = ("dcgan_generator", "dcgan_variant_generator")
SMOOTHING = ("r1", "r2", "gradient_penalty", "dragan")  # penalties on the discriminator's gradient


@dataclass(frozen=True)
class Rule:
    """A symptom of a problem, and the advice against it."""

    trouble: str
    severity: Severity
    symptom: Callable[[History], str]  # the evidence as a clause with numbers, or ""
    remedy: Callable[[Setup], str]  # a clause with the options to change
    lr_factors: Mapping[str, float] = field(default_factory=dict)  # the cure of --heal: learning-rate factors by player


# --- remedies: every `--set` is one that the run's recipe takes ------------------------------------------


def rate(setup: Setup, player: str, factor: float) -> str:
    """The option that multiplies a player's learning rate."""
    path = f"{player}_optimizer.lr"
    now = setup.get(path)
    return f"--set {path}={now * factor:.2g} (now {now:g})" if isinstance(now, (int, float)) else f"--set {path}=..."


def rates(setup: Setup, factor: float) -> str:
    """The options that multiply the learning rates of all players."""
    return " ".join(rate(setup, player, factor) for player in setup.players)


def smoother(setup: Setup) -> str:
    """The option that adds R1 to the discriminator's penalties, or strengthens the gradient penalty that it has."""
    penalties = setup.get("penalties", [])
    for place in range(len(penalties)):
        for option in ("gamma", "weight"):
            now = setup.get(f"penalties.{place}.{option}")
            if isinstance(now, (int, float)) and setup.component(f"penalties.{place}") in SMOOTHING:
                return f"--set penalties.{place}.{option}={4 * now:g} (now {now:g})"
    return rate(setup, "d", 0.25) if penalties else "--set penalties=r1(gamma=1)"


def clip(setup: Setup) -> str:
    """Gradients cut off at a norm of 1, or at a tenth of the present limit."""
    now = setup.get("clip_norm")
    return f"--set clip_norm={now / 10:g} (now {now:g})" if isinstance(now, int | float) else "--set clip_norm=1.0"


def clip_gradients(setup: Setup) -> str:
    return f"clip gradients with {clip(setup)}, or lower the learning rates with {rates(setup, 0.5)}"


def strengthen_signal(setup: Setup) -> str:
    if setup.component("loss") == "minimax":
        return "use the non-saturating loss, whose gradient does not vanish: --set loss=non_saturating"
    return f"weaken the discriminator with {smoother(setup)}, or with {rate(setup, 'd', 0.25)}"


def lower_rates_much(setup: Setup) -> str:
    return f"lower the learning rates: {rates(setup, 0.1)}"


def lower_rates(setup: Setup) -> str:
    return f"lower the learning rates in a new run: {rates(setup, 0.25)}"


def weaken(setup: Setup) -> str:
    return f"slow the discriminator down with {rate(setup, 'd', 0.5)}, or regularise it with {smoother(setup)}"


def strengthen(setup: Setup) -> str:
    steps = setup.get("d_steps", 1)
    more = f"--set d_steps={steps + 1}" if isinstance(steps, int) else "--set d_steps=10"
    return f"slow the generator down with {rate(setup, 'g', 0.5)}, or train the discriminator more often with {more}"


def dampen(setup: Setup) -> str:
    return f"regularise the discriminator with {smoother(setup)}, or lower both learning rates with {rates(setup, 0.5)}"


def augment(setup: Setup) -> str:
    if not setup.has_images:
        return "add noise to the points that the discriminator sees with --set augment=instance_noise, or add data"
    return f"augment what D sees with --set augment=ada, add more images, or regularise D with {smoother(setup)}"


def hold_out_and_augment(setup: Setup) -> str:
    count = max(setup.training_images // 10, 1)
    return f"hold out images to confirm it (--hold-out {count} in a new run); then {augment(setup)}"


def diversify(setup: Setup) -> str:
    batch = ", or let it compare the images of a batch with --set discriminator.head=minibatch_stddev"
    plain = setup.component("discriminator.head") == "plain"
    return f"regularise the discriminator with {smoother(setup)}{batch if plain else ''}"


def keep_modes(setup: Setup) -> str:
    pairing = ", or pair every generated image with a real one with --set loss=relativistic_pairing"
    pairs = setup.component("loss") == "relativistic_pairing"
    return f"regularise the discriminator with {smoother(setup)}{'' if pairs else pairing}"


def upsample(setup: Setup) -> str:
    if setup.component("generator") in DCGAN:
        return "use a generator that upsamples before it convolves: --set generator=resnet_generator"
    return f"train longer, or lower the generator's learning rate: {rate(setup, 'g', 0.5)}"


def condition_on_labels(setup: Setup) -> str:
    head = setup.component("discriminator.head")
    if head == "projection":
        return f"slow the generator down so that the discriminator learns the classes first: {rate(setup, 'g', 0.5)}"
    if not head:
        return "use a recipe whose discriminator sees the labels: `ganvas train projection`"
    return "give the labels to the discriminator with --set discriminator.head=projection"


def fit_range(setup: Setup) -> str:
    example = "" if setup.component("generator") in DCGAN else " (as --set generator=dcgan_generator does)"
    return (
        f"end the generator with tanh{example}, or check the range of its last layer; pass data as images, which Ganvas"
        " scales to -1 to 1 itself"
    )


def stretch(setup: Setup) -> str:
    return "scale the images to the whole range of their format (16-bit files often hold 12 bits)"


def desaturate(setup: Setup) -> str:
    return f"lower the generator's learning rate with {rate(setup, 'g', 0.5)}, or clip with {clip(setup)}"


def keep_statistics(_: Setup) -> str:
    return "apply the statistics of training with --set generator.norm=batch_running in a new run, or use --batch 1"


def load_faster(setup: Setup) -> str:
    return "load data in more processes with --workers 4, or use cheaper transforms with --augment"


BOTH = {"g": 0.5, "d": 0.5}

RULES = [
    Rule("exploding gradient", "warning", symptoms.diverges, clip_gradients),  # training went back by itself
    Rule("exploding gradient", "trouble", symptoms.explodes, clip_gradients, BOTH),
    Rule("vanishing gradient", "trouble", symptoms.vanishes, strengthen_signal, {"d": 0.5}),
    Rule("learning rate too high", "trouble", symptoms.learns_too_fast, lower_rates_much, BOTH),
    Rule("dead units", "warning", symptoms.dies, lower_rates, BOTH),
    Rule("mode collapse", "trouble", symptoms.collapses, diversify, {"g": 0.5}),
    Rule("oscillation", "trouble", symptoms.oscillates, dampen, BOTH),
    Rule("discriminator overfitting", "trouble", symptoms.overfits, augment, {"d": 0.5}),
    Rule("discriminator overfitting", "warning", symptoms.may_overfit, hold_out_and_augment),
    Rule("discriminator wins", "trouble", symptoms.discriminator_wins, weaken, {"d": 0.5}),
    Rule("generator wins", "trouble", symptoms.generator_wins, strengthen, {"g": 0.5}),
    Rule("partial mode collapse", "trouble", symptoms.loses_modes, keep_modes, {"g": 0.5}),
    Rule("checkerboard", "warning", symptoms.shows_checkerboard, upsample),
    Rule("labels ignored", "trouble", symptoms.ignores_labels, condition_on_labels),
    Rule("output range mismatch", "trouble", symptoms.misses_range, fit_range),
    Rule("output range mismatch", "warning", symptoms.data_are_narrow, stretch),
    Rule("saturated output", "warning", symptoms.saturates, desaturate, {"g": 0.5}),
    Rule("batch norm mismatch", "warning", symptoms.applies_other_statistics, keep_statistics),
    Rule("data loader bound", "warning", symptoms.waits_for_data, load_faster),
]
