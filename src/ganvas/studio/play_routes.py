"""Routes of the playground: its menus, its presets, and one WebSocket for each page that plays."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import torch
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect
from pydantic import Field, ValidationError

from ..api import UserError
from .play_film import FILM_TYPES, film, points_file, recipe_file
from .play_presets import OPENING, PRESETS
from .play_settings import Player, Settings, Strict, menus
from .playground import Moment, Playground

router = APIRouter(prefix="/api/play", tags=["play"])
LARGEST_MESSAGE = 1 << 20  # characters of a message from the page
MOST_PAGES = 64
MOST_STEPS = 1000  # of training between two frames
FRAME_SECONDS = 1 / 45  # of training between two frames, at full speed
LIVE, PAST, SCENE, MIDDLE = 0, 1, 2, 3  # kinds of frames that are sent
Result = TypeVar("Result")


def compute_alone() -> None:
    """Let the networks of this thread run in this thread alone: they are too small to be shared with others.

    A thread's number is also the one that later threads begin with, so it is set back from another.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes over its number when it first asks
    other = threading.Thread(target=torch.set_num_threads, args=(usual,))
    other.start()
    other.join()


TRAINING = ThreadPoolExecutor(1, "playground", compute_alone)  # networks of all pages take turns
FILMING = ThreadPoolExecutor(1, "film", compute_alone)  # a film that is saved takes its turns step by step
seats: set["Seat"] = set()  # pages that play now


class Film(Strict):
    """A request for a film: settings, steps and the distance of its frames."""

    settings: Settings
    steps: int = Field(2000, ge=1, le=20_000)
    frames: int = Field(60, ge=2, le=240)


@router.get("/menus")
def read_menus() -> dict[str, Any]:
    """Choices of the playground, from the catalogue, with the default settings and those that a page opens with."""
    return {"menus": menus(), "defaults": Settings().model_dump(), "opening": OPENING.model_dump()}


@router.get("/presets")
def read_presets() -> list[dict[str, Any]]:
    """Presets that teach: name, two sentences, and settings."""
    return [preset.model_dump() for preset in PRESETS]


@router.post("/recipe")
def write_recipe(settings: Settings) -> Response:
    """The settings as a recipe for `ganvas train FILE --data NAME --seed SEED`."""
    return Response(recipe_file(settings), media_type="application/json")


@router.post("/points")
def write_points(settings: Settings) -> Response:
    """The points that are learned as an .npy file for `ganvas train FILE --data points.npy`."""
    return Response(points_file(settings), media_type="application/octet-stream")


@router.post("/film/{kind}")
def write_film(kind: str, request: Film) -> Response:
    """The film of some settings as gif, mp4 or png (its last frame)."""
    if kind not in FILM_TYPES:
        raise UserError(f"A film is written as {', '.join(FILM_TYPES)}, not {kind!r}.")
    content = FILMING.submit(film, request.settings, request.steps, request.frames, kind).result()
    return Response(content, media_type=FILM_TYPES[kind])


class Parts(Strict):
    """Parts of the frame that the page shows."""

    arrows: bool = True
    heat: bool = True
    grid: bool = True


class Message(Strict):
    """A message from the page; `side` is the film it is about, 0 or 1."""

    kind: Literal[
        "start", "set", "remove", "play", "pause", "speed", "step", "slow", "seek", "branch", "parts", "drawn"
    ]
    side: Annotated[int, Field(ge=0, le=1)] = 0
    settings: Settings | None = None
    steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0  # of training for each frame; 0: as many as its time allows
    only: Player = ""
    place: Annotated[int, Field(ge=0)] = 0
    parts: Parts | None = None


class Seat:
    """One page that plays: its socket, its one or two films, and whether they run."""

    def __init__(self, socket: WebSocket):
        self.socket, self.playing, self.steps = socket, False, 0
        self.films: dict[int, Playground] = {}
        self.recorded: dict[int, dict[str, Any]] = {}
        self.parts = Parts()
        self.wake, self.drawn = asyncio.Event(), asyncio.Event()
        self.drawn.set()

    async def run(self) -> None:
        """Answer messages, and train and send frames while playing, until the page goes away."""
        reader = asyncio.create_task(self.listen())
        player = asyncio.create_task(self.play())
        try:
            await asyncio.wait({reader, player}, return_when="FIRST_COMPLETED")
        finally:
            reader.cancel()
            player.cancel()
            await asyncio.gather(reader, player, return_exceptions=True)

    async def play(self) -> None:
        """Train while the page draws the last frame, then send the next; a page that draws nothing trains no more."""
        while True:
            await self.wake.wait()
            await self.train()
            await self.drawn.wait()
            self.drawn.clear()
            for side in list(self.films):
                await self.show(side)

    async def train(self) -> None:
        """Train the first film, and the other up to its step, so that both stay comparable; not one that diverged."""
        films = [one for one in self.films.values() if not one.diverged]
        for trained in films:
            steps = self.steps if trained is films[0] else min(films[0].step - trained.step, MOST_STEPS)
            if steps > 0 or trained is films[0]:
                await in_thread(trained.train, FRAME_SECONDS / len(films), steps, self.drawn.is_set)

    async def show(self, side: int) -> None:
        """Send the frame of a film."""
        film = self.films.get(side)
        if film is None:
            return
        frame = await in_thread(draw, film, self.parts)
        await self.socket.send_bytes(bytes([side, LIVE, 0, 0]) + frame)
        record = film.describe()
        if record != self.recorded.get(side) or film.diverged or film.steered:
            self.recorded[side] = record
            settings, film.steered = film.settings.live if film.steered else None, False
            await self.send(kind="recorded", side=side, settings=settings, diverged=film.diverged, **record)

    async def begin(self, side: int, settings: Settings, steps: int) -> None:
        """Begin a film; one that begins after some steps shows its first frame until they are trained."""
        self.films[side] = await in_thread(Playground, settings)
        if steps:
            await self.send_scene(side)
            await self.show(side)
            self.films[side] = await in_thread(begin, settings, steps)

    async def send_scene(self, side: int) -> None:
        """Send what stays the same for a whole film."""
        await self.socket.send_bytes(bytes([side, SCENE, 0, 0]) + self.films[side].scene())

    async def send(self, **message: Any) -> None:
        """Send a message as JSON."""
        await self.socket.send_text(json.dumps(message))

    async def listen(self) -> None:
        """Act on one message after another; one that cannot be read, or done, is answered by a sentence."""
        while True:
            received = await self.socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text") or ""
            try:
                if len(text) > LARGEST_MESSAGE:
                    raise UserError("The message is larger than 1 MB.")
                await self.act(Message.model_validate_json(text))
            except (ValidationError, UserError) as problem:
                await self.send(kind="refused", sentence=sentence_of(problem))

    async def act(self, message: Message) -> None:
        """Do what one message asks for."""
        side = message.side
        if message.kind in ("play", "pause"):
            (self.wake.set if message.kind == "play" else self.wake.clear)()
        elif message.kind == "drawn":
            self.drawn.set()
        elif message.kind == "speed":
            self.steps = message.steps
        elif message.kind == "parts":
            self.parts = message.parts or Parts()
        elif message.kind == "remove":
            self.films.pop(side, None)
        elif message.kind == "start":
            await self.begin(side, message.settings or Settings(), message.steps)
        elif side not in self.films:
            raise UserError(f"There is no film {side}; start it first.")
        elif message.kind == "seek":
            await self.socket.send_bytes(bytes([side, PAST, 0, 0]) + self.films[side].recorded_frame(message.place))
            return
        elif message.kind == "slow":
            middle = await in_thread(self.films[side].advance_in_halves)
            await self.socket.send_bytes(bytes([side, MIDDLE, 0, 0]) + middle)
        else:
            await in_thread(change, self.films[side], message)
        if message.kind in ("start", "set"):
            await self.send_scene(side)
        if message.kind in ("start", "set", "step", "slow", "branch", "parts") and not self.wake.is_set():
            await self.show(side)


def begin(settings: Settings, steps: int) -> Playground:
    """A new film; from some steps on, with its past, if they are given."""
    film = Playground(settings)
    if steps:
        film.adopt(past(settings.model_dump_json(), steps))
    return film


@lru_cache(maxsize=16)
def past(settings: str, steps: int) -> tuple[Moment, ...]:
    """The recorded moments of a film of these settings, as JSON, up to so many steps; computed once."""
    film = Playground(Settings.model_validate_json(settings))
    film.advance(steps)
    if film.moments[-1].step != film.step:
        film.record()
    return tuple(film.moments)


def change(film: Playground, message: Message) -> None:
    """Change a film as a message asks, in the thread of the networks."""
    if message.kind == "set" and message.settings:
        film.change(message.settings)
    elif message.kind == "step":
        film.advance(max(message.steps, 1), message.only)
    elif message.kind == "branch":
        film.branch(message.place)


def draw(film: Playground, parts: Parts) -> bytes:
    """The frame of a film with the parts that the page shows."""
    return film.frame(**parts.model_dump())


async def in_thread(job: Callable[..., Result], *arguments: Any) -> Result:
    """The result of a job with networks, computed in their thread."""
    return await asyncio.get_running_loop().run_in_executor(TRAINING, job, *arguments)


def sentence_of(problem: ValidationError | UserError) -> str:
    """The sentence of an error, for a model's error the first of its fields."""
    if isinstance(problem, UserError):
        return str(problem)
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the message"
    return f"{place}: {first['msg']}."


@router.websocket("")
async def play(socket: WebSocket) -> None:
    """Play: JSON messages from the page, frames (`play_frame`, after four bytes of side and kind) to it."""
    if len(seats) >= MOST_PAGES:
        await socket.close(4429, f"{MOST_PAGES} pages play already; close one of them.")
        return
    await socket.accept()
    seat = Seat(socket)
    seats.add(seat)
    try:
        await seat.run()
    except WebSocketDisconnect:
        pass
    finally:
        seats.discard(seat)
