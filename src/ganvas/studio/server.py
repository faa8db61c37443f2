"""The studio's server: one application with the routes of every screen, its pages, and its errors as sentences."""

import asyncio
import contextlib
import errno
import importlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from ..api import UserError
from ..version import __version__
from . import enhance_routes, explore_routes, job_routes, judge_routes, models_routes, play_routes, runs_routes
from .jobs import Jobs, QueueFull
from .security import LOOPBACK, Guard, new_token

STATIC = Path(__file__).parent / "static"
REPORT = Path(__file__).parents[1] / "reporting"
SCREENS = ("play", "runs", "explore", "enhance", "judge", "models")
PORTS = 20  # tried, from the first on


@dataclass(frozen=True)
class Place:
    """The place of a studio: the folders that it may read, host, port, token."""

    runs: Path
    models: Path
    host: str = "127.0.0.1"
    port: int = 7860
    token: str = ""
    data: Path | None = None  # folder of data to train on and to compare with

    @property
    def address(self) -> str:
        """The address to open, with the token where one is needed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Whatever ends the server ends its jobs and removes their files."""
    yield
    await asyncio.to_thread(app.state.jobs.close)


def create_app(place: Place) -> FastAPI:
    """The application for a place, behind its guard."""
    addresses: dict[str, Any] = {"openapi_url": "/api/openapi.json", "docs_url": None, "redoc_url": None}
    app = FastAPI(title="Ganvas studio", version=__version__, lifespan=lifespan, **addresses)
    app.state.place, app.state.jobs = place, Jobs()
    for routes in (play_routes, job_routes, enhance_routes, explore_routes, judge_routes, models_routes, runs_routes):
        app.include_router(routes.router)
    app.add_exception_handler(UserError, sentence)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_route("/static/report.css", report_style, include_in_schema=False)
    app.add_route("/static/report.js", report_script, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    @app.get("/{screen}", include_in_schema=False)
    @app.get("/{screen}/{name:path}", include_in_schema=False)
    def page(screen: str = "", name: str = "") -> Any:
        if screen and screen not in SCREENS:
            return JSONResponse({"detail": f"There is no page {screen!r}."}, 404)
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    own = (place.host.lower(), f"[{place.host.lower()}]", *local_names(place.host))
    hosts = LOOPBACK if place.host in LOOPBACK else (*LOOPBACK, *own)
    app.add_middleware(Guard, hosts=hosts, token=place.token)
    return app


async def report_style(request: Request) -> Response:
    """The style of the written report, for what stands inside `.report` and nothing around it."""
    text = (REPORT / "page.css").read_text(encoding="utf-8")
    return Response(f".report {{\n{text.replace(':root', '&')}}}\n", media_type="text/css")


async def report_script(request: Request) -> Response:
    """The script of the written report: the slider over snapshots and the legends."""
    return FileResponse(REPORT / "page.js")


async def sentence(request: Request, problem: Exception) -> JSONResponse:
    """A `UserError` as JSON: its sentence, and status 400, or 429 where too many jobs wait."""
    return JSONResponse({"detail": str(problem)}, 429 if isinstance(problem, QueueFull) else 400)


async def unreadable(request: Request, problem: Exception) -> JSONResponse:
    """A request whose values do not fit: status 422 and a sentence on the first of them."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
    return JSONResponse({"detail": f"{place}: {first['msg']}."}, 422)


def local_names(host: str) -> tuple[str, ...]:
    """Names of this machine under which a page may ask, where the server listens on all addresses."""
    if host not in ("0.0.0.0", "::"):
        return ()
    name = socket.gethostname().lower()
    with contextlib.suppress(OSError):
        return (name, *socket.gethostbyname_ex(name)[2])
    return (name,)


def free_port(host: str, first: int) -> int:
    """The first free port from `first` on; raises `UserError` if none of 20 is."""
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                raise UserError(f"--port {port} needs more rights; take one from 1024 on.") from None
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise UserError(f"--host {host} is no address of this machine.") from None
                continue
            return port
    raise UserError(f"The ports {first} to {first + PORTS - 1} are taken on {host}; give another --port.")


def make_place(runs: Path, models: Path, host: str, port: int, data: Path | None = None) -> Place:
    """The place of a start: a free port, and a token unless only this machine can reach it."""
    return Place(runs, models, host, free_port(host, port), "" if host in LOOPBACK else new_token(), data)


def serve(place: Place, ready: Callable[[], None]) -> None:
    """Serve the studio until it is stopped; `ready` is called when it answers."""
    app = create_app(place)

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()
                threading.Thread(target=warm_up, daemon=True).start()

    settings = uvicorn.Config(app, host=place.host, port=place.port, log_level="warning", ws_max_size=2 << 20)
    try:
        Announced(settings).run()
    finally:  # also after a second Ctrl-C, which leaves out the end of the lifespan
        app.state.jobs.close()


def warm_up() -> None:
    """Import in the background what the first request would wait for."""
    with contextlib.suppress(Exception):
        importlib.import_module("ganvas.inference.apply")
        importlib.import_module("ganvas.models.model")
