"""Routes of Explore: images of a trained generator by seed, label and truncation, and films between them."""

import asyncio
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ..api import Model, UserError, embedded_card, grid, load, save_walk
from .job_routes import jobs_of
from .jobs import Job, QueueFull
from .models_routes import model_path
from .play_settings import Strict

router = APIRouter(prefix="/api/explore", tags=["explore"])
LOADED = 3  # loaded models
MOST_SEEDS = 64
KINDS = ("gif", "mp4", "png")
MOST_PIXELS = 64 << 20  # of all frames of a film together
SMALLEST_FRAME = 64 * 64  # pixels: smaller images are enlarged
MOST_WAITING = 32  # walls that may wait for their turn
TURNS = ThreadPoolExecutor(1, "explore")  # walls of all pages take turns; no thread of the server waits for one
Result = TypeVar("Result")
waiting: set[object] = set()  # requests that wait for a wall, or have it drawn
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Shelf:
    """The models loaded last, each until its files change."""

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[str, int], Model] = OrderedDict()
        self.lock = threading.Lock()  # also while a model computes, so that few are in memory at work

    def get(self, path: str) -> Model:
        """The model of a run or model folder, for images on the device that is fastest; call it under `lock`."""
        card = embedded_card(path)
        folder = card.locate() if card else Path(path)
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


async def in_turn(draw: Callable[[], Result]) -> Result:
    """The result of a computation with a model, in its thread; raises `QueueFull` if too many wait."""
    if len(waiting) >= MOST_WAITING:
        raise QueueFull(f"{MOST_WAITING} walls wait already; try again when some are drawn.")
    turn = object()
    waiting.add(turn)
    try:
        return await asyncio.get_running_loop().run_in_executor(TURNS, draw)
    finally:
        waiting.discard(turn)


@router.get("/abilities/{name:path}")
async def read_abilities(name: str, request: Request) -> dict[str, Any]:
    """The abilities of a generator: classes, captions, codes, the size of its images, and the tools that suit it."""
    path = model_path(request, name)

    def read() -> dict[str, Any]:
        with shelf.lock:
            return shelf.get(path).abilities()

    kinds = [kind for kind in KINDS if kind != "mp4" or find_spec("av")]
    return {"name": name, **await in_turn(read), "tools": {"truncation": [0, 1.5], "path": kinds}}


@router.get("/wall/{name:path}")
async def draw_wall(
    name: str,
    request: Request,
    seeds: Annotated[str, Query(max_length=2000)] = "0-15",
    label: Annotated[str, Query(max_length=2000)] = "",
    trunc: Annotated[float, Query(ge=0, le=2)] = 1.0,
    columns: Annotated[int, Query(ge=1, le=64)] = 0,
) -> Response:
    """One PNG of the images of some seeds, row by row."""
    numbers, path = read_seeds(seeds), model_path(request, name)

    def draw() -> bytes:
        with shelf.lock:
            model = shelf.get(path)
            images = model.sample_seeds(numbers, label=model.read_label(label or None), trunc=trunc)
        buffer = io.BytesIO()
        grid(images, columns or None).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return Response(await in_turn(draw), media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.post("/walk/{kind}/{name:path}", status_code=202)
async def draw_walk(kind: str, name: str, walk: Walk, request: Request) -> dict[str, Any]:
    """Start a job that makes a film through seeds: its file is `walk.gif`, `walk.mp4`, or `walk.png` (a strip)."""
    if kind not in KINDS:
        raise UserError(f"A film is written as {', '.join(KINDS)}, not {kind!r}.")
    path = model_path(request, name)

    def prepare() -> int:
        with shelf.lock:
            model = shelf.get(path)
            model.read_label(walk.label or None)
            able = model.abilities()
        return check_film(len(walk.seeds) * walk.steps, able["width"], able["height"])

    count = await in_turn(prepare)

    def work(job: Job) -> dict[str, Any]:
        frames = []
        for image in film(path, walk):
            frames.append(image)
            job.report(0.9 * len(frames) / count)
        save_walk(frames, job.folder / f"walk.{kind}", walk.fps)
        return {"file": f"walk.{kind}", "frames": count}

    return jobs_of(request).add(f"film of {name}", work).as_dict()


def film(path: str, walk: Walk) -> Iterator[Any]:
    """The frames of a film; between two batches of them walls may be drawn."""
    with shelf.lock:
        model = shelf.get(path)
        batches = model.walk_batches(walk.seeds, steps=walk.steps, label=model.read_label(walk.label or None))
    while True:
        with shelf.lock:
            images = next(batches, None)
        if images is None:
            return
        yield from (grid(image[None]) for image in images)


def check_film(frames: int, width: int, height: int) -> int:
    """The number of frames; raises `UserError` if all of them together have too many pixels."""
    pixels = frames * max(width * height, SMALLEST_FRAME)
    if pixels > MOST_PIXELS:
        most = math.floor(MOST_PIXELS / max(width * height, SMALLEST_FRAME))
        raise UserError(
            f"A film of {frames:,} frames of {width}x{height} pixels is too long; at this size it has at most"
            f" {most:,}: take fewer seeds, or fewer steps."
        )
    return frames


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
