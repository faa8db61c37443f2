"""Data sets of the Hugging Face Hub by their names: `hf:user/name`, `hf:user/name:SPLIT`."""

import re
from pathlib import Path

from ..checkpoints.hub import answers, endpoint, first_line, import_hub, silence
from ..errors import UsageError, UserError
from ..imaging.decode import SUFFIXES
from .shards import choose_split

HUB = r"hf:(?://datasets/)?((?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?"
CONVERTED = "refs/convert/parquet"  # the branch in which the Hub keeps a data set as parquet
BESIDE = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def fetch_data(name: str, split: str) -> tuple[Path, list[str], list[str]]:
    """Download the files of one split, or find them in the Hub's cache: (folder, files, notes).

    Parquet files are taken where there are some, then tar shards, then images; else the Hub's own conversion to
    parquet.  No code of a data set is run.  Raises `UserError` at once where the Hub is silent and nothing is here.
    """
    hub = import_hub()
    if not answers():
        return _from_cache(hub, name, split)
    for revision in (None, CONVERTED):
        try:
            listed = hub.HfApi(endpoint=endpoint()).list_repo_files(name, repo_type="dataset", revision=revision)
        except hub.errors.RevisionNotFoundError:
            break
        except hub.errors.GatedRepoError:
            raise UsageError(
                f"hf:{name}: the Hub gives this data set to those who ask: {endpoint()}/datasets/{name}."
            ) from None
        except hub.errors.RepositoryNotFoundError:
            missing = f"There is no data set {name} on {endpoint()}"
            raise UsageError(f"{missing}, or it is private: log in with `hf auth login`.") from None
        except Exception as problem:  # of the library, of the network
            raise UserError(f"hf:{name} could not be fetched from {endpoint()}: {first_line(problem)}") from None
        if files := choose_files(listed):
            files, notes = choose_split(files, split, f"hf:{name}")
            return _download(hub, name, files, revision), files, notes
    raise UserError(f"hf:{name} holds no parquet files, tar shards or images; load it with `datasets`, and give that.")


def choose_files(listed: list[str]) -> list[str]:
    """The files of a repository that hold its images: parquet, else tar shards, else images and their tables."""
    for suffixes in ((".parquet",), (".tar",), (*SUFFIXES, ".zip")):
        if files := sorted(name for name in listed if name.lower().endswith(suffixes)):
            tables = [name for name in listed if name.rpartition("/")[2] in BESIDE] if len(suffixes) > 1 else []
            return files + tables
    return []


def _download(hub: object, name: str, files: list[str], revision: str | None) -> Path:
    try:
        options = {"repo_type": "dataset", "revision": revision, "endpoint": endpoint()}
        patterns = [re.sub(r"([\[\]*?])", r"[\1]", file) for file in files]
        return Path(hub.snapshot_download(name, allow_patterns=patterns, **options))  # type: ignore[attr-defined]
    except Exception as problem:  # of the library, of the network
        raise UserError(f"hf:{name} could not be fetched from {endpoint()}: {first_line(problem)}") from None


def _from_cache(hub: object, name: str, split: str) -> tuple[Path, list[str], list[str]]:
    for revision in (None, CONVERTED):
        try:
            options = {"repo_type": "dataset", "revision": revision, "local_files_only": True}
            folder = Path(hub.snapshot_download(name, **options))  # type: ignore[attr-defined]
        except Exception:  # of the library: nothing is here
            continue
        listed = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        if files := choose_files(listed):
            files, notes = choose_split(files, split, f"hf:{name}")
            return folder, files, notes
    raise UserError(f"hf:{name} is not here, and {silence()}.") from None
