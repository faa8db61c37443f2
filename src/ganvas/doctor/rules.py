"""The table of troubles: what shows each of them in the log, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .chart import Chart, Setup

EARLY = 5  # lines that say what is usual for a run
WINDOW = 5  # lines that a sign has to last

PLAYERS = {"g": "generator", "d": "discriminator"}


@dataclass(frozen=True)
class Rule:
    """One trouble."""

    trouble: str
    severity: Literal["note", "warning", "trouble"]
    sign: Callable[[Chart], str]  # the evidence as a sentence, or nothing
    remedy: Callable[[Setup], str]  # what to change


def number(value: float) -> str:
    """Three digits, as short as they can be written."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def lower_rate(setup: Setup, player: str, by: float) -> str:
    """The option that divides a player's learning rate."""
    path = f"{player}_optimizer.lr"
    rate = setup.get(path)
    return f"--set {path}={rate / by:.3g} (now {rate:g})" if isinstance(rate, (int, float)) else f"--set {path}=..."


# --- gradients -------------------------------------------------------------------------------------------


def explodes(chart: Chart) -> str:
    for player, name in PLAYERS.items():
        field = f"{player}/gradient_norm"
        usual, now = chart.first(field, EARLY), min(chart.last(field, WINDOW), default=0.0)
        if now > 100 * max(usual, 1.0):
            return f"the {name}'s gradient norm has grown from {number(usual)} to {number(now)} and stays there"
    return ""


def calm_down(setup: Setup) -> str:
    rates = " ".join(lower_rate(setup, player, 2) for player in ("g", "d"))
    return f"clip gradients with --set clip_norm=1.0, or lower both learning rates: {rates}"


def vanishes(chart: Chart) -> str:
    field = "g/gradient_norm"
    usual, now = chart.first(field, EARLY), max(chart.last(field, WINDOW), default=1.0)
    if now < 1e-3 * usual:
        return f"the generator's gradient norm has fallen from {number(usual)} to {number(now)}"
    return ""


def listen_again(setup: Setup) -> str:
    if setup.component("loss") == "Minimax":
        return "pay the generator for winning instead of for not losing: --set loss=non_saturating"
    return f"slow the discriminator down: {lower_rate(setup, 'd', 4)}, or smooth it: --set 'penalties=r1(gamma=1)'"


RULES = [
    Rule("exploding gradient", "trouble", explodes, calm_down),
    Rule("vanishing gradient", "trouble", vanishes, listen_again),
]
