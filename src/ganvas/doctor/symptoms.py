"""What shows each trouble: pure functions of the log, each giving its evidence as a clause with numbers, or nothing.

Thresholds were set on runs of many recipes (benchmarks/doctor.py): none of the healthy ones crosses them.  Signs that
look at samples wait until the generator has made some steps, and are silent while samples still get better.
"""

from __future__ import annotations

from statistics import median

from .log import Chart

LINES = 5  # lines of the log that a sign of gradients has to last
PROBES = 6  # measurements that a sign of samples has to last
WANDER = 0.4  # of the mean sample between measurements, in mean distances of real images
LONG = 8  # the same, for signs that come and go
CYCLES = 24  # measurements in which an oscillation is looked for
GROWN = 40  # times that the largest singular value may grow
SETTLED = 500  # steps of the generator before its samples are judged

IDLE = 0.02  # the discriminator's gradient norm, in parts of the generator's

PLAYERS = {"g": "generator", "d": "discriminator"}


def number(value: float) -> str:
    """Three digits, as short as they can be written."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def settled(chart: Chart, steps: int = SETTLED) -> bool:
    return chart.steps >= steps


def improving(chart: Chart, count: int = LONG) -> bool:
    """Whether samples still come nearer to real images, or become more various; also while that is not yet known."""
    nearness, diversity = (chart.change(f"signal/{name}", count) for name in ("nearness", "diversity"))
    return not (nearness > -0.02 and diversity < 0.03)


# --- gradients and weights -------------------------------------------------------------------------------


def diverges(chart: Chart) -> str:
    returns = int(max(chart.last("returns", 1), default=0))
    if returns:
        return f"a loss or gradient was not finite, and training went back to its last state ({returns}x)"
    return ""


def explodes(chart: Chart) -> str:
    for player, name in PLAYERS.items():
        field = f"{player}/gradient_norm"
        usual, now = chart.first(field, LINES), min(chart.last(field, LINES), default=0.0)
        if now > max(100 * usual, 10.0):
            return f"the {name}'s gradient norm has grown from {number(usual)} to {number(now)} and stays there"
    return ""


def vanishes(chart: Chart) -> str:
    field = "g/gradient_norm"
    now = max(chart.last(field, LINES), default=1.0)
    usual = chart.first(field, LINES)
    if now < 1e-3 * usual or now < 1e-5:
        fallen = f" (it was {number(usual)} at first)" if usual > 2 * now else ""
        return f"the generator's gradient norm is {number(now)}{fallen}: it is told nothing"
    return ""


def learns_too_fast(chart: Chart) -> str:
    for player, name in PLAYERS.items():
        norm = f"signal/{player}_spectral"
        usual, now = chart.first(norm, 1), min(chart.last(norm, 2), default=0.0)
        if now > GROWN * max(usual, 0.5):
            return f"the largest singular value of the {name}'s weights has grown from {number(usual)} to {number(now)}"
        values = chart.last(f"signal/{player}_update", PROBES)
        if settled(chart, 100) and values and median(values) > 0.15:
            return (
                f"one step moves the {name}'s weights by {percent(median(values))} of their length; 0.1 to 1 % is usual"
            )
    return ""


def dies(chart: Chart) -> str:
    for player, name in PLAYERS.items():
        share = min(chart.last(f"signal/{player}_dead", PROBES), default=0.0)
        if share > 0.8:
            return f"no gradient reaches {percent(share)} of the {name}'s units"
    return ""


# --- who wins --------------------------------------------------------------------------------------------


def discriminator_wins(chart: Chart) -> str:
    ranking = min(chart.last("signal/ranking", LONG), default=0.0)
    gap, apart = (min(chart.last(f"signal/{name}", LONG), default=0.0) for name in ("gap", "told_apart"))
    if not settled(chart) or ranking < 0.995 or gap < 5 or apart < 0.98:
        return ""
    wins = f"it ranks real above generated images in {percent(ranking)} of the pairs, {number(gap)} deviations apart"
    idle = max(chart.last("signal/gradient_ratio", 2 * LINES), default=1.0)
    if idle < IDLE:
        return f"{wins}, and has nothing left to learn: its gradient is {idle:.1g} of the generator's"
    return "" if improving(chart) else f"{wins}, and the samples have stopped coming nearer to real images"


def generator_wins(chart: Chart) -> str:
    ranking, lowest = (pick(chart.last("signal/ranking", PROBES), default=1.0) for pick in (max, min))
    apart = min(chart.last("signal/told_apart", PROBES), default=0.0)
    recovering = chart.change("signal/ranking", PROBES) > 0.05 or chart.change("signal/gap", PROBES) > 0.05
    stands = max(chart.last("signal/d_update", PROBES), default=1.0) < 3e-4
    guesses = ranking < 0.6 and (lowest > 0.35 or stands)  # one that is mistaken and moves is late, not beaten
    if settled(chart) and guesses and apart > 0.97 and not recovering and not improving(chart):
        return (
            f"it ranks real above generated images in {percent(ranking)} of the pairs (50 % is guessing), although"
            f" {percent(apart)} of the images have a nearest neighbour of their own kind"
        )
    return ""


def oscillates(chart: Chart) -> str:
    high, swings = None, 0
    for value in chart.last("signal/ranking", CYCLES) or chart.all("signal/ranking"):
        now = True if value > 0.85 else False if value < 0.65 else high
        swings += high is not None and now is not high
        high = now
    wander = median(chart.last("signal/wander", LONG) or [0.0])
    if settled(chart) and wander > WANDER and not improving(chart):
        return (
            f"between two measurements the mean sample moves by {percent(wander)} of the distance between two real"
            " images, and the samples get no better: the generator flees from one kind to the next"
        )
    if swings >= 5:
        values = chart.last("signal/ranking", CYCLES) or chart.all("signal/ranking")
        return (
            f"the discriminator's advantage swung {swings} times between {percent(min(values))} and"
            f" {percent(max(values))} of the pairs in {len(values)} measurements: the players run in circles"
        )
    return ""


def overfits(chart: Chart) -> str:
    share = chart.now("signal/overfit", LINES)
    seen, unseen = chart.now("signal/real_accuracy", LINES), chart.now("signal/held_accuracy", LINES)
    if share > 0.5 and seen - unseen > 0.2:
        return (
            f"it recognises {percent(seen)} of the training images as real and {percent(unseen)} of those held out;"
            f" {percent(share)} of its advantage is knowing images by heart"
        )
    return ""


def may_overfit(chart: Chart) -> str:
    """Without held-out images: the sign statistic of Karras et al. 2020 after many passes through few images."""
    if chart.setup.held_out or not chart.setup.trained_on or not chart.setup.judges_by_sign:
        return ""
    passes = chart.images / chart.setup.trained_on
    real, fake = chart.last("signal/real_sign", LONG), chart.last("signal/fake_sign", LONG)
    alike = max(chart.last("signal/told_apart", LONG), default=1.0) < 0.95
    if passes >= 20 and alike and median(real or [0]) > 0.6 and median(fake or [0]) < -0.5 and settled(chart):
        return (
            f"after {passes:.0f} passes through {chart.setup.trained_on:,} images the mean sign of its logits is"
            f" {median(real):.2f} for real and {median(fake):.2f} for generated ones, although they look alike; none"
            " was held out to be sure"
        )
    return ""


# --- what the samples are --------------------------------------------------------------------------------


def collapses(chart: Chart) -> str:
    now = median(chart.last("signal/diversity", PROBES) or [1.0])
    values = chart.all("signal/diversity")
    best = max((median(values[k : k + 3]) for k in range(len(values) - 2)), default=0.0)
    rising = chart.change("signal/diversity", PROBES) > 0.05
    fallen = now < 0.3 and (best > 2 * now or not improving(chart))
    if settled(chart) and not rising and (now < 0.05 or fallen):
        before = f" (it was {percent(best)})" if best > 2 * now else ""
        return f"two samples differ by {percent(now)} of what two real images do{before}"
    return ""


def loses_modes(chart: Chart) -> str:
    lost = sorted(chart.last("signal/lost", 2 * LONG) or [0.0, 0.0, 0.0])[2]  # in all but two of them
    falling = chart.change("signal/lost", 2 * LONG) < -0.05
    if settled(chart) and lost > 0.4 and not falling and not improving(chart, 2 * LONG):
        return f"{percent(lost)} of the real images are of kinds that next to no sample shows"
    return ""


def shows_checkerboard(chart: Chart) -> str:
    now = min(chart.last("signal/checkerboard", LONG), default=0.0)
    real = max(chart.last("signal/real_checkerboard", 1), default=1.0)
    falling = chart.change("signal/checkerboard", LONG) < -0.1
    if settled(chart) and now > 0.002 and now > 10 * real and not falling:
        return (
            f"{100 * now:.1f} % of the samples' variance alternates from pixel to pixel, {100 * real:.2g} % of the real"
            " images'"
        )
    return ""


def ignores_labels(chart: Chart) -> str:
    effect = max(chart.last("signal/label_effect", PROBES), default=1.0)
    contrast = max(chart.last("signal/label_contrast", PROBES), default=1.0)
    real = max(chart.last("signal/real_label_contrast", 1), default=0.0)
    if not settled(chart) or improving(chart, PROBES):
        return ""
    if effect < 0.02:
        return f"another label moves a sample by {percent(effect)} of what other noise does"
    if real > 0.05 and contrast < 0.12 * real and not chart.change("signal/label_contrast", PROBES) > 0.1:
        return (
            f"samples are {100 * contrast:.1f} % nearer to real images of their own class than to others; real images"
            f" are {100 * real:.0f} %"
        )
    return ""


def misses_range(chart: Chart) -> str:
    low, high = chart.now("signal/low", LONG), chart.now("signal/high", LONG)
    real_low, real_high = chart.now("signal/real_low", 1), chart.now("signal/real_high", 1)
    values = f"samples range from {low:.2f} to {high:.2f} and real images from {real_low:.2f} to {real_high:.2f}"
    if not settled(chart) or improving(chart):
        return ""
    beyond = max(high - 1, -1 - low)
    if beyond > 0.25 and not _shrinks(chart):
        return values
    width, various = real_high - real_low, chart.now("signal/diversity", LONG) > 0.2
    short = max(low - real_low, real_high - high) / max(width, 1e-6)
    return values if various and short > 0.3 and width > 0.5 else ""


def _shrinks(chart: Chart) -> bool:
    return chart.change("signal/high", LONG) < -0.03 or chart.change("signal/low", LONG) > 0.03


def saturates(chart: Chart) -> str:
    now, real = min(chart.last("signal/saturated", LONG), default=0.0), chart.now("signal/real_saturated", 1)
    if settled(chart) and now > real + 0.3 and not improving(chart):
        return f"{percent(now)} of the generated values lie at the ends of the range, {percent(real)} of the real ones"
    return ""


def data_are_narrow(chart: Chart) -> str:
    low, high = chart.now("signal/real_low", 1), chart.now("signal/real_high", 1)
    if high - low < 0.3 and chart.setup.has_images:
        return f"the real images use only the values from {low:.2f} to {high:.2f} of the range from -1 to 1"
    return ""


def waits_for_data(chart: Chart) -> str:
    share = chart.now("signal/data_wait", 2 * LINES)
    if share > 0.4 and min(chart.last("signal/data_wait", 2 * LINES)) > 0.2:
        return f"{percent(share)} of the time is spent waiting for the next batch"
    return ""
