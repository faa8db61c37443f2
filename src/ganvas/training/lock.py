"""The lock of a run folder: one process at a time trains a run."""

import contextlib
import os
import platform
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, printable
from ..files import explain_failure
from ..run import LOCK, Run

try:
    import fcntl
except ImportError:  # a system without locks of this kind
    fcntl = None  # type: ignore[assignment]

GRACE = 1.0  # seconds in which a process that is ending may release the lock


class RunLock:
    """Exclusive lock on a run folder, held until `close` or the death of the process.

    The system keeps it, on the open file `RUN/.lock`: nothing that a dead process, a copied or a moved folder or
    another host leaves behind can hold it.  The file names its holder, number and host; one that is found there by the
    next was killed, and what it left half written is removed.  Raises `UserError` if another process holds the lock.
    """

    def __init__(self, run: Run):
        self.file, self.enforced = run.path / LOCK, fcntl is not None
        self.handle: int | None = None
        with explain_failure(self.file):
            self.handle = self._acquire()
            run.tidy(_holder(self.handle)[0] if self.enforced else 0)
            os.ftruncate(self.handle, 0)
            os.write(self.handle, f"{os.getpid()} {platform.node()}\n".encode())
        _HELD.add(self)

    def _acquire(self) -> int:
        """The open file, locked."""
        deadline = time.monotonic() + GRACE
        while True:
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                if fcntl:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                number, host = _holder(handle)
                os.close(handle)
                if time.monotonic() > deadline:
                    raise self._refusal(number, host) from None
                time.sleep(0.05)
                continue
            except OSError:  # a file system without locks
                self.enforced = False
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(self.file)):
                    return handle
            os.close(handle)  # it was removed by its holder, which is ending

    def _refusal(self, number: int, host: str) -> UserError:
        if (number, host) == (os.getpid(), platform.node()):
            return UserError(f"{self.file.parent} is being trained by a session of this process; close it first.")
        holder = f"process {number} on {printable(host)}" if number else "another process"
        return UserError(
            f"{self.file.parent} is being trained by {holder}; wait for its end, stop it, or give another --outdir."
        )

    def close(self) -> None:
        """Release the lock and remove its file."""
        if self.handle is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(self.handle), os.stat(self.file)):  # another's, if the folder was moved
                    self.file.unlink()
            self.abandon()

    def abandon(self) -> None:
        """Close the file without removing it: in a forked process, which must not keep the lock of a dead parent."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    __del__ = close


def run_holder(path: str | os.PathLike[str]) -> tuple[int, str] | None:
    """Number and host of the process that trains a run now; None if none does.  (0, "") if the file names none."""
    try:
        handle = os.open(Path(path) / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        if fcntl is None:
            return _holder(handle)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(handle)
    except OSError:  # a file system without locks
        return _holder(handle)
    finally:
        os.close(handle)
    return None


def lock_folder(run: Run, closing: contextlib.ExitStack) -> None:
    """Lock the folder of a run until `closing` is closed."""
    closing.callback(RunLock(run).close)


def create_folder(run: Run, config: Mapping[str, Any], closing: contextlib.ExitStack) -> None:
    """Make the folder of a new run, lock it until `closing` is closed, and write its config."""
    lock_folder(Run.create(run.path), closing)
    run.check_new()  # another process may have begun one before the lock was taken
    run.write_config(config)


def _holder(handle: int) -> tuple[int, str]:
    """Number and host of the process that a lock file names; (0, "") if it names none."""
    os.lseek(handle, 0, os.SEEK_SET)
    number, _, host = os.read(handle, 500).decode(errors="replace").strip().partition(" ")
    return (int(number), host) if number.isdecimal() else (0, "")


_HELD: "weakref.WeakSet[RunLock]" = weakref.WeakSet()


def _abandon_all() -> None:
    for lock in _HELD:
        lock.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time do something in a folder; the others wait, where the system has locks of this kind."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
