"""Routes of Judge: two sides, a metric, the number and the protocol it was measured by."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from ..api import UserError, evaluate, find_metric
from ..catalog import METRICS, SOURCES
from ..describe import entry
from .job_routes import jobs_of
from .jobs import Job
from .models_routes import below_roots
from .play_settings import Strict

router = APIRouter(prefix="/api/judge", tags=["judge"])
SIDES = ("held_out", "classifier")  # options that are data or a model
PLAIN_NAME = re.compile(r"[a-z0-9_]+")
BUILT_IN = ("digits", "photos", "ring", "grid", "gaussians", "swissroll", "line")


class Question(Strict):
    """A metric and its sides: `data/NAME`, `runs/NAME` or `models/NAME`; B may be missing where one side is enough."""

    metric: Annotated[str, Field(max_length=40)]
    a: Annotated[str, Field(max_length=400)]
    b: Annotated[str, Field(max_length=400)] = ""
    options: Annotated[dict[str, str | int | float | bool], Field(default_factory=dict, max_length=20)]


@router.get("")
def read_metrics() -> dict[str, Any]:
    """The metrics with their sentences and options, and the built-in data."""
    metrics = []
    for name in METRICS:
        if name != "statistics":
            metrics.append(entry("metrics", name)._asdict() | {"options": sorted(find_metric(name).options)})
    return {"metrics": metrics, "data": [{"name": n, "sentence": SOURCES[n]} for n in BUILT_IN]}


@router.post("", status_code=202)
def ask(question: Question, request: Request) -> dict[str, Any]:
    """Start a job that measures; its result is the number with its protocol."""
    metric = find_metric(question.metric)
    a = side(request, question.a)
    b = side(request, question.b) if question.b else None
    unknown = sorted(set(question.options) - set(metric.options))
    if unknown:
        raise UserError(
            f"{question.metric} has no option {unknown[0]!r}; it has: {', '.join(metric.options) or 'none'}."
        )

    options = question.options | {
        name: side(request, str(value)) for name, value in question.options.items() if name in SIDES
    }
    if "cache" in options or PLAIN_NAME.fullmatch(str(options.get("features", "pocket"))) is None:
        raise UserError("A path on this machine is no option of this page; use the command line.")

    def work(job: Job) -> dict[str, Any]:
        return {"numbers": evaluate(question.metric, a, b, **options)}

    return jobs_of(request).add(f"{question.metric} of {question.b or question.a}", work).as_dict()


def side(request: Request, name: str) -> str:
    """A side of a comparison: built-in data, or a folder or file below the folders of the server."""
    title, _, rest = name.partition("/")
    if title == "data" and rest in BUILT_IN:
        return rest
    return below_roots(request, name, f"A side is data/NAME, runs/NAME or models/NAME, not {name[:80]!r}.")
