"""Images that are read and decoded when they are drawn, for data that are larger than the cache."""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import UsageError

A = TypeVar("A")
R = TypeVar("R")

LIMIT = "GANVAS_CACHE_GB"  # the variable that names the largest size of one data set in the cache
SHARE = 0.5  # of the free disk that one data set may take otherwise
READ_AHEAD = 3  # batches


class Streamed:
    """Images (N, H, W, C) like an array on the disk; `read(index)` decodes one as (H, W, C)."""

    def __init__(self, read: Callable[[int], np.ndarray], shape: tuple[int, ...], dtype: np.dtype | type):
        self.read, self.shape, self.dtype = read, shape, np.dtype(dtype)

    ndim = property(lambda self: len(self.shape))
    nbytes = property(lambda self: int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize)
    size = property(lambda self: int(np.prod(self.shape, dtype=np.int64)))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Images by an index, a slice or an array of indices; further parts of a tuple select within them."""
        if isinstance(key, tuple):
            chosen = self[key[0]]
            return chosen[key[1:]] if isinstance(key[0], (int, np.integer)) else chosen[(slice(None), *key[1:])]
        if isinstance(key, (int, np.integer)):
            return self.read(range(len(self))[key])
        indices = np.arange(len(self))[key]
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for place in np.argsort(indices, kind="stable"):  # in their order on the disk
            out[place] = self.read(int(indices[place]))
        return out


def largest_cache(folder: Path) -> int:
    """Bytes that one data set may take in the cache: $GANVAS_CACHE_GB, or half of the free disk."""
    if given := os.environ.get(LIMIT):
        try:
            return int(float(given) * 1e9)
        except ValueError:
            raise UsageError(f"{LIMIT} is a number of gigabytes, got {given!r}.") from None
    place = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    return int(SHARE * shutil.disk_usage(place).free)


def ahead(work: Callable[[A], R], items: Iterable[A]) -> Iterator[tuple[A, R]]:
    """Yield (item, work(item)) in order, computed by a thread at most `READ_AHEAD` items in advance."""
    remaining = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[tuple[A, Any]] = deque()
        try:
            while True:
                while len(waiting) < READ_AHEAD and (item := next(remaining, None)) is not None:
                    waiting.append((item, pool.submit(work, item)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
