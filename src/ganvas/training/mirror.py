"""Mirror of a run at an address, `--outdir s3://bucket/run`: written locally, sent after every snapshot."""

import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..data.remote import Store, scheme_of
from ..errors import UsageError, UserError, printable
from ..files import explain_failure, write_bytes
from ..paths import is_left_behind
from ..run import Run
from .lock import run_holder
from .players import Group

MARK = "mirror.json"  # at the address: of the last complete mirror, written after its states
LOCAL_MARK = ".mirror"  # its copy in the local folder
HOLDER = "training.json"  # at the address: the process that writes there

try:
    import fcntl
except ImportError:  # a system without locks of this kind
    fcntl = None  # type: ignore[assignment]


class Mirror:
    """The files of a run at an address, and its folder here.

    Files are sent in an order in which a killed process leaves a run that can be continued: the states last, then
    `MARK`.  A folder here is as new as the address while it has the same mark; otherwise it is replaced.
    """

    def __init__(self, address: str, folder: Path):
        if scheme_of(address) in ("http", "https", "hf", "data"):
            raise UsageError(
                f"--outdir {printable(address)}: nothing can be written there; take a bucket, or a folder."
            )
        self.address, self.folder = address.rstrip("/"), folder
        self.store = Store(self.address)
        self.token = secrets.token_hex(8)
        self.holds = False
        self.sent: dict[str, tuple[int, int]] = {}  # (size, time) of files as they were sent
        self.problem = ""  # of the last sending
        self.notices: list[str] = []

    def fetch(self, resume: bool) -> None:
        """Bring the folder here up to date; raises `UsageError` where the address holds what may not be continued."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with open(self.folder.with_name(f"{self.folder.name}.lock"), "w") as lock:  # of processes started together
            if fcntl:
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            if holder := run_holder(self.folder):
                process = f"process {holder[0]}" if holder[0] else "another process"
                raise UserError(f"{self.address} is being trained by {process} on this machine; stop it first.")
            self._fetch(self.store.sizes(), resume)

    def _fetch(self, names: dict[str, int], resume: bool) -> None:
        names = {name: size for name, size in names.items() if name != HOLDER and not name.endswith(".part")}
        if names and "config.json" not in names:
            raise UsageError(f"{self.address} holds files that are not a run; give --outdir a new name.")
        if names and not resume:
            raise UsageError(
                f"{self.address} holds another run; add --resume to continue it, or give --outdir a new name."
                " Nothing was changed."
            )
        mark, here = self.store.read(MARK) if names else None, self._local_mark()
        if mark == here and Run(self.folder).states():  # what is here is as new, or newer
            if not resume:
                raise UsageError(
                    f"{self.folder} is this run and was not mirrored; add --resume to send it, or remove it."
                )
        elif names:
            self._replace(list(names))
        else:  # the address was emptied
            shutil.rmtree(self.folder, ignore_errors=True)

    def _local_mark(self) -> bytes | None:
        file = self.folder / LOCAL_MARK
        return file.read_bytes() if file.is_file() else None

    def _replace(self, names: list[str]) -> None:
        """Fetch the run into a new folder, which replaces the one here."""
        part = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        try:
            with explain_failure(part):
                part.mkdir()
            self.store.fetch([name for name in names if name != MARK], part)
            if MARK in names:  # after the files: one that is written meanwhile counts as older
                self.store.fetch([MARK], part)
                (part / MARK).rename(part / LOCAL_MARK)
            with explain_failure(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
                part.rename(self.folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self.sent = self._files()

    def begin(self, group: Group) -> list[str]:
        """Take the address: a process that wrote there before ends at its next snapshot.  Returns notices."""
        group.first(self._begin)
        return self._take_notices()

    def _begin(self) -> None:
        if other := self._holder():
            ago = max(0.0, time.time() - float(other.get("time") or 0))
            self.notices.append(
                f"{_name(other)} has trained {self.address}, last heard of {ago:,.0f} s ago, and did not end it;"
                " if it still runs, it ends at its next snapshot."
            )
        self.holds = True
        self._claim()

    def _claim(self) -> None:
        facts = {"token": self.token, "process": os.getpid(), "host": platform.node(), "time": round(time.time())}
        self.store.write(HOLDER, json.dumps(facts).encode())

    def _holder(self) -> dict[str, Any] | None:
        """Token, number and host of the process that writes at the address; None if none does."""
        try:
            facts = json.loads(self.store.read(HOLDER) or b"null")
        except ValueError:
            facts = {}
        return facts if isinstance(facts, dict) else None

    def send(self, group: Group) -> list[str]:
        """Send what has changed; returns notices.

        A storage that fails meanwhile is one, since the next snapshot sends everything.  Raises `UserError` if another
        process has taken the address.
        """
        group.first(self._try_to_send)
        return self._take_notices()

    def _try_to_send(self) -> None:
        if not self.holds:
            return
        try:
            other, self.problem = self._holder(), ""
            if other is None or other.get("token") == self.token:
                return self._send()
        except UserError as problem:
            self.problem = str(problem)
            self.notices.append(f"The run was not mirrored, which the next snapshot does: {problem}")
            return
        self.holds = False
        raise UserError(
            f"{self.address} was taken over by {_name(other)}; this one ends and writes nothing more there."
        )

    def _send(self) -> None:
        self._claim()
        files = self._files()
        changed = [name for name, stamp in files.items() if self.sent.get(name) != stamp]
        for name in sorted(changed, key=lambda name: (name.startswith("state/"), name)):
            self.store.send([name], self.folder)
            self.sent[name] = files[name]
        mark = json.dumps({"mirror": secrets.token_hex(8), "files": len(files)}).encode()
        self.store.write(MARK, mark)
        write_bytes(self.folder / LOCAL_MARK, mark)
        old = [name for name in self.store.sizes() if name.startswith("state/") and name not in files]
        self.store.remove(old)

    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file of the run, by name."""
        inside = [path.relative_to(self.folder) for path in self.folder.rglob("*")]
        names = [path for path in inside if not any(map(is_left_behind, path.parts))]
        facts = {path.as_posix(): (self.folder / path).stat() for path in names if (self.folder / path).is_file()}
        return {name: (fact.st_size, fact.st_mtime_ns) for name, fact in facts.items()}

    def complete(self) -> None:
        """Send what is left; raises `UserError` if that fails, with what to do."""
        self._try_to_send()
        if self.problem:
            raise UserError(
                f"The run was not mirrored: {self.problem} It is whole in {self.folder}; the same command with --resume"
                " on this machine sends it."
            )

    def close(self) -> None:
        """Give the address free for others."""
        if self.holds:
            self.holds = False
            with suppress(UserError):
                self.store.remove([HOLDER])

    def _take_notices(self) -> list[str]:
        """The sentences since the last call."""
        notices, self.notices = self.notices, []
        return notices


def _name(holder: Mapping[str, Any]) -> str:
    """`process 12 on node7`, of what a process says of itself at an address."""
    return f"process {holder.get('process')} on {printable(holder.get('host'))}"


def open_mirror(address: str | None, folder: Path, resume: bool) -> Mirror | None:
    """The mirror of a run at an address, with the folder here brought up to date; None without an address."""
    if address is None:
        return None
    mirror = Mirror(address, folder)
    mirror.fetch(resume)
    return mirror
