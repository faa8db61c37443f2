"""Paths as users give them, the folder of what is kept between runs, and what systems leave in folders."""

import hashlib
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from .errors import UsageError, UserError, printable

LEFT_BEHIND = {  # lower case, by who leaves it; names that begin with a dot are left out before
    *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini"),  # Windows
    *("$recycle.bin", "recycler", "system volume information"),
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # Synology, QNAP
    *("sync.ffs_db", "sync.ffs_lock", "_gsdata_"),  # FreeFileSync, GoodSync
    *("lost+found", "__pycache__"),
}
OFFICE, BACKUP, AUTOSAVE = "~$", "~", "#"  # of editors: ~$a.docx, a.png~, #a.txt#
RUN_MARKS = {"config.json", "state", "samples"}  # what every run holds, and hardly a folder of images


def is_left_behind(name: str) -> bool:
    """True for a file or folder that a system, sync tool, version control or editor leaves among a user's own."""
    autosave = name.startswith(AUTOSAVE) and name.endswith(AUTOSAVE)
    return name.startswith((".", OFFICE)) or name.endswith(BACKUP) or autosave or name.lower() in LEFT_BEHIND


def is_run(names: Collection[str]) -> bool:
    """True for the names in the folder of a run, whose sample grids are no data."""
    return set(names) >= RUN_MARKS


def user_path(given: str | os.PathLike[str], option: str = "The path") -> Path:
    """The path that a user gave, with `~` expanded; raises `UsageError` for an address, or `~` without a home."""
    refuse_address(given, option)
    path = Path(os.path.expanduser(given))
    if path.parts[:1] == ("~",):
        raise UsageError(f"{option} {given}: this user has no home folder; write the path without ~.")
    return path


def user_place(given: str | os.PathLike[str], option: str) -> Path:
    """As `user_path`; an address of a storage is kept, as the `Path` that `as_address` understands."""
    address = as_address(given)
    return Path(address) if address and not address.startswith("file:") else user_path(given, option)


def as_address(given: str | os.PathLike[str]) -> str | None:
    """The address `s3://bucket/run` that a text, or the `Path` made of it, stands for; None for a path."""
    slashes = "/" if isinstance(given, Path) else "//"
    match = re.match(rf"([A-Za-z][A-Za-z0-9+.-]+):{slashes}/*(.*)", os.fspath(given), re.DOTALL)
    if match is None:
        return None
    root = "/" if match[1].lower() == "local" else ""  # the only kind whose rest is a path from the root
    return f"{match[1].lower()}://{root}{match[2]}"


def path_text(path: Path) -> str:
    """A path, or the address that it stands for, as a message shows it."""
    return printable(as_address(path) or path)


def refuse_address(given: str | os.PathLike[str], option: str = "The path") -> None:
    """Raise `UsageError` for an address such as `s3://bucket/images`, which `Path` would shorten to `s3:/bucket`."""
    address = as_address(given)
    if address is None:
        return
    scheme, _, rest = printable(address).partition("://")
    way_out = "download it first, or upload the result afterwards, and give a path on this machine"
    if scheme == "file":
        way_out = f"write the path: /{rest}"
    raise UsageError(f"{option} {scheme}://{rest} is an address, and ganvas reads and writes files; {way_out}.")


def shell_word(path: object) -> str:
    """A path as it is typed in a shell: quoted where it needs to be, and never taken for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def hidden_by_name(name: object, built_in: Collection[str]) -> list[str]:
    """A sentence if a built-in name is also that of a file or folder here; the built-in one is taken."""
    if str(name) not in built_in or not os.path.exists(str(name)):
        return []
    kind = "folder" if os.path.isdir(str(name)) else "file"
    return [f"{name} is the one that comes with ganvas; to take the {kind} {name} of this place, give ./{name}"]


def cache_root(cache: str | os.PathLike[str] | None = None) -> Path:
    """Folder of prepared data and weights: `cache`, else $GANVAS_CACHE, else ~/.cache/ganvas.

    Without a home folder that can be written, it is a folder of this user's among the temporary ones.
    """
    if given := cache or os.environ.get("GANVAS_CACHE"):
        return user_path(given, "--cache" if cache else "GANVAS_CACHE")
    home = Path(os.path.expanduser("~"))
    usual = home / ".cache" / "ganvas"
    if home.is_absolute() and (os.path.isdir(usual) or _can_be_made(usual)):
        return usual
    return _temporary_cache()


def local_folder(address: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Folder in the cache where the run of an address is written: its last name, and a hash of the address."""
    whole = address.rstrip("/")
    digest = hashlib.blake2b(whole.encode(errors="surrogateescape"), digest_size=4).hexdigest()
    return cache_root(cache) / "runs" / f"{whole.rpartition('/')[2]}-{digest}"


def _can_be_made(folder: Path) -> bool:
    above = next(place for place in folder.parents if os.path.exists(place))
    return os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)


def _temporary_cache() -> Path:
    """A folder that this user alone may write; raises `UserError` if there is none."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir()) / f"ganvas-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == user and not facts.st_mode & 0o022:
            return folder
    except OSError:
        pass
    raise UserError(
        "There is no folder for prepared data: neither a home nor a temporary one; name it in GANVAS_CACHE."
    )
