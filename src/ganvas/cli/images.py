"""The commands that change images: `upscale`, `restore`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .console import Device, JsonFlag, Output, answer, console, plain, say, table

Input = Annotated[Path, typer.Option("-i", "--input", help="An image, or a folder of images.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Also the folders in the folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Leave alone what is there already.")]
Outscale = Annotated[float | None, typer.Option(help="How many times larger. (as the model)")]
Width = Annotated[int | None, typer.Option(help="Width of the result in pixels.")]
Height = Annotated[int | None, typer.Option(help="Height of the result in pixels.")]
Mask = Annotated[Path | None, typer.Option(help="Bright where holes are; a folder: one for each. (for inpaint)")]
Strength = Annotated[float, typer.Option(help="From 0, the plain image, to 1, all of the model.")]
Faithful = Annotated[str | None, typer.Option("--psnr-model", help="What --strength mixes in. (a plain enlargement)")]
Keep = Annotated[bool, typer.Option("--keep-colours", help="Broad colours and brightness stay the image's.")]
Grain = Annotated[float, typer.Option(help="Noise to add, its standard deviation in levels of 255.")]
Tile = Annotated[str, typer.Option(help="Side of the parts in pixels; auto: by memory; 0: the whole at once.")]
Overlap = Annotated[str, typer.Option(help="Largest overlap of parts that are exact, in pixels, or exact.")]
Wrap = Annotated[bool, typer.Option("--wrap", help="The image repeats, as a texture does.")]
Format = Annotated[str | None, typer.Option("--format", help="Of a folder's results: png, jpg, webp, tif. (as read)")]
Quality = Annotated[int, typer.Option(help="Of JPEG and WebP, 1 to 100.")]
Lossless = Annotated[bool, typer.Option("--lossless", help="WebP without loss.")]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
Scale = Annotated[int | None, typer.Option("--model-scale", help="The model's own, where its file does not tell.")]
Activation = Annotated[str | None, typer.Option(help="A Compact's: prelu, relu, leakyrelu. (found out)")]


def upscale(
    source: Input,
    output: Output,
    model: Annotated[str | None, typer.Option(help="A run, weight file, embedded, or bicubic. (embedded)")] = None,
    outscale: Outscale = None,
    width: Width = None,
    height: Height = None,
    strength: Strength = 1.0,
    psnr_model: Faithful = None,
    keep_colours: Keep = False,
    grain: Grain = 0.0,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    tile: Tile = "auto",
    overlap: Overlap = "64",
    wrap: Wrap = False,
    device: Device = "auto",
    precision: Precision = "auto",
    model_scale: Scale = None,
    activation: Activation = None,
    as_json: JsonFlag = False,
) -> None:
    """Larger images: one, or a folder of them; depth, colours, transparency and metadata are kept."""
    asked = dict(locals())
    from ..models.resolve import pick_embedded

    _apply(**{**asked, "verb": "upscale", "model": model or pick_embedded(outscale)})


def restore(
    source: Input,
    output: Output,
    model: Annotated[str | None, typer.Option(help="A run or a weight file.")] = None,
    mask: Mask = None,
    outscale: Outscale = None,
    width: Width = None,
    height: Height = None,
    strength: Strength = 1.0,
    psnr_model: Faithful = None,
    keep_colours: Keep = False,
    grain: Grain = 0.0,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    tile: Tile = "auto",
    overlap: Overlap = "64",
    wrap: Wrap = False,
    device: Device = "auto",
    precision: Precision = "auto",
    model_scale: Scale = None,
    activation: Activation = None,
    as_json: JsonFlag = False,
) -> None:
    """Better images of the same size: without noise, blur, haze or whatever a model was trained against."""
    asked = dict(locals())
    from ..errors import UsageError

    if model is None:
        raise UsageError("Missing --model: a run or a weight file.")
    _apply(**{**asked, "verb": "restore"})


def _apply(source: Path, output: Path, as_json: bool, **asked: Any) -> None:
    """Every image made better."""
    how = {k: asked[k] for k in ("recursive", "form", "resume", "quality", "lossless")}
    make = _filler if asked.get("mask") else _enhancer
    carry_out(source, output, lambda: make(**asked), as_json=as_json, **how)


def carry_out(
    source: Path,
    output: Path,
    make: Callable[[], tuple[Any, dict[str, Any]]],
    *,
    as_json: bool,
    recursive: bool,
    form: str | None,
    **how: Any,
) -> None:
    """Change an image or a folder of them, tell about it, and end with 1 if one failed.

    `make` gives what is to be done with each, and what the JSON answer says about that; `how` is what
    `batch.work` takes.
    """
    from ..errors import UserError
    from ..imaging.encode import check_quality
    from ..inference.batch import jobs_for, work
    from ..policy import keep_large_buffers

    keep_large_buffers(one_heap=True)
    jobs, others = jobs_for(source, output, recursive=recursive, form=form)
    check_quality(how["quality"])
    alone = not source.is_dir()
    change, about = make()
    with Shown(source, len(jobs), others) as shown:
        for outcome in work(jobs, change, **how, tell=shown.share):
            shown.outcome(outcome)
    if alone and isinstance(outcome.problem, UserError):
        raise outcome.problem
    counts = shown.counts()
    if as_json:
        answer({**about, **counts, "other_files": others, "files": [o.as_dict() for o in shown.outcomes]})
    else:
        shown.summary(output)
    raise typer.Exit(1 if counts["failed"] else 0)


def _enhancer(**asked: Any) -> tuple[Any, dict[str, Any]]:
    """What is to be done with each image, and what there is to say about the network."""
    from ..errors import UsageError
    from ..inference.enhance import Enhancer, Target
    from ..models.resolve import PLAIN, resolve
    from ..policy import Policy

    target = Target(asked["outscale"], asked["width"], asked["height"])
    if asked["model"] == PLAIN and target == Target():
        raise UsageError(f"{PLAIN} has no size of its own: give --outscale, or --width or --height.")
    policy = Policy.choose(asked["device"], asked["precision"])
    enhancer = Enhancer(
        resolve(asked["model"], scale=asked["model_scale"], activation=asked["activation"], verb=asked["verb"]),
        policy,
        base=resolve(asked["psnr_model"]) if asked["psnr_model"] else None,
        strength=asked["strength"],
        keep_colours=asked["keep_colours"],
        grain=asked["grain"],
        tile=number("--tile", asked["tile"], "auto", 0, 16),
        overlap=number("--overlap", asked["overlap"], "exact", 0, 0),
        wrap=asked["wrap"],
    )
    where = {"device": str(policy.device), "precision": policy.precision}
    about = {"model": enhancer.found.name, "scale": enhancer.scale, **where}
    return lambda photo, output, tell: enhancer.photo(photo, target, scratch=output.parent, progress=tell), about


def _filler(**asked: Any) -> tuple[Any, dict[str, Any]]:
    """The same for a network that fills holes."""
    from ..errors import UsageError
    from ..inference.inpaint import Filler
    from ..models.resolve import resolve
    from ..policy import Policy

    if asked["keep_colours"] or asked["grain"]:
        raise UsageError("--mask changes holes alone; leave --keep-colours and --grain out.")
    policy = Policy.choose(asked["device"], asked["precision"])
    filler = Filler(resolve(asked["model"], verb="restore"), policy, asked["mask"])

    def change(photo: Any, output: Path, tell: Any) -> Any:
        return filler.photo(photo, filler.hole(output.stem, photo.array.shape[:2]))

    where = {"device": str(policy.device), "precision": policy.precision}
    return change, {"model": filler.found.name, "scale": 1, **where}


def number(name: str, text: str, word: str, special: int, least: int) -> int | None:
    """A whole number of at least `least`, or `special`; None for the word.  Raises `UsageError` for anything else."""
    from ..errors import UsageError

    if text == word:
        return None
    if not text.isdecimal() or (int(text) < least and int(text) != special):
        raise UsageError(f"{name} is {word}, or a number of pixels of at least {max(least, special)}, not {text!r}.")
    return int(text)


class Shown:
    """What a person sees: a bar with the time that is left, a line for what went wrong, and what was noted."""

    def __init__(self, source: Path, total: int, others: int):
        self.console, self.source, self.total, self.others = console(), source, total, others
        self.outcomes: list[Any] = []
        self.told: set[str] = set()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Shown:
        self.bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.bar.stop()

    def share(self, job: Any, share: float) -> None:
        """So much of an image is done."""
        known = len([o for o in self.outcomes if o.job != job])
        self.bar.update(self.task, completed=known + share, description=plain(self.name(job))[-40:])

    def outcome(self, outcome: Any) -> None:
        """An image is finished, one way or the other."""
        self.outcomes.append(outcome)
        self.bar.update(self.task, completed=len(self.outcomes))
        name = plain(self.name(outcome.job))
        if outcome.status == "failed" and self.total > 1:
            self.bar.console.print(f"[red]{name}: {plain(outcome.reason)}[/]", soft_wrap=True)
        elif not self.console.is_terminal and self.total > 1:
            self.console.print(f"{len(self.outcomes)}/{self.total} {name}: {outcome.status}", soft_wrap=True)
        for note in outcome.notes:
            if note not in self.told:
                self.told.add(note)
                self.bar.console.print(f"[yellow]{name}: {plain(note)}[/]", soft_wrap=True)

    def name(self, job: Any) -> str:
        """An image as a person knows it: by its place in the folder."""
        from ..imaging.decode import shown

        return shown(job.source.relative_to(self.source) if job.source != self.source else job.source)

    def counts(self) -> dict[str, int]:
        return {s: sum(o.status == s for o in self.outcomes) for s in ("done", "skipped", "failed")}

    def summary(self, output: Path) -> None:
        """What became of all of them."""
        failed = [o for o in self.outcomes if o.status == "failed"]
        if failed:
            table("Failed", ["file", "why"], [[self.name(o.job), o.reason] for o in failed])
        said = ", ".join(f"{n} {status}" for status, n in self.counts().items() if n)
        also = f"; {self.others} other files were left alone" if self.others else ""
        say(f"{said}{also}: {plain(output)}")
