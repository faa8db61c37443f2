"""A person's image painted in a style by iterations; colours are kept if asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..features.gram import Perception
from ..imaging.channels import luma
from ..imaging.colour import colour_matched, luma_matched, with_luma
from ..imaging.decode import save_png, shown, to_uint8
from ..imaging.photo import Photo, open_photo
from .gatys import Painting, paint
from .translate import changed, straight

Colour = Literal["style", "luminance", "histogram"]
COLOURS = ("style", "luminance", "histogram")
Share = Callable[[float], None]


@dataclass(frozen=True)
class Styles:
    """Images of style with what each counts, and whose colours there are in the end."""

    images: Sequence[Tensor]  # (1, 3, h, w) in [-1, 1]
    shares: Sequence[float]
    colour: Colour = "style"  # `luminance`: the content's chroma; `histogram`: styles recoloured like the content first

    def beside(self, content: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A content (1, 1 or 3, H, W) and the images as they are to be looked at."""
        if self.colour == "histogram" and content.shape[1] == 3:
            return content, [colour_matched(p, content).clamp(-1, 1) for p in self.images]
        if self.colour == "luminance":
            return luma(content), [luma_matched(p, content).clamp(-1, 1) for p in self.images]
        return content, list(self.images)

    def finished(self, made: Tensor, content: Tensor) -> Tensor:
        """What was made, with the content's chroma if that is kept."""
        if self.colour != "luminance":
            return made
        return (with_luma(content, luma(made)) if content.shape[1] == 3 else luma(made)).clamp(-1, 1)


def opened(files: Sequence[Path | str], shares: str | None, colour: str) -> Styles:
    """Style images from files, `shares` as `2,1`.

    Raises `UsageError` for what cannot be, `BadImage` for a file that is no image.
    """
    if colour not in COLOURS:
        raise UsageError(f"--colour is {', '.join(COLOURS)}, not {colour!r}.{did_you_mean(colour, COLOURS)}")
    try:
        weights = [float(part) for part in shares.split(",")] if shares else [1.0] * len(files)
    except ValueError:
        weights = []
    usable = all(0 <= w < float("inf") for w in weights) and (sum(weights) > 0 or not files)
    if len(weights) != len(files) or not usable:
        raise UsageError(f"--weights is a number for each of the {len(files)} styles, such as 2,1, not {shares!r}.")
    for file in files:
        if not Path(file).is_file():
            found = "is a folder" if Path(file).is_dir() else "does not exist"
            raise UsageError(f"{shown(file)} {found}; give an image.")
    images = [straight(open_photo(file).planes(channels=3))[0] for file in files]
    return Styles(images, weights, colour)  # type: ignore[arg-type]


@dataclass
class Painter:
    """Paints images by iterations; `painter(photo, output, tell)` is what `batch.work` calls."""

    styles: Styles
    perception: Perception
    painting: Painting
    preview: Path | None = None  # a folder for images on the way
    every: int = 25  # iterations between them
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    losses: list[dict[str, float]] = field(default_factory=list)  # of every image made

    def __call__(self, photo: Photo, output: Path, tell: Share | None = None) -> Photo:
        return changed(photo, 3, lambda x: self.painted(x, tell, output.stem))

    def painted(self, content: Tensor, tell: Share | None = None, name: str = "preview") -> Tensor:
        """An image (1, 3, H, W) in [-1, 1] in the style."""
        seen, styles = self.styles.beside(content)

        def on_the_way(done: int, image: Tensor) -> None:
            if tell:
                tell(done / self.painting.iterations)
            if self.preview and done % self.every == 0:
                self._keep(image.detach().cpu(), content, f"{name}-{done:06d}.png")

        moved = [p.to(self.device) for p in styles]
        result = paint(
            seen.to(self.device), moved, self.perception, self.painting, shares=self.styles.shares, tell=on_the_way
        )
        self.losses.append({"content_loss": result.content, "style_loss": result.style, "loss": result.total})
        return self.styles.finished(result.image.cpu(), content)

    def _keep(self, image: Tensor, content: Tensor, name: str) -> None:
        """An image on the way; it is smaller than the content at first, and then has no chroma to keep."""
        assert self.preview is not None
        self.preview.mkdir(parents=True, exist_ok=True)
        whole = image.shape[2:] == content.shape[2:]
        made = self.styles.finished(image, content) if whole else image
        save_png(to_uint8(made.clamp(-1, 1))[0], self.preview / name)
