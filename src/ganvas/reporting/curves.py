"""Charts of the log: the fields that share a chart, and their meaning."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..doctor.log import PREFIX
from .html import Safe, fold, join, tag
from .plot import Series, chart
from .read import Record


@dataclass(frozen=True)
class Panel:
    """One chart: its title, the fields of the log in it, and their meaning."""

    title: str
    fields: tuple[str, ...]
    about: str = ""


LOSSES = [
    Panel("adversarial loss", ("d/adversarial", "g/adversarial")),
    Panel("mean logits", ("d/real", "d/fake"), "of the discriminator, for real and for generated images"),
    Panel("gradient norm", ("d/gradient_norm", "g/gradient_norm")),
]


# (title, keys without their prefix, meaning); the meanings are those of docs/doctor.md.
DIAGNOSTIC_CHARTS = [
    ("discriminator AUC", "d_auc", "share of (real, generated) pairs with the higher score for the real image"),
    ("diversity", "diversity feature_diversity", "distance between samples, over that between real images"),
    ("nearest-neighbour accuracy", "nn_two_sample_accuracy", "0.5: samples and real images are alike; 1: no overlap"),
    ("distance to real images", "nearest_real_ratio", "from samples to the nearest, over that between real images"),
    ("accuracy on real images", "real_accuracy held_out_accuracy", "of the discriminator: training and held-out ones"),
    ("missing clusters", "missing_cluster_share", "share of real images in clusters with almost no samples"),
    ("score gap", "score_gap", "difference of the mean scores, in standard deviations"),
    ("score sign", "real_sign fake_sign", "mean sign of the logits"),
    ("overfitting", "overfitting", "r_v of Karras et al. 2020, eq. 1"),
    ("gradient ratio", "gradient_ratio", "the discriminator's gradient norm over the generator's"),
    ("update ratio", "d_update_ratio g_update_ratio", "norm of the change in one step, over the norm of the weights"),
    ("dead units", "d_dead_unit_share g_dead_unit_share", "share that no gradient reaches"),
    ("largest singular value", "d_spectral_norm g_spectral_norm", "of a weight matrix without normalisation"),
    ("mean shift", "mean_shift", "of the mean sample since the last measurement, in distances of real images"),
    ("mean offset", "mean_offset", "from the mean sample to the mean real image, in distances of real images"),
    ("value range", "percentile_1 percentile_99 real_percentile_1 real_percentile_99", "1st and 99th percentile"),
    ("saturated values", "saturated_share real_saturated_share", "share of values at the ends of the range"),
    ("checkerboard", "checkerboard_share real_checkerboard_share", "share of variance that alternates between pixels"),
    ("label effect", "label_effect", "change by another label, over the distance between samples"),
    ("label contrast", "label_contrast real_label_contrast", "share by which images of the same class are nearer"),
    ("non-finite values", "nonfinite_values", "in the samples of a measurement"),
]
DIAGNOSTICS = [
    Panel(title, tuple(PREFIX + key for key in keys.split()), meaning) for title, keys, meaning in DIAGNOSTIC_CHARTS
]

SPEED = [
    Panel("images per second", ("images_per_second",)),
    Panel("waiting for data", (f"{PREFIX}data_wait_share",), "share of the training time"),
]

OPEN_PANELS = 6  # panels of DIAGNOSTICS that are shown at once; the others are a click away
WORDS = {"d": "discriminator", "g": "generator"}


def legend_name(name: str, panel: Panel) -> str:
    """The name of a field in the legend of its panel."""
    if len(panel.fields) == 1 and name == panel.fields[0]:
        return panel.title
    last = name.rpartition("/")[2].removesuffix("_share")
    player = name.partition("/")[0] if name[:2] in ("d/", "g/") else last[0] if last[1:2] == "_" else ""
    same = {f.rpartition("/")[2].removeprefix("d_").removeprefix("g_") for f in panel.fields}
    if player in WORDS and len(same) == 1:
        return WORDS[player]
    return last.replace("fake", "generated").replace("_", " ")


def draw(panel: Panel, records: Sequence[Record]) -> Safe | None:
    """The chart of a panel: a colour for each field of one run; of several runs a colour each, other fields dashed."""
    series = []
    for r, record in enumerate(records):
        for f, name in enumerate(panel.fields):
            points = record.curve(name)
            if len(records) == 1:
                series.append(Series(legend_name(name, panel), points, f))
            else:
                field = f", {legend_name(name, panel)}" if len(panel.fields) > 1 else ""
                series.append(Series(f"{record.name}{field}", points, r, dashed=f > 0))
    return chart(panel.title, series, panel.about)


def charts(panels: Iterable[Panel], records: Sequence[Record]) -> list[Safe]:
    """The charts of the panels that any run has values for."""
    return [figure for panel in panels if (figure := draw(panel, records)) is not None]


def other_panels(records: Sequence[Record]) -> list[Panel]:
    """A panel for every field of the logs that is in none of the panels above."""
    known = {name for panel in [*LOSSES, *DIAGNOSTICS, *SPEED] for name in panel.fields}
    names = {name: None for record in records for name in record.fields() if name not in known}
    return [Panel(name, (name,)) for name in names]


def curves(records: Sequence[Record]) -> Safe:
    """Losses and diagnostics over the number of training images."""
    rest = other_panels(records)
    terms = [panel for panel in rest if panel.title[:2] in ("d/", "g/")]
    losses = charts([*LOSSES, *terms], records)
    if not losses:
        return tag("p", "The log has no losses yet.", class_="quiet")
    first, more = DIAGNOSTICS[:OPEN_PANELS], DIAGNOSTICS[OPEN_PANELS:]
    diagnostics = charts(first, records)
    hidden = charts([*more, *(panel for panel in rest if panel not in terms)], records)
    parts = [tag("div", *losses, class_="charts")]
    if diagnostics:
        parts += [tag("h3", "Diagnostics"), tag("div", *diagnostics, class_="charts")]
    if hidden:
        parts.append(fold(f"{len(hidden)} more charts", tag("div", *hidden, class_="charts")))
    return join(parts)


def speed(records: Sequence[Record]) -> Safe:
    """Throughput and waiting time over the number of training images."""
    return tag("div", *charts(SPEED, records), class_="charts")
