"""The private temporary folder of a server, and the removal of those that killed servers left behind."""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without locks of this kind: nothing of others is removed there
    fcntl = None  # type: ignore[assignment]

PREFIX = "ganvas-studio-files-"
YOUNG = 60.0  # seconds in which a new folder may not be locked yet


class Scratch:
    """A folder that this user alone may read; locked, so that the next server sees whether its owner lives."""

    def __init__(self) -> None:
        remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.handle = _lock(self.path)

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def remove_abandoned() -> None:
    """Remove folders of this user whose server was killed."""
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < YOUNG or folder.is_symlink():
                continue
            if (handle := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)


def _lock(folder: Path) -> int | None:
    """The open folder, locked; None if another process holds it, or the system has no such locks."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
