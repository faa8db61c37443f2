"""Folders and zips as trees of files; nothing is extracted to disk."""

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from ..errors import UserError
from ..imaging.decode import SUFFIXES, BadImage
from ..imaging.file_kinds import ARCHIVE, kind_of_file
from ..imaging.levels import Levels
from ..paths import is_left_behind, is_run
from .cache import file_digest

MAX_MEMBER = 1 << 28  # bytes: largest unpacked size of a member of a zip
MAX_TOTAL = 1 << 38  # bytes: largest unpacked size of a zip
EARLIER = ("__MACOSX", "Thumbs.db", "desktop.ini")  # names left out before there was `is_left_behind`


class Tree(Protocol):
    """Files below one root."""

    name: str
    files: list[str]  # relative, with forward slashes, sorted, without hidden ones
    skipped: list[tuple[str, str]]  # (file, reason) of files that cannot be opened
    levels: Levels | None  # values of its images that become black and white

    def open(self, file: str) -> BinaryIO:
        """Open a file, to be closed by the caller; raises `BadImage` if that fails."""

    def digest(self, files: Iterable[str] | None = None) -> str:
        """Hash of the names and contents of files, by default of all, in hex."""


def is_image(file: str) -> bool:
    """True for a file name with the suffix of an image."""
    return file.lower().endswith(SUFFIXES)


def _hidden(part: str, earlier: bool) -> bool:
    return part.startswith(".") or part in EARLIER if earlier else is_left_behind(part)


class Folder:
    """Folder with everything below it but runs; links are followed once.  `earlier`: as earlier versions listed it."""

    def __init__(self, root: Path, levels: Levels | None = None, earlier: bool = False):
        self.root, self.name, self.levels, self.earlier = root, str(root), levels, earlier
        self.files: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        try:
            with os.scandir(root):
                pass
        except OSError as e:
            raise UserError(f"The folder {root} cannot be read: {e.strerror}.") from None
        self._walk(root, "", frozenset())
        self.files.sort()
        self.skipped.sort()

    def _walk(self, folder: Path, above: str, parents: frozenset[str]) -> None:
        real = os.path.realpath(folder)
        if real in parents:  # a link to a parent
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as e:
            self.skipped.append((above, f"cannot be opened: {e.strerror}"))
            return
        if above and not self.earlier and is_run([e.name for e in entries]):
            self.skipped.append((above, "is a run of ganvas, whose samples are no data"))
            return
        for entry in entries:
            if not _hidden(entry.name, self.earlier):
                self._add(entry, above, parents | {real})

    def _add(self, entry: os.DirEntry[str], above: str, parents: frozenset[str]) -> None:
        name = above + entry.name
        try:
            mode = entry.stat().st_mode
        except OSError as e:
            self.skipped.append((name, f"cannot be opened: {e.strerror}"))
            return
        if stat.S_ISDIR(mode) and is_image(name):
            self.skipped.append((name, "is a folder, though called like an image"))
        elif stat.S_ISDIR(mode):
            self._walk(Path(entry.path), name + "/", parents)
        elif stat.S_ISREG(mode):
            self.files.append(name)
        else:  # opening a pipe would block
            self.skipped.append((name, "is not a regular file"))

    def open(self, file: str) -> BinaryIO:
        try:
            return open(self.root / file, "rb")
        except OSError as e:
            raise BadImage(f"cannot be opened: {e.strerror}") from None

    def digest(self, files: Iterable[str] | None = None) -> str:
        whole = hashlib.blake2b(digest_size=16)
        for file in self.files if files is None else files:
            try:
                content = file_digest(self.root / file)
            except OSError as e:
                content = str(e.errno)
            whole.update(f"{file}\0{content}\0".encode(errors="surrogateescape"))
        return whole.hexdigest()


class Zip:
    """Zip archive; each member is read into memory when it is opened."""

    def __init__(self, path: Path, levels: Levels | None = None, earlier: bool = False):
        self.path, self.name, self.levels, self.earlier = path, str(path), levels, earlier
        self.skipped: list[tuple[str, str]] = []
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as e:
            kind = kind_of_file(path)
            other = kind if kind is not ARCHIVE else None
            reason = getattr(e, "strerror", "") or (f"it is {other.name}" if other else "it is cut off or damaged")
            raise UserError(f"{path} is not a zip that can be read: {reason}; pack or copy it again.") from None
        self.members: dict[str, zipfile.ZipInfo] = {}
        for info in self.archive.infolist():
            self._add(info)
        self.files = sorted(self.members)
        total = sum(info.file_size for info in self.members.values())
        if total > MAX_TOTAL:
            raise UserError(
                f"{path} would unpack to {total / 1e9:,.0f} GB, over the limit of {MAX_TOTAL / 1e9:,.0f};"
                " unpack it yourself and give the folder."
            )

    def _add(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.replace("\\", "/")
        parts = [p for p in name.split("/") if p not in ("", ".")]
        if info.is_dir() or any(_hidden(p, self.earlier) for p in parts if p != ".."):
            return
        if ".." in parts or name.startswith("/") or ":" in parts[0]:
            self.skipped.append((name, "refused: its path leads out of the archive"))
        elif info.file_size > MAX_MEMBER:
            size, limit = info.file_size >> 20, MAX_MEMBER >> 20
            self.skipped.append((name, f"refused: {size:,} MiB unpacked is over the limit of {limit}"))
        elif info.flag_bits & 1:
            self.skipped.append((name, "is encrypted"))
        else:
            self.members["/".join(parts)] = info

    def open(self, file: str) -> BinaryIO:
        """Read a member into memory; the archive's own checksum is verified."""
        try:
            return io.BytesIO(self.archive.read(self.members[file]))
        except Exception:  # zlib, lzma, bz2 and zipfile raise different errors
            raise BadImage("is damaged in the archive") from None

    def digest(self, files: Iterable[str] | None = None) -> str:
        """Hash of the archive, in hex."""
        return file_digest(self.path)
