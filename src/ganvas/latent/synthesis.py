"""A labelled folder of generated images that classifiers train from; it is resumed, and needs little memory."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UsageError, UserError
from ..files import atomic_write, explain_failure, read_json, write_json
from ..imaging.grid import is_points, split_mask, to_pil_images
from ..imaging.provenance import GENERATED, png_mark
from ..inference.places import Places
from ..models.model import Model
from ..paths import path_text
from ..run import has_mask
from .filters import Filter

MANIFEST = ".synthesis.json"  # hidden, so that the folder is data and nothing else
IMAGES, MASKS = "images", "masks"  # folders of a model that generates both
BATCH = 64
PATIENCE = 4096  # samples of a class refused in a row, after which it ends
IMAGE = re.compile(r"(\d+)\.png")


@dataclass(frozen=True)
class Part:
    """One class of a synthesis, or all of it without classes: its folder, label and number of images."""

    folder: Path
    label: int | None
    count: int
    name: str


@dataclass
class Synthesis:
    """A model, the filters of its samples, and the folder, here or at an address, that they are written to.

    The image with the number s in its name is drawn from the seed s; the classes take turns in the seeds.
    """

    model: Model
    output: Path
    filters: Sequence[Filter] = ()
    seed: int = 0
    trunc: float = 1.0
    condition: Any = None  # a label for all images, of a model whose labels are no classes
    source_type: str | None = GENERATED  # what the images say of themselves
    places: Places = field(init=False)

    def __post_init__(self) -> None:
        self.places = Places(output=self.output)

    def parts(self, count: int | None, per_class: int | None) -> list[Part]:
        """The classes with the number of images of each; `UsageError` for numbers that the model cannot meet."""
        if (count is None) == (per_class is None):
            raise UsageError("Give the number of images: --count in all, or --per-class of every class.")
        if (given := count or per_class or 0) < 1:
            raise UsageError(f"The number of images must be at least 1, got {given}.")
        names = self.model.class_names if self.model.task.conditional and self.condition is None else []
        base = self.output / IMAGES if has_mask(self.model.config) else self.output
        if not names:
            if count is None:
                raise UsageError("This model has no classes to divide images among: give --count.")
            return [Part(base, None, count, "")]
        folders, total = folder_names(names), len(names)
        counts = [per_class or given // total + (k < given % total) for k in range(total)]
        return [Part(base / f, k, n, name) for k, (f, n, name) in enumerate(zip(folders, counts, names))]

    def check(self) -> None:
        """Raise `UsageError` for a model that draws points, or nothing from seeds."""
        if is_points(self.model.sample_seeds([self.seed], label=self.condition)):
            raise UsageError("Points are not images; `ganvas sample` writes them as .npz.")

    def begin(self, settings: dict[str, Any], resume: bool) -> None:
        """Create the folder, or go on in one of these settings; raises `UsageError` for any other folder with files."""
        if before := self._manifest():
            if not resume:
                raise UsageError(
                    f"{path_text(self.output)} holds generated images; add --resume, or give a new folder."
                )
            if changed := [k for k in settings if before.get(k) != settings[k]]:
                key = changed[0]
                both = f"{key} {before.get(key)!r}, and now it is {settings[key]!r}"
                raise UsageError(f"{path_text(self.output)} was made with {both}; give a new folder.")
            return
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"{self.output} is a file; give a new folder.")
        if any(self.places.names(self.output)):
            raise UsageError(f"{path_text(self.output)} holds other files; give a new folder.")
        if self.places.output:
            return self.places.output.write(MANIFEST, json.dumps(settings).encode())
        with explain_failure(self.output):
            self.output.mkdir(parents=True, exist_ok=True)
            write_json(self.output / MANIFEST, settings)

    def _manifest(self) -> dict[str, Any]:
        """The settings of the images that are there; nothing without any."""
        if self.places.output:
            return dict(json.loads(self.places.output.read(MANIFEST) or b"{}"))
        file = self.output / MANIFEST
        return read_json(file) if file.exists() else {}

    def write_all(self, parts: Sequence[Part], progress: Callable[[int, int], None]) -> dict[str, Any]:
        """Write every class; returns the number of new images, and of samples by the filter that refused them."""
        total, complete, refused, new = sum(part.count for part in parts), 0, Counter[str](), 0

        def advance(n: int) -> None:
            nonlocal complete
            complete += n
            progress(complete, total)

        for part in parts:
            new += self.write(part, len(parts), refused, advance)
        return {"images": total, "written": new, "refused": dict(refused)}

    def write(self, part: Part, step: int, refused: Counter[str], progress: Callable[[int], None]) -> int:
        """Write the images of a class that are missing; returns their number.

        `step` is the number of classes; `refused` counts samples by the filter that refused them.
        """
        first = self.seed + (part.label or 0)
        done, last = self.written(part.folder)
        if done and (last < first or (last - first) % step):
            raise UserError(f"{path_text(part.folder)} holds the image {last}.png, which has no seed of this class.")
        progress(done)
        start, in_a_row, before = (last + step if done else first), 0, done
        while done < part.count:
            seeds = range(start, start + BATCH * step, step)
            start = seeds[-1] + step
            accepted = 0
            for seed, image in self._accepted(seeds, part.label, refused):
                if done == part.count:
                    break
                self._save(part, seed, image)
                done, accepted = done + 1, accepted + 1
            in_a_row = 0 if accepted else in_a_row + BATCH
            if in_a_row >= PATIENCE:
                raise UserError(refusal(part, in_a_row, refused))
            progress(accepted)
        return done - before

    def written(self, folder: Path) -> tuple[int, int]:
        """Number of images in the folder of a class and the largest seed among them; (0, -1) without any."""
        count, last = 0, -1
        for name in self.places.names(folder):
            if match := IMAGE.fullmatch(name):
                count, last = count + 1, max(last, int(match[1]))
        return count, last

    def _save(self, part: Part, seed: int, image: Tensor) -> None:
        """Write an image (C, H, W); of one with a mask the mask first: an interruption leaves none without."""
        layers = [(part.folder, image[None])]
        if has_mask(self.model.config):
            colours, mask = split_mask(image[None])
            masks = self.output / MASKS / part.folder.relative_to(self.output / IMAGES)
            layers = [(masks, mask), (part.folder, colours)]
        for folder, layer in layers:
            file = folder / f"{seed:08d}.png"
            with self.places as places, explain_failure(folder):
                with atomic_write(places.part(file)) as temporary:
                    to_pil_images(layer)[0].save(temporary, "PNG", **png_mark(self.source_type))
                places.finish(file)

    def _accepted(self, seeds: range, label: int | None, refused: Counter[str]) -> Iterator[tuple[int, Tensor]]:
        """The seeds of a batch that pass every filter, each with its image (C, H, W)."""
        images = self.model.sample_seeds(seeds, label=self.condition if label is None else label, trunc=self.trunc)
        numbers = list(seeds)
        for one in self.filters:
            keep = one(images, numbers, label).tolist()
            refused[one.name] += keep.count(False)
            images, numbers = (
                images[[k for k, yes in enumerate(keep) if yes]],
                [n for n, yes in zip(numbers, keep) if yes],
            )
            if not numbers:
                return
        yield from zip(numbers, images)


def refusal(part: Part, count: int, refused: Counter[str]) -> str:
    """Reason why a class cannot be completed."""
    which = f" of class {part.name}" if part.name else ""
    by = ", ".join(f"{name} {n:,}" for name, n in refused.most_common() if n)
    way_out = {"copies": "--copies", "classifier": "no --classifier", "discriminator": "a larger --keep"}
    most = refused.most_common(1)[0][0] if refused else ""
    return f"None of {count:,} samples{which} in a row was accepted (refused by: {by}); give {way_out.get(most, by)}."


def folder_names(names: Sequence[str]) -> list[str]:
    """A folder name for every class: letters, digits and a few signs are kept, numbered where two become one."""
    plain = [re.sub(r"[^\w .,+()@=-]", "_", name).strip(" .") or "class" for name in names]
    return [f"{name}_{k}" if plain.count(name) > 1 else name for k, name in enumerate(plain)]
