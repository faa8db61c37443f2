"""Warnings of Pillow and messages of tifffile about damaged metadata, hushed while an image is read."""

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator

IGNORE = ("ignore", None, Warning, re.compile(r"PIL\.TiffImagePlugin"), 0)


class Quiet:
    """Inside `with quiet:`, in any number of threads, Pillow's warnings are not shown; afterwards nothing is left.

    `warnings.catch_warnings` is not for threads, and has the caller's own warnings shown again.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.filters = warnings.filters  # the list of now: the caller may exchange it meanwhile
                self.filters.insert(0, IGNORE)  # type: ignore[attr-defined]

    def __exit__(self, *problem: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.remove(IGNORE)  # type: ignore[attr-defined]


quiet = Quiet()


@contextlib.contextmanager
def quiet_log(name: str) -> Iterator[None]:
    """A context, and a decorator, in which the logger of that name is silent."""
    logger = logging.getLogger(name)
    silence = logging.Filter(name="\0")  # passes the messages of no logger
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)
