"""Content Credentials: files that are signed with a user's certificate (C2PA 2.1; extra `c2pa`)."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError, printable
from ..files import atomic_write
from ..version import __version__
from .provenance import CODES, GENERATED

MEDIA = {  # types of the files that can be signed, by suffix
    ".png": "image/png",
    **dict.fromkeys((".jpg", ".jpeg", ".jpe"), "image/jpeg"),
    ".webp": "image/webp",
    ".gif": "image/gif",
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
    **dict.fromkeys((".mp4", ".m4v"), "video/mp4"),
    ".mov": "video/quicktime",
}
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


def load_c2pa() -> Any:
    """The package c2pa; raises `UserError` where it is not installed."""
    try:
        import c2pa
    except Exception:
        raise UserError("Signing needs the package c2pa-python: pip install 'ganvas[c2pa]'.") from None
    return c2pa


class ContentSigner:
    """A certificate chain and its private key, both PEM, with which files are signed.

    Raises `UserError` for files that cannot be read or used, or a key with a password.
    """

    def __init__(self, certificate: Path, key: Path):
        self.package = load_c2pa()
        chain, secret = _read_pem(certificate, "CERTIFICATE"), _read_pem(key, "PRIVATE KEY")
        info = self.package.C2paSignerInfo(_algorithm(secret, key).encode(), chain, secret, None)
        try:
            self.signer = self.package.Signer.from_info(info)
        except self.package.C2paError as problem:
            raise UserError(f"{printable(certificate)} cannot sign: {problem}") from None

    def sign(self, source: Path, output: Path) -> str:
        """Write a signed copy of a file, whole or not at all; returns the digital source type that it says.

        The type is that in the file's XMP, as `ganvas` writes it, or else that of an image that a model made.
        """
        kind, source_type = media_type(source), declared_type(source)
        action = {"action": "c2pa.created", "digitalSourceType": source_type}
        manifest = {
            "claim_generator_info": [{"name": "ganvas", "version": __version__}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
        try:
            with atomic_write(output) as part, source.open("rb") as before, part.open("w+b") as after:
                self.package.Builder(json.dumps(manifest)).sign(self.signer, kind, before, after)
        except self.package.C2paError as problem:
            raise UserError(f"{printable(source)} could not be signed: {problem}") from None
        return source_type


def media_type(file: Path) -> str:
    """The type of a file that can be signed; raises `UsageError` for another."""
    if file.suffix.lower() not in MEDIA:
        raise UsageError(f"{printable(file)} cannot be signed; {', '.join(MEDIA)} can.")
    return MEDIA[file.suffix.lower()]


def files_to_sign(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Files and their signed copies, of a file or of all that can be signed in a folder; raises `UsageError`."""
    if not source.exists():
        raise UsageError(f"{printable(source)} does not exist; give a file or a folder.")
    if not source.is_dir():
        media_type(source)
        return [(source, output / source.name if output.is_dir() or not output.suffix else output)]
    if output.is_file():
        raise UsageError(f"{printable(output)} is a file; files of a folder go into a folder.")
    files = sorted(file for file in source.iterdir() if file.suffix.lower() in MEDIA)
    if not files:
        raise UsageError(f"There is nothing in {printable(source)} that can be signed: {', '.join(MEDIA)}.")
    return [(file, output / file.name) for file in files]


def declared_type(file: Path) -> str:
    """The digital source type in a file's XMP; `GENERATED` if it has none."""
    place = re.search(rb"DigitalSourceType\s*(?:=\s*[\"']|>)\s*" + CODES.encode() + rb"(\w+)", file.read_bytes())
    return CODES + place[1].decode() if place else GENERATED


def _read_pem(file: Path, kind: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise UsageError(f"{printable(file)} cannot be read: {problem.strerror}.") from None
    if f"{kind}-----".encode() not in content:
        raise UsageError(f"{printable(file)} holds no {kind.lower()} in PEM (-----BEGIN ... {kind}-----).")
    return content


def _algorithm(secret: bytes, file: Path) -> str:
    """The signing algorithm of a private key, as C2PA names it."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(secret, password=None)
    except (TypeError, ValueError):
        raise UsageError(f"{printable(file)} cannot be used: it is damaged or has a password.") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise UsageError(f"{printable(file)} is a key of a kind with which C2PA does not sign; take EC, RSA or Ed25519.")


def sign_all(files: Sequence[tuple[Path, Path]], signer: ContentSigner) -> list[dict[str, str]]:
    """Sign files; returns each with its copy and its digital source type."""
    results = []
    for source, output in files:
        output.parent.mkdir(parents=True, exist_ok=True)
        source_type = signer.sign(source, output)
        results.append({"file": printable(source), "output": printable(output), "digital_source_type": source_type})
    return results
