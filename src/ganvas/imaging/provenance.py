"""The digital source type of an image that a model made, or changed: IPTC's property in XMP, on by default.

IPTC Photo Metadata Standard 2023.1, "Digital Source Type"; the values are of its NewsCodes.
"""

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

from .encode import format_of
from .photo import Photo
from .xmp import parses

CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = CODES + "trainedAlgorithmicMedia"  # made by a model alone
COMPOSITE = CODES + "compositeWithTrainedAlgorithmicMedia"  # the user's image, changed by a model
NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PROPERTY = (
    rb"\s[\w.-]+:DigitalSourceType\s*=\s*(\"[^\"]*\"|'[^']*')"
    rb"|<([\w.-]+:DigitalSourceType)\b[^>]*(/>|>.*?</\2\s*>)"
)
DAMAGED = "its XMP is damaged, so it cannot say that a model changed the image"
MP4_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # of the box that holds XMP (XMP part 3, 1.1.6)


def mark_xmp(raw: bytes | None, source_type: str) -> bytes | None:
    """Add the property to a packet, or make one; None for a packet that is damaged.

    Everything else in it stays.  What a model made alone is still so after another one changed it.
    """
    if not raw:
        opening = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        packet = f"{opening}{_description(source_type, '')}</rdf:RDF></x:xmpmeta>"
        return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{packet}<?xpacket end="w"?>'.encode()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = raw.decode("utf-16", "replace").encode()
    if not parses(raw):
        return None
    before = re.search(PROPERTY, raw, re.DOTALL)
    if before and GENERATED.encode() in before[0]:
        return raw
    raw = re.sub(PROPERTY, b"", raw, flags=re.DOTALL)
    raw = re.sub(rb"<([\w.-]+:RDF)\b([^<>]*)/>", rb"<\1\2></\1>", raw, count=1)
    about = re.search(rb"\babout\s*=\s*[\"']([^\"'<]*)[\"']", raw)
    end = re.search(rb"</[\w.-]+:RDF\s*>", raw)
    if not end:
        return None
    added = _description(source_type, about[1].decode("utf-8", "replace") if about else "").encode()
    return raw[: end.start()] + added + raw[end.start() :]


def _description(source_type: str, about: str) -> str:
    return (
        f'<rdf:Description xmlns:rdf="{RDF}" rdf:about="{about}" xmlns:Iptc4xmpExt="{NAMESPACE}"'
        f' Iptc4xmpExt:DigitalSourceType="{source_type}"/>'
    )


def mark_photo(photo: Photo, output: Path, source_type: str | None) -> Photo:
    """Mark an image that will be written to `output`, where that format holds XMP; None marks nothing."""
    if source_type is None or not format_of(output).profile:
        return photo
    xmp = mark_xmp(photo.metadata.xmp, source_type)
    if xmp is None:
        return replace(photo, notes=[*photo.notes, DAMAGED])
    return replace(photo, metadata=replace(photo.metadata, xmp=xmp))


def png_mark(source_type: str | None) -> dict[str, Any]:
    """The option with which Pillow writes the mark into a PNG; none for None."""
    if source_type is None:
        return {}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", (mark_xmp(None, source_type) or b"").decode())
    return {"pnginfo": info}


def mark_mp4(file: Path, source_type: str | None) -> None:
    """Append the mark to a finished film of MP4 or QuickTime, in a box that players pass over."""
    if source_type is not None:
        xmp = mark_xmp(None, source_type) or b""
        with file.open("ab") as stream:
            stream.write(struct.pack(">I4s", 24 + len(xmp), b"uuid") + MP4_XMP + xmp)
