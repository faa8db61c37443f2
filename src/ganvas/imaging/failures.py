"""Reasons why an image file cannot be decoded: sound files of a layout that is not read, and damaged ones."""

import struct
from typing import BinaryIO

from .exif import Directory, read_directory, values_of
from .file_kinds import IMAGE, kind_of_stream, not_an_image

SAVE = "save it as grey or RGB of 8 or 16 bits, as PNG or TIFF"
PHOTOMETRIC = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
PHOTOMETRIC |= {32803: "raw of a sensor", 34892: "raw of a sensor"}
PLAIN = (1, 5, 7, 8, 32773, 32946)  # TIFF's compressions that any reader knows
JPEG_KINDS = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "lossless", 0xCB: "lossless"}


def explain_failure(stream: BinaryIO, problem: Exception) -> str:
    """The reason why decoding the image at the stream's position failed, in no library's words."""
    text = str(problem)
    if isinstance(problem, OSError) and problem.strerror:
        return f"cannot be opened: {problem.strerror}"
    if "MAX_TEXT" in text:
        return "holds texts over the limit of 1 MB each and 64 MB in all, unpacked; remove them from the file"
    kind = kind_of_stream(stream)
    if kind and kind is not IMAGE:  # which a decoder took for its own
        return not_an_image(kind)
    return _layout_reason(stream, problem) or (
        "is truncated: the end of the file is missing; get it again"
        if any(word in text.lower() for word in ("truncated", "eof", "not enough", "cut off"))
        else "is damaged: its content cannot be decoded; get it again"
    )


def _layout_reason(stream: BinaryIO, problem: Exception) -> str:
    """The reason for a sound file, from its own header; empty for a damaged one."""
    start = stream.tell()
    head = stream.read(64)
    stream.seek(start)
    try:
        if head[:2] == b"\xff\xd8":
            return _jpeg_reason(stream)
        if head[:2] == b"BM" and len(head) > 34:
            bits, packing = struct.unpack_from("<HI", head, 28)
            odd = packing > 3 or bits not in (1, 2, 4, 8, 16, 24, 32) or head[14] < 40
            return f"is a BMP of a layout that is not read ({bits} bits, compression {packing}); {SAVE}" if odd else ""
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and not isinstance(problem, OSError):
            return _tiff_reason(stream)
    except (ValueError, IndexError, struct.error):
        pass
    return ""


def _jpeg_reason(stream: BinaryIO) -> str:
    """Bits and process of the frame's header (ITU-T T.81, B.2.2), where others than 8 bits of Huffman coding."""
    stream.read(2)
    while len(marker := stream.read(4)) == 4 and marker[0] == 0xFF:
        code, size = marker[1], struct.unpack(">H", marker[2:])[0]
        content = stream.read(max(size - 2, 0))
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            process = JPEG_KINDS.get(code, "")
            what = " ".join(filter(None, [process, f"of {content[0]} bits" if content[0] != 8 else ""]))
            return f"is a JPEG {what}, which is not read; {SAVE}" if what else ""
    return ""


def _tiff_reason(stream: BinaryIO) -> str:
    """The layout of a TIFF whose first directory is whole and whose pixels lie within the file."""
    start = stream.tell()
    tags, lost = read_directory(stream)
    end = stream.seek(0, 2) - start
    places = values_of(tags, 273) or values_of(tags, 324)
    counts = values_of(tags, 279) or values_of(tags, 325)
    sizes = [*values_of(tags, 256), *values_of(tags, 257)]
    whole = places and len(places) == len(counts) and all(p + n <= end for p, n in zip(places, counts))
    if lost or len(sizes) != 2 or not whole:
        return ""
    return f"is a TIFF of a layout that is not read ({_describe_layout(tags)}); {SAVE}"


def _describe_layout(tags: Directory) -> str:
    def first(tag: int, default: int) -> int:
        return int((*values_of(tags, tag), default)[0])

    channels, packing = first(277, 1), first(259, 1)
    number = {1: "", 2: " signed", 3: " floating point"}.get(first(339, 1), " complex")
    parts = [
        f"{channels} channel{'s' * (channels > 1)} of {first(258, 1)} bits{number}",
        PHOTOMETRIC.get(first(262, 1), f"photometric {first(262, 1)}"),
        f"{len(values_of(tags, 338))} of unknown meaning" if 0 in values_of(tags, 338) else "",
        "plane by plane" if first(284, 1) == 2 else "",
        "" if packing in PLAIN else f"compression {packing}",
    ]
    return ", ".join(filter(None, parts))
