"""SIGINT and SIGTERM end a run after its step and a snapshot."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def collect_signals() -> Iterator[list[str]]:
    """Yield a list to which SIGINT and SIGTERM are added instead of ending the process; a second one ends it at once.

    Outside the main thread, where no handler can be set, the list stays empty.
    """
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
