"""XMP packets: properties that no longer hold are removed, those in pixels are scaled, long packets are split.

The standard is XMP part 3 (Adobe, 2020); a packet is changed only where something in it has to be.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Size = tuple[int, int]  # (width, height) in pixels

LARGEST, MOST = 1 << 26, 50_000  # bytes, and elements with attributes, of a packet that is changed
SEGMENT, PART = 65_504, 65_400  # bytes of a packet in a segment of JPEG, and of a part of an extension
STANDARD, EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NOTE = "http://ns.adobe.com/xmp/note/"
GOOGLE = "http://ns.google.com/photos/"
GAIN, FILM, DEPTH, AREAS = "its gain map (HDR)", "its film (motion photo)", "its depth map", "its marked regions"
GONE = (  # namespace, pattern of names, what they announce; nothing for a thumbnail
    ("http://ns.adobe.com/hdr-gain-map/1.0/", ".*", GAIN),
    ("http://ns.apple.com/HDRGainMap/1.0/", ".*", GAIN),
    ("http://ns.apple.com/pixeldatainfo/1.0/", ".*", ""),
    (f"{GOOGLE}1.0/camera/", "(MicroVideo|MotionPhoto).*", FILM),
    (f"{GOOGLE}1.0/container/", ".*", ""),
    (f"{GOOGLE}1.0/depthmap/", ".*", DEPTH),
    (f"{GOOGLE}1.0/image/", ".*", "its second image"),
    (f"{GOOGLE}1.0/audio/", ".*", "its sound"),
    (f"{GOOGLE}dd/1.0/device/", ".*", DEPTH),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails", ""),
)
REGIONS = (
    ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions", AREAS),
    ("http://ns.microsoft.com/photo/1.2/", "RegionInfo", AREAS),
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "ImageRegion", AREAS),
)
TIFF, EXIF, PANORAMA = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/", f"{GOOGLE}1.0/panorama/"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
IN_PIXELS = {  # namespace and name of a number: along x (0) or y (1)
    **{(TIFF, "ImageWidth"): 0, (TIFF, "ImageLength"): 1, (EXIF, "PixelXDimension"): 0, (EXIF, "PixelYDimension"): 1},
    **{(EXIF, "FocalPlaneXResolution"): 0, (EXIF, "FocalPlaneYResolution"): 1},
    **{(DIMENSIONS, "w"): 0, (DIMENSIONS, "h"): 1},
    **{(PANORAMA, f"{part}WidthPixels"): 0 for part in ("FullPano", "CroppedAreaImage")},
    **{(PANORAMA, f"{part}HeightPixels"): 1 for part in ("FullPano", "CroppedAreaImage")},
    **{(PANORAMA, "CroppedAreaLeftPixels"): 0, (PANORAMA, "CroppedAreaTopPixels"): 1},
    **{(PANORAMA, f"LargestValidInteriorRect{part}"): 0 for part in ("Left", "Width")},
    **{(PANORAMA, f"LargestValidInteriorRect{part}"): 1 for part in ("Top", "Height")},
}
AREA_LISTS = {(EXIF, "SubjectArea"), (EXIF, "SubjectLocation")}  # x, y, then width and height or a diameter


def clean_xmp(raw: bytes, *, turned: bool) -> tuple[bytes | None, list[str]]:
    """Remove thumbnails and what a copy of the pixels no longer has; returns notes.

    `turned` is true where the pixels are made upright: regions, which are of the image as stored, then go, too.
    The orientation, if any, becomes 1.  A packet that cannot be read but would have to be changed is None.
    """
    gone, notes = (*GONE, *(REGIONS if turned else ())), list[str]()
    if any(space.encode() in raw for space, _, _ in gone):

        def change(nodes: Sequence[Any]) -> None:
            hits = [
                (node, what)
                for node in nodes
                for space, name, what in gone
                if node.namespaceURI == space and re.fullmatch(name, node.localName)
            ]
            _remove([node for node, _ in hits])
            notes.extend(f"{what} is left behind" if what else "" for _, what in hits)

        cleaned = _edited(raw, change)
        if cleaned is None:
            return None, ["its XMP is damaged and left behind"]
        raw = cleaned
    raw = re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", raw)
    return raw, [note.replace("regions is", "regions are") for note in dict.fromkeys(notes) if note]


def parses(raw: bytes) -> bool:
    """True for a packet that can be read as XML, without entities of its own."""
    return _parse(raw) is not None


def rescale_xmp(raw: bytes, before: Size, after: Size) -> bytes | None:
    """Scale properties in pixels from one size of the image to another; numbers that are none are removed.

    None for a packet that would have to be changed but is damaged or too long for that.
    """
    if before == after or not any(space.encode() in raw for space, _ in IN_PIXELS):
        return raw

    def scaled(value: str, axis: int) -> str:
        number = float(value) * after[axis] / before[axis]
        return str(round(number)) if re.fullmatch(r"\s*\d+\s*", value) else f"{number:.6f}"

    def change(nodes: Sequence[Any]) -> None:
        unit = (DIMENSIONS, "unit")  # of a page it is inches
        in_pixels = {id(_owner(node)) for node in nodes if _key(node) == unit and _holder(node).nodeValue == "pixel"}
        wrong, places = [], dict[int, int]()
        for node in nodes:
            key = _key(node)
            try:
                if key in IN_PIXELS and (key[0] != DIMENSIONS or id(_owner(node)) in in_pixels):
                    holder = _holder(node)
                    holder.nodeValue = scaled_fraction(holder.nodeValue, IN_PIXELS[key], scaled)
                elif key == (RDF, "li") and _key(_owner(_owner(node))) in AREA_LISTS:
                    place = places[id(_owner(node))] = places.get(id(_owner(node)), -1) + 1
                    node.firstChild.nodeValue = scaled(node.firstChild.nodeValue, place % 2)
            except (ValueError, TypeError, AttributeError, OverflowError):
                wrong.append(node)
        _remove(wrong)

    return _edited(raw, change)


def scaled_fraction(value: str, axis: int, scaled: Callable[[str, int], str]) -> str:
    """Scale a number, or the numerator of a fraction as XMP writes those of EXIF."""
    top, slash, bottom = value.partition("/")
    return scaled(top, axis) + slash + bottom


# --- extension ---------------------------------------------------------------------------------------------


def with_extension(raw: bytes, segments: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Join a packet with the extension that it names, from segments of a JPEG; returns notes (part 3, 1.1.3.1)."""
    guid = re.search(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})", raw)
    if not guid:
        return raw, []
    parts: dict[int, bytes] = {}
    for segment in segments:
        if segment.startswith(EXTENSION + guid[1]) and len(segment) > len(EXTENSION) + 40:
            parts[struct.unpack_from(">I", segment, len(EXTENSION) + 36)[0]] = segment[len(EXTENSION) + 40 :]
    whole = b"".join(parts[offset] for offset in sorted(parts))
    ok = hashlib.md5(whole, usedforsecurity=False).hexdigest().upper().encode() == guid[1].upper()
    more = _parse(whole) if ok else None

    def change(nodes: Sequence[Any]) -> None:
        _remove([node for node in nodes if _key(node) == (NOTE, "HasExtendedXMP")])
        for root in [node for node in nodes if _key(node) == (RDF, "RDF")][:1]:
            for node in more.getElementsByTagNameNS(RDF, "Description") if more else ():
                if node.parentNode.localName == "RDF":
                    _declare(node, more)
                    root.appendChild(root.ownerDocument.importNode(node, True))

    joined = _edited(raw, change) or raw
    return joined, [] if more else ["the second part of its XMP is damaged and left behind"]


def jpeg_segments(raw: bytes) -> bytes | None:
    """Segments of JPEG that hold a packet; where one is not enough, the largest properties go to the extension.

    None if the packet is damaged and cannot be split (part 3, 1.1.3.1).
    """
    if len(raw) <= SEGMENT:
        return _segment(STANDARD + raw)
    main, rest = _parse(raw), _parse(raw)
    if main is None or rest is None:
        return None
    pairs = list(zip(_properties(main), _properties(rest)))
    length = len(_document_bytes(main))
    gone = []
    for ours, theirs in sorted(pairs, key=lambda pair: len(_xml(pair[0])), reverse=True):
        moves = length > SEGMENT - 200  # bytes of the extension's name
        length -= len(_xml(ours).encode()) if moves else 0
        gone.append(ours if moves else theirs)
    _remove(gone)
    whole = _restored("".join(n.toxml() for n in rest.childNodes if n.nodeType == n.ELEMENT_NODE).encode())
    guid = hashlib.md5(whole, usedforsecurity=False).hexdigest().upper()
    for description in main.getElementsByTagNameNS(RDF, "Description")[:1]:
        description.setAttribute("xmlns:xmpNote", NOTE)
        description.setAttribute("xmpNote:HasExtendedXMP", guid)
    standard = _document_bytes(main)
    if len(standard) > SEGMENT:
        return None
    starts = range(0, len(whole), PART)
    head = EXTENSION + guid.encode()
    parts = [head + struct.pack(">II", len(whole), start) + whole[start : start + PART] for start in starts]
    return b"".join(map(_segment, [STANDARD + standard, *parts]))


def _segment(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def _properties(document: Any) -> Iterator[Any]:
    """The properties of the top descriptions, attributes and elements."""
    for node in document.getElementsByTagNameNS(RDF, "Description"):
        if node.parentNode.localName != "RDF":
            continue
        for attribute in list(node.attributes.values()):
            if attribute.namespaceURI not in (RDF, "http://www.w3.org/2000/xmlns/"):
                yield attribute
        yield from (child for child in node.childNodes if child.nodeType == child.ELEMENT_NODE)


# --- documents ---------------------------------------------------------------------------------------------


# Signs that stand for character references, which the parser would resolve and not write again.
OPENING, CLOSING = "\ue0f0".encode(), "\ue0f1".encode()


def _parse(raw: bytes) -> Any:
    """A packet as a document; None if it is damaged, too long, or declares what XMP may not hold."""
    from xml.dom import minidom

    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = raw.decode("utf-16", "replace").encode()
    if len(raw) > LARGEST or raw.count(b"<") + raw.count(b"=") > MOST or b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        return None
    raw = re.sub(rb"&#(\w{1,8});", OPENING + rb"\1" + CLOSING, raw.strip(b"\0 \r\n\t"))
    try:
        return minidom.parseString(raw)
    except Exception:  # expat's errors, and those of nodes within nodes
        return None


def _restored(data: bytes) -> bytes:
    return data.replace(OPENING, b"&#").replace(CLOSING, b";")


def _document_bytes(document: Any) -> bytes:
    return _restored("".join(node.toxml() for node in document.childNodes).encode())


def _nodes(document: Any) -> Iterator[Any]:
    """All elements and attributes of a document."""
    for element in document.getElementsByTagName("*"):
        yield element
        yield from list(element.attributes.values())


def _edited(raw: bytes, change: Callable[[Sequence[Any]], None]) -> bytes | None:
    """Change the elements and attributes of a packet; None for a damaged one."""
    document = _parse(raw)
    if document is None:
        return None
    try:
        change(list(_nodes(document)))
        return _document_bytes(document)
    except RecursionError:
        return None


def _remove(nodes: Sequence[Any]) -> None:
    """Take elements and attributes out of their document."""
    gone = {id(node) for node in nodes}
    for parent in {id(owner): owner for node in nodes if (owner := _owner(node)) is not None}.values():
        parent.childNodes[:] = [child for child in parent.childNodes if id(child) not in gone]
    for node in nodes:
        if node.nodeType == node.ATTRIBUTE_NODE:
            node.ownerElement.removeAttributeNode(node)


def _owner(node: Any) -> Any:
    return node.ownerElement if node.nodeType == node.ATTRIBUTE_NODE else node.parentNode


def _holder(node: Any) -> Any:
    """The node with the text of a property."""
    return node if node.nodeType == node.ATTRIBUTE_NODE else node.firstChild or node


def _key(node: Any) -> tuple[Any, Any]:
    return node.namespaceURI, node.localName


def _declare(node: Any, document: Any) -> None:
    """Repeat on a node the namespaces that are declared above it."""
    above = node.parentNode
    while above is not None and above is not document:
        for attribute in list(above.attributes.values()):
            if attribute.namespaceURI == "http://www.w3.org/2000/xmlns/" and not node.hasAttribute(attribute.name):
                node.setAttribute(attribute.name, attribute.value)
        above = above.parentNode


def _xml(node: Any) -> str:
    return f' {node.name}="{node.value}"' if node.nodeType == node.ATTRIBUTE_NODE else node.toxml()
