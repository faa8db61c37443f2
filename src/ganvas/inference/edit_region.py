"""Add or replace something in a region of an image: a reference, painted colours, lines for a guided network."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..imaging.blend import blend
from ..imaging.channels import luma
from ..imaging.guide import broad_colours, draw_lines, make_guide
from ..imaging.photo import Photo, Planes
from .batch import Share
from .inpaint import Inpainter
from .overlay import FITS, OPAQUE, Overlay, dark_places
from .region import Region

GREY = "it is grey, and so is what is put into it"


@dataclass(frozen=True)
class EditOptions:
    """Content of a region, and how it is put there; raises `UsageError` for nothing, or an unknown fit."""

    reference: Photo | None = None  # an image, or a cut-out of one
    paint: Photo | None = None  # colours where it is opaque
    sketch: Photo | None = None  # dark lines, which a guided network follows; as large as the image
    fit: str = "cover"  # of a reference of another size: cover or contain
    blend: bool | None = None  # along gradients; None: a reference that is opaque
    mixed: bool = False  # blend with the larger gradients of both images

    def __post_init__(self) -> None:
        if self.reference is None and self.paint is None and self.sketch is None:
            raise UsageError(
                "Missing content: --reference IMAGE, --paint IMAGE or, for a guided model, --sketch IMAGE."
            )
        if self.fit not in FITS:
            raise UsageError(f"--fit is cover or contain, got {self.fit!r}.")
        if self.mixed and self.reference is None:
            raise UsageError("--mixed blends a reference; give --reference IMAGE.")

    @property
    def blends(self) -> bool:
        """True if the reference is blended along gradients."""
        opaque = self.reference is not None and (not self.reference.alpha or self.reference.plane)
        return self.blend if self.blend is not None else self.mixed or opaque


class RegionEditor:
    """Puts a reference or painted colours into a region; pixels outside stay as they are, bit for bit.

    A guided network (`inpainter`) draws the region after them.  Without one the reference itself is laid over the
    region, blended along gradients, and what neither it nor the paint covers is filled by the inpainter.
    """

    scale = 1

    def __init__(self, region: Region, options: EditOptions, inpainter: Inpainter):
        region.check()
        self.region, self.options, self.inpainter = region, options, inpainter
        self.guided = bool(inpainter.model.network.guide)
        if options.sketch is not None and not self.guided:
            raise UsageError(
                f"{inpainter.model.name} does not follow lines; --sketch takes a --model trained on guided_holes."
            )

    @property
    def method(self) -> str:
        """The way the region is changed: by a guided network, blended, or pasted."""
        return "guided" if self.guided else "blend" if self.options.blends else "paste"

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """Change an image that will be written to `output`: `inference.batch.Change`."""
        return self.photo(photo, self.region.read(output.stem, photo.array.shape[:2]), progress)

    def photo(self, photo: Photo, region: np.ndarray, progress: Share | None = None) -> Photo:
        """Change the region (H, W) bool of an image; an image without one stays as it is."""
        if not region.any():
            return photo
        photo = self._match_colours(photo)
        channels, fit = (1 if photo.array.shape[2] < 3 else 3), self.options.fit
        reference, paint = (None if one is None else Overlay.lay(one, region, channels, fit) for one in self._images())
        work = self._draw if self.guided else self._compose
        return work(photo, region, reference, paint, progress)

    def _compose(
        self,
        photo: Photo,
        region: np.ndarray,
        reference: Overlay | None,
        paint: Overlay | None,
        progress: Share | None,
    ) -> Photo:
        """Lay the paint and the reference over the region; the inpainter fills what they do not cover."""
        filled, hole, notes = photo, region.copy(), []
        if paint is not None:
            filled = lay_over(filled, paint, region)
            hole &= ~paint.places(region.shape)
        covered = np.zeros_like(hole) if reference is None else reference.places(region.shape)
        if (hole & ~covered).any():
            filled = self.inpainter.photo(filled, hole, progress)
            notes.append(f"what is not covered was filled by {self.inpainter.model.name}")
        if reference is not None and (hole & covered).any():
            filled = lay_over(filled, reference, hole, self.options.blends, self.options.mixed)
            how = "blended along its gradients" if self.options.blends else "pasted"
            notes.append(f"no network drew it: the reference was {how}, {reference.note}")
        return replace(filled, notes=[*filled.notes, *notes])

    def _images(self) -> tuple[Photo | None, Photo | None]:
        return self.options.reference, self.options.paint

    def _match_colours(self, photo: Photo) -> Photo:
        """The image, ready for the colours of what is put into it; a grey file stays grey, with a note."""
        if not photo.neutral or all(one is None or one.neutral for one in self._images()):
            return photo
        return photo.in_colour() if photo.array.shape[2] > 2 else replace(photo, notes=[*photo.notes, GREY])

    def _draw(
        self,
        photo: Photo,
        region: np.ndarray,
        reference: Overlay | None,
        paint: Overlay | None,
        progress: Share | None,
    ) -> Photo:
        """Draw the region by the guided network; with `blend` its edge is blended along gradients."""
        sketch = None if self.options.sketch is None else dark_places(self.options.sketch, region.shape)
        result = self.inpainter.photo(photo, region, progress, Content(reference, paint, sketch).guide)
        if not self.options.blend:
            return result
        rows, columns = _box_around(region)
        below, above, inside = photo.planes(rows, columns), result.planes(rows, columns), region[rows, columns]
        return _write(photo, rows, columns, _blend(below, above.colour, inside), inside)


@dataclass(frozen=True)
class Content:
    """Content of a region, as the guide of a network."""

    reference: Overlay | None
    paint: Overlay | None
    sketch: np.ndarray | None  # (H, W) bool, true on lines; None: those of the reference

    def guide(self, rows: slice, columns: slice, channels: int) -> Tensor:
        """Painted colours and lines in a part of the image: `inference.inpaint.Guide`."""
        size = rows.stop - rows.start, columns.stop - columns.start
        colours, painted, lines = torch.zeros(1, channels, *size), torch.zeros(1, 1, *size), torch.zeros(1, 1, *size)
        for one in (self.reference, self.paint):
            if one is not None:
                colour, alpha, known = one.window(rows, columns)
                colour, here = _with_channels(colour, channels), (alpha >= OPAQUE).float()
                colours = torch.where(here > 0, broad_colours(colour, here), colours)
                painted = torch.maximum(painted, here)
                if one is self.reference and self.sketch is None:
                    edges = draw_lines((luma(colour)[0, 0].numpy() + 1) / 2, known)
                    lines = torch.from_numpy(edges) * here
        if self.sketch is not None:
            lines = torch.from_numpy(self.sketch[rows, columns])[None, None].float()
        return make_guide(colours, painted, lines)


def _with_channels(colour: Tensor, channels: int) -> Tensor:
    return luma(colour) if channels == 1 else colour.expand(-1, channels, -1, -1)


def lay_over(photo: Photo, overlay: Overlay, region: np.ndarray, blended: bool = False, mixed: bool = False) -> Photo:
    """Lay an overlay over the region of an image: by its alpha, or blended along gradients where it is opaque."""
    rows, columns = _box_around(region)
    planes = photo.planes(rows, columns)
    colour, alpha, known = overlay.window(rows, columns)
    if planes.alpha is not None and not planes.plane:
        colour = (colour + 1) / 2 * (planes.alpha + 1) - 1  # multiplied by the image's alpha, as its own colours are
    share = alpha * torch.from_numpy(region[rows, columns])
    if not blended:
        return _write(photo, rows, columns, torch.lerp(planes.colour, colour, share), share[0, 0].numpy() > 0)
    opaque = share[0, 0].numpy() >= OPAQUE
    return _write(photo, rows, columns, _blend(planes, colour, opaque, mixed, known), opaque)


def _box_around(region: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a region (H, W) bool and of a pixel around it."""
    at = [np.flatnonzero(region.any(axis)) for axis in (1, 0)]
    rows, columns = (slice(max(int(k[0]) - 1, 0), min(int(k[-1]) + 2, n)) for k, n in zip(at, region.shape))
    return rows, columns


def _blend(
    planes: Planes, colour: Tensor, region: np.ndarray, mixed: bool = False, known: np.ndarray | None = None
) -> Tensor:
    result = blend(planes.colour[0].numpy(), colour[0].numpy(), region, mixed=mixed, extent=known)
    return torch.from_numpy(result)[None].float()


def _write(photo: Photo, rows: slice, columns: slice, colour: Tensor, places: np.ndarray) -> Photo:
    """Copy of an image with colours (1, C, h, w) in some places of its rows and columns."""
    planes, array = photo.planes(rows, columns), photo.array.copy()
    pixels = photo.pixels(Planes(colour.clamp(-1, 1), planes.alpha, planes.plane))
    array[rows, columns][places] = pixels[places]
    return photo.with_array(array)
