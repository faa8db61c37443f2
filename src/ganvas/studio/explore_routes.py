"""Routes of Explore: images of a trained generator by seed, label and truncation, and films between them."""

import io
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ..api import Model, UserError, grid, load, save_walk
from .models_routes import model_path
from .play_settings import Strict

router = APIRouter(prefix="/api/explore", tags=["explore"])
LOADED = 3  # loaded models
MOST_SEEDS = 64
TYPES = {"gif": "image/gif", "mp4": "video/mp4", "png": "image/png"}
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Shelf:
    """The models loaded last, each until its files change."""

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[str, int], Model] = OrderedDict()
        self.lock = threading.Lock()  # also while a model computes, so that few are in memory at work

    def get(self, path: str) -> Model:
        """The model of a run or model folder, for images on the device that is fastest; call it under `lock`."""
        folder = Path(path)
        if not folder.exists():
            raise UserError(f"{path} does not generate images from noise; its page is Enhance.")
        key = (path, max((f.stat().st_mtime_ns for f in folder.glob("model/*")), default=folder.stat().st_mtime_ns))
        if key not in self.models:
            model = load(path)
            if model.task.translates or not model.task.draws_images:
                raise UserError(f"{folder.name} does not generate images from noise; its page is Enhance.")
            self.models[key] = model
        self.models.move_to_end(key)
        while len(self.models) > LOADED:
            self.models.popitem(last=False)
        return self.models[key]


shelf = Shelf()


class Walk(Strict):
    """A film through seeds: steps from one to the next, and its label."""

    seeds: Annotated[list[Seed], Field(min_length=2, max_length=32)]
    steps: Annotated[int, Field(ge=2, le=120)] = 24
    label: str = ""
    fps: Annotated[int, Field(ge=1, le=60)] = 24


@router.get("/abilities/{name:path}")
def read_abilities(name: str, request: Request) -> dict[str, Any]:
    """The abilities of a generator: classes, captions, codes, truncation, and the size of its images."""
    with shelf.lock:
        model = shelf.get(model_path(request, name))
        return {"name": name, **model.abilities()}


@router.get("/wall/{name:path}")
def draw_wall(
    name: str,
    request: Request,
    seeds: Annotated[str, Query(max_length=2000)] = "0-15",
    label: Annotated[str, Query(max_length=2000)] = "",
    trunc: Annotated[float, Query(ge=0, le=2)] = 1.0,
    columns: Annotated[int, Query(ge=1, le=64)] = 0,
) -> Response:
    """One PNG of the images of some seeds, row by row."""
    numbers = read_seeds(seeds)
    with shelf.lock:
        model = shelf.get(model_path(request, name))
        images = model.sample_seeds(numbers, label=model.read_label(label or None), trunc=trunc)
    buffer = io.BytesIO()
    grid(images, columns or None).save(buffer, "PNG", compress_level=1)
    return Response(buffer.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.post("/walk/{kind}/{name:path}")
def draw_walk(kind: str, name: str, walk: Walk, request: Request) -> Response:
    """A film through seeds as gif, mp4, or png (a strip)."""
    if kind not in TYPES:
        raise UserError(f"A film is written as {', '.join(TYPES)}, not {kind!r}.")
    with shelf.lock:
        model = shelf.get(model_path(request, name))
        images = model.walk(walk.seeds, steps=walk.steps, label=model.read_label(walk.label or None))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"walk.{kind}"
        save_walk([grid(image[None]) for image in images], file, walk.fps)
        return Response(file.read_bytes(), media_type=TYPES[kind])


def read_seeds(text: str) -> list[int]:
    """Seeds from `0,3,9-12`; raises `UserError` for anything else, or for more than 64."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 19 for end in ends):
            raise UserError(f"Seeds are numbers and ranges such as 0-15 or 0,3,9-12, not {text[:40]!r}.")
        low, high = map(int, ends)
        if high < low or high - low + len(numbers) >= MOST_SEEDS:
            raise UserError(f"A wall has at most {MOST_SEEDS} seeds.")
        numbers += range(low, high + 1)
    return numbers
