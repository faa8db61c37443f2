"""Routes of Judge: two sides, a metric, the number and the protocol it was measured by."""

import contextlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from ..api import ImagePair, UserError, evaluate, find_metric, grid, nearest_images, record_evaluation
from ..catalog import METRICS, SOURCES
from ..describe import entry
from .job_routes import jobs_of
from .jobs import Job
from .models_routes import BUILT_IN, data_path, list_data
from .play_settings import Strict

router = APIRouter(prefix="/api/judge", tags=["judge"])
SIDES = ("held_out", "classifier")  # options that are data or a model
PLAIN_NAME = re.compile(r"[a-z0-9_]+")


class Question(Strict):
    """A metric and its sides: `data/NAME`, `uploads/NAME`, `runs/NAME` or `models/NAME`.

    B may be missing where one side is enough.
    """

    metric: Annotated[str, Field(max_length=40)]
    a: Annotated[str, Field(max_length=400)]
    b: Annotated[str, Field(max_length=400)] = ""
    options: Annotated[dict[str, str | int | float | bool], Field(default_factory=dict, max_length=20)]


@router.get("")
def read_metrics(request: Request) -> dict[str, Any]:
    """The metrics with their sentences and options, the built-in data, and names of sides."""
    metrics = []
    for name in METRICS:
        if name != "statistics":
            metrics.append(entry("metrics", name)._asdict() | {"options": sorted(find_metric(name).options)})
    data = [{"name": n, "sentence": SOURCES[n]} for n in BUILT_IN]
    return {"metrics": metrics, "data": data, "names": list_data(request)}


@router.post("", status_code=202)
def ask(question: Question, request: Request) -> dict[str, Any]:
    """Start a job that measures; its result is the number with its protocol."""
    metric = find_metric(question.metric)
    a = data_path(request, question.a)
    b = data_path(request, question.b) if question.b else None
    unknown = sorted(set(question.options) - set(metric.options))
    if unknown:
        raise UserError(
            f"{question.metric} has no option {unknown[0]!r}; it has: {', '.join(metric.options) or 'none'}."
        )

    options = question.options | {
        name: data_path(request, str(value)) for name, value in question.options.items() if name in SIDES
    }
    if "cache" in options or PLAIN_NAME.fullmatch(str(options.get("features", "pocket"))) is None:
        raise UserError("A path on this machine is no option of this page; use the command line.")

    def work(job: Job) -> dict[str, Any]:
        numbers = evaluate(question.metric, a, b, **options)
        with contextlib.suppress(UserError):  # a run of another user's
            record_evaluation(question.metric, a, b, numbers)
        return {"numbers": numbers}

    return jobs_of(request).add(f"{question.metric} of {question.b or question.a}", work).as_dict()


class Sides(Strict):
    """Two sides, and the number of pairs of nearest images to show."""

    a: Annotated[str, Field(max_length=400)]
    b: Annotated[str, Field(max_length=400)]
    count: Annotated[int, Field(ge=1, le=32)] = 8
    samples: Annotated[int, Field(ge=2, le=20_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0


@router.post("/nearest", status_code=202)
def ask_nearest(sides: Sides, request: Request) -> dict[str, Any]:
    """Start a job that finds the images of B that lie nearest to images of A, and those that lie farthest from all.

    Its result names the two files of each pair, below the files of the job.
    """
    a, b = data_path(request, sides.a), data_path(request, sides.b)

    def work(job: Job) -> dict[str, Any]:
        outcome = nearest_images(a, b, count=sides.count, samples=sides.samples, seed=sides.seed)
        tables = {"nearest": outcome.nearest, "farthest": outcome.farthest}.items()
        rows = {name: [save_pair(job, f"{name}{k}", pair) for k, pair in enumerate(pairs)] for name, pairs in tables}
        return {**rows, "median": outcome.median, "protocol": outcome.protocol}

    return jobs_of(request).add(f"nearest images of {sides.b}", work).as_dict()


def save_pair(job: Job, name: str, pair: ImagePair) -> dict[str, Any]:
    """Write the two images of a pair into the folder of a job; returns its row in the answer."""
    files = {"b_file": f"{name}-b.png", "a_file": f"{name}-a.png"}
    for file, image in zip(files.values(), (pair.sample, pair.neighbour)):
        grid(image[None]).save(job.folder / file, "PNG")
    return {**files, "b": pair.sample_index, "a": pair.neighbour_index, "distance": pair.distance}
