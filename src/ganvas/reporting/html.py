"""HTML that cannot be broken into: whatever is not markup of ours is text, and is escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..version import __version__

# Control characters, and those that turn the direction of everything after them, are shown as what they are: damage.
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
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    return Safe(f"<{name}{said}>" if name in VOID else f"<{name}{said}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Safe:
    """Several children, one after the other."""
    return Safe("".join(_shown(child) for child in children))


def _shown(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Safe):
        return str(child)
    if isinstance(child, (list, tuple)):
        return joined(child)
    return escaped(child)


def escaped(text: object) -> str:
    """Text as it may stand in an element or in a quoted attribute."""
    return html.escape(UNSEEN.sub("\ufffd", str(text)), quote=True)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'


def image_tag(content: bytes, kind: str, **attributes: Any) -> Safe:
    """An image whose bytes stand in the page; `kind` is png or webp."""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return tag("img", src=source, **attributes)


def page(title: str, body: Safe) -> bytes:
    """A whole page as UTF-8, with its style and its script inside and leave to fetch nothing at all."""
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
