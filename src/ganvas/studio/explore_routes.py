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

import torch
from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from pydantic import Field
from torch import Tensor

from ..api import (
    GENERATED,
    Direction,
    Model,
    UserError,
    embedded_card,
    grid,
    load,
    mixing_space,
    png_mark,
    read_photos,
    save_walk,
    sefa_names,
)
from .enhance_routes import store
from .job_routes import jobs_of
from .jobs import Job, QueueFull
from .models_routes import model_path
from .play_settings import Strict

router = APIRouter(prefix="/api/explore", tags=["explore"])
LOADED = 3  # loaded models
MOST_SEEDS = 64
DIRECTIONS = 6  # sliders
MOST_STEP = 20  # standard deviations
PROJECT_STEPS = 200
KINDS = ("gif", "mp4", "png")
MOST_PIXELS = 64 << 20  # of all frames of a film together
SMALLEST_FRAME = 64 * 64  # pixels: smaller images are enlarged
MOST_WAITING = 32  # walls that may wait for their turn
TURNS = ThreadPoolExecutor(1, "explore")  # walls of all pages take turns; no thread of the server waits for one
Result = TypeVar("Result")
waiting: set[object] = set()  # requests that wait for a wall, or have it drawn
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Shelf:
    """The models loaded last, each until its files change."""

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[str, int], Model] = OrderedDict()
        self.directions: dict[str, list[Direction]] = {}  # by the model's fingerprint
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

    def directions_of(self, model: Model) -> list[Direction]:
        """The directions of a model in the order of their names, computed once; call it under `lock`."""
        if model.fingerprint not in self.directions:
            if len(self.directions) >= LOADED:
                self.directions.pop(next(iter(self.directions)))
            rows = model.directions("sefa", count=DIRECTIONS)
            self.directions[model.fingerprint] = sorted(rows, key=lambda one: int(one.name.removeprefix("sefa")))
        return self.directions[model.fingerprint]


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

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        with shelf.lock:
            model = shelf.get(path)
            names = sefa_names(model, DIRECTIONS)
            tools: dict[str, Any] = {"directions": {"names": names, "reach": 3}} if names else {}
            return model.abilities(), {**tools, "mix": {"spaces": [*model.spaces()]}}

    kinds = [kind for kind in KINDS if kind != "mp4" or find_spec("av")]
    abilities, tools = await in_turn(read)
    photo = {"project": {"steps": PROJECT_STEPS}} if min(abilities["width"], abilities["height"]) > 1 else {}
    return {"name": name, **abilities, "tools": {"truncation": [0, 1.5], "path": kinds, **tools, **photo}}


@router.get("/directions/{name:path}")
async def list_directions(name: str, request: Request) -> list[dict[str, Any]]:
    """The directions that `moves` of a wall names: name, space, effect in levels of 255, scale."""
    path = model_path(request, name)

    def read() -> list[dict[str, Any]]:
        with shelf.lock:
            rows = shelf.directions_of(shelf.get(path))
        return [{"name": one.name, "space": one.space, "effect": one.effect, "scale": one.scale} for one in rows]

    return await in_turn(read)


@router.get("/wall/{name:path}")
async def draw_wall(
    name: str,
    request: Request,
    seeds: Annotated[str, Query(max_length=2000)] = "0-15",
    label: Annotated[str, Query(max_length=2000)] = "",
    trunc: Annotated[float, Query(ge=0, le=2)] = 1.0,
    columns: Annotated[int, Query(ge=1, le=64)] = 0,
    moves: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """One PNG of the images of some seeds, row by row; `moves` are steps along directions, as `sefa0=2.5,sefa3=-1`."""
    numbers, path, steps = read_seeds(seeds), model_path(request, name), read_moves(moves)

    def draw() -> bytes:
        with shelf.lock:
            model = shelf.get(path)
            images = draw_moved(model, numbers, label or None, trunc, steps)
        return as_png(images, columns or None)

    return Response(await in_turn(draw), media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.get("/mix/{name:path}")
async def draw_mixtures(
    name: str,
    request: Request,
    rows: Annotated[str, Query(max_length=200)] = "0-3",
    columns: Annotated[str, Query(max_length=200)] = "4-7",
    label: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """One PNG of the mixtures of seeds: rows and columns at its edges."""
    sides, path = [read_seeds(rows), read_seeds(columns)], model_path(request, name)
    if len(sides[0]) * len(sides[1]) > MOST_SEEDS:
        raise UserError(f"A table has at most {MOST_SEEDS} mixtures; give fewer seeds.")

    def draw() -> bytes:
        with shelf.lock:
            model = shelf.get(path)
            codes = [
                model.codes(seeds, space=mixing_space(model), label=model.read_label(label or None)) for seeds in sides
            ]
            table, (first, second) = model.mix(codes[0], codes[1]), (side.draw(model) for side in codes)
        lines = [torch.cat([torch.ones_like(second[:1]), second])]
        lines += [torch.cat([one[None], line]) for one, line in zip(first, table)]
        return as_png(torch.cat(lines), len(second) + 1)

    return Response(await in_turn(draw), media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.post("/project/{name:path}", status_code=202)
def project_photo(
    name: str, request: Request, image: UploadFile, steps: Annotated[int, Form(ge=1, le=2000)] = PROJECT_STEPS
) -> dict[str, Any]:
    """Start a job that finds the code of an image: its files are `projected.png` and `code.safetensors`."""
    path, jobs = model_path(request, name), jobs_of(request)
    folder = jobs.new_folder()
    photo = store(image, folder)

    def work(job: Job) -> dict[str, Any]:
        with shelf.lock:
            model = shelf.get(path)
            images, notes = read_photos(model, [photo])
            result = model.project(images, steps=steps, progress=lambda step, _: job.report(step / steps))
        (job.folder / "projected.png").write_bytes(as_png(torch.cat([images, result.images]), 2))
        result.codes.save(job.folder / "code.safetensors")
        numbers = {"psnr": result.psnr[0], "lpips": result.lpips[0], "distance": result.distance}
        return {"file": "projected.png", "code": "code.safetensors", "notes": notes, **numbers}

    return jobs.add(f"projection with {name}", work, folder).as_dict()


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
        save_walk(frames, job.folder / f"walk.{kind}", walk.fps, GENERATED)
        return {"file": f"walk.{kind}", "frames": count}

    return jobs_of(request).add(f"film of {name}", work).as_dict()


def draw_moved(model: Model, seeds: list[int], label: str | None, trunc: float, steps: dict[str, float]) -> Tensor:
    """Images of seeds, their codes moved along directions; call it under the shelf's lock."""
    chosen = model.read_label(label)
    if not any(steps.values()):
        return model.sample_seeds(seeds, label=chosen, trunc=trunc)
    known = {one.name: one for one in shelf.directions_of(model)}
    if unknown := next((name for name in steps if name not in known), None):
        raise UserError(f"There is no direction {unknown!r}; there are {', '.join(known)}.")
    pairs = [(known[name], step) for name, step in steps.items()]
    return model.edit(model.codes(seeds, space=pairs[0][0].space, label=chosen, trunc=trunc), pairs)


def read_moves(text: str) -> dict[str, float]:
    """Steps by direction from `sefa0=2.5,sefa3=-1`; raises `UserError` for anything else."""
    steps: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            steps[name] = float(number)
        except ValueError:
            steps[name] = math.nan
        if not abs(steps[name]) <= MOST_STEP:
            raise UserError(f"A move is a direction and a step as sefa0=2.5, at most {MOST_STEP}, not {part[:40]!r}.")
    return steps


def as_png(images: Tensor, columns: int | None) -> bytes:
    """A grid of images as the content of a PNG."""
    buffer = io.BytesIO()
    grid(images, columns).save(buffer, "PNG", compress_level=1, **png_mark(GENERATED))
    return buffer.getvalue()


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
