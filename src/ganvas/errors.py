"""Errors that end in one sentence for the user instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One sentence for the user: the thing, its value, and the way out."""


class UsageError(UserError):
    """A `UserError` about the arguments of a command or function (exit code 2)."""


class BadImage(UserError):
    """A file that cannot be used as an image; `reason` says why without naming the file."""

    def __init__(self, reason: str, name: str = ""):
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason


def printable(name: object) -> str:
    """The text of a file's name with control characters and bytes that are no text written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(name))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
