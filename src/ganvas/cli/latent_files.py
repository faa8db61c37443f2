"""Files of the latent commands: projections, directions, tables of mixtures."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from ..errors import UsageError, printable
from ..files import atomic_write, explain_failure, write_json
from ..imaging.decode import save_png, to_uint8
from ..imaging.grid import grid, save_walk
from ..imaging.provenance import COMPOSITE, png_mark
from ..latent.codes import SUFFIXES
from ..latent.directions import Direction, row
from ..latent.discover import difference
from ..latent.photos import codes_of
from ..latent.project import FRAMES, Projection, ProjectOptions
from ..latent.project import project as run_projection
from ..latent.tune import folder_config, save_tuned, tune
from ..models.model import Model
from ..paths import user_path
from .console import console, print_table, say

FPS = 12  # of the film
SHEET = Path("sheet.png")  # in a folder of projections: all images below those that they stand for


@dataclass(frozen=True)
class ProjectionFiles:
    """Places of what `ganvas project` writes; raises `UsageError` for an output that cannot hold it."""

    output: Path
    film: Path | None
    tune: bool

    def __post_init__(self) -> None:
        suffix = self.output.suffix.lower()
        if suffix not in ("", ".png", *SUFFIXES):
            raise UsageError(f"--output is a folder, a .png or a file of codes (.safetensors), not {self.output.name}.")
        if self.tune and suffix:
            raise UsageError("--tune writes a model, so --output is a folder: give a name without a suffix.")
        if self.film is not None and self.film.suffix.lower() not in (".gif", ".mp4", ".png"):
            raise UsageError(f"--film is written as .gif, .mp4 or .png, not {self.film.name}.")

    @property
    def codes(self) -> Path:
        """The file of codes."""
        folder, suffix = not self.output.suffix, self.output.suffix.lower()
        if folder:
            return self.output / "codes.safetensors"
        return self.output if suffix in SUFFIXES else self.output.with_suffix(".safetensors")

    def names(self, photos: Sequence[Path]) -> list[str]:
        """The names of the photos, numbered where images of two, or one and the sheet, would become one file."""
        stems = [photo.stem for photo in photos]
        numbered = not self.output.suffix and len({*stems, SHEET.stem}) <= len(stems)
        return [f"{k:03d}_{photo.name}" if numbered else photo.name for k, photo in enumerate(photos)]

    def check_photos(self, photos: Sequence[Path]) -> None:
        """Raise `UsageError` if one of the photos would be replaced, or a folder is a file."""
        if self.output.suffix:
            images = [self.output.with_suffix(".png")]
        else:
            images = [self.output / SHEET, *(self.output / f"{Path(name).stem}.png" for name in self.names(photos))]
        written = {file.resolve() for file in (*images, *([self.film] if self.film else []))}
        for photo in photos:
            if photo.resolve() in written:
                raise UsageError(f"{printable(photo)} would be written over; give another --output.")
        for file in filter(None, (self.codes, self.film)):
            nearest = next(folder for folder in file.absolute().parents if folder.exists())
            if not nearest.is_dir():
                raise UsageError(f"{printable(nearest)} is a file and no folder; give another --output or --film.")

    def save_images(self, result: Projection, targets: Tensor) -> Path:
        """Write the images: in a folder each by its name, and a sheet of them below those that they stand for."""
        if not self.output.suffix:
            for name, image in zip(result.codes.names, to_uint8(result.images)):
                save_png(image, self.output / f"{Path(name).stem}.png")
            save_sheet(torch.cat([targets, result.images]), self.output / SHEET, len(targets))
            return self.output
        place = self.output.with_suffix(".png")
        if len(targets) == 1:
            save_png(to_uint8(result.images)[0], place)
        else:
            save_sheet(torch.cat([targets, result.images]), place, len(targets))
        return place


def save_sheet(images: Tensor, file: Path, columns: int) -> None:
    """Write a grid of images as PNG."""
    with atomic_write(file) as part:
        grid(images, columns).save(part, "PNG", **png_mark(COMPOSITE))


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yields its `update(done)`."""
    display = console()
    with Progress(console=display, transient=True, disable=not display.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def project_and_save(
    model: Model, images: Tensor, names: list[str], options: ProjectOptions, files: ProjectionFiles, tune_steps: int
) -> dict[str, Any]:
    """Project images, perhaps tune the model, write all files; returns what `--json` prints."""
    if files.tune:
        folder_config(model)  # refuses what makes no folder before it takes minutes
    frames: list[Tensor] = []
    every = max(1, options.steps // FRAMES)
    with bar("projecting", options.steps) as update:

        def progress(step: int, now: Tensor) -> None:
            update(step)
            if files.film is not None and step % every == 0 and len(frames) <= 2 * FRAMES:
                frames.append(now)

        result = run_projection(model, images, options, names=names, progress=progress)
    for file in filter(None, (files.codes, files.film)):
        with explain_failure(file):
            file.parent.mkdir(parents=True, exist_ok=True)
    extra: dict[str, Any] = {}
    if files.tune:
        model, result = tune_and_measure(model, result, images, options, tune_steps)
        save_tuned(model, result.codes, files.output / "model")
        extra = {"model": str(files.output)}
    result.codes.save(files.codes)
    place = files.save_images(result, images)
    if files.film is not None:
        save_film(frames, images, files.film)
        extra |= {"film": str(files.film)}
    return {**summary(result), "code": str(files.codes), "output": str(place), **extra}


def tune_and_measure(
    model: Model, result: Projection, images: Tensor, options: ProjectOptions, steps: int
) -> tuple[Model, Projection]:
    """The tuned model and the projection measured with it."""
    from ..latent.project import measured

    say(f"PSNR before tuning: {sum(result.psnr) / len(result.psnr):.2f} dB")
    with bar("tuning", steps) as update:
        changed, codes = tune(model, result.codes, images, steps=steps, seed=options.seed, progress=update)
    return changed, measured(changed, codes, images, codes.check(changed), options.seed)


def summary(result: Projection) -> dict[str, Any]:
    """The means of a projection and the numbers of each image, as JSON."""
    keys = ("psnr", "lpips", "random_psnr", "random_lpips")
    columns = {key: [round(v, 4) for v in getattr(result, key)] for key in keys}
    names = result.codes.names
    rows = [{"name": name, **{key: columns[key][k] for key in keys}} for k, name in enumerate(names)]
    means = {key: round(sum(column) / len(column), 4) for key, column in columns.items()}
    return {**means, "distance": result.distance, "space": result.codes.space, "images": rows}


def show_projection(result: dict[str, Any]) -> None:
    """Print the numbers of each image and their means."""
    rows = [[r["name"], f"{r['psnr']:.2f}", f"{r['lpips']:.4f}", f"{r['random_psnr']:.2f}"] for r in result["images"]]
    print_table("", ["image", "PSNR (dB)", "distance", "best of 5 random codes (dB)"], rows)
    means = f"PSNR {result['psnr']:.2f} dB, distance {result['lpips']:.4f} ({result['distance']})"
    say(f"{means}; codes in {result['code']}")


def save_film(frames: Sequence[Tensor], targets: Tensor, file: Path) -> None:
    """Write a film: the images that are approached above those of each frame; a strip (.png) has ten frames."""
    if file.suffix.lower() == ".png":
        frames = [frames[round(k)] for k in torch.linspace(0, len(frames) - 1, 10).tolist()]
    whole = [frame for frame in frames if len(frame) == len(targets)] or [frames[-1]]
    pairs = [(targets if len(f) == len(targets) else targets[: len(f)], f) for f in whole]
    save_walk([grid(torch.cat(pair), len(pair[1])) for pair in pairs], file, FPS)


def difference_of(model: Model, text: str, space: str | None) -> Direction:
    """The direction from B to A of `A,B`: files of codes, images, or folders of images."""
    places = [user_path(part.strip(), "--from") for part in text.split(",")]
    if len(places) != 2:
        raise UsageError(f"--from takes two sets as A,B, got {len(places)}.")
    sides = []
    for place in places:
        codes, notes = codes_of(model, place, space or "z")
        for note in notes:
            say(note, "yellow")
        sides.append(codes)
    return difference(model, sides[0], sides[1], name=f"{places[0].stem}-{places[1].stem}")


def save_directions(model: Model, rows: Sequence[Direction], folder: Path, seeds: range) -> list[dict[str, Any]]:
    """Write each direction as a file and an image, and a list of all; returns the list's rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    for one in rows:
        space = one.check(model)
        images = row(space, space.of_seeds(seeds), space.labels(seeds), one)
        name = "".join(c if c.isalnum() or c in "-_+." else "_" for c in one.name)
        one.save(folder / f"{name}.safetensors")
        save_sheet(images.flatten(0, 1), folder / f"{name}.png", images.shape[1])
        numbers = {"effect": round(one.effect, 4), "scale": round(one.scale, 6), "source": one.source, **one.facts}
        table.append({"name": one.name, "file": str(folder / f"{name}.safetensors"), **numbers})
    write_json(folder / "directions.json", {"space": rows[0].space, "directions": table})
    return table


def show_directions(answer: dict[str, Any]) -> None:
    """Print the list of directions."""
    rows = [[r["name"], f"{r['effect']:.2f}", f"{r['scale']:.3f}", r["source"]] for r in answer["directions"]]
    print_table("", ["direction", "effect (levels)", "scale", "source"], rows)
    say(f"{len(rows)} directions in the space {answer['space']}, in {answer['output']}")


def save_table(table: Tensor, rows: Tensor, columns: Tensor, file: Path) -> None:
    """Write a table (R, K, C, H, W) with its rows' and columns' images at the edges."""
    empty = torch.full_like(columns[:1], 1.0)
    lines = [torch.cat([empty, columns])]
    lines += [torch.cat([first[None], line]) for first, line in zip(rows, table)]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_sheet(torch.cat(lines), file, len(columns) + 1)
