"""Routes of Models: embedded, public and own weights, and the addresses by which other screens name a model."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from ..api import EMBEDDED, NAMES, PLAIN, UserError, own_models, weights
from .job_routes import jobs_of
from .jobs import Job
from .processes import UPLOADS
from .security import inside

router = APIRouter(prefix="/api/models", tags=["models"])
MOST = 500  # own models that are listed
BUILT_IN = ("digits", "photos", "ring", "grid", "gaussians", "swissroll", "line")


def place_of(request: Request) -> Any:
    """The folders of this server."""
    return request.app.state.place


@router.get("")
def read_models(request: Request) -> dict[str, Any]:
    """Models that come with the package, public weights, and those below the folders of runs and models."""
    embedded = [
        {"name": card.name, "scale": card.scale, "what": card.purpose, "commands": list(card.commands),
         "license": card.license, "masked": card.masked}
        for card in EMBEDDED.values()
    ]  # fmt: skip
    public = [
        {
            "name": file.name, "file": file.file, "bytes": file.size, "sha256": file.sha256, "address": file.address,
            "what": file.what, "here": (weights.folder() / file.file).is_file(),
        }
        for file in weights.FILES.values()
    ]  # fmt: skip
    place = place_of(request)
    own = [*own_below(place.models, "models"), *own_below(place.runs, "runs")]
    return {"embedded": embedded, "public": public, "own": own[:MOST], "folder": str(weights.folder())}


@router.post("/public/{name}", status_code=202)
def fetch(name: str, request: Request) -> dict[str, Any]:
    """Download public weights, or the rest of a part, and verify them: a job."""
    file = weights.known(name)

    def work(job: Job) -> dict[str, Any]:
        path = weights.fetch(name, lambda have, total: job.report(have / max(total, 1), bytes=have))
        return {"file": str(path), "bytes": file.size}

    return jobs_of(request).add(f"fetch {name}", work).as_dict()


def own_below(root: Path, title: str) -> list[dict[str, Any]]:
    """Models below a folder of this server: the name for the API, the kind, the size."""
    return [
        {"name": f"{title}/{own.path.relative_to(root).as_posix()}", "kind": own.kind, "bytes": own.bytes}
        for own in own_models(root, files=title == "models")
    ]


def model_path(request: Request, name: str) -> str:
    """The value of `--model` for a name of this API: embedded, bicubic, or a path below the folders of the server."""
    if name in NAMES or name == PLAIN:
        return name
    return below_roots(request, name, f"There is no model {name!r}; names are those of /api/models.")


def roots(request: Request) -> dict[str, Path]:
    """The folders that names begin with: `runs/NAME`, `models/NAME`, `data/NAME`, and uploads below the runs."""
    place = place_of(request)
    folders = {"runs": place.runs, "models": place.models, "uploads": place.runs / UPLOADS, "data": place.data}
    return {title: folder for title, folder in folders.items() if folder}


def below_roots(request: Request, name: str, problem: str) -> str:
    """The path of a name that begins with one of `roots`; raises `UserError`, with `problem` for another form."""
    title, _, rest = name.partition("/")
    folders = roots(request)
    if title not in folders or not rest:
        raise UserError(problem)
    path = inside(folders[title], rest)
    if not path.exists():
        raise UserError(f"There is no {name!r}.")
    return str(path)


def data_path(request: Request, name: str) -> str:
    """The value of `--data`, or of a side of a comparison: the name of built-in data, or a path below the folders."""
    if (plain := name.removeprefix("data/")) in BUILT_IN:
        return plain
    names = ", ".join(BUILT_IN)
    return below_roots(
        request, name, f"Data are one of {names}, or a path below the folders of the studio, not {name[:80]!r}."
    )


def list_data(request: Request) -> list[str]:
    """Names of data for the page: built-in ones, uploads, and folders and files at the top of the data folder."""
    names = [f"data/{name}" for name in BUILT_IN]
    for title in ("uploads", "data"):
        folder = roots(request).get(title)
        inside = sorted(folder.iterdir()) if folder and folder.is_dir() else []
        names += [f"{title}/{path.name}" for path in inside if not path.name.startswith(".")]
    return names[:MOST]
