"""Standard streams that outlast their readers: a closed terminal or pipe ends no command."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

GONE = {errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET}  # the reader, or the terminal


class LastingStream:
    """A text stream; once its reader is gone, what is written is dropped."""

    def __init__(self, stream: Any, *, optional: bool):
        self.stream, self.optional = stream, optional  # optional: any failure is a reason to drop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write to the stream; raises `OSError` where it still has a reader, as on a full disk."""
        with self._unless_gone():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unless_gone():
            self.stream.flush()

    @contextlib.contextmanager
    def _unless_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            drop_output(self.stream)
            if not self.optional and problem.errno not in GONE:
                problem.filename = "the output"
                raise


def drop_output(stream: Any) -> None:
    """Send what a stream still holds, and what follows, nowhere: it would fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let stdout and stderr outlast their readers, and write what their encoding lacks as escapes."""
    for number in range(3):  # a closed one would be given to the next file that is opened
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    out, err = (open(os.devnull, "w") if s is None else s for s in before)  # noqa: SIM115 - as long as the process
    sys.stdout, sys.stderr = LastingStream(out, optional=False), LastingStream(err, optional=True)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            sys.stdout, sys.stderr = before
