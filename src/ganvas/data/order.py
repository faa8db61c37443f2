"""The endless, shuffled order of a data set, by random access: it follows from the seed alone."""

from typing import Any

import numpy as np

MASK = (1 << 64) - 1
BUFFER = 1 << 14  # images of some shards that are shuffled together, where there are more
SHARDS = 0x5A4D  # added to the seed for the order of the shards


class Order:
    """Endless order of `count` items by random access: one permutation per epoch.

    Epoch e is drawn from Philox(seed, e); position p belongs to epoch p // count.  With `shards` (count,), the shard of
    each item, an epoch takes the shards in a random order, and shuffles the items of as many at a time as hold `BUFFER`
    items: only those have to be at hand.
    """

    def __init__(self, count: int, seed: int, shards: np.ndarray | None = None):
        self.count, self.seed = count, seed & MASK
        self.shards = None if shards is None or count <= BUFFER else shards
        self._epochs: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epochs": {}}

    def indices(self, start: int, count: int) -> np.ndarray:
        """Items at positions start to start + count: (count,) int64."""
        out, done = np.empty(count, np.int64), 0
        while done < count:
            epoch, offset = divmod(start + done, self.count)
            part = self._epoch(epoch)[offset : offset + count - done]
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            # sorting raw bits: unlike Generator.permutation, they are the same in every version of NumPy
            bits = np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(self.count)
            self._epochs = {e: o for e, o in self._epochs.items() if e == epoch - 1}
            windows = None if self.shards is None else self._windows(self.shards, epoch)
            self._epochs[epoch] = np.argsort(bits, kind="stable") if windows is None else np.lexsort((bits, windows))
        return self._epochs[epoch]

    def _windows(self, shards: np.ndarray, epoch: int) -> np.ndarray:
        """The number of the window of each item, (count,): shards in random order, `BUFFER` items at a time."""
        sizes = np.bincount(shards)
        bits = np.random.Philox(key=np.array([(self.seed + SHARDS) & MASK, epoch], np.uint64)).random_raw(len(sizes))
        shuffled = np.argsort(bits, kind="stable")
        windows = np.empty(len(sizes), np.int64)
        windows[shuffled] = (np.cumsum(sizes[shuffled]) - sizes[shuffled]) // BUFFER
        return windows[shards]
