"""Routes of jobs: state, events, cancel, files of the result."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, StreamingResponse

from ..api import UserError
from .jobs import Job, Jobs
from .security import inside

router = APIRouter(prefix="/api/jobs", tags=["jobs"])
ALONE = {"content-security-policy": "default-src 'none'; sandbox"}  # an upload may be a page with a script


def jobs_of(request: Request) -> Jobs:
    """The jobs of this server."""
    jobs: Jobs = request.app.state.jobs
    return jobs


@router.get("/{name}")
def read_job(name: str, request: Request) -> dict[str, Any]:
    """State of a job: waiting, running, done, failed or cancelled, its share done and its result."""
    return jobs_of(request).get(name).as_dict()


@router.get("/{name}/events")
def follow_job(name: str, request: Request) -> StreamingResponse:
    """Server-sent events: the state of a job whenever it changes, until it is over."""
    return event_stream(jobs_of(request).get(name))


@router.delete("/{name}")
def cancel_job(name: str, request: Request) -> dict[str, Any]:
    """Cancel a job; one that is over stays what it is."""
    return jobs_of(request).cancel(name).as_dict()


@router.get("/{name}/files/{file:path}")
def read_file(name: str, file: str, request: Request) -> FileResponse:
    """A file of a job's result."""
    job = jobs_of(request).get(name)
    path = inside(job.folder, file)
    if not path.is_file():
        raise UserError(f"The job has no file {file!r}.")
    return FileResponse(path, filename=path.name, content_disposition_type="inline", headers=ALONE)


def event_stream(job: Job) -> StreamingResponse:
    """A response of server-sent events that follows a job."""

    async def lines() -> AsyncIterator[str]:
        async for state in job.follow():
            yield f"data: {json.dumps(state)}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})
