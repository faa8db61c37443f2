"""Models of the Hugging Face Hub by their names, `user/name`; nothing is asked of it where it does not answer."""

import os
import re
import socket
import threading
import urllib.request
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from ..errors import UsageError, UserError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = ["config.json", "*.safetensors", "README.md"]
SECONDS = 0.5  # that the Hub has to accept a connection


def is_hub_name(given: str | os.PathLike[str]) -> bool:
    """True for a text `user/name` that is no path here."""
    return isinstance(given, str) and NAME.fullmatch(given) is not None and not os.path.exists(given)


def endpoint() -> str:
    """The address of the Hub: $HF_ENDPOINT, or the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def import_hub() -> ModuleType:
    """The package huggingface_hub; raises `UserError` without it."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except Exception:
        raise UserError("The Hub needs the package huggingface_hub: pip install 'ganvas[hub]'.") from None
    return huggingface_hub


def answers() -> bool:
    """True if the Hub, or the proxy before it, accepts a connection within `SECONDS`."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    proxy = urllib.request.getproxies().get(urlsplit(endpoint()).scheme)
    place = urlsplit(proxy if proxy and "://" in proxy else endpoint())
    accepted: list[bool] = []

    def connect() -> None:  # in a thread: to look a name up has no time limit
        try:
            port = place.port or (443 if place.scheme == "https" else 80)
            socket.create_connection((place.hostname or "", port), timeout=SECONDS).close()
            accepted.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return bool(accepted)


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
            raise UsageError(f"There is no folder {name} here, and {_silence()}.") from None
        raise UserError(f"{name} could not be fetched from {endpoint()}: {first_line(problem)}") from None


def require_answer() -> None:
    """Raise `UserError` at once where the Hub does not answer."""
    if not answers():
        raise UserError(f"Nothing was sent: {_silence()}.")


def _silence() -> str:
    if os.environ.get("HF_HUB_OFFLINE"):
        return "HF_HUB_OFFLINE keeps ganvas from asking the Hub"
    return f"the Hub does not answer at {endpoint()}; with a connection, or a mirror in HF_ENDPOINT, it may"


def first_line(problem: BaseException) -> str:
    """The first line of an error's text as a sentence."""
    lines = str(problem).strip().splitlines()
    return f"{(lines[0] if lines else type(problem).__name__).rstrip('.')}."
