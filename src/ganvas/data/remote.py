"""Files at addresses (s3://, gs://, https://, whatever fsspec reads), by their names below one of them."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UsageError, UserError, printable

T = TypeVar("T")

OBJECTS = {"s3", "gs", "gcs", "abfs", "az", "oss", "oci", "memory"}  # storage of whole objects
SECONDS = 10.0  # within which an address has to answer for the first time
S3_OPTIONS = {"connect_timeout": 3, "read_timeout": 60, "retries": {"max_attempts": 2}}
NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "TokenRetrievalError"}
SILENT = {"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionClosedError"}
SILENT |= {"FSTimeoutError", "ClientConnectorDNSError", "gaierror"}


class NoAnswer(UserError):
    """A storage that does not answer, or not to these credentials: what comes next will not be answered either."""


def open_system(address: str) -> tuple[Any, str]:
    """The file system of an address, by fsspec, and the path in it; raises `UserError` without the package it needs."""
    import fsspec

    scheme = address.partition("://")[0]
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        options["config_kwargs"] = S3_OPTIONS
    if scheme in ("http", "https"):
        options["client_kwargs"] = {"timeout": _http_times()}
    try:
        system, path = fsspec.core.url_to_fs(address, **options)
    except ImportError:
        extra = "'ganvas[remote]'" if scheme in ("s3", "s3a", "http", "https") else _package(scheme)
        raise UserError(f"{scheme}:// needs a package that is not installed: pip install {extra}.") from None
    except ValueError:
        raise UsageError(f"{printable(address)}: {scheme}:// is no kind of address that fsspec knows.") from None
    return system, str(path).rstrip("/")


def _http_times() -> Any:
    """Time limits of a download: to connect and to wait for bytes, none for the whole."""
    try:
        import aiohttp
    except ImportError:
        return None
    return aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)


def _package(scheme: str) -> str:
    from fsspec.registry import known_implementations

    module = str(known_implementations.get(scheme, {}).get("class", scheme))
    return module.partition(".")[0]


@contextlib.contextmanager
def explain_remote(address: str) -> Iterator[None]:
    """Raise `UserError` with a sentence where an address cannot be read or written."""
    try:
        yield
    except UserError:
        raise
    except Exception as problem:  # of any file system, and of the libraries below it
        raise _failure(printable(address), problem) from problem


def _failure(address: str, problem: BaseException) -> UserError:
    """The error with a sentence on what a storage answered, or that it did not."""
    chain: list[BaseException] = []
    link: BaseException | None = problem
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    names = {type(link).__name__ for link in chain}
    if names & NO_CREDENTIALS:
        way_out = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in as the tools of that storage ask"
        return NoAnswer(f"{address} cannot be opened: credentials are missing; {way_out}.")
    if names & SILENT or any(isinstance(link, TimeoutError) for link in chain):
        way_out = "look at the connection, the name, and AWS_ENDPOINT_URL where the storage is not Amazon's"
        return NoAnswer(f"{address} does not answer; {way_out}.")
    if isinstance(problem, PermissionError):
        return UserError(f"{address} cannot be opened: these credentials are not allowed to.")
    if isinstance(problem, FileNotFoundError):
        return UserError(f"{address} does not exist; make the bucket, or write its name as it is.")
    lines = str(problem).strip().splitlines()
    return UserError(f"{address} failed: {(lines[0] if lines else type(problem).__name__).rstrip('.')}.")


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or `TimeoutError` after so many seconds; then its thread is left alone."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as problem:  # raised in the caller's thread
            failures.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError
    return results[0]


class Store:
    """Files below an address, by their names relative to it, with forward slashes.

    Raises `UserError` with a sentence for everything that a storage may answer, or not.
    """

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        with explain_remote(self.address):
            self.system, self.root = within(SECONDS, lambda: open_system(self.address))

    def sizes(self) -> dict[str, int]:
        """Size in bytes of every file, by name; names that lead out of a folder are left out."""
        with explain_remote(self.address):
            listed = within(6 * SECONDS, self._find)
        names = {path[len(self.root) :].strip("/"): facts for path, facts in listed.items()}
        return {name: int(facts.get("size") or 0) for name, facts in sorted(names.items()) if is_inside(name)}

    def _find(self) -> dict[str, Any]:
        try:
            listed: dict[str, Any] = self.system.find(self.root, detail=True)
        except FileNotFoundError:
            if self.root.strip("/").count("/"):  # a folder that nothing lies in
                self.system.ls(self.root.strip("/").partition("/")[0])
            return {}
        return listed

    def path(self, name: str) -> str:
        """The path of a file in its file system."""
        return f"{self.root}/{name}"

    def entries(self, folder: str = "") -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder, sorted, each with whether it is a folder; S3 lists them a page at a time.

        Names that lead out of a folder are left out.
        """
        path = self.path(folder) if folder else self.root
        pages = self._s3_pages(path) if hasattr(self.system, "call_s3") else iter([self._children(path)])
        while True:
            with explain_remote(self.address):
                page = within(6 * SECONDS, lambda: next(pages, None))
            if page is None:
                return
            names = ((path[len(self.root) + 1 :], is_folder) for path, is_folder in page)
            yield from sorted(entry for entry in names if is_inside(entry[0]))

    def _children(self, path: str) -> list[tuple[str, bool]]:
        try:
            listed = self.system.ls(path, detail=True)
            return [(facts["name"].rstrip("/"), facts["type"] == "directory") for facts in listed]
        except FileNotFoundError:
            self._find()  # raises where there is no bucket
            return []

    def _s3_pages(self, path: str) -> Iterator[list[tuple[str, bool]]]:
        """The names below a path, a thousand at a time: fsspec would first list all of them."""
        bucket, key, _ = self.system.split_path(path)
        options = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", "Delimiter": "/"}
        while True:
            page = self.system.call_s3("list_objects_v2", **options)
            files = [(f"{bucket}/{one['Key']}", False) for one in page.get("Contents", [])]
            yield files + [(f"{bucket}/{one['Prefix'][:-1]}", True) for one in page.get("CommonPrefixes", [])]
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def is_file(self) -> bool:
        """True if the address is that of a single file."""
        with explain_remote(self.address):
            return bool(within(SECONDS, lambda: self.system.isfile(self.root)))

    def date(self, name: str) -> float | None:
        """The time at which a file was written, by the storage's clock; None if there is none."""
        with explain_remote(f"{self.address}/{name}"):
            try:
                return float(within(6 * SECONDS, lambda: self.system.modified(self.path(name))).timestamp())
            except FileNotFoundError:
                return None

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if there is none."""
        with explain_remote(f"{self.address}/{name}"):
            try:
                return bytes(within(SECONDS, lambda: self.system.cat_file(self.path(name))))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with explain_remote(f"{self.address}/{name}"):
            self._make_folder(name)
            self.system.pipe_file(self.path(name), content)

    def send(self, names: Iterable[str], folder: Path) -> None:
        """Write files of a folder, one after another in this order; each appears whole."""
        for name in names:
            with explain_remote(f"{self.address}/{name}"):
                self._make_folder(name)
                if self._puts_whole():
                    self.system.put_file(str(folder / name), self.path(name))
                else:
                    self.system.put_file(str(folder / name), self.path(f"{name}.part"))
                    self.system.mv(self.path(f"{name}.part"), self.path(name))

    def _make_folder(self, name: str) -> None:
        if not self._puts_whole():
            self.system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)

    def _puts_whole(self) -> bool:
        """True for object storage, where a file appears whole or not at all."""
        protocol = self.system.protocol
        return not OBJECTS.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def fetch(self, names: Iterable[str], folder: Path) -> None:
        """Read files into a folder."""
        for name in names:
            self.fetch_to(name, folder / name)

    def fetch_to(self, name: str, place: Path) -> None:
        """Read one file, or with an empty name the file of the address itself."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with explain_remote(f"{self.address}/{name}".rstrip("/")):
            self.system.get_file(self.path(name) if name else self.root, str(place))

    def versions(self) -> tuple[bool, dict[str, list[Any]]]:
        """Size and version of each file by name, and True if the address is that of a single file."""
        with explain_remote(self.address):
            facts = within(SECONDS, lambda: self.system.info(self.root))
            if facts["type"] != "directory":
                return True, {last_part(self.address): _version(facts)}
            listed = within(6 * SECONDS, self._find)
        names = {path[len(self.root) :].strip("/"): _version(facts) for path, facts in sorted(listed.items())}
        return False, {name: version for name, version in names.items() if is_inside(name)}

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that may be there."""
        for name in names:
            with explain_remote(f"{self.address}/{name}"), contextlib.suppress(FileNotFoundError):
                self.system.rm_file(self.path(name))


def _version(facts: dict[str, Any]) -> list[Any]:
    """Size of a file, and what its storage changes with its content."""
    keys = (
        "ETag",
        "etag",
        "generation",
        "content_md5",
        "Content-MD5",
        "LastModified",
        "mtime",
        "created",
        "last-modified",
    )
    return [int(facts.get("size") or 0), str(next((facts[key] for key in keys if facts.get(key)), ""))]


def stores_of(addresses: list[str]) -> list[list[Any]]:
    """Size and version of the file at each address; raises `UserError` for one that is not there."""
    stores: dict[str, Store] = {}
    versions = []
    for address in addresses:
        above = address.rpartition("/")[0]
        store = stores.setdefault(above, Store(above))
        with explain_remote(address):
            facts = store.system.info(store.path(last_part(address)))
        versions.append(_version(facts))
    return versions


def is_inside(name: str) -> bool:
    """True for a relative name that stays inside its folder."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and not name.startswith("/") and ".." not in parts and "" not in parts and ":" not in parts[0]


def scheme_of(address: str) -> str:
    """`s3` of `s3://bucket/run`."""
    return address.partition("://")[0]


def last_part(address: str) -> str:
    """The last name in an address, as a file's or a folder's."""
    return os.path.basename(address.partition("?")[0].rstrip("/")) or "data"
