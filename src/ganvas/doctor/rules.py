"""The table of troubles: what shows each of them, how bad it is, what to change, and what `--heal` may do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from . import symptoms as signs
from .log import Chart, Setup

Severity = Literal["note", "warning", "trouble"]


SMOOTHING = ("r1", "r2", "gradient_penalty", "dragan")  # penalties on the discriminator's slope


@dataclass(frozen=True)
class Rule:
    """One trouble, or one way in which it shows."""

    trouble: str
    severity: Severity
    sign: Callable[[Chart], str]  # the evidence as a clause with numbers, or nothing
    remedy: Callable[[Setup], str]  # what to change, with the options that do it
    ease: Mapping[str, float] = field(default_factory=dict)  # the mildest cure: factors on the players' learning rates


# --- remedies: every `--set` must be one that the run's recipe takes --------------------------------------


def rate(setup: Setup, player: str, factor: float) -> str:
    """The option that multiplies a player's learning rate."""
    path = f"{player}_optimizer.lr"
    now = setup.get(path)
    if not isinstance(now, (int, float)):
        return f"--set {path}=..."
    return f"--set {path}={now * factor:.2g} (now {now:g})"


def rates(setup: Setup, factor: float) -> str:
    return " ".join(rate(setup, player, factor) for player in setup.players)


def smoother(setup: Setup) -> str:
    """The option that adds R1 to the discriminator's penalties, or strengthens what is there."""
    penalties = setup.get("penalties", [])
    for place in range(len(penalties)):
        for option in ("gamma", "weight"):
            now = setup.get(f"penalties.{place}.{option}")
            if isinstance(now, (int, float)) and setup.component(f"penalties.{place}") in SMOOTHING:
                return f"--set penalties.{place}.{option}={4 * now:g} (now {now:g})"
    return rate(setup, "d", 0.25) if penalties else "--set penalties=r1(gamma=1)"


def calm_down(setup: Setup) -> str:
    return f"clip gradients with --set clip_norm=1.0, lower the learning rates with {rates(setup, 0.5)}"


def tell_more(setup: Setup) -> str:
    if setup.component("loss") == "minimax":
        return "pay the generator for winning instead of for not losing: --set loss=non_saturating"
    return f"weaken the discriminator: {smoother(setup)}, or {rate(setup, 'd', 0.25)}"


def slow_down(setup: Setup) -> str:
    return f"lower the learning rates: {rates(setup, 0.1)}"


def revive(setup: Setup) -> str:
    return f"lower the learning rates in a new run: {rates(setup, 0.25)}"


def weaken(setup: Setup) -> str:
    return f"slow the discriminator down with {rate(setup, 'd', 0.5)}, or smooth it with {smoother(setup)}"


def strengthen(setup: Setup) -> str:
    steps = setup.get("d_steps", 1)
    more = f"--set d_steps={steps + 1}" if isinstance(steps, int) else "--set d_steps=10"
    return f"slow the generator down with {rate(setup, 'g', 0.5)}, or let the discriminator move more often with {more}"


def dampen(setup: Setup) -> str:
    return f"smooth the discriminator with {smoother(setup)}, or lower both learning rates with {rates(setup, 0.5)}"


def augment(setup: Setup) -> str:
    if not setup.has_images:
        return "let the discriminator see blurred points with --set augment=instance_noise, or add data"
    return "change what the discriminator sees with --set augment=ada, add more images, or smooth it with " + smoother(
        setup
    )


def augment_and_look(setup: Setup) -> str:
    return (
        f"hold images out to be sure (--hold-out {max(setup.trained_on // 10, 1)} in a new run); then {augment(setup)}"
    )


def spread_out(setup: Setup) -> str:
    batch = ", or let it see the whole batch with --set discriminator.head=minibatch_stddev"
    plain = setup.component("discriminator.head") == "plain"
    return f"smooth the discriminator with {smoother(setup)}{batch if plain else ''}"


def keep_modes(setup: Setup) -> str:
    relativistic = "" if setup.component("loss") == "relativistic_pairing" else (
        ", or pair every generated image with a real one with --set loss=relativistic_pairing"
    )  # fmt: skip
    return f"smooth the discriminator with {smoother(setup)}{relativistic}"


def upsample(setup: Setup) -> str:
    if setup.component("generator") == "dcgan_generator":
        return "take a generator that enlarges before it convolves: --set generator=resnet_generator"
    return f"train longer, or lower the generator's learning rate: {rate(setup, 'g', 0.5)}"


def show_labels(setup: Setup) -> str:
    head = setup.component("discriminator.head")
    if head == "projection":
        return f"slow the generator down so that the discriminator learns the classes first: {rate(setup, 'g', 0.5)}"
    if not head:
        return "take a recipe whose discriminator judges by label: `ganvas train projection`"
    return "let the discriminator judge by label with --set discriminator.head=projection"


def fit_range(setup: Setup) -> str:
    usual = "" if setup.component("generator") == "dcgan_generator" else " (--set generator=dcgan_generator does)"
    return (
        f"let the generator end in tanh{usual}, or look at what range its last layer makes; data must be given as"
        " images, which Ganvas brings to -1 to 1 itself"
    )


def stretch(setup: Setup) -> str:
    return "prepare the images so that they use the whole range of their format (16-bit files often hold 12 bits)"


def desaturate(setup: Setup) -> str:
    return f"lower the generator's learning rate with {rate(setup, 'g', 0.5)}, or clip with --set clip_norm=1.0"


def read_ahead(setup: Setup) -> str:
    return "read ahead in other processes with --workers 4, or take cheaper changes with --augment"


BOTH = {"g": 0.5, "d": 0.5}

RULES = [
    Rule("exploding gradient", "warning", signs.diverges, calm_down),  # training has gone back by itself
    Rule("exploding gradient", "trouble", signs.explodes, calm_down, BOTH),
    Rule("vanishing gradient", "trouble", signs.vanishes, tell_more, {"d": 0.5}),
    Rule("learning rate too high", "trouble", signs.learns_too_fast, slow_down, BOTH),
    Rule("dead units", "warning", signs.dies, revive, BOTH),
    Rule("mode collapse", "trouble", signs.collapses, spread_out, {"g": 0.5}),
    Rule("oscillation", "trouble", signs.oscillates, dampen, BOTH),
    Rule("discriminator overfitting", "trouble", signs.overfits, augment, {"d": 0.5}),
    Rule("discriminator overfitting", "warning", signs.may_overfit, augment_and_look),
    Rule("discriminator wins", "trouble", signs.discriminator_wins, weaken, {"d": 0.5}),
    Rule("generator wins", "trouble", signs.generator_wins, strengthen, {"g": 0.5}),
    Rule("partial mode collapse", "trouble", signs.loses_modes, keep_modes, {"g": 0.5}),
    Rule("checkerboard", "warning", signs.shows_checkerboard, upsample),
    Rule("labels ignored", "trouble", signs.ignores_labels, show_labels),
    Rule("output range mismatch", "trouble", signs.misses_range, fit_range),
    Rule("output range mismatch", "warning", signs.data_are_narrow, stretch),
    Rule("saturated output", "warning", signs.saturates, desaturate, {"g": 0.5}),
    Rule("data loader bound", "warning", signs.waits_for_data, read_ahead),
]
