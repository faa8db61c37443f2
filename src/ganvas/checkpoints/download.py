"""Download of public weight files: the known ones, their folder, resuming, verification.

Nothing is fetched unless asked for, and there is no substitute for a missing file.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UsageError, UserError, did_you_mean
from ..files import put_in_place, write_bytes
from ..paths import cache_root, user_path

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


@dataclass(frozen=True)
class PublicFile:
    """A public file: its name, address, size in bytes and SHA-256."""

    name: str
    file: str
    address: str
    size: int
    sha256: str
    what: str  # description for messages and lists


TORCH = "https://download.pytorch.org/models/"
FILES = {
    known.name: known
    for known in (
        PublicFile(
            "inception",
            "pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            95_628_359,
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            "the Inception network of FID, KID and the inception score",
        ),
        PublicFile(
            "vgg16",
            "vgg16-397923af.pth",
            f"{TORCH}vgg16-397923af.pth",
            553_433_881,
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            "VGG-16, for LPIPS and perceptual losses",
        ),
        PublicFile(
            "vgg19",
            "vgg19-dcbb9e9d.pth",
            f"{TORCH}vgg19-dcbb9e9d.pth",
            574_673_361,
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            "VGG-19, for style and perceptual losses",
        ),
        PublicFile(
            "lpips",
            "vgg-v0.1.pth",
            "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
            7_289,
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            "the five linear layers of LPIPS over VGG-16",
        ),
        PublicFile(
            "yunet",
            "face_detection_yunet_2023mar.onnx",
            "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
            "face_detection_yunet_2023mar.onnx",
            232_589,
            "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            "YuNet, the face detector of restore --faces",
        ),
    )
}


def folder() -> Path:
    """The folder of weight files: `weights` in `paths.cache_root`."""
    return cache_root() / "weights"


def known(name: str) -> PublicFile:
    """The public file of that name; raises `UsageError` for others."""
    if name not in FILES:
        raise UsageError(
            f"There are no weights called {name!r}.{did_you_mean(name, FILES)} There are: {', '.join(FILES)}."
        )
    return FILES[name]


def path(name: str) -> Path:
    """The path of a fetched file; raises `UsageError` with the command that fetches it."""
    public = known(name)
    place = folder() / public.file
    if not place.is_file():
        raise UsageError(
            f"The weights {name!r} are not here. Fetch them with `ganvas weights fetch {name}`, or offline: put"
            f" {public.file} from {public.address} into {folder()}, or give your copy:"
            f" `ganvas weights add {name} FILE`."
        )
    return place


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(name: str, file: Path) -> None:
    """Raise `UserError` unless a file has the size and SHA-256 of that name."""
    public, size = known(name), file.stat().st_size
    if size != public.size:
        raise UserError(
            f"{file} has {size:,} bytes, but {public.file} has {public.size:,}; it is not that file, or a part."
        )
    sha256 = digest(file)
    if sha256 != public.sha256:
        raise UserError(f"{file} has the SHA-256 {sha256}, but {public.file} has {public.sha256}; it is not that file.")


def add(name: str, file: Path) -> Path:
    """Copy a local file into the folder of weights, once it is verified."""
    file = user_path(file)
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    verify(name, file)
    place = folder() / known(name).file
    place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(place, file.read_bytes())
    return place


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download a file, or the rest of a partial one, and verify it.

    Raises `UserError` if the network fails (the part is kept for the next try) or the file is not the right one (then
    it is deleted).
    """
    public, place = known(name), folder() / known(name).file
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    try:
        _download(public.address, part, progress)
    except (urllib.error.URLError, OSError) as problem:
        reason = getattr(problem, "reason", problem)
        raise UserError(
            f"{public.address} could not be fetched ({reason}); the part is kept for the next try. Offline: put"
            f" {public.file} into {folder()}."
        ) from None
    try:
        verify(name, part)
    except UserError:
        part.unlink()
        raise
    put_in_place(part, place)
    return place


def _download(address: str, part: Path, progress: Progress | None) -> None:
    """Append the rest of a file to its part; from the beginning where the server cannot continue."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as problem:
        if have and problem.code == 416:  # nothing is left to send
            return
        raise
    with answer, part.open("ab" if have and answer.status == 206 else "wb") as out:
        have = have if answer.status == 206 else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            have += len(chunk)
            if progress:
                progress(have, total)
    if have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def read(name: str) -> dict[str, Tensor]:
    """Read the tensors of a file by name, on the CPU; code in it is never run."""
    place = path(name)
    try:
        state = torch.load(place, map_location="cpu", weights_only=True)
    except Exception:  # a damaged archive may make the reader raise anything
        raise UserError(
            f"{place} cannot be read as weights; delete it and run `ganvas weights fetch {name}` again."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{place} holds something else than named tensors.")
    return state


def load(network: torch.nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load weights into a network; raises `UserError` with the missing, additional or differently shaped tensor.

    Counters of batches may be missing, as in old files.
    """
    own = network.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    wrong = [k for k in own if k in state and own[k].shape != state[k].shape]
    extra = [k for k in state if k not in own]
    for problem, names in (("lacks", missing), ("has another shape of", wrong), ("also has", extra)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"The file of {what} {problem} {names[0]}{more}; it is of another network.")
    network.load_state_dict(state, strict=False)
