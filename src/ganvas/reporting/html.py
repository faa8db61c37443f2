"""HTML in which only the markup of this package is markup: everything else is text, and escaped."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..version import __version__

# Control characters, and those that turn the direction of what follows, are replaced by the sign for damage.
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
VOID = {"meta", "img", "input", "br"}


class Safe(str):
    """Markup, as opposed to text."""

    __slots__ = ()


Child = Any  # Safe, text, a number, None, or several of these


def tag(name: str, /, *children: Child, **attributes: Any) -> Safe:
    """One element; `class_` is class, `data_run` is data-run; None and False leave an attribute out, True has no value.

    Children and values that are not `Safe` are text and escaped.
    """
    pairs = "".join(_attribute(key, value) for key, value in attributes.items())
    return Safe(f"<{name}{pairs}>" if name in VOID else f"<{name}{pairs}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Safe:
    """Markup of several children, one after the other."""
    return Safe("".join(_render(child) for child in children))


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Safe):
        return str(child)
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(child)


def escape(text: object) -> str:
    """Text escaped for an element or for a quoted attribute."""
    return html.escape(UNSEEN.sub("\ufffd", str(text)), quote=True)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def fold(title: str, *content: Safe) -> Safe:
    """Content that a click on the title opens."""
    return tag("details", tag("summary", title), *content)


def image_tag(content: bytes, kind: str, **attributes: Any) -> Safe:
    """An image with its bytes in the page; `kind` is png or webp."""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return tag("img", src=source, **attributes)


def page(title: str, body: Safe) -> bytes:
    """A whole page as UTF-8, with its style and script inside and a policy that forbids it to load anything."""
    style, script = (Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=f"{policy}; base-uri 'none'; form-action 'none'"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"ganvas {__version__}"),
        tag("title", title),
        tag("style", Safe(style)),
    )
    whole = tag("html", head, tag("body", body, tag("script", Safe(script))), lang="en")
    return f"<!doctype html>\n{whole}\n".encode()


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
