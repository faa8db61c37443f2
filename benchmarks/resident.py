"""The largest anonymous resident memory of a process (Linux), for the benchmarks beside this file."""

import os
import threading
import time
from pathlib import Path


class Resident:
    """The peak of RssAnon, which is VmHWM without the pages of files, sampled in a thread from now on."""

    def __init__(self, every: float = 0.02):
        self.peak, self.every = 0, every  # KiB, seconds
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = max(self.peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
            time.sleep(self.every)

    @property
    def megabytes(self) -> int:
        return self.peak // 1024


def own_path() -> str:
    """PYTHONPATH with which a process finds this file."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
