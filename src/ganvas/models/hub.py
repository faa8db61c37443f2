"""Models of the Hugging Face Hub by their names, `user/name`; nothing is asked of it where it does not answer."""

import os
import re
from pathlib import Path

from ..checkpoints.hub import answers, endpoint, first_line, import_hub, silence
from ..errors import UsageError, UserError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = ["config.json", "*.safetensors", "README.md"]


def is_hub_name(given: str | os.PathLike[str]) -> bool:
    """True for a text `user/name` that is no path here."""
    return isinstance(given, str) and NAME.fullmatch(given) is not None and not os.path.exists(given)


def fetch(name: str) -> Path:
    """Download a model of the Hub, or find it in the cache where the Hub does not answer; the folder of its files.

    Raises `UserError` without the package, and `UsageError` for a name that the Hub does not have.
    """
    hub, online = import_hub(), answers()
    try:
        return Path(hub.snapshot_download(name, allow_patterns=FILES, endpoint=endpoint(), local_files_only=not online))
    except hub.errors.GatedRepoError:
        raise UsageError(f"{name}: the Hub gives this model to those who ask: {endpoint()}/{name}.") from None
    except hub.errors.RepositoryNotFoundError:
        missing = f"There is no folder {name} here and no model {name} on {endpoint()}"
        raise UsageError(f"{missing}, or it is private: log in with `hf auth login`.") from None
    except Exception as problem:  # of the library, of the network
        if not online:
            raise UsageError(f"There is no folder {name} here, and {silence()}.") from None
        raise UserError(f"{name} could not be fetched from {endpoint()}: {first_line(problem)}") from None
