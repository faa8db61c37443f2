"""Style images of a stylization: reading them, their weights, and the colours of the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from ..errors import UsageError, did_you_mean, printable
from ..imaging.channels import luma
from ..imaging.colour import match_colours, match_luma, with_luma
from ..imaging.photo import open_photo
from .translate import straight_planes

COLOURS = ("style", "luminance", "histogram")


@dataclass(frozen=True)
class Styles:
    """Style images with a weight each, and the colours of the result."""

    images: Sequence[Tensor]  # (1, 3, h, w) in [-1, 1]
    shares: Sequence[float]
    colour: Literal["style", "luminance", "histogram"] = "style"  # the latter two keep the content's colours

    def match_colours(self, content: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Adapt the content (1, 1 or 3, H, W) and the style images to `colour`, for the network."""
        if self.colour == "histogram" and content.shape[1] == 3:
            return content, [match_colours(p, content).clamp(-1, 1) for p in self.images]
        if self.colour == "luminance":
            return luma(content), [match_luma(p, content).clamp(-1, 1) for p in self.images]
        return content, list(self.images)

    def restore_chroma(self, result: Tensor, content: Tensor) -> Tensor:
        """Give a result the content's chroma if `colour` is `luminance`."""
        if self.colour != "luminance":
            return result
        return (with_luma(content, luma(result)) if content.shape[1] == 3 else luma(result)).clamp(-1, 1)


def read_styles(files: Sequence[Path | str], shares: str | None, colour: str) -> Styles:
    """Read style images; `shares` is text such as `2,1`.

    Raises `UsageError` for options out of range and missing files, `BadImage` for a file that is no image.
    """
    if colour not in COLOURS:
        near = did_you_mean(colour, COLOURS)
        raise UsageError(f"--colour must be one of {', '.join(COLOURS)}, got {colour!r}.{near}")
    try:
        weights = [float(part) for part in shares.split(",")] if shares else [1.0] * len(files)
    except ValueError:
        weights = []
    usable = all(0 <= w < float("inf") for w in weights) and (sum(weights) > 0 or not files)
    if len(weights) != len(files) or not usable:
        raise UsageError(f"--weights must be a number for each of the {len(files)} styles, as 2,1, got {shares!r}.")
    for file in files:
        if not Path(file).is_file():
            problem = "is a folder" if Path(file).is_dir() else "does not exist"
            raise UsageError(f"{printable(file)} {problem}; give an image.")
    images = [straight_planes(open_photo(file).planes(channels=3))[0] for file in files]
    return Styles(images, weights, colour)  # type: ignore[arg-type]


def read_mask(file: Path) -> Tensor:
    """Read a mask image as (1, 1, H, W) in [0, 1]: white is 1."""
    if not file.is_file():
        raise UsageError(f"The mask {printable(file)} does not exist.")
    return (open_photo(file).planes(channels=1).colour + 1) / 2
