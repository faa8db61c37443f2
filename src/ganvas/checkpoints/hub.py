"""Connection to the Hugging Face Hub: nothing is asked of it where it does not answer."""

import os
import socket
import threading
import urllib.request
from types import ModuleType
from urllib.parse import urlsplit

from ..errors import UserError

SECONDS = 0.5  # that the Hub has to accept a connection


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


def require_answer() -> None:
    """Raise `UserError` at once where the Hub does not answer."""
    if not answers():
        raise UserError(f"Nothing was sent: {silence()}.")


def silence() -> str:
    """Sentence part that says why nothing is asked of the Hub."""
    if os.environ.get("HF_HUB_OFFLINE"):
        return "HF_HUB_OFFLINE keeps ganvas from asking the Hub"
    return f"the Hub does not answer at {endpoint()}; with a connection, or a mirror in HF_ENDPOINT, it may"


def first_line(problem: BaseException) -> str:
    """The first line of an error's text as a sentence."""
    lines = str(problem).strip().splitlines()
    return f"{(lines[0] if lines else type(problem).__name__).rstrip('.')}."
