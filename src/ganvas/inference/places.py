"""Places that images are read from and results written to: folders here, or addresses such as `s3://bucket/in`."""

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ..data.remote import Store, scheme_of
from ..errors import UsageError, printable
from ..paths import as_address, is_left_behind

NO_FOLDERS = ("http", "https", "hf", "data")  # schemes of which nothing is listed, nor written


class Places:
    """The source and the output of a batch, each here or at an address.

    An image at an address is read into a temporary folder, and a result is sent from there when it is whole.
    """

    def __init__(self, source: Path = Path(), output: Path = Path()):
        self.source, self.output = open_store(source), open_store(output)
        self.scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def remote(self) -> bool:
        """True if there is an address."""
        return self.source is not None or self.output is not None

    def __enter__(self) -> Self:
        if self.remote:
            self.scratch = tempfile.TemporaryDirectory(prefix="ganvas-", ignore_cleanup_errors=True)
        return self

    def __exit__(self, *problem: object) -> None:
        if self.scratch is not None:
            self.scratch.cleanup()

    def _part(self, name: str) -> Path:
        assert self.scratch is not None
        return Path(self.scratch.name, name)

    @contextlib.contextmanager
    def reading(self, file: Path) -> Iterator[Path]:
        """The file of an image on this machine, while it is read."""
        if self.source is None:
            yield file
            return
        name = name_in(self.source, file)
        part = self._part("in") / name
        try:
            self.source.fetch_to(name, part)
            yield part
        finally:
            part.unlink(missing_ok=True)

    def part(self, file: Path) -> Path:
        """The file on this machine as which a result is written, in a folder that exists."""
        part = file if self.output is None else self._part("out") / name_in(self.output, file)
        part.parent.mkdir(parents=True, exist_ok=True)
        return part

    def finish(self, file: Path) -> None:
        """Send a result that is written."""
        if self.output is None:
            return
        name, folder = name_in(self.output, file), self._part("out")
        try:
            self.output.send([name], folder)
        finally:
            (folder / name).unlink(missing_ok=True)

    def names(self, folder: Path) -> Iterator[str]:
        """Yield the names in a folder of the output; none if there is no such folder."""
        if self.output is not None:
            inside = self.output.entries(name_in(self.output, folder))
            yield from (name.rpartition("/")[2] for name, _ in inside)
        elif folder.is_dir():
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries)

    def is_up_to_date(self, source: Path, output: Path) -> bool:
        """True if a result is there, not empty, and not older than its image."""
        written = date_of(self.output, output)
        if written is None:
            return False
        changed = date_of(self.source, source)
        return changed is not None and written >= changed

    def is_written(self, output: Path, since: float) -> bool:
        """True for a result that was written after a time."""
        written = date_of(self.output, output)
        return written is not None and written >= since


def open_store(folder: Path) -> Store | None:
    """The storage of an address; None for a path.  Raises `UsageError` for one that has no folders."""
    address = as_address(folder)
    if address is None:
        return None
    if scheme_of(address) in NO_FOLDERS:
        raise UsageError(f"{printable(address)}: {scheme_of(address)}:// has no folders of images; take a bucket.")
    return Store(address)


def name_in(store: Store, file: Path) -> str:
    """The name of a file below the address of its storage."""
    return str(as_address(file))[len(store.address) + 1 :]


def date_of(store: Store | None, file: Path) -> float | None:
    """The time at which a file was written; None if there is none, or an empty one here."""
    if store is not None:
        return store.date(name_in(store, file))
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime if facts.st_size else None


def walk_store(source: Path, output: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files at an address, a folder after the other, listed while they are asked for.

    Without what systems leave behind and the files of the output.
    """
    store = open_store(source)
    assert store is not None
    folders = [""]
    while folders:
        inner = []
        for name, is_folder in store.entries(folders.pop()):
            if is_left_behind(name.rpartition("/")[2]) or "." in name.split("/"):  # no path has such a part
                continue
            if not is_folder:
                yield source / name
            elif recursive and source / name != output:
                inner.append(name)
        folders += sorted(inner, reverse=True)


def check_addresses(source: Path, output: Path) -> None:
    """Raise `UsageError` unless both are folders, or will be; `UserError` where a storage does not answer."""
    for place in (source, output):
        store = open_store(place)
        if store is None:
            continue
        if store.is_file():
            raise UsageError(f"{printable(store.address)} is a file; an address is that of a folder of images.")
        next(store.entries(), None)
    if as_address(source) is None and not source.is_dir():
        raise UsageError(f"{printable(source)} is no folder, and an address takes the results of a folder of images.")


def time_there(output: Path) -> float:
    """The time by the clock that results are dated by, which may be another machine's.

    It is later than the date of every file that is there already: this waits for the next tick of that clock, of a
    second in a bucket.  Raises `UserError` where nothing can be written.
    """
    store = open_store(output)
    name = f".ganvas-{secrets.token_hex(4)}"

    def date() -> float:
        if store is None:
            (output / name).write_bytes(b"0")
        else:
            store.write(name, b"0")
        written = date_of(store, output / name)
        assert written is not None
        return written

    try:
        before = date()
        while (now := date()) <= before:
            time.sleep(0.001 if store is None else 0.1)
        return now
    finally:
        if store is None:
            (output / name).unlink(missing_ok=True)
        else:
            store.remove([name])
