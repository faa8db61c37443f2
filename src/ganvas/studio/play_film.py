"""Films and recipes of the playground, as files."""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..api import UserError, save_walk
from .play_frame import contrast
from .play_settings import Settings
from .playground import Playground

FILM_TYPES = {"gif": "image/gif", "mp4": "video/mp4", "png": "image/png"}
SIDE = 480  # pixels of an image
PER_SECOND = 20
REAL, FAKE = (16, 122, 87), (123, 63, 191)
LOW, MIDDLE, HIGH = np.array([222, 203, 240]), np.array([250, 250, 250]), np.array([199, 233, 213])


def film(settings: Settings, steps: int, count: int, kind: str) -> bytes:
    """The film of `steps` of training as gif or mp4, or its last image as png."""
    playground, images = Playground(settings), []
    for k in range(count):
        playground.advance(steps * (k + 1) // count - steps * k // count)
        images.append(draw(playground))
    if kind == "png":
        buffer = io.BytesIO()
        images[-1].save(buffer, "PNG")
        return buffer.getvalue()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"film.{kind}"
        save_walk(images, file, PER_SECOND)
        return file.read_bytes()


def draw(playground: Playground) -> Image.Image:
    """The image of a playground: the discriminator's map, real points and fakes, with the number of steps."""
    frame = playground.compute_frame(arrows=False, grid=False)
    assert frame.heat is not None
    share = contrast(frame.heat)[..., None] / 255
    colours = np.where(share < 0.5, LOW + (MIDDLE - LOW) * 2 * share, MIDDLE + (HIGH - MIDDLE) * (2 * share - 1))
    image = Image.fromarray(colours.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    brush = ImageDraw.Draw(image)
    for points, colour in ((playground.figures.real[: len(frame.fakes)], REAL), (frame.fakes, FAKE)):
        for x, y in (points * (1, -1) + 1) / 2 * SIDE:
            brush.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    brush.text((8, 6), f"step {playground.step:,}", fill=(40, 40, 40))
    return image


def recipe_file(settings: Settings) -> str:
    """The recipe as `ganvas train` reads it from a file: that of the settings after the film's last change."""
    now = settings.after(settings.changes)
    recipe = now.recipe()
    if now.only:
        raise UserError("A recipe needs steps of both players; give each of them at least 1.")
    return json.dumps({"recipe": recipe.to_dict()}, indent=2)


def points_file(settings: Settings) -> bytes:
    """The points that are learned, (N, 2) float32, as an .npy file that `ganvas train --data FILE` reads."""
    buffer = io.BytesIO()
    np.save(buffer, settings.dataset().images.reshape(-1, 2), allow_pickle=False)
    return buffer.getvalue()
