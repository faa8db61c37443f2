"""Checks of the studio before a route is reached: host, origin, token, size of the body."""

import hmac
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from ..api import UserError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
EVERY = frozenset(("0.0.0.0", "::"))  # to listen on all addresses
COOKIE = "ganvas_token"
LARGEST_BODY = 256 << 20  # bytes of an upload
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Refused(Exception):
    """A request that is not answered: its status and the sentence that says why."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Guard:
    """ASGI middleware that checks Host, Origin and token, bounds the body and sets the security headers.

    `hosts` are the names under which the page may be asked for; without a `token` none is needed.
    """

    def __init__(self, app: Any, *, hosts: tuple[str, ...] = LOOPBACK, token: str = "", largest: int = LARGEST_BODY):
        self.app, self.hosts, self.token, self.largest = app, hosts, token, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            self.check(scope, headers)
        except Refused as problem:
            await refuse(scope, receive, send, problem)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        answer = Answer(send, self.token)
        try:
            await self.app(scope, Body(receive, self.largest), answer)
        except Exception:  # Starlette answers defects outside of this guard, without its headers
            if not answer.started:
                await refuse(scope, receive, send, Refused(500, "The studio failed here; its terminal shows why."))
            raise

    def check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raise `Refused` for a request that another site, another name or a stranger may have made."""
        host = headers.get("host", "")
        if not self.answers_to(name_of_host(host)):
            raise Refused(421, f"This studio does not answer to the host name {host[:80]!r}.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise Refused(403, "This request comes from another site.")
        size = headers.get("content-length", "0")
        if not (size.isascii() and size.isdecimal() and len(size) < 16) or int(size) > self.largest:
            raise Refused(413, f"The request is larger than the limit of {self.largest >> 20} MB.")
        if self.token and not self.knows(scope, headers):
            raise Refused(401, "This studio needs its token: open the address that the command printed.")

    def answers_to(self, name: str) -> bool:
        """True for a name of this server; one that listens on all addresses answers to any, which no DNS can rebind."""
        if name in self.hosts:
            return True
        try:
            return not EVERY.isdisjoint(self.hosts) and bool(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            return False

    def knows(self, scope: Scope, headers: dict[str, str]) -> bool:
        """True if the request carries the token, in its cookie, its Authorization header or the address."""
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        query = dict(pair.partition("=")[::2] for pair in scope.get("query_string", b"").decode("latin-1").split("&"))
        given = [
            morsel.value if morsel else "",
            headers.get("authorization", "").removeprefix("Bearer "),
            query.get("token", ""),
        ]
        return sum(hmac.compare_digest(text.encode(), self.token.encode()) for text in given) > 0  # compares all


class Body:
    """Reads a request's body and refuses it when it grows over a limit, whatever its header says."""

    def __init__(self, receive: Receive, largest: int):
        self.receive, self.left, self.largest = receive, largest, largest

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self.receive()
        if message["type"] == "http.request":
            self.left -= len(message.get("body", b""))
            if self.left < 0:  # FastAPI passes on this kind of error alone
                raise HTTPException(413, f"The request is larger than the limit of {self.largest >> 20} MB.")
        return message


class Answer:
    """A `send` that adds the security headers to every answer, and the token as a cookie that no script can read."""

    def __init__(self, send: Send, token: str = ""):
        cookie = {"set-cookie": f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"} if token else {}
        self.send, self.headers, self.started = send, HEADERS | cookie, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            present = {k.lower() for k, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in self.headers.items() if k.encode() not in present]
            message["headers"] = [*message["headers"], *added]
        await self.send(message)


async def refuse(scope: Scope, receive: Receive, send: Send, problem: Refused) -> None:
    """Answer with a status and a sentence as JSON; a WebSocket is closed before it opens."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + problem.status, "reason": problem.sentence})
        return
    body = json.dumps({"detail": problem.sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await Answer(send)({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def name_of_host(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def new_token() -> str:
    """A token for one start of the server."""
    return secrets.token_urlsafe(24)


def inside(root: Path, name: str) -> Path:
    """The file or folder `name` below `root`; raises `UserError` for a name that leads out of it, also by a link."""
    base = root.resolve()
    if "\0" in name:
        raise UserError("A name has no zero bytes.")
    try:
        path = (base / name).resolve()
        path.exists()  # fails for a name that is too long
    except (OSError, RuntimeError):  # too long, or a loop of links
        raise UserError(f"{name[:80]!r} is no name of a file.") from None
    if path != base and base not in path.parents:
        raise UserError(f"{name[:80]!r} is not below {root}.")
    return path
