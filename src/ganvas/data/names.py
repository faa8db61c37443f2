"""Files by the names that tables and other folders give them: in another case, Unicode form, folder or format."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from ..errors import UserError
from .files import is_image


def fold(name: str) -> str:
    """A name without the differences that file systems do not see: Unicode form (NFC, NFD) and case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def stem(name: str) -> str:
    """A name without the suffix of an image format; any other name is returned as it is."""
    return name.rpartition(".")[0] if is_image(name) else name


def last(name: str) -> str:
    """The part of a path after its folders."""
    return name.rpartition("/")[2]


# Ways to read a name that is no file's own, in order.
WAYS: dict[str, Callable[[str], str]] = {
    "with another case or Unicode form": fold,
    "with another suffix or none": lambda name: fold(stem(name)),
    "by the name without its folder": lambda name: fold(last(name)),
    "by the name without folder and suffix": lambda name: fold(stem(last(name))),
}


def align_names(a: dict[str, str], b: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both maps by folded names, if only these agree; else as they are."""
    folded = [{fold(name): file for name, file in files.items()} for files in (a, b)]
    same = a.keys() != b.keys() and folded[0].keys() == folded[1].keys()
    return (folded[0], folded[1]) if same and len(a) == len(b) == len(folded[0]) else (a, b)


class NameIndex:
    """Files of a tree by exact name, or else by the first of `WAYS` that has any."""

    def __init__(self, files: Iterable[str]):
        self.files = set(files)
        self.ways: Counter[str] = Counter()  # number of names by the way they were read
        self._indices: dict[str, dict[str, list[str]]] = {}

    def _index(self, way: str) -> dict[str, list[str]]:
        if way not in self._indices:
            index = self._indices[way] = defaultdict(list)
            for file in sorted(filter(is_image, self.files)):
                index[WAYS[way](file)].append(file)
        return self._indices[way]

    def candidates(self, name: str, folder: str = "") -> tuple[str, list[str]]:
        """The way in which a name is read, empty if it is exact, and the files that it could mean."""
        path = str(PurePosixPath(folder, name.replace("\\", "/")))
        if path in self.files:
            return "", [path]
        for way, key in WAYS.items():
            if files := self._index(way).get(key(path)):
                return way, files
        return "", []

    def find(self, name: str, folder: str, where: str) -> str | None:
        """The file of a name in a table of `folder`; None if there is none; raises `UserError` if there are several."""
        way, files = self.candidates(name, folder)
        if len(files) > 1:
            raise UserError(f"{where} names {name!r}, which could be {files[0]} or {files[1]}; write the whole name.")
        if way:
            self.ways[way] += 1
        return files[0] if files else None
