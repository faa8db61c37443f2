"""The command of Content Credentials: `sign`."""

from pathlib import Path
from typing import Annotated

from typer import Option

from .console import JsonFlag, Output, print_json, say


def sign(
    source: Annotated[Path, Option("-i", "--input", help="Image or film, or a folder of them.")],
    output: Output,
    *,
    certificate: Annotated[Path, Option(help="Chain of certificates (PEM), the signer's first.")],
    key: Annotated[Path, Option(help="Private key of the first certificate (PEM), without a password.")],
    as_json: JsonFlag = False,
) -> None:
    """Sign images with a certificate (C2PA).

    The signature says that a model made or changed them, as their metadata do, and breaks when they are changed.
    """
    from ..imaging.content_credentials import ContentSigner, files_to_sign, sign_all

    files = files_to_sign(source, output)
    results = sign_all(files, ContentSigner(certificate, key))
    if as_json:
        return print_json({"output": str(output), "signed": len(results), "files": results})
    say(f"{len(results)} signed: {output}")
