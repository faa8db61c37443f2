"""Arrays in .npz archives, whose sizes are checked from their headers before anything is unpacked."""

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import UserError

FREE = 1 << 28  # bytes that anything may unpack to
DENSEST = 200  # times that images may shrink beyond that: labels of whole classes reach 100, zeros 1,000


def check_unpacked(file: Path, packed: int, unpacked: int) -> None:
    """Raise `UserError` for content that would unpack to far more than images do."""
    if unpacked > FREE and unpacked > DENSEST * packed:
        sizes = f"from {packed / 1e6:,.1f} MB to {unpacked / 1e6:,.0f}"
        raise UserError(f"{file} would unpack {sizes}, as no images do; if they do, unpack it and give that.")


@contextlib.contextmanager
def explain_damage(file: Path, purpose: str) -> Iterator[None]:
    """Raise `UserError` for whatever a damaged or hostile file makes its reader raise."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{file} cannot be read as {purpose}: it needs more memory than is available.") from None
    except Exception as problem:
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
        if "allow_pickle" in reason:
            reason = "it holds Python objects, which could run code; save numbers or words"
        raise UserError(f"{file} cannot be read as {purpose}: {reason}.") from None


class Npz:
    """The arrays of an .npz archive by their names."""

    def __init__(self, file: Path, archive: zipfile.ZipFile):
        self.file, self.archive = file, archive
        self.names = [name.removesuffix(".npy") for name in archive.namelist()]

    def read(self, name: str, most: int | None = None) -> np.ndarray:
        """One array; raises `UserError` or `ValueError` where it declares more than it holds, or than `most` bytes."""
        member = self._member(name)
        shape, dtype = self._declared(member)
        size = math.prod(shape) * dtype.itemsize
        if size > member.file_size:
            raise ValueError(f"{name} declares {size:,} bytes and holds {member.file_size:,}")
        if most is not None and size > most:
            raise ValueError(f"{name} declares {size:,} bytes, and up to {most:,} are read")
        check_unpacked(self.file, member.compress_size, size)
        with self.archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape that an array declares."""
        return self._declared(self._member(name))[0]

    def _member(self, name: str) -> zipfile.ZipInfo:
        return self.archive.getinfo(f"{name}.npy" if f"{name}.npy" in self.archive.namelist() else name)

    def _declared(self, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype]:
        if member.flag_bits & 1:
            raise ValueError(f"{member.filename} is encrypted")
        with self.archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            try:
                shape, _, dtype = read(stream)
            except Exception:  # the header is Python text, and its parser raises errors of many types
                raise ValueError(f"the header of {member.filename} is damaged") from None
        return shape, dtype


@contextlib.contextmanager
def open_npz(file: Path, purpose: str) -> Iterator[Npz]:
    """Open an archive for a `with` statement; whatever goes wrong with it is raised as `UserError`."""
    with explain_damage(file, purpose), zipfile.ZipFile(file) as archive:
        yield Npz(file, archive)
