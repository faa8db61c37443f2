"""Which fields of the log share a chart, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .html import Safe, joined, tag
from .plot import Series, chart
from .read import Record


@dataclass(frozen=True)
class Panel:
    """Fields of the log in one chart."""

    title: str
    fields: tuple[str, ...]
    about: str = ""


LOSSES = [
    Panel("adversarial loss", ("d/adversarial", "g/adversarial")),
    Panel("mean logits", ("d/real", "d/fake"), "what the discriminator says of real and of generated images"),
    Panel("gradient norm", ("d/gradient_norm", "g/gradient_norm")),
]

# The meanings are those of docs/doctor.md.
SIGNALS = [
    Panel("ranking", ("signal/ranking",), "real above generated in how many pairs: 0.5 is guessing, 1 perfect"),
    Panel("diversity", ("signal/diversity", "signal/variety"), "of samples, over that of real images"),
    Panel("told apart", ("signal/told_apart",), "0.5: samples and real images are alike; 1: nothing in common"),
    Panel("nearness", ("signal/nearness",), "how far samples are from the nearest real image"),
    Panel("accuracy on real images", ("signal/real_accuracy", "signal/held_accuracy"), "of training, and held out"),
    Panel("kinds without samples", ("signal/lost",), "share of real images whose group next to no sample falls into"),
    Panel("gap", ("signal/gap",), "between the mean logits, in their standard deviations"),
    Panel("sign of the logits", ("signal/real_sign", "signal/fake_sign")),
    Panel("overfitting", ("signal/overfit",), "r_v of Karras et al. 2020"),
    Panel("gradient ratio", ("signal/gradient_ratio",), "the discriminator's gradient norm over the generator's"),
    Panel("update", ("signal/d_update", "signal/g_update"), "how far a step moves the weights, in their own length"),
    Panel("dead units", ("signal/d_dead", "signal/g_dead"), "share that no gradient reaches"),
    Panel("largest singular value", ("signal/d_spectral", "signal/g_spectral")),
    Panel("wander", ("signal/wander",), "how far the mean sample moves between measurements"),
    Panel("off centre", ("signal/off_centre",), "the mean sample from the mean real image"),
    Panel("range", ("signal/low", "signal/high", "signal/real_low", "signal/real_high"), "of values in samples"),
    Panel("saturated", ("signal/saturated", "signal/real_saturated"), "share of values at the ends of the range"),
    Panel("checkerboard", ("signal/checkerboard", "signal/real_checkerboard"), "share of variance that alternates"),
    Panel("effect of the label", ("signal/label_effect",)),
    Panel("contrast of labels", ("signal/label_contrast", "signal/real_label_contrast")),
]

SPEED = [
    Panel("images a second", ("images_per_second",)),
    Panel("waiting for data", ("signal/data_wait",), "share of the time"),
]

FIRST_SIGNALS = 6  # panels of SIGNALS that are shown at once; the others are a click away
WORDS = {"d": "discriminator", "g": "generator"}


def said(name: str, panel: Panel) -> str:
    """A field as the legend of its panel calls it."""
    if len(panel.fields) == 1 and name == panel.fields[0]:
        return panel.title
    last = name.rpartition("/")[2]
    player = name.partition("/")[0] if name[:2] in ("d/", "g/") else last[0] if last[1:2] == "_" else ""
    same = {f.rpartition("/")[2].removeprefix("d_").removeprefix("g_") for f in panel.fields}
    if player in WORDS and len(same) == 1:
        return WORDS[player]
    return {"real": "real", "fake": "generated"}.get(last, last.replace("_", " "))


def drawn(panel: Panel, records: Sequence[Record]) -> Safe | None:
    """The chart of a panel: one run in a colour a field, several in a colour a run and dashes for the second field."""
    series = []
    for r, record in enumerate(records):
        for f, name in enumerate(panel.fields):
            points = record.curve(name)
            if len(records) == 1:
                series.append(Series(said(name, panel), points, f))
            else:
                field = f", {said(name, panel)}" if len(panel.fields) > 1 else ""
                series.append(Series(f"{record.name}{field}", points, r, dashed=f > 0))
    return chart(panel.title, series, panel.about)


def charts(panels: Iterable[Panel], records: Sequence[Record]) -> list[Safe]:
    """All of them that any run has values for."""
    return [figure for panel in panels if (figure := drawn(panel, records)) is not None]


def others(records: Sequence[Record]) -> list[Panel]:
    """A panel for every field of the logs that no panel above has."""
    known = {name for panel in [*LOSSES, *SIGNALS, *SPEED] for name in panel.fields}
    found = {name: None for record in records for name in record.fields() if name not in known}
    return [Panel(name, (name,)) for name in found]


def curves(records: Sequence[Record]) -> Safe:
    """Losses and what the doctor measured, over the images."""
    rest = others(records)
    terms = [panel for panel in rest if panel.title[:2] in ("d/", "g/")]
    losses = charts([*LOSSES, *terms], records)
    if not losses:
        return tag("p", "The log holds no losses (yet).", class_="quiet")
    first, more = SIGNALS[:FIRST_SIGNALS], SIGNALS[FIRST_SIGNALS:]
    signals = charts(first, records)
    hidden = charts([*more, *(panel for panel in rest if panel not in terms)], records)
    parts = [tag("div", *losses, class_="charts")]
    if signals:
        parts += [tag("h3", "What the doctor looks at"), tag("div", *signals, class_="charts")]
    if hidden:
        parts.append(folded(f"{len(hidden)} more signals", tag("div", *hidden, class_="charts")))
    return joined(parts)


def speed(records: Sequence[Record]) -> Safe:
    return tag("div", *charts(SPEED, records), class_="charts")


def folded(title: str, *content: Safe) -> Safe:
    """Something a click away."""
    return tag("details", tag("summary", title), *content)
