"""Files that appear whole or not at all: content and name are on the disk before a write returns."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import UserError, printable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)  # None: torch reports a full disk as RuntimeError


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Yield a new path in the folder of `file`; the file or folder written there becomes `file` at the end.

    On any error `file` stays as it was and nothing is left behind; an error of the disk raises `UserError`.  The name
    is short, since names have a largest length, and belongs to this call alone, so that processes may write the same
    file at once.
    """
    temporary = file.parent / f".ganvas-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with explain_failure(file):
            yield temporary
            put_in_place(temporary, file)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def put_in_place(part: Path, place: Path) -> None:
    """Rename a finished file or folder: its content is on the disk before it has its name, and the name afterwards.

    A file gets the permissions that the umask leaves; raises `OSError`, and `UserError` where a folder is in the way.
    """
    if part.is_dir():
        for inside in (*part.rglob("*"), part):
            _sync(inside)
    else:
        if place.is_dir():
            raise UserError(f"{printable(place)} is a folder, so no file can be written there; give another name.")
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # safetensors makes files that only their owner may read
        _sync(part)
    part.replace(place)
    _sync(place.parent)


@contextlib.contextmanager
def explain_failure(file: Path) -> Iterator[None]:
    """Raise `UserError` with a sentence where the system refuses to write a file."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        free = shutil.disk_usage(file.parent).free >> 20 if file.parent.exists() else 0
        number = getattr(problem, "errno", None)
        reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0]
        if free == 0 and file.parent.exists():  # torch's own words for it are about its archive
            reason = "No space left on device"
        way_out = f"; make room ({free} MB free) and run the command again, training with --resume"
        raise UserError(
            f"{printable(file)} could not be written: {reason}. What was saved before is untouched"
            f"{way_out if number in FULL else ''}."
        ) from problem


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder (where the system can), to the disk."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file atomically; raises `UserError`."""
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; raises `UserError`."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_bytes(file, text.encode(errors="backslashreplace"))  # names that are no text become escapes of JSON


@contextlib.contextmanager
def text_name(file: Path) -> Iterator[Path]:
    """Yield a path of a file that is UTF-8, for libraries that open no other: its own, or that of a link to it."""
    if not re.search("[\ud800-\udfff]", str(file)):
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "file"
        link.symlink_to(file.absolute())
        yield link


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises `UserError` if the file holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"{file} cannot be read: {problem.strerror}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{file} is not valid JSON.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} does not hold a JSON object.")
    return content
