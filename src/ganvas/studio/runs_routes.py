"""Routes of Runs: the list, one run, starting, stopping, resuming, deleting."""

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from ..api import UserError, find_recipe, read_records
from ..catalog import RECIPES
from ..describe import describe, entry
from ..policy import pick_device
from ..recipes.presets import presets
from ..reporting import neighbours
from ..reporting.html import join
from ..reporting.page import sections
from ..training.choice import apply_preset, find_preset
from .job_routes import jobs_of
from .jobs import Job, finite
from .models_routes import below_roots, data_path, list_data, place_of, roots
from .play_settings import Strict
from .processes import UPLOADS, Runs, check_name
from .security import inside

router = APIRouter(prefix="/api/runs", tags=["runs"])
Text = Annotated[str, Field(max_length=400)]
OptionPath = Annotated[str, Field(max_length=200, pattern=r"^[\w.]+$")]
MOST_FILES = 1000  # Starlette's limit for one request
LOG_LINES = 20


class Start(Strict):
    """A run to start: its name, recipe, data and options, as `ganvas train` takes them."""

    name: Text
    recipe: Text
    data: Text
    images: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    resolution: Text = ""
    preset: Text = "paper"
    batch: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    hold_out: Annotated[int, Field(ge=0)] | None = None
    eval_images: Annotated[int, Field(ge=1)] | None = None
    heal: bool = False
    options: Annotated[dict[OptionPath, Text], Field(default_factory=dict, max_length=200)]


def runs_of(request: Request) -> Runs:
    """The runs of this server."""
    return Runs(place_of(request).runs)


@router.get("")
def read_runs(request: Request) -> dict[str, Any]:
    """Every run as a card, the newest first, and those that are starting."""
    runs = runs_of(request)
    return {"runs": [finite(runs.card(folder)) for folder in runs.folders()], "starting": runs.starting()}


@router.get("/recipes")
def read_recipes(request: Request) -> dict[str, Any]:
    """The recipes with their sentences, their presets and the one that fits this machine, and the names of data."""
    usual = "tiny" if pick_device().type == "cpu" else "paper"
    sizes = {name: list(presets(name)) for name in RECIPES}
    recipes = [
        {**entry("recipes", name)._asdict(), "presets": known, "preset": usual if usual in known else "paper"}
        for name, known in sizes.items()
    ]
    return {"recipes": recipes, "data": list_data(request)}


@router.get("/recipes/{name}")
def read_recipe(name: str, preset: Text = "paper") -> list[dict[str, Any]]:
    """Every option of a recipe with its value in a preset, type and meaning."""
    if name not in RECIPES:
        raise UserError(f"There is no recipe {name!r}.")
    recipe = find_recipe(name)
    apply_preset(recipe, find_preset(name, preset))
    return [vars(option) for option in describe(recipe)]


@router.post("", status_code=202)
def start(request: Request, wish: Start) -> dict[str, Any]:
    """Start a run in a process of its own."""
    if wish.recipe not in RECIPES:
        raise UserError(f"There is no recipe {wish.recipe!r}.")
    find_preset(wish.recipe, wish.preset)
    arguments = [wish.recipe, "--data", data_path(request, wish.data)]
    for option in ("images", "minutes", "resolution", "preset", "batch", "seed", "hold_out", "eval_images"):
        if (value := getattr(wish, option)) not in (None, ""):
            arguments.append(f"--{option.replace('_', '-')}={value}")
    arguments += ["--heal"] if wish.heal else []
    for path, value in wish.options.items():
        arguments.append(f"--set={path}={confined(request, value)}")
    runs_of(request).start(wish.name, arguments)
    return {"name": wish.name, "state": "starting"}


@router.post("/data/{name}", status_code=201)
def upload(name: str, request: Request, images: list[UploadFile]) -> dict[str, Any]:
    """Keep dropped images, or a zip of them, as data for runs; their name for a start is `uploads/NAME`."""
    from .enhance_routes import store

    check_name(name)
    if len(images) > MOST_FILES:
        raise UserError(f"Give at most {MOST_FILES:,} files at once, or a zip.")
    folder = place_of(request).runs / UPLOADS / name
    if folder.exists():
        raise UserError(f"There are data called {name} already; take another name.")
    folder.mkdir(parents=True)
    try:
        files = [store(image, folder) for image in images]
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    whole = len(files) == 1 and files[0].suffix.lower() in (".zip", ".npz", ".npy")
    return {"name": f"{UPLOADS}/{name}/{files[0].name}" if whole else f"{UPLOADS}/{name}", "files": len(files)}


@router.get("/events")
async def follow(request: Request) -> StreamingResponse:
    """Server-sent events: the list of runs, every two seconds where it changed."""
    runs = runs_of(request)

    async def lines() -> AsyncIterator[str]:
        last = ""
        end = time.monotonic() + 3600
        while time.monotonic() < end and not await request.is_disconnected():
            cards = await asyncio.to_thread(lambda: [runs.card(folder) for folder in runs.folders()])
            text = json.dumps(finite({"runs": cards, "starting": runs.starting()}))
            if text != last:
                yield f"data: {text}\n\n"
                last = text
            await asyncio.sleep(2)

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})


@router.get("/page")
def read_page(request: Request, name: Annotated[list[str], Query(min_length=1, max_length=8)]) -> dict[str, Any]:
    """The cards of one run, or of several side by side, and the sections of their report as HTML."""
    runs = runs_of(request)
    folders = [runs.path(one) for one in name]
    parts, notes, _ = sections(read_records(folders))
    return {
        "cards": [finite(runs.card(folder)) for folder in folders],
        "sections": [{"key": key, "title": title, "html": str(join([html]))} for key, title, html in parts],
        "notes": notes,
    }


@router.get("/log/{name:path}")
def read_log(name: str, request: Request) -> dict[str, Any]:
    """The end of a run's log: what its process printed last, and the last lines of `log.jsonl`."""
    runs = runs_of(request)
    folder = runs.path(name)
    return {"output": runs.output(folder), "lines": finite(read_records([folder])[0].lines[-LOG_LINES:])}


@router.post("/nearest/{name:path}", status_code=202)
def find_nearest(name: str, request: Request) -> dict[str, Any]:
    """Start a job that finds the training images nearest to samples of a run; its result is HTML, as in the report."""
    folder = runs_of(request).path(name)

    def work(job: Job) -> dict[str, Any]:
        html, problems = neighbours.section(read_records([folder]))
        return {"html": str(html), "problems": problems}

    return jobs_of(request).add(f"nearest training images of {name}", work).as_dict()


@router.post("/stop/{name:path}")
def stop(name: str, request: Request) -> dict[str, Any]:
    """Ask a run to save its state and end."""
    runs = runs_of(request)
    runs.stop(runs.path(name))
    return {"name": name, "state": "stopping"}


@router.post("/resume/{name:path}", status_code=202)
def resume(name: str, request: Request, heal: bool = False) -> dict[str, Any]:
    """Resume a run where it stood, perhaps with `--heal`."""
    runs = runs_of(request)
    runs.resume(runs.path(name), ["--heal"] if heal else [])
    return {"name": name, "state": "starting"}


@router.delete("/starting/{name:path}")
def forget(name: str, request: Request) -> dict[str, Any]:
    """Forget a start that failed."""
    runs_of(request).forget(name)
    return {"name": name, "state": "forgotten"}


@router.delete("/{name:path}")
def delete(name: str, request: Request) -> dict[str, Any]:
    """Move a run into the trash folder below the runs."""
    runs = runs_of(request)
    return {"name": name, "trash": str(runs.delete(runs.path(name)))}


@router.get("/files/{name:path}")
def read_file(name: str, file: Annotated[str, Query(max_length=400)], request: Request) -> FileResponse:
    """A sample grid, the recipe, the log or the report of a run."""
    path = inside(runs_of(request).path(name), file)
    if not path.is_file() or path.suffix not in (".png", ".json", ".jsonl", ".html", ".md", ".npz", ".safetensors"):
        raise UserError(f"The run has no file {file!r}.")
    policy = {"content-security-policy": "sandbox allow-scripts"} if path.suffix == ".html" else None  # it has its own
    return FileResponse(path, headers=policy)


def confined(request: Request, value: str) -> str:
    """The value of an option of a recipe; raises `UserError` for one that names a file outside of the folders.

    A value `data/NAME`, `runs/NAME`, `models/NAME` or `uploads/NAME` becomes the path of that file.
    """
    if value.partition("/")[0] in roots(request) and "/" in value:
        return below_roots(request, value, "")
    files = [word for word in re.split(r"[\s'\"(),=\[\]]+", value) if word and os.path.isfile(word)]
    if files or re.search(r"[/\\~\0]", value):
        raise UserError(
            f"{value[:80]!r} names a file of this machine; an option takes a file as data/NAME, runs/NAME, models/NAME"
            " or uploads/NAME."
        )
    return value
