"""Metadata that depends on the size of an image, that announces what a copy does not have, or has no place."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganvas.imaging.encode import save
from ganvas.imaging.exif import Entry, numbers, stream_bytes
from ganvas.imaging.photo import Photo, open_photo
from test_pixels import chunk

SUFFIXES = [".png", ".jpg", ".webp", ".tif"]
GREY = np.random.RandomState(0).randint(0, 256, (12, 16), dtype=np.uint8)
UNSIGNED_SHORT, DOUBLE = 3, 12


def enlarge(source: bytes, file: Path, factor: int = 2) -> list[str]:
    """Repeat the pixels of an image and save it; all notes."""
    one = open_photo(source)
    return [*one.notes, *save(one.with_array(one.array.repeat(factor, 0).repeat(factor, 1)), file)]


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.stack([GREY] * 3, -1)).save(out, kind, **options)
    return out.getvalue()


def tiff(**options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, options.pop("data", GREY), **{"photometric": "minisblack", **options})
    return out.getvalue()


# GeoTIFF: the corners of the image lie where they lay.


def ground(page: tifffile.TiffPage, column: float, row: float) -> tuple[float, float]:
    """Where a corner of the pixels lies by the tags, after GeoTIFF 1.1, annex C."""
    tags = {tag.code: tag.value for tag in page.tags.values()}
    centres = tags[34735][-1] == 2
    i, j = (column - 0.5, row - 0.5) if centres else (column, row)
    if 34264 in tags:
        m = np.reshape(tags[34264], (4, 4))
        x, y = (m @ [i, j, 0, 1])[:2]
        return float(x), float(y)
    (a, b), tie = tags[33550][:2], tags[33922]
    return tie[3] + (i - tie[0]) * a, tie[4] - (j - tie[1]) * b


SCALE, TIE = (33550, DOUBLE, 3, (10.0, 5.0, 0.0), True), (33922, DOUBLE, 6, (2.0, 3.0, 0, 5e5, 46e5, 0), True)
MATRIX = (34264, DOUBLE, 16, (3.0, 1, 0, 5e5, -1, -4, 0, 46e5, 0, 0, 0, 0, 0, 0, 0, 1), True)


@pytest.mark.parametrize("raster", [1, 2], ids=["areas", "points"])
@pytest.mark.parametrize("tags", [[SCALE, TIE], [MATRIX]], ids=["scale", "matrix"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_geotiff_covers_the_same_ground(tags: list, raster: int, order: str, tmp_path: Path) -> None:
    keys = (34735, UNSIGNED_SHORT, 8, (1, 1, 0, 1, 1025, 0, 1, raster), True)
    source = tiff(extratags=[*tags, keys], metadata=None, byteorder=order)
    before = tifffile.TiffFile(io.BytesIO(source)).pages[0]
    assert enlarge(source, tmp_path / "a.tif", 4) == []
    after = tifffile.TiffFile(tmp_path / "a.tif").pages[0]
    for column, row in ((0, 0), (16, 0), (16, 12), (5, 7)):
        np.testing.assert_allclose(ground(after, 4 * column, 4 * row), ground(before, column, row), atol=1e-6)


COLOURS_OF_A_MODEL = {
    "heights": (GREY.astype(np.float32) / 255, {}),
    "floating colours": (np.stack([GREY] * 3, -1).astype(np.float32) / 255, {"photometric": "rgb"}),
    "planes": (np.stack([GREY] * 3).astype(np.uint16), {"photometric": "rgb", "planarconfig": "separate"}),
}


@pytest.mark.parametrize("kind", COLOURS_OF_A_MODEL)
def test_a_geotiff_of_any_depth_after_its_thumbnail(kind: str, tmp_path: Path) -> None:
    data, options = COLOURS_OF_A_MODEL[kind]
    with tifffile.TiffWriter(out := io.BytesIO()) as file:
        file.write(GREY[:4, :4], photometric="minisblack", subfiletype=1, metadata=None, description="thumbnail")
        options = {"photometric": "minisblack", **options}
        file.write(data, metadata=None, extratags=[SCALE, TIE], description="main", **options)
    enlarge(out.getvalue(), tmp_path / "a.tif")
    page = tifffile.TiffFile(tmp_path / "a.tif").pages[0]
    assert (page.imagewidth, page.imagelength, page.description) == (32, 24, "main")
    assert page.tags[33550].value == (5, 2.5, 0)
    assert page.tags[33922].value[:2] == (4, 6)


def test_rational_polynomials_are_scaled(tmp_path: Path) -> None:
    model = [0.0, 0, 100, 200, 1, 2, 3, 50, 60, *range(83)]
    enlarge(tiff(extratags=[(50844, DOUBLE, 92, model, True)], metadata=None), tmp_path / "a.tif")
    new = tifffile.TiffFile(tmp_path / "a.tif").pages[0].tags[50844].value
    assert list(new[:9]) == [0, 0, 200.5, 400.5, 1, 2, 3, 100, 120]  # offsets are of pixels' centres
    assert list(new[9:]) == model[9:]


def test_a_place_on_the_ground_is_missed_where_it_has_none(tmp_path: Path) -> None:
    source = tiff(extratags=[SCALE, TIE], metadata=None)
    assert "GeoTIFF" in " ".join(enlarge(source, tmp_path / "a.png"))
    turned = tiff(extratags=[SCALE, TIE, (274, UNSIGNED_SHORT, 1, 6, True)], metadata=None)
    assert "GeoTIFF" in " ".join(enlarge(turned, tmp_path / "a.tif"))
    assert 33550 not in tifffile.TiffFile(tmp_path / "a.tif").pages[0].tags


# Descriptions that count

STACK = np.stack([GREY, GREY, GREY])
UNIT = {"resolution": (4, 4), "imagej": True}  # pixels a micrometre
DESCRIPTIONS = {
    "ImageJ": ({"data": STACK, **UNIT, "metadata": {"axes": "ZYX", "unit": "um"}}, "unit=um", 8),
    "ImageJ of one page": ({**UNIT, "metadata": {"unit": "mm", "min": 3.0}}, "min=3.0", 8),
    "tifffile": ({"metadata": {"axes": "YX", "sample": "leaf"}}, "leaf", None),
    "tifffile of pages": ({"data": STACK, "metadata": {"axes": "ZYX"}}, "", None),
    "OME": ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}}, "", 101600),
    "Aperio": ({"description": "Aperio Image\n16x12 [0,0 16x12]|MPP = 0.25", "metadata": None}, "", 203200),
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_descriptions_that_count_are_read_by_their_own_tool(kind: str, tmp_path: Path) -> None:
    options, kept, resolution = DESCRIPTIONS[kind]
    notes = enlarge(tiff(**options), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.asarray().shape == (24, 32)
        page = file.pages[0]
        assert kept in page.description
        for word in ("images=3", "slices=3", '"shape"', "<OME", "16x12"):
            assert word not in page.description
        if resolution:
            top, bottom = page.tags["XResolution"].value
            assert top / bottom == pytest.approx(resolution)
    assert any("description" in note for note in notes) == (kind in ("OME", "Aperio"))


# EXIF


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("pointer", "content"), [(0x8769, {0x9286: b"ASCII\0\0\0hello"}), (0x8825, {1: "N"})])
def test_exif_with_nothing_but_a_pointer_is_carried(pointer: int, content: dict, suffix: str, tmp_path: Path) -> None:
    stored = Image.Exif()
    stored[pointer] = content
    assert enlarge(encoded("JPEG", exif=stored), tmp_path / f"a{suffix}") == []
    assert Image.open(tmp_path / f"a{suffix}").getexif().get_ifd(pointer) == content


@pytest.mark.parametrize(
    ("orientation", "area"), [(1, (4, 6, 8, 10)), (3, (28, 18, 8, 10)), (6, (18, 4, 10, 8)), (8, (6, 28, 10, 8))]
)
def test_places_in_the_image_follow_its_pixels(orientation: int, area: tuple, tmp_path: Path) -> None:
    stored = Image.Exif()
    stored[274] = orientation
    stored[0x8769] = {0x9214: (2, 3, 4, 5), 0xA214: (2, 3), 0xA20E: 100.0, 0xA20F: 200.0, 0xA002: 16, 0xA003: 12}
    enlarge(encoded("JPEG", exif=stored), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        details = image.getexif().get_ifd(0x8769)
        assert (details[0xA002], details[0xA003]) == image.size
    assert details[0x9214] == area
    assert details[0xA214] == area[:2]
    assert (details[0xA20E], details[0xA20F]) == ((200, 400) if orientation < 5 else (400, 200))


def test_dots_per_inch_of_a_photograph_stay(tmp_path: Path) -> None:
    enlarge(encoded("JPEG", dpi=(300, 300)), tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").info["dpi"] == (300, 300)


VALUES = {1: b"\1\2", 2: b"text\0", 3: b"\1\0", 5: struct.pack("<II", 7, 0), 7: b"\xff\0\xfe", 11: b"\0\0\xc0\x7f"}
VALUES |= {10: struct.pack("<ii", -1, 0), 12: b"\xff" * 8, 13: b"\xff\xff\xff\xff", 0: b"????", 99: b"????"}
TAGS = (270, 271, 274, 282, 283, 296, 305, 306, 33432, 700, 33550, 33922, 0x8769, 0x8825, 330, 513, 50706)
DETAILS = (0x9003, 0x9214, 0x9286, 0x927C, 0xA001, 0xA002, 0xA005, 0xA20E, 33434)


def malformed(kind: int) -> bytes:
    """EXIF in which every tag has a value of that type, whatever it should be."""
    data, count = VALUES[kind], 1 if kind not in (1, 2, 7) else len(VALUES[kind])

    def directory(tags: tuple, at: int) -> bytes:
        places = at + 6 + 12 * len(tags)
        rows = [struct.pack("<HHI", t, kind, count) + (data.ljust(4, b"\0") if len(data) < 5 else b"") for t in tags]
        rows = [row if len(row) == 12 else row + struct.pack("<I", places) for row in rows]
        return struct.pack("<H", len(tags)) + b"".join(rows) + b"\0\0\0\0" + data.ljust(8, b"\0")

    first = sorted({*TAGS} - {0x8769})
    pointer = struct.pack("<HHII", 0x8769, 4, 1, 8 + 14 + 6 + 12 * (len(first)) + 8)
    top = directory(tuple(first), 8 + 12)
    top = struct.pack("<H", len(first) + 1) + top[2 : -8 - 4] + pointer + top[-12:]
    return b"II*\0\x08\0\0\0" + top + directory(tuple(sorted(DETAILS)), 8 + len(top))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".bmp", ".gif"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_saving_never_fails_for_exif_of_other_types(source: str, suffix: str, tmp_path: Path) -> None:
    for kind in VALUES:
        if source == "TIFF":
            raw = as_tiff(malformed(kind))
        else:
            raw = encoded(
                source, exif=b"Exif\0\0" + malformed(kind), **({} if source == "JPEG" else {"lossless": True})
            )
        one = open_photo(raw)
        save(one, tmp_path / f"a{suffix}")
        again = open_photo(tmp_path / f"a{suffix}")
        if suffix in (".png", ".tif"):
            np.testing.assert_array_equal(again.array, one.array)
        with Image.open(tmp_path / f"a{suffix}") as image:
            image.load()


def as_tiff(exif: bytes) -> bytes:
    """The tags of EXIF as those of a TIFF of one grey pixel."""
    (count,) = struct.unpack_from("<H", exif, 8)
    rows = [exif[10 + 12 * k : 22 + 12 * k] for k in range(count)]
    need = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 1}
    at = len(exif) + 2 + 12 * (len(need) + count) + 4
    own = [struct.pack("<HHII", tag, 4, 1, at if tag == 273 else value) for tag, value in need.items()]
    own += [row for row in rows if struct.unpack_from("<H", row)[0] not in (274, 330, 513)]
    own = sorted(own, key=lambda row: struct.unpack_from("<H", row)[0])
    table = struct.pack("<H", len(own)) + b"".join(own) + b"\0" * 4
    return exif[:4] + struct.pack("<I", len(exif)) + exif[8:] + table.ljust(at - len(exif), b"\0") + b"\x80"


@pytest.mark.parametrize(("unit", "values"), [(3, b"no fraction"), (2, b""), (0, struct.pack("<II", 300, 1))])
def test_a_resolution_that_readers_of_tiff_fail_on_is_left_behind(unit: int, values: bytes, tmp_path: Path) -> None:
    entry = Entry(5 if len(values) == 8 else 7, values or b"\0")
    stored = stream_bytes({282: entry, 283: entry, 296: numbers(UNSIGNED_SHORT, unit)})
    notes = enlarge(encoded("PNG", exif=b"Exif\0\0" + stored), tmp_path / "a.tif")
    assert notes
    with Image.open(tmp_path / "a.tif") as image:
        assert image.size == (32, 24)


def test_exif_too_long_for_a_segment_loses_its_longest_tag(tmp_path: Path) -> None:
    stored = Image.Exif()
    stored[271] = "maker"
    stored[0x8769] = {0x927C: b"n" * 70_000, 0x9003: "2020:02:03 04:05:06"}
    notes = enlarge(encoded("PNG", exif=stored), tmp_path / "a.jpg")
    assert notes == ["its EXIF tags 0x927C are too long for JPEG and left behind"]
    assert Image.open(tmp_path / "a.jpg").getexif()[271] == "maker"


# XMP


def packet(names: str, attributes: str = "", inner: str = "") -> bytes:
    spaces = {
        "GPano": "http://ns.google.com/photos/1.0/panorama/",
        "g": "http://ns.adobe.com/hdr-gain-map/1.0/",
        "GCamera": "http://ns.google.com/photos/1.0/camera/",
        "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
        "Container": "http://ns.google.com/photos/1.0/container/",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
        "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
        "stArea": "http://ns.adobe.com/xmp/sType/Area#",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
    }
    declared = " ".join(f'xmlns:{name}="{spaces[name]}"' for name in ["dc", *names.split()])
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {declared} dc:source="a&#10;b &lt; ä" {attributes}>{inner}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def xmp_of(file: Path) -> str:
    with Image.open(file) as image:
        xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    text = xmp if isinstance(xmp, str) else xmp.decode()
    assert 'dc:source="a&#10;b &lt; ä"' in text  # the rest is as it was
    return text


REGIONS = (
    '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="16" stDim:h="12" stDim:unit="pixel"'
    '/><mwg-rs:RegionList><rdf:Bag><rdf:li><mwg-rs:Area stArea:x="0.5" stArea:y="0.25" stArea:unit="normalized"/>'
    "</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)
IN_PIXELS = {
    "panorama": (
        "GPano",
        'GPano:FullPanoWidthPixels="100" GPano:CroppedAreaImageWidthPixels="16" GPano:PoseHeadingDegrees="33"',
        "<GPano:FullPanoHeightPixels>50</GPano:FullPanoHeightPixels>",
        {'WidthPixels="200"', 'AreaImageWidthPixels="32"', 'HeadingDegrees="33"', ">100<"},
    ),
    "dimensions": (
        "tiff exif",
        'tiff:ImageWidth="16" exif:PixelYDimension="12" exif:FocalPlaneXResolution="1000/3"',
        "<exif:SubjectArea><rdf:Seq><rdf:li>2</rdf:li><rdf:li>3</rdf:li></rdf:Seq></exif:SubjectArea>",
        {'ImageWidth="32"', 'YDimension="24"', 'XResolution="2000/3"', "<rdf:li>4</rdf:li><rdf:li>6</rdf:li>"},
    ),
    "regions": ("mwg-rs stDim stArea", "", REGIONS, {'w="32"', 'h="24"', 'x="0.5"', 'y="0.25"'}),
    "of a page": ("stDim", "", '<dc:page stDim:w="16" stDim:unit="inch"/>', {'w="16"'}),
    "no number": ("GPano", 'GPano:FullPanoWidthPixels="many"', "", {"xmlns:GPano"}),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", IN_PIXELS)
def test_xmp_in_pixels_is_scaled(kind: str, suffix: str, tmp_path: Path) -> None:
    names, attributes, inner, wanted = IN_PIXELS[kind]
    assert enlarge(encoded("JPEG", xmp=packet(names, attributes, inner)), tmp_path / f"a{suffix}") == []
    text = xmp_of(tmp_path / f"a{suffix}")
    assert {part for part in wanted if part not in text} == set()
    assert "many" not in text


ITEM = '<Container:Directory><rdf:Seq><rdf:li Container:Item="GainMap"/></rdf:Seq></Container:Directory>'
THUMBNAIL = '<xmp:Thumbnails><rdf:Alt><rdf:li xmp:image="/9j/4AAQ"/></rdf:Alt></xmp:Thumbnails>'
GONE = {
    "gain map, prefix renamed": ("g Container", 'g:Version="1.0"', ITEM, "gain map"),
    "film": ("GCamera", 'GCamera:MicroVideo="1" GCamera:MicroVideoOffset="99"', "", "film"),
    "film in elements": ("GCamera", "", "<GCamera:MotionPhoto>1</GCamera:MotionPhoto>", "film"),
    "depth": ("GDepth", 'GDepth:Data="AAAA" GDepth:Far="2"', "", "depth map"),
    "thumbnail": ("xmp", "", THUMBNAIL, ""),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", GONE)
def test_what_is_no_longer_there_is_no_longer_announced(kind: str, suffix: str, tmp_path: Path) -> None:
    names, attributes, inner, word = GONE[kind]
    notes = enlarge(encoded("JPEG", xmp=packet(names, attributes, inner)), tmp_path / f"a{suffix}")
    assert [word in note for note in notes] == [True] * bool(word)
    text = xmp_of(tmp_path / f"a{suffix}")
    for part in ("g:Version", "MicroVideo", "MotionPhoto", "GDepth:", "Container:", "Thumbnails"):
        assert not re.search(rf"[\s<]{part}", text), part


def test_further_images_of_a_jpeg_are_missed(tmp_path: Path) -> None:
    gain = b"\xff\xe2" + struct.pack(">H", 34) + b"urn:iso:std:iso:ts:21496:-1\0" + b"\0\0\0\0"
    plain = encoded("JPEG")
    assert "gain map" in enlarge(plain[:2] + gain + plain[2:], tmp_path / "a.jpg")[0]
    several = encoded("MPO", save_all=True, append_images=[Image.new("RGB", (16, 12))])
    assert "further images" in enlarge(several, tmp_path / "a.jpg")[0]
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\4abcd"
    with_iptc = plain[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + plain[2:]
    assert "IPTC" in enlarge(with_iptc, tmp_path / "a.jpg")[0]


def test_regions_of_a_turned_image_are_missed(tmp_path: Path) -> None:
    stored = Image.Exif()
    stored[274] = 6
    source = encoded("JPEG", exif=stored, xmp=packet("mwg-rs stDim stArea", "", REGIONS))
    assert enlarge(source, tmp_path / "a.jpg") == ["its marked regions are left behind"]
    assert "Regions" not in xmp_of(tmp_path / "a.jpg").replace("xmlns", "").replace("schemas/regions", "")


def test_damaged_xmp_that_announces_is_left_behind(tmp_path: Path) -> None:
    raw = packet("g", 'g:Version="1.0"')[:-40]
    assert "damaged" in enlarge(encoded("JPEG", xmp=raw), tmp_path / "a.jpg")[0]
    assert "xmp" not in Image.open(tmp_path / "a.jpg").info
    bomb = b'<!DOCTYPE a [<!ENTITY b "ns.adobe.com/hdr-gain-map/1.0/">]>' + packet("g", 'g:Version="1.0"')
    assert "damaged" in enlarge(encoded("PNG", pnginfo=with_xmp(bomb)), tmp_path / "a.png")[0]


def test_sizes_in_damaged_xmp_are_not_carried(tmp_path: Path) -> None:
    raw = packet("tiff", 'tiff:ImageWidth="16"')[:-40]
    assert "scaled" in enlarge(encoded("JPEG", xmp=raw), tmp_path / "a.jpg")[0]
    assert "xmp" not in Image.open(tmp_path / "a.jpg").info


def with_xmp(raw: bytes) -> PngInfo:
    info = PngInfo()
    info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + raw)
    return info


def segments(raw: bytes) -> list[bytes]:
    """The APP1 segments of a JPEG."""
    at, found = 2, []
    while raw[at + 1] != 0xDA:
        size = struct.unpack_from(">H", raw, at + 2)[0]
        found += [raw[at + 4 : at + 2 + size]] if raw[at + 1] == 0xE1 else []
        at += 2 + size
    return found


@pytest.mark.parametrize("inner", [f"<dc:history>{'y&amp;' * 40_000}</dc:history>", ""])
def test_long_xmp_is_split_in_jpeg_and_joined_again(inner: str, tmp_path: Path) -> None:
    raw = packet("xmp", f'dc:title="kept" dc:log="{"x" * 70_000}"', inner)
    assert enlarge(encoded("PNG", pnginfo=with_xmp(raw)), tmp_path / "a.jpg") == []
    assert 'dc:title="kept"' in xmp_of(tmp_path / "a.jpg")
    parts = segments((tmp_path / "a.jpg").read_bytes())
    main, *more = [p.partition(b"\0")[2] for p in parts if p.startswith(b"http://ns.adobe.com/x")]
    guid = re.search(rb'xmpNote:HasExtendedXMP="([0-9A-F]{32})"', main)[1]
    whole = b"".join(part[40:] for part in more)
    assert hashlib.md5(whole).hexdigest().upper().encode() == guid
    assert [part[:32] for part in more] == [guid] * len(more)
    starts = [struct.unpack_from(">II", part, 32) for part in more]
    assert starts == [(len(whole), sum(len(p) - 40 for p in more[:k])) for k in range(len(more))]
    assert b"x" * 70_000 in whole
    assert b"y&amp;" * 40_000 in whole or not inner
    assert enlarge((tmp_path / "a.jpg").read_bytes(), tmp_path / "b.png", 1) == []
    text = xmp_of(tmp_path / "b.png")
    assert "x" * 70_000 in text
    assert "HasExtendedXMP" not in text


def test_long_xmp_that_cannot_be_split_is_missed(tmp_path: Path) -> None:
    assert "XMP" in enlarge(encoded("PNG", pnginfo=with_xmp(b"<x" * 40_000)), tmp_path / "a.jpg")[0]


# Texts and colours of PNG

LONG_PROMPT = "a tree, steps 40, 木" * 3


def with_texts() -> bytes:
    info = PngInfo()
    info.add_text("parameters", LONG_PROMPT)
    info.add_text("workflow", json.dumps({"nodes": list(range(99))}), zip=True)
    info.add_itxt("Description", "ä", lang="de", tkey="Beschreibung")
    info.add(b"tEXt", b"Thumb::URI\0file:///a")
    return encoded("PNG", pnginfo=info).replace(chunk(b"IEND", b""), chunk(b"tEXt", b"Late\0one") + chunk(b"IEND", b""))


def test_texts_of_a_png_are_carried_to_png(tmp_path: Path) -> None:
    assert enlarge(with_texts(), tmp_path / "a.png") == []
    before, after = (Image.open(f) for f in (io.BytesIO(with_texts()), tmp_path / "a.png"))
    for image in (before, after):
        image.load()
    assert after.text == {k: v for k, v in before.text.items() if not k.startswith("Thumb")}
    assert after.text["Description"].lang == "de"


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_texts_of_a_png_go_where_a_format_has_a_place(suffix: str, tmp_path: Path) -> None:
    notes = enlarge(with_texts(), tmp_path / f"a{suffix}")
    assert len(notes) == 1
    assert "'workflow', 'Late'" in notes[0]
    exif = Image.open(tmp_path / f"a{suffix}").getexif()
    assert exif.get_ifd(0x8769)[0x9286] == b"UNICODE\0" + LONG_PROMPT.encode("utf-16-be")
    assert exif[270].encode("latin-1").decode() == "ä"


def test_comments_are_carried(tmp_path: Path) -> None:
    commented = encoded("JPEG", comment="große Worte".encode())
    enlarge(commented, tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").info["comment"].decode() == "große Worte"
    enlarge(commented, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").text == {"Comment": "große Worte"}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".gif"])
def test_comments_that_are_too_long_or_no_text_do_not_stop_a_file(suffix: str, tmp_path: Path) -> None:
    for comment in (b"\xff\0\xfe\0", "木".encode() * 21_000):
        enlarge(encoded("JPEG", comment=comment), tmp_path / f"a{suffix}")
        assert Image.open(tmp_path / f"a{suffix}").size == (32, 24)
    info = PngInfo()
    info.add_itxt("Comment", "木" * 50_000)
    enlarge(encoded("PNG", pnginfo=info), tmp_path / f"a{suffix}")


def test_a_resolution_beyond_jfif_is_in_exif(tmp_path: Path) -> None:
    options = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm"}
    enlarge(tiff(ome=True, metadata=options), tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").getexif()[282] == 508000


def test_hostile_metadata_take_no_time(tmp_path: Path) -> None:
    start = time.perf_counter()
    many = stream_bytes({tag: Entry(7, b"12345") for tag in range(52_000, 62_000)})
    assert "more are too long" in " ".join(enlarge(encoded("PNG", exif=b"Exif\0\0" + many), tmp_path / "a.jpg"))
    deep = packet("g", 'g:Version="1.0"', "<dc:a>" * 5000 + "</dc:a>" * 5000)
    wide = packet("g", 'g:Version="1.0"', "<dc:a/>" * 60_000)
    lists = packet("exif g", 'g:Version="1.0"', "<exif:SubjectArea><rdf:Seq>" * 90 + "<rdf:li>1</rdf:li>" * 9000)
    lists = lists.replace(b"</rdf:Description>", b"</rdf:Seq></exif:SubjectArea>" * 90 + b"</rdf:Description>")
    for raw in (deep, wide, lists):
        enlarge(encoded("PNG", pnginfo=with_xmp(raw)), tmp_path / "a.png")
        assert "g:Version" not in str(Image.open(tmp_path / "a.png").info)
    assert time.perf_counter() - start < 15


def chunks_of(file: Path) -> dict[bytes, bytes]:
    raw, at, found = file.read_bytes(), 8, {}
    while at < len(raw):
        size = struct.unpack_from(">I", raw, at)[0]
        found[raw[at + 4 : at + 8]] = raw[at + 8 : at + 8 + size]
        assert zlib.crc32(raw[at + 4 : at + 8 + size]) == struct.unpack_from(">I", raw, at + 8 + size)[0]
        at += 12 + size
    return found


WIDE = struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)
USUAL = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
COLOURS = {
    "PQ": ({b"cICP": bytes([9, 16, 0, 1]), b"mDCV": bytes(24), b"cLLI": bytes(8)}, True),
    "HLG": ({b"cICP": bytes([9, 18, 0, 1])}, True),
    "wide": ({b"gAMA": struct.pack(">I", 45455), b"cHRM": WIDE}, True),
    "linear": ({b"gAMA": struct.pack(">I", 100000)}, True),
    "sRGB in numbers": ({b"gAMA": struct.pack(">I", 45455), b"cHRM": USUAL}, False),
    "sRGB": ({b"sRGB": b"\1"}, False),
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_of_a_png_are_carried_or_missed(kind: str, tmp_path: Path) -> None:
    stored, unusual = COLOURS[kind]
    plain = encoded("PNG")
    at = plain.index(b"IDAT") - 4
    source = plain[:at] + b"".join(chunk(*pair) for pair in stored.items()) + plain[at:]
    assert enlarge(source, tmp_path / "a.png") == []
    found = chunks_of(tmp_path / "a.png")
    assert {name: found.get(name) for name in stored} == stored
    for suffix in (".jpg", ".bmp", ".tif"):
        notes = enlarge(source, tmp_path / f"a{suffix}")
        assert any("colours are described by" in note for note in notes) == unusual


def test_colours_of_an_avif_become_those_of_a_png(tmp_path: Path) -> None:
    source = bytearray(encoded("AVIF"))
    at = source.index(b"colrnclx") + 8
    source[at : at + 4] = bytes([0, 9, 0, 16])
    assert enlarge(bytes(source), tmp_path / "a.png") == []
    assert chunks_of(tmp_path / "a.png")[b"cICP"] == bytes([9, 16, 0, 1])
    assert enlarge(encoded("AVIF"), tmp_path / "b.png") == []
    assert b"cICP" not in chunks_of(tmp_path / "b.png")


def test_a_photo_of_ones_own_has_no_size_to_scale_from(tmp_path: Path) -> None:
    save(Photo(np.zeros((4, 4, 3), np.uint8)), tmp_path / "a.tif")
    assert tifffile.imread(tmp_path / "a.tif").shape == (4, 4, 3)
