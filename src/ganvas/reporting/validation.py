"""Validation sheets: source, result and original of held-out pairs, at the last evaluation and at the best."""

from collections.abc import Sequence

from PIL import Image

from ..errors import UserError
from ..run import read_config
from .html import Safe, image_tag, join, tag
from .metrics import display_name
from .plot import brief
from .read import Record, as_count
from .samples import LARGEST, QUALITIES, compress
from .tables import heading


def validation(records: Sequence[Record]) -> Safe | None:
    """The sheets of every run that has some; None without any."""
    parts = [(k, sheet) for k, record in enumerate(records) for sheet in _sheets(record)]
    if not parts:
        return None
    content: list[Safe | str | None] = [
        tag("p", "Each row: source, result, original (crops of held-out pairs).", class_="quiet")
    ]
    for k, _ in enumerate(records):
        sheets = [sheet for run, sheet in parts if run == k]
        content += [heading(k, records), tag("div", *sheets, class_="shots many")] if sheets else []
    return join(content)


def _sheets(record: Record) -> list[Safe]:
    """Figures of the last and the best sheet of a run; damaged files are left out."""
    figures = []
    for name, images in (("best", _best_images(record)), ("last", 0)):
        file = record.run.validation / f"{name}.png"
        try:
            with Image.open(file, formats=["PNG"]) as sheet:
                if sheet.width * sheet.height > LARGEST:
                    continue
                content, kind = compress(sheet, QUALITIES[1])
        except Exception:  # whatever Pillow raises for a damaged file, or one that is missing
            continue
        caption = _caption(record, name, images)
        figures.append(tag("figure", image_tag(content, kind, class_="shot", alt=caption), tag("figcaption", caption)))
    return figures


def _best_images(record: Record) -> int:
    try:
        return as_count(read_config(record.run.best / "config.json").get("images"))
    except UserError:
        return 0


def _caption(record: Record, name: str, images: int) -> str:
    """`best: PSNR 31.2 after 20,000 images`, from the evaluation of that sheet."""
    lines = [e for e in record.evaluations if e.get("images") and (not images or e.get("trained_images") == images)]
    if not lines:
        return name
    line = lines[-1]
    value = line.get(str(line.get("metric")))
    number = f"{display_name(line, str(line['metric']))} {brief(float(value))} " if isinstance(value, float) else ""
    return f"{name}: {number}after {as_count(line['trained_images']):,} images"
