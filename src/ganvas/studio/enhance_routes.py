"""Routes of Enhance: uploaded images through a model, as a job."""

import secrets
import shutil
import zipfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse

from ..api import ApplyOptions, UserError, apply, preview
from .job_routes import jobs_of
from .jobs import Job
from .models_routes import model_path
from .security import inside

router = APIRouter(prefix="/api/enhance", tags=["enhance"])
MOST_FILES = 500
PREVIEW = 2048  # pixels of the longer side of a preview
Verb = Literal["upscale", "restore", "remove", "edit-region", "translate", "stylize"]


@router.post("", status_code=202)
def start(
    request: Request,
    images: list[UploadFile],
    verb: Annotated[Verb, Form()] = "upscale",
    model: Annotated[str, Form()] = "",
    outscale: Annotated[float | None, Form(ge=1 / 64, le=16)] = None,
    strength: Annotated[float, Form(ge=0, le=1)] = 1.0,
    label: Annotated[str, Form()] = "",
    iterations: Annotated[int, Form(ge=1, le=2000)] = 300,
    form: Annotated[str, Form()] = "",
    mask: UploadFile | None = None,
    reference: UploadFile | None = None,
    paint: UploadFile | None = None,
    styles: list[UploadFile] = [],  # noqa: B006  FastAPI copies it
) -> dict[str, Any]:
    """Start a job that changes images; its files are `sources/NAME` and `results/NAME`."""
    if not 1 <= len(images) <= MOST_FILES:
        raise UserError(f"Give 1 to {MOST_FILES} images, not {len(images)}.")
    jobs = jobs_of(request)
    folder = jobs.new_folder()
    try:
        for image in images:
            store(image, folder / "sources", by_stem=True)
        options = ApplyOptions(
            model=str(model_path(request, model)) if model else None,
            outscale=outscale,
            strength=strength,
            label=label or None,
            iterations=iterations,
            form=form or None,
            mask=store(mask, folder / "mask") if mask else None,
            reference=store(reference, folder / "reference") if reference else None,
            paint=store(paint, folder / "paint") if paint else None,
            styles=tuple(store(style, folder / "styles") for style in styles),
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return jobs.add(f"{verb} {len(images)} images", partial(work, verb, options), folder).as_dict()


@router.get("/{name}/zip")
def write_zip(name: str, request: Request) -> FileResponse:
    """All results of a job in one zip."""
    job = jobs_of(request).get(name)
    results = sorted((job.folder / "results").glob("*"))
    if job.status != "done" or not results:
        raise UserError("This job has no results yet.")
    archive = job.folder / "results.zip"
    if not archive.exists():
        part = job.folder / f"{secrets.token_hex(4)}.zip"  # others may ask meanwhile
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            for path in results:
                file.write(path, path.name)
        part.rename(archive)
    return FileResponse(archive, filename="ganvas-results.zip")


@router.get("/{name}/preview/{folder}/{file}")
def draw_preview(name: str, folder: Literal["sources", "results"], file: str, request: Request) -> Response:
    """A source or a result as PNG of 8 bits, for browsers that cannot show its format."""
    path = inside(jobs_of(request).get(name).folder / folder, file)
    if not path.is_file():
        raise UserError(f"The job has no file {file!r}.")
    return Response(preview(path, PREVIEW), media_type="image/png")


def work(verb: str, options: ApplyOptions, job: Job) -> dict[str, Any]:
    """Change every source of a job into its results."""
    sources, results = job.folder / "sources", job.folder / "results"
    count = len(list(sources.iterdir()))
    done = 0.0

    def progress(part: Any, share: float) -> None:
        job.report((done + share) / count, file=part.source.name)

    outcomes: list[dict[str, Any]] = []
    problems: list[UserError] = []
    results.mkdir()
    for source in sorted(sources.iterdir()):
        job.report(done / count, file=source.name)  # named at once, before its first tile
        try:
            outcome = apply(verb, source, results, options, progress)[0]
            row = outcome.as_dict() | {"file": source.name, "output": outcome.job.output.name}
        except UserError as problem:
            problems.append(problem)
            row = {"file": source.name, "status": "failed", "reason": str(problem)}
        done += 1
        outcomes.append(row)
        job.report(done / count, files=list(outcomes))
    if len(problems) == count:  # of the options, not of an image
        raise problems[0]
    return {"files": outcomes}


def store(upload: UploadFile, folder: Path, by_stem: bool = False) -> Path:
    """Write an upload into a folder under the last part of its name, numbered if that, or its stem, is taken."""
    name = PurePosixPath((upload.filename or "").replace("\\", "/")).name.replace("\0", "").lstrip(".")
    if not name:
        raise UserError("An upload needs a file name.")
    suffix = Path(name).suffix.encode()[:20].decode(errors="ignore")
    name = Path(name).stem.encode()[:160].decode(errors="ignore") + suffix
    folder.mkdir(exist_ok=True)
    path, number = folder / name, 2
    stems = {file.stem for file in folder.iterdir()} if by_stem else set()
    while path.exists() or path.stem in stems:
        path, number = folder / f"{Path(name).stem}-{number}{Path(name).suffix}", number + 1
    with path.open("xb") as file:
        shutil.copyfileobj(upload.file, file)
    return path
