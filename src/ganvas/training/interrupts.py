"""Signals that end a training after its step, saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # SLURM sends SIGUSR1 before the time is over, if asked


class Interrupted(KeyboardInterrupt):
    """A second signal, of this `number`, while the first was being obeyed."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


@contextlib.contextmanager
def collect_signals() -> Iterator[list[str]]:
    """Yield a list to which the signals `STOPPING` are added instead of ending the process; a second one ends it.

    SIGHUP stays ignored where the process was started to ignore it (`nohup`).  Outside the main thread, where no
    handler can be set, the list stays empty.
    """
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Interrupted(number)
        received.append(signal.Signals(number).name)

    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    ignored = {n for n in numbers if signal.Signals(n).name == "SIGHUP" and signal.getsignal(n) is signal.SIG_IGN}
    before = {n: signal.signal(n, note) for n in numbers if n not in ignored}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
