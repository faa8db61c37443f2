"""Symptoms of the problems: pure functions of the log that return their evidence as a clause with numbers, or "".

Thresholds were set on runs of many recipes (benchmarks/doctor.py): none of the healthy ones crosses them.  Symptoms
that look at samples wait until the generator has made some steps, and are silent while samples still improve.
"""

from statistics import median

from .log import History

LINES = 5  # lines of the log that a symptom in gradients has to last
PROBES = 6  # measurements that a symptom in samples has to last
LONG = 8  # the same, for symptoms that come and go
CYCLES = 24  # measurements in which an oscillation is looked for
FIRST_STEPS = 500  # steps of the generator before its samples are looked at

SHIFT = 0.4  # of the mean sample between measurements, in mean distances of real images
SPECTRAL_GROWTH = 40  # largest growth of the largest singular value
IDLE = 0.02  # the discriminator's gradient norm over the generator's, below which it learns nothing

OF_ONE_IMAGE = ("unet_generator", "translation_generator")  # whose `norm=batch` is that of published batches of one
PLAYERS = {"g": "generator", "d": "discriminator"}
AUC = "discriminator's AUC for real against generated images"


def number(value: float) -> str:
    """A number with three digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """A share as whole percent."""
    return f"{100 * share:.0f} %"


def improving(log: History, count: int = LONG) -> bool:
    """True while samples come nearer to real images or become more diverse, or that is not known yet."""
    return not (log.change("nearest_real_ratio", count) > -0.02 and log.change("diversity", count) < 0.03)


# --- gradients and weights -------------------------------------------------------------------------------


def diverges(log: History) -> str:
    rollbacks = int(max(log.last("rollbacks", 1), default=0))
    evidence = f"a loss or gradient was not finite, and training went back to its last state ({rollbacks}x)"
    return evidence if rollbacks else ""


def explodes(log: History) -> str:
    for player, name in PLAYERS.items():
        field = f"{player}/gradient_norm"
        usual, now = log.first(field, LINES), min(log.last(field, LINES), default=0.0)
        if now > max(100 * usual, 10.0):
            return f"the {name}'s gradient norm has grown from {number(usual)} to {number(now)} and stays there"
    return ""


def vanishes(log: History) -> str:
    now, usual = max(log.last("g/gradient_norm", LINES), default=1.0), log.first("g/gradient_norm", LINES)
    if now < 1e-3 * usual or now < 1e-5:
        before = f" ({number(usual)} at first)" if usual > 2 * now else ""
        return f"the generator's gradient norm is {number(now)}{before}, so it learns next to nothing"
    return ""


def learns_too_fast(log: History) -> str:
    for player, name in PLAYERS.items():
        norm = f"{player}_spectral_norm"
        usual, now = log.first(norm, 1), min(log.last(norm, 2), default=0.0)
        if now > SPECTRAL_GROWTH * max(usual, 0.5):
            return f"the largest singular value of the {name}'s weights has grown from {number(usual)} to {number(now)}"
        ratios = log.last(f"{player}_update_ratio", PROBES)
        if log.steps >= 100 and ratios and median(ratios) > 0.15:
            return (
                f"one step changes the {name}'s weights by {percent(median(ratios))} of their norm; usual is 0.1 to 1 %"
            )
    return ""


def dies(log: History) -> str:
    for player, name in PLAYERS.items():
        share = min(log.last(f"{player}_dead_unit_share", PROBES), default=0.0)
        if share > 0.8:
            return f"no gradient reaches {percent(share)} of the {name}'s units"
    return ""


# --- balance of the players ------------------------------------------------------------------------------


def discriminator_wins(log: History) -> str:
    auc = min(log.last("d_auc", LONG), default=0.0)
    gap = min(log.last("score_gap", LONG), default=0.0)
    separate = min(log.last("nn_two_sample_accuracy", LONG), default=0.0)
    if log.steps < FIRST_STEPS or auc < 0.995 or gap < 5 or separate < 0.98:
        return ""
    wins = f"the {AUC} is {number(auc)} and the mean scores lie {number(gap)} standard deviations apart"
    ratio = max(log.last("gradient_ratio", 2 * LINES), default=1.0)
    if ratio < IDLE:
        return f"{wins}; its gradient norm is only {ratio:.1g} of the generator's, so it has nothing left to learn"
    return "" if improving(log) else f"{wins}; the samples come no nearer to real images"


def generator_wins(log: History) -> str:
    auc, lowest = (pick(log.last("d_auc", PROBES), default=1.0) for pick in (max, min))
    separate = min(log.last("nn_two_sample_accuracy", PROBES), default=0.0)
    recovers = log.change("d_auc", PROBES) > 0.05 or log.change("score_gap", PROBES) > 0.05
    stands = max(log.last("d_update_ratio", PROBES), default=1.0) < 3e-4
    guesses = auc < 0.6 and (lowest > 0.35 or stands)  # a discriminator that is wrong but moves is late, not beaten
    if log.steps >= FIRST_STEPS and guesses and separate > 0.97 and not recovers and not improving(log):
        return (
            f"the {AUC} is only {number(auc)} (0.5 is guessing), although {percent(separate)} of the images have a"
            " nearest neighbour of their own kind, real or generated"
        )
    return ""


def oscillates(log: History) -> str:
    high, swings = None, 0
    values = log.last("d_auc", CYCLES) or log.all("d_auc")
    for value in values:
        now = True if value > 0.85 else False if value < 0.65 else high
        swings += high is not None and now is not high
        high = now
    shift = median(log.last("mean_shift", LONG) or [0.0])
    if log.steps >= FIRST_STEPS and shift > SHIFT and not improving(log):
        return (
            f"the mean sample moves by {percent(shift)} of the distance between two real images from one measurement to"
            " the next, and the samples do not improve: the generator jumps from one kind of image to another"
        )
    if swings >= 5:
        ends = f"{number(min(values))} and {number(max(values))}"
        return f"the {AUC} swung {swings} times between {ends} in {len(values)} measurements"
    return ""


def overfits(log: History) -> str:
    share = log.recent("overfitting", LINES)
    training, held_out = log.recent("real_accuracy", LINES), log.recent("held_out_accuracy", LINES)
    if share > 0.5 and training - held_out > 0.2:
        return (
            f"the discriminator recognises {percent(training)} of the training images as real and only"
            f" {percent(held_out)} of the held-out ones; {percent(share)} of the distance between its scores of"
            " training and of generated images comes from memorised images"
        )
    return ""


def may_overfit(log: History) -> str:
    """Suspected overfitting without held-out images: score signs (Karras et al. 2020) after many passes over few."""
    setup = log.setup
    if setup.held_out or not setup.training_images or not setup.scores_have_sign:
        return ""
    passes = log.images / setup.training_images
    real, fake = log.last("real_sign", LONG), log.last("fake_sign", LONG)
    alike = max(log.last("nn_two_sample_accuracy", LONG), default=1.0) < 0.95
    if passes >= 20 and alike and median(real or [0]) > 0.6 and median(fake or [0]) < -0.5 and log.steps >= FIRST_STEPS:
        return (
            f"after {passes:.0f} passes over {setup.training_images:,} images the mean sign of the discriminator's"
            f" logits is {median(real):.2f} for real and {median(fake):.2f} for generated images, although they look"
            " alike; without held-out images this is a suspicion"
        )
    return ""


# --- samples ---------------------------------------------------------------------------------------------


def collapses(log: History) -> str:
    now = median(log.last("diversity", PROBES) or [1.0])
    values = log.all("diversity")
    best = max((median(values[k : k + 3]) for k in range(len(values) - 2)), default=0.0)
    rising = log.change("diversity", PROBES) > 0.05
    fallen = now < 0.3 and (best > 2 * now or not improving(log))
    if log.steps >= FIRST_STEPS and not rising and (now < 0.05 or fallen):
        before = f" (at best it was {percent(best)})" if best > 2 * now else ""
        return f"the mean distance between two samples is {percent(now)} of that between two real images{before}"
    return ""


def loses_modes(log: History) -> str:
    share = sorted(log.last("missing_cluster_share", 2 * LONG) or [0.0, 0.0, 0.0])[2]  # in all but two
    falling = log.change("missing_cluster_share", 2 * LONG) < -0.05
    if log.steps >= FIRST_STEPS and share > 0.4 and not falling and not improving(log, 2 * LONG):
        return f"{percent(share)} of the real images belong to clusters that have almost no samples"
    return ""


def shows_checkerboard(log: History) -> str:
    now = min(log.last("checkerboard_share", LONG), default=0.0)
    real = max(log.last("real_checkerboard_share", 1), default=1.0)
    falling = log.change("checkerboard_share", LONG) < -0.1
    if log.steps >= FIRST_STEPS and now > 0.002 and now > 10 * real and not falling:
        return (
            f"{100 * now:.1f} % of the samples' variance alternates from pixel to pixel; in real images it is"
            f" {100 * real:.2g} %"
        )
    return ""


def ignores_labels(log: History) -> str:
    effect = max(log.last("label_effect", PROBES), default=1.0)
    contrast = max(log.last("label_contrast", PROBES), default=1.0)
    real = max(log.last("real_label_contrast", 1), default=0.0)
    if log.steps < FIRST_STEPS or improving(log, PROBES):
        return ""
    if effect < 0.02:
        return f"another label changes a sample by {percent(effect)} of what other noise changes"
    if real > 0.05 and contrast < 0.12 * real and not log.change("label_contrast", PROBES) > 0.1:
        return (
            f"samples are {100 * contrast:.1f} % nearer to real images of their own class than to those of other"
            f" classes; real images are {100 * real:.0f} % nearer"
        )
    return ""


def misses_range(log: History) -> str:
    low, high = log.recent("percentile_1", LONG), log.recent("percentile_99", LONG)
    real_low, real_high = log.recent("real_percentile_1", 1), log.recent("real_percentile_99", 1)
    ranges = f"samples range from {low:.2f} to {high:.2f} and real images from {real_low:.2f} to {real_high:.2f}"
    if log.steps < FIRST_STEPS or improving(log):
        return ""
    shrinks = log.change("percentile_99", LONG) < -0.03 or log.change("percentile_1", LONG) > 0.03
    if max(high - 1, -1 - low) > 0.25 and not shrinks:
        return ranges
    width, diverse = real_high - real_low, log.recent("diversity", LONG) > 0.2
    short = max(low - real_low, real_high - high) / max(width, 1e-6)
    return ranges if diverse and short > 0.3 and width > 0.5 else ""


def saturates(log: History) -> str:
    now = min(log.last("saturated_share", LONG), default=0.0)
    real = log.recent("real_saturated_share", 1)
    if log.steps >= FIRST_STEPS and now > real + 0.3 and not improving(log):
        return f"{percent(now)} of the generated values lie at the ends of the range, {percent(real)} of the real ones"
    return ""


def data_are_narrow(log: History) -> str:
    low, high = log.recent("real_percentile_1", 1), log.recent("real_percentile_99", 1)
    if high - low < 0.3 and log.setup.has_images:
        return f"the real images use only the values from {low:.2f} to {high:.2f} of the range from -1 to 1"
    return ""


def applies_other_statistics(log: History) -> str:
    setup, batch = log.setup, log.setup.get("batch", 1)
    if setup.component("generator") in OF_ONE_IMAGE and setup.get("generator.norm") == "batch" and batch > 1:
        return f"batch norm is trained on {batch} images at once and applied to each image alone"
    return ""


def waits_for_data(log: History) -> str:
    share = log.recent("data_wait_share", 2 * LINES)
    if share > 0.4 and min(log.last("data_wait_share", 2 * LINES)) > 0.2:
        return f"{percent(share)} of the training time is spent waiting for the next batch"
    return ""
