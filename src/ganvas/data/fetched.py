"""Data at addresses, in the cache: whole files and folders, and tar shards one by one."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError, printable
from ..files import write_json
from ..paths import cache_root
from .remote import Store, last_part, stores_of
from .streamed import largest_cache

LISTING = "listing.json"  # of a fetched folder: its files with size and version


def fetch_source(address: str, cache: Path | None) -> tuple[Path, list[str]]:
    """The file or folder of an address in the cache, fetched where it has changed, and notes.

    Where the storage does not answer, what was fetched before is taken, with a note.  Raises `UserError`.
    """
    digest = hashlib.blake2b(address.rstrip("/").encode(errors="surrogateescape"), digest_size=8).hexdigest()
    folder = cache_root(cache) / "remote" / digest
    place, listing = folder / last_part(address), folder / LISTING
    known = json.loads(listing.read_text()) if listing.is_file() else None
    try:
        store = Store(address)
        single, files = store.versions()
    except UserError as problem:
        if known is None:
            raise
        return place, [f"{problem} What was fetched before is used."]
    if not files:
        raise UserError(f"{printable(address)} does not exist, or holds nothing.")
    facts = {"address": address.rstrip("/"), "files": files}
    if known != facts:
        _replace(store, place, folder, files, single)
        write_json(listing, facts)
    return place, []


def _replace(store: Store, place: Path, folder: Path, files: dict[str, list[Any]], single: bool) -> None:
    total, cache = sum(size for size, _ in files.values()), folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(cache).free:
        raise UserError(
            f"{printable(store.address)} holds {total / 1e9:,.1f} GB, more than is free in {cache}; name another"
            " folder in GANVAS_CACHE, or give tar shards, which are streamed."
        )
    part = cache / f".{folder.name}.{os.getpid()}-{secrets.token_hex(2)}"
    try:
        part.mkdir()
        if single:
            store.fetch_to("", part / place.name)
        else:
            store.fetch(files, part / place.name)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as problem:
        raise UserError(f"{printable(store.address)} cannot be kept in {cache}: {problem.strerror}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


class RemoteShards:
    """Tar shards at addresses: each is fetched when it is read, and the oldest are removed beyond the cache's limit."""

    def __init__(self, addresses: Sequence[str], cache: Path | None):
        self.names, self.folder = list(addresses), cache_root(cache) / "shards"
        self.limit, self.least = largest_cache(self.folder), 2
        self.versions = stores_of(self.names)
        self._stores: dict[tuple[int, int], Store] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stores": {}}

    def mark(self, shard: int) -> list[Any]:
        return [self.names[shard], *self.versions[shard]]

    def path(self, shard: int) -> Path:
        digest = hashlib.blake2b(json.dumps(self.mark(shard)).encode(), digest_size=12).hexdigest()
        file = self.folder / f"{digest}.tar"
        if not file.exists():
            self._make_room(int(self.versions[shard][0]))
            part = self.folder / f".{digest}.{os.getpid()}-{secrets.token_hex(2)}"
            try:
                self._store(shard).fetch_to("", part)
                part.rename(file)
            finally:
                part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.utime(file)
        return file

    def _store(self, shard: int) -> Store:
        key = (os.getpid(), shard)  # connections are not for forked processes
        if key not in self._stores:
            self._stores = {key: Store(self.names[shard])}
        return self._stores[key]

    def _make_room(self, size: int) -> None:
        """Remove the shards that were not read for longest, but not the last ones: `least` stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = sorted(self.folder.glob("*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = size
        for place, file in enumerate(files):
            with contextlib.suppress(OSError):
                total += file.stat().st_size
                if total > self.limit and place >= self.least - 1:
                    file.unlink()
