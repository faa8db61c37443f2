"""Mutated image files for `fuzz.py`: seeds of all formats that are read, mutations, and what is done with each."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from fuzz_bytes import Case, mutate_bytes, pick

WRITTEN = (".png", ".jpg", ".webp", ".tif", ".bmp", ".gif")
HUGE = (0, 1, 2, 255, 16384, 65500, 65535, 65536, 1 << 20, 16_777_221, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


# --- seeds -------------------------------------------------------------------------------------------------


@cache
def seeds() -> list[tuple[str, bytes]]:
    """Small valid files: (name, content)."""
    from PIL import Image, ImageCms

    draw = np.random.default_rng(0)
    colour = draw.integers(0, 256, (14, 19, 4), np.uint8)
    smooth = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8) * 4
    rgba, rgb, grey = Image.fromarray(colour), Image.fromarray(colour[..., :3]), Image.fromarray(smooth)
    deep = Image.fromarray(draw.integers(0, 65536, (14, 19), np.uint16))
    icc, exif = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), random_exif(draw, False)
    extra = {"icc_profile": icc, "exif": exif, "xmp": b"<x tiff:Orientation='6'/>" * 4, "dpi": (300, 300)}
    palette = rgb.quantize(16)
    modes = {"RGB": rgb, "RGBA": rgba, "L": grey, "1": grey.convert("1"), "P": palette, "I;16": deep}
    modes |= {"LA": rgba.convert("LA"), "CMYK": rgb.convert("CMYK"), "F": grey.convert("F"), "I": deep.convert("I")}
    modes |= {"YCbCr": rgb.convert("YCbCr"), "LAB": rgb.convert("LAB")}
    kinds: dict[str, tuple[str, ...]] = {
        "PNG": ("RGB", "RGBA", "L", "1", "P", "I;16", "LA"),
        **{"JPEG": ("RGB", "L", "CMYK"), "WEBP": ("RGB", "RGBA"), "GIF": ("P", "L"), "BMP": ("RGB", "L", "1", "P")},
        **{"TIFF": tuple(modes), "PPM": ("RGB", "L", "1", "I;16"), "AVIF": ("RGB", "RGBA")},
        **{"JPEG2000": ("RGB", "L", "RGBA"), "MPO": ("RGB",)},
    }
    made = []
    for form, names in kinds.items():
        for mode in names:
            for options in ({}, extra) if form not in ("PPM", "BMP", "GIF") else ({},):
                made.append((f"{form} {mode}", _saved(modes[mode], form, **options)))
    packed = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "group3", "jpeg", "tiff_ccitt")
    for name in packed:
        mode = modes["1"] if name in ("group3", "group4", "tiff_ccitt") else rgb
        made.append((f"TIFF {name}", _saved(mode, "TIFF", compression=name)))
    made.append(("GIF moving", _saved(palette, "GIF", save_all=True, append_images=[grey.convert("P")] * 2)))
    made.append(("PNG moving", _saved(rgb, "PNG", save_all=True, append_images=[rgb] * 2)))
    made.append(("JPEG progressive", _saved(rgb, "JPEG", progressive=True, exif=exif)))
    return [*made, ("BMP rle", run_length_bmp()), *_special_tiffs(draw), *_ours(draw), *_dicom(draw)]


def _saved(image, form, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def run_length_bmp(width: int = 16, height: int = 8) -> bytes:
    """A BMP packed with RLE4."""
    rows = b"".join(bytes([width, 0x12, 0, 0]) for _ in range(height)) + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 4, 2, len(rows), 2835, 2835, 16, 16)
    return b"BM" + struct.pack("<IHHI", 118 + len(rows), 0, 0, 118) + head + bytes(range(64)) + rows


def _special_tiffs(draw) -> list[tuple[str, bytes]]:
    """TIFFs that Pillow does not read: floats in colour, 16 bits with alpha, plane by plane."""
    import tifffile

    made = []
    for name, array, options in (
        ("float", draw.random((9, 11, 3), np.float32) * 3 - 1, {}),
        ("float grey", draw.random((9, 11), np.float32), {"compression": "zlib"}),
        ("16 alpha", draw.integers(0, 65536, (9, 11, 4), np.uint16), {"extrasamples": ["unassalpha"]}),
        ("16 planes", draw.integers(0, 65536, (3, 9, 11), np.uint16), {"planarconfig": "separate"}),
        ("16 tiles", draw.integers(0, 65536, (32, 32, 3), np.uint16), {"tile": (16, 16), "compression": "zlib"}),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, array, photometric="rgb" if array.ndim > 2 else "minisblack", **options)
        made.append((f"TIFF {name}", out.getvalue()))
    return made


def _ours(draw) -> list[tuple[str, bytes]]:
    """Files of our own writers: 16-bit colour."""
    from ganvas.imaging.encode_bands import write_png, write_tiff
    from ganvas.imaging.metadata import Metadata

    made = []
    for channels in (2, 3, 4):
        array = draw.integers(0, 65536, (9, 11, channels), np.uint16)
        metadata, png, tiff = Metadata(dpi=(72, 72), xmp=b"<x/>"), io.BytesIO(), io.BytesIO()
        write_png(png, array, metadata)
        write_tiff(tiff, [(array, metadata, False)])
        made += [(f"PNG 16x{channels}", png.getvalue()), (f"TIFF 16x{channels}", tiff.getvalue())]
    return made


def _dicom(draw) -> list[tuple[str, bytes]]:
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian
    except ImportError:
        return []
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns, data.SamplesPerPixel, data.BitsAllocated, data.BitsStored = 8, 9, 1, 16, 12
    data.HighBit, data.PixelRepresentation, data.PhotometricInterpretation = 11, 0, "MONOCHROME2"
    data.WindowCenter, data.WindowWidth, data.RescaleSlope, data.RescaleIntercept = 100, 200, 1, 0
    data.PixelData = draw.integers(0, 4096, 72, np.uint16).tobytes()
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return [("DICOM", out.getvalue())]


# --- mutations ---------------------------------------------------------------------------------------------


def random_exif(rng, hostile: bool = True) -> bytes:
    """EXIF whose values have other types, counts or places than their tags say, or with `hostile` false a plain one."""
    order = pick(rng, ("<", ">"))
    tags = (271, 272, 282, 283, 296, 274, 305, 306, 315, 33432, 34665, 34853, 33434, 36867, 37386, 37510, 40961, 40962)
    tags = (*tags, 40963, 40960, 0, 1, 2, 4, 6, 7, 29, 256, 273, 513, 514, 700, 34675, 50341, 65535)
    entries, blob, count = [], b"", int(rng.integers(0, 9)) if hostile else 2
    start = 10 + 12 * count + 4
    for tag in sorted(rng.choice(tags, count)) if hostile else (271, 305):
        kind = int(pick(rng, (*TIFF_SIZES, 0, 14, 255))) if hostile else 2
        number = int(pick(rng, (0, 1, 1, 1, 2, 3, 5, 100, 65535, (1 << 32) - 1))) if hostile else 4
        raw = rng.bytes(min(number * TIFF_SIZES.get(kind, 1), 64)) if hostile else b"abc\0"
        if len(raw) <= 4:
            value = raw.ljust(4, b"\0")
        else:
            value, blob = struct.pack(order + "I", start + len(blob)), blob + raw
        entries.append(struct.pack(order + "HHI", int(tag), kind, number) + value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, count)
    return b"Exif\0\0" + head + b"".join(entries) + struct.pack(order + "I", 0) + blob


def mutated(rng) -> tuple[str, bytes]:
    """A mutated file: what it was and what was done to it, and its content."""
    name, data = pick(rng, seeds())
    done = []
    for _ in range(int(pick(rng, (1, 1, 1, 2, 3)))):
        by_format = {b"\x89PN": _png, b"\xff\xd8\xff": _jpeg, b"II*": _tiff, b"MM\0": _tiff, b"BM": _bmp}
        by_format |= {b"RIF": _webp, b"P": _ppm}
        special = next((f for start, f in by_format.items() if data.startswith(start)), None)
        if special is not None and rng.random() < 0.6:
            what, data = special(rng, data)
        else:
            what, data = mutate_bytes(rng, data, pick(rng, seeds())[1])
        done.append(what)
    return f"{name}: {', '.join(done)}", data


def _parts(rng, data: bytes, spans: list[tuple[int, int]], fix) -> tuple[str, bytes]:
    """Change, double, drop, move or splice one part of a file that consists of parts."""
    if not spans:
        return mutate_bytes(rng, data, data)
    start, end = pick(rng, spans)
    part, at = data[start:end], pick(rng, spans)[0]
    what = pick(rng, ("change", "change", "double", "drop", "move", "foreign"))
    if what == "change":
        return f"part at {start}", data[:start] + fix(mutate_bytes(rng, part[8:], data)[1], part) + data[end:]
    if what == "double":
        return f"double {start}", data[:end] + part * int(rng.integers(1, 4)) + data[end:]
    rest = data[:start] + data[end:]
    if what == "move":
        return f"move {start}", rest[:at] + part + rest[at:]
    if what == "foreign":
        other = pick(rng, [content for _, content in seeds() if content[:3] == data[:3]])
        return f"splice at {start}", data[:start] + other[start:]
    return f"drop {start}", rest


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(rng, data: bytes) -> tuple[str, bytes]:
    what = rng.integers(0, 4)
    if what == 0:  # fields of IHDR
        fields = list(struct.unpack(">IIBBBBB", data[16:29])) if len(data) > 29 else [1, 1, 8, 2, 0, 0, 0]
        at = int(rng.integers(0, 7))
        fields[at] = int(pick(rng, HUGE)) if at < 2 else int(pick(rng, (0, 1, 2, 3, 4, 6, 8, 16, 255)))
        return f"IHDR {fields}", data[:8] + _chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)) + data[33:]
    if what == 1:
        name, content = pick(rng, ((b"eXIf", 0), (b"iCCP", 1), (b"iTXt", 2), (b"tRNS", 3), (b"gAMA", 3), (b"pHYs", 3)))
        raw = (random_exif(rng)[6:], b"x\0\0" + zlib.compress(rng.bytes(140)), b"XML:com.adobe.xmp\0\0\0\0\0<x", b"")
        return f"{name!r}", data[:33] + _chunk(name, raw[content] or rng.bytes(int(rng.integers(0, 12)))) + data[33:]
    spans, at = [], 8
    while at + 8 <= len(data) and len(spans) < 50:
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        spans.append((at, end))
        at = end
    return _parts(rng, data, spans, lambda content, part: _chunk(part[4:8], content[:-4]))


def _jpeg(rng, data: bytes) -> tuple[str, bytes]:
    spans, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        spans.append((at, end))
        at = end
    frame = next((s for s, _ in spans if data[s + 1] in (0xC0, 0xC1, 0xC2)), None)
    if frame is not None and rng.random() < 0.3:  # height and width
        at = frame + 5 + 2 * int(rng.integers(0, 2))
        value = int(pick(rng, HUGE)) & 0xFFFF
        return f"SOF {value}", data[:at] + struct.pack(">H", value) + data[at + 2 :]
    if rng.random() < 0.3:
        blob = random_exif(rng)
        return "EXIF", data[:2] + b"\xff\xe1" + struct.pack(">H", len(blob) + 2) + blob + data[2:]
    return _parts(
        rng, data, spans, lambda content, part: part[:2] + struct.pack(">H", len(content) + 8) + part[4:8] + content
    )


def _tiff(rng, data: bytes) -> tuple[str, bytes]:
    """Change type, count or value of a tag, or its number."""
    order = "<" if data[:2] == b"II" else ">"
    first = struct.unpack(order + "I", data[4:8])[0] if len(data) > 8 else 8
    count = struct.unpack(order + "H", data[first : first + 2])[0] if first + 2 <= len(data) else 0
    if not 0 < count < 200 or rng.random() < 0.1:
        return mutate_bytes(rng, data, random_exif(rng)[6:])
    at = first + 2 + 12 * int(rng.integers(0, count))
    field = int(rng.integers(0, 4))
    offset, form = ((0, "H"), (2, "H"), (4, "I"), (8, "I"))[field]
    known = (254, 258, 259, 262, 273, 274, 277, 278, 284, 317, 320, 322, 324, 338, 339, 347, 34665, 34853, 700, 34675)
    value = int(pick(rng, (known, tuple(range(18)), HUGE, (*HUGE, *range(9), 32773, 32946, 34712, 50000))[field]))
    packed = struct.pack(order + form, value & (0xFFFF if form == "H" else 0xFFFFFFFF))
    return f"tag at {at}+{offset} = {value}", data[: at + offset] + packed + data[at + offset + len(packed) :]


def _bmp(rng, data: bytes) -> tuple[str, bytes]:
    at, form = pick(rng, ((10, "I"), (14, "I"), (18, "I"), (22, "I"), (26, "H"), (28, "H"), (30, "I"), (46, "I")))
    at, value = int(at), int(pick(rng, (*HUGE, *range(9), 16, 24, 32, 40, 64, 108, 124)))
    packed = struct.pack("<" + form, value & (0xFFFF if form == "H" else 0xFFFFFFFF))
    return f"field {at} = {value}", data[:at] + packed + data[at + len(packed) :]


def _webp(rng, data: bytes) -> tuple[str, bytes]:
    if rng.random() < 0.3:
        blob = random_exif(rng)[6:]
        blob += b"\0" * (len(blob) % 2)
        data = data + b"EXIF" + struct.pack("<I", len(blob)) + blob
        return "EXIF", data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    spans, at = [], 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        spans.append((at, end + end % 2))
        at = end + end % 2
    return _parts(rng, data, spans, lambda content, part: part[:4] + struct.pack("<I", len(content)) + content)


def _ppm(rng, data: bytes) -> tuple[str, bytes]:
    numbers = [str(int(pick(rng, (*HUGE, 8, 19)))) for _ in range(2)]
    most = pick(rng, ("255", "65535", "0", "-1", "65536", "1", "x"))
    return f"{numbers}", b"\n".join([pick(rng, (data[:2], b"P3", b"P7", b"Pf", b"P1")), " ".join(numbers).encode()]) + (
        f"\n{most}\n".encode() + data[12:]
    )


# --- what is done with a file ------------------------------------------------------------------------------


def case(rng, folder: Path) -> Case:
    """A mutated file, which is to be peeked at, read, and saved in six formats."""
    what, data = mutated(rng)
    return Case(what, lambda: _use(data, folder), data)


def _use(data: bytes, folder: Path) -> str:
    from ganvas.errors import UserError
    from ganvas.imaging.decode import read_header, read_image
    from ganvas.imaging.encode import save
    from ganvas.imaging.photo import open_photo

    size, refusal = None, ""
    with suppress(UserError):
        size = read_header(data).size
    with suppress(UserError):
        shape = read_image(data).array.shape
        assert size == shape[:2], f"the header says {size} and the pixels are {shape}"
    try:
        photo = open_photo(data)
    except UserError as problem:
        return str(problem)
    for suffix in WRITTEN:
        try:
            save(photo, folder / f"x{suffix}")
        except UserError as problem:
            refusal = str(problem)
    _check_png(photo, folder / "x.png")
    return refusal


def _check_png(photo, file: Path) -> None:
    """A saved PNG reads back as the pixels, integers as they are and floats rounded to 16 bits."""
    from ganvas.imaging.photo import open_photo

    saved, array = open_photo(file).array, photo.array
    if array.dtype == np.float32:
        (low, high), colours = photo.levels, array.shape[2] - photo.alpha
        levels = (array[..., :colours].astype(np.float64) - low) / (high - low) * 65535
        assert np.abs(saved[..., :colours] - levels.clip(0, 65535)).max() <= 0.5001, "the PNG has other values"
    elif array.shape == saved.shape:
        assert (saved == array).all(), "the PNG has other pixels"
