"""The levels of every kind of image file, against other readers and against bytes written here."""

import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganvas.imaging.decode import BadImage, read_header, read_image
from ganvas.imaging.photo import open_photo
from test_pixels import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, png


def levels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.RandomState(0).randint(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def tiff(array: np.ndarray, **how: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, metadata=None, **how)
    return out.getvalue()


def check(data: bytes, expected: np.ndarray, notes: list[str] | None = None) -> None:
    """A photo, an image of training data and a header of it say the same; grey with alpha is RGBA in data."""
    got, as_data, header = open_photo(data), read_image(data), read_header(data)
    expected = expected.reshape(*expected.shape[:2], -1)
    assert got.array.dtype == as_data.array.dtype == expected.dtype
    np.testing.assert_array_equal(got.array, expected)
    np.testing.assert_array_equal(as_data.array, expected[..., [0, 0, 0, 1]] if expected.shape[2] == 2 else expected)
    assert header.size == expected.shape[:2]
    assert header.bits == expected.itemsize * 8
    assert (header.grey, header.alpha) == (expected.shape[2] < 3, expected.shape[2] in (2, 4))
    for notes_of in (got.notes, as_data.notes):
        assert notes is None or notes_of == notes


# TIFF

ONE_BAND = "a further band, which is no transparency, is left out"
LAYOUTS = [(order, packing) for order in "<>" for packing in (None, "zlib")]


@pytest.mark.parametrize(("order", "packing"), LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_tiff_counts_from_black_or_from_white(order: str, packing: str | None, dtype: str) -> None:
    array, top = levels((5, 7), dtype), np.iinfo(dtype).max
    how = {"byteorder": order, "compression": packing, "predictor": 2 if packing else None}
    check(tiff(array, photometric="minisblack", **how), array, [])
    check(tiff(top - array, photometric="miniswhite", **how), array, [])
    both = levels((5, 7, 2), dtype)
    stored = np.dstack([top - both[..., 0], both[..., 1]])
    how = {"byteorder": order, "compression": packing, "planarconfig": "contig"}
    check(tiff(stored, photometric="miniswhite", extrasamples=["unassalpha"], **how), both, [])
    check(tiff(stored, photometric="miniswhite", extrasamples=["unspecified"], **how), both[..., 0], [ONE_BAND])


@pytest.mark.parametrize(("order", "packing"), LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("further", [0, 1, 2, 5])
@pytest.mark.parametrize("alpha", [False, True])
def test_bands_that_are_no_transparency(
    order: str, packing: str | None, dtype: str, planar: str, further: int, alpha: bool
) -> None:
    array = levels((6, 20, 3 + alpha + further), dtype)
    extra = ["unassalpha"] * alpha + ["unspecified"] * further
    stored = array if planar == "contig" else np.ascontiguousarray(np.moveaxis(array, -1, 0))
    for tile in (None, (16, 16)):
        data = tiff(
            stored,
            photometric="rgb",
            planarconfig=planar,
            extrasamples=extra or None,
            byteorder=order,
            compression=packing,
            tile=tile,
        )
        note = [ONE_BAND] if further == 1 else [f"{further} further bands are left out"] if further else []
        check(data, array[..., : 3 + alpha], note)


def test_bands_that_the_file_calls_grey_are_colours() -> None:
    """As GDAL writes satellites' images."""
    array = levels((6, 8, 5))
    data = tiff(array, photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"] * 4)
    check(data, array[..., :3], ["2 further bands are left out"])


def raw_tiff(bits: int, rows: list[bytes], width: int, *, order: str = "<", **tags: int) -> bytes:
    """A grey TIFF of one strip from packed rows."""
    photometric, packing, body = tags.get("photometric", 1), tags.get("packing", 1), b"".join(rows)
    body = zlib.compress(body) if packing == 8 else body
    fields = [(256, width), (257, len(rows)), (258, bits), (259, packing), (262, photometric), (273, 0), (277, 1)]
    fields = [f for f in fields if f != (262, -1)] + [(278, len(rows)), (279, len(body))]
    start = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, start if tag == 273 else v) for tag, v in fields)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(fields))
    return head + entries + struct.pack(order + "I", 0) + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", [1, 8])
@pytest.mark.parametrize("photometric", [0, 1])
def test_tiff_of_twelve_bits_reaches_white(order: str, packing: int, photometric: int) -> None:
    stored = np.array([[0, 1, 2048, 4095, 4094, 16], [4095, 0, 7, 300, 4000, 2047]])
    rows = [bytes.fromhex("".join(f"{v:03x}" for v in row)) for row in stored]
    data = raw_tiff(12, rows, 6, order=order, packing=packing, photometric=photometric)
    expected = (stored / 4095 * 65535).round().astype(np.uint16)
    check(data, expected if photometric else 65535 - expected, [])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1, -1])
def test_tiff_of_few_bits(bits: int, photometric: int) -> None:
    """A file without the tag of photometric interpretation counts from black, as other readers guess."""
    count = 8 // bits
    stored = np.arange(count) % (1 << bits) if bits > 1 else np.array([1, 0, 0, 1, 1, 1, 0, 1])
    packed = int("".join(f"{v:0{bits}b}" for v in stored), 2)
    expected = (stored * (255 // ((1 << bits) - 1))).astype(np.uint8)[None]
    data = raw_tiff(bits, [bytes([packed])], count, photometric=photometric)
    check(data, expected if photometric else 255 - expected, [])


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_colour_map_of_eight_or_sixteen_bits(factor: int) -> None:
    index, colours = levels((5, 6), "uint8"), levels((3, 256), "uint8")
    data = tiff(index, photometric="palette", colormap=colours.astype(np.uint16) * factor)
    check(data, colours.T[index], [])


def pages(*parts: tuple[np.ndarray, dict[str, object]], **how: object) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, **how) as writer:
        for array, how in parts:
            writer.write(array, metadata=None, **how)
    return out.getvalue()


SMALL, LARGE, OTHER = levels((3, 4, 3), "uint8"), levels((24, 32, 3), "uint8"), levels((9, 9, 3), "uint8")
REDUCED, FULL = {"photometric": "rgb", "subfiletype": 1}, {"photometric": "rgb", "subfiletype": 0}
SUBFILE = b"\xfe\0\4\0\1\0\0\0%c"  # the tag
SEVERAL = ["the first frame of several is used"]
PAGES = {
    "thumbnail first": (pages((SMALL, REDUCED), (LARGE, FULL)), LARGE, []),
    "thumbnail last": (pages((LARGE, FULL), (SMALL, REDUCED)), LARGE, []),
    "mask first": (
        pages((SMALL, {"photometric": "rgb", "subfiletype": 1}), (LARGE, FULL)).replace(SUBFILE % 1, SUBFILE % 4, 1),
        LARGE,
        [],
    ),
    "two thumbnails, two images": (
        pages((SMALL, REDUCED), (OTHER, REDUCED), (LARGE, FULL), (OTHER, FULL)),
        LARGE,
        SEVERAL,
    ),
    "old tag": (
        pages((SMALL, {"photometric": "rgb", "extratags": [(255, 3, 1, 2, True)]}), (LARGE, FULL)),
        LARGE,
        [],
    ),
    "of 64 bits": (pages((SMALL, REDUCED), (LARGE, FULL), bigtiff=True, byteorder=">"), LARGE, []),
    "nothing but a reduced image": (pages((SMALL, REDUCED)), SMALL, []),
    "a pyramid": (pages((LARGE, {**FULL, "subifds": 1}), (SMALL, REDUCED)), LARGE, []),
    "thumbnail of a kind that Pillow does not know": (
        pages((levels((3, 4, 5)), {**REDUCED, "extrasamples": [0, 0]}), (LARGE, FULL)),
        LARGE,
        [],
    ),
    "sixteen bits plane by plane after a thumbnail": (
        pages((SMALL, REDUCED), (np.moveaxis(levels((9, 8, 3)), -1, 0), {**FULL, "planarconfig": "separate"})),
        levels((9, 8, 3)),
        [],
    ),
}


@pytest.mark.parametrize("kind", PAGES)
def test_the_image_is_read_and_not_its_thumbnail(kind: str) -> None:
    check(*PAGES[kind])


PATTERN = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
RAW, SENSOR = levels((8, 8)), {"photometric": 32803, "subfiletype": 0, "extratags": PATTERN}
CAMERAS = {
    "DNG": pages((SMALL, {**REDUCED, "subifds": 1, "extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}), (RAW, SENSOR)),
    "DNG of colours": pages((LARGE, {**FULL, "extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]})),
    "sensor inside a thumbnail": pages((SMALL, {**REDUCED, "subifds": 1}), (RAW, SENSOR)),
    "sensor as second page": pages((SMALL, REDUCED), (RAW, SENSOR)),
    "linear raw": pages((SMALL, {**REDUCED, "subifds": 1}), (LARGE, {**FULL, "photometric": 34892})),
}


@pytest.mark.parametrize("kind", CAMERAS)
@pytest.mark.parametrize("use", [open_photo, read_image, read_header])
def test_raw_images_of_cameras_are_named(kind: str, use: Callable[[bytes], object]) -> None:
    with pytest.raises(BadImage, match="DNG" if "DNG" in kind else "raw photograph"):
        use(CAMERAS[kind])


def test_damaged_directories_do_not_hang_or_crash() -> None:
    data = bytearray(PAGES["thumbnail first"][0])
    first = struct.unpack_from("<I", data, 4)[0]
    after = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    for target in (first, len(data) - 1, 2**32 - 1):  # the next page is the same one, cut off, and nowhere
        struct.pack_into("<I", data, after, target)
        np.testing.assert_array_equal(open_photo(bytes(data)).array, SMALL)


# PGM and PPM, by hand


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P5 2 1 4095\n\x0f\xff\x08\x00", np.array([[65535, round(2048 / 4095 * 65535)]], np.uint16)),
        (b"P5 3 1 100\n\x64\x32\x00", np.array([[255, 128, 0]], np.uint8)),
        (b"P5 2 1 256\n\x01\x00\x00\x01", np.array([[65535, 256]], np.uint16)),
        (b"P6 1 1 65535\n\x01\x02\x03\x04\xff\xfe", np.array([[[0x0102, 0x0304, 0xFFFE]]], np.uint16)),
        (b"P6 1 1 1023\n\x03\xff\x00\x00\x02\x00", np.array([[[65535, 0, round(512 / 1023 * 65535)]]], np.uint16)),
        (b"P6 1 1 15\n\x0f\x00\x01", np.array([[[255, 0, 17]]], np.uint8)),
        (b"P2 # grey\n2 1\n9 # white\n9 3", np.array([[255, 85]], np.uint8)),
        (b"P3 1 1 1023 1023 # red\n 0 # green\n 512\n", np.array([[[65535, 0, 32800]]], np.uint16)),
        (b"P2 2 1 65535 65535 258 ", np.array([[65535, 258]], np.uint16)),
        (b"P1 3 1 1 0 1", np.array([[0, 255, 0]], np.uint8)),
        (b"P4 3 1 \x40", np.array([[255, 0, 255]], np.uint8)),
    ],
    ids=lambda value: value[:14] if isinstance(value, bytes) else "",
)
def test_portable_maps_keep_their_depth(data: bytes, expected: np.ndarray) -> None:
    check(data, expected, [])


@pytest.mark.parametrize("data", [b"P2 2 2 9 9 3", b"P6 2 1 1023 \0\0\0", b"P3 1 1 9 1 x 2", b"P2 1 1 9 "])
def test_portable_maps_that_end_early_are_refused(data: bytes) -> None:
    with pytest.raises(BadImage, match="truncated|damaged"):
        open_photo(data)


# PNG, by hand


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_level_of_any_depth(bits: int) -> None:
    top, wide = (1 << bits) - 1, max(8, bits)
    rows = [b"".join(v.to_bytes(wide // 8, "big") for v in (top << (wide - bits), 0))] if bits >= 8 else None
    rows = rows or [bytes([top << (8 - bits)])]
    white = 65535 if bits == 16 else 255
    expected = np.array([[[white, 0], [0, white]]], np.uint16 if bits == 16 else np.uint8)
    check(png(2, 1, bits, GREY, rows, (b"tRNS", struct.pack(">H", top))), expected, [])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_any_depth_with_transparency(bits: int) -> None:
    colours, alpha = levels((1 << bits, 3), "uint8"), levels((1 << bits,), "uint8")
    index = np.arange(8 // bits) % (1 << bits)
    packed = bytes([int("".join(f"{v:0{bits}b}" for v in index), 2)])
    data = png(len(index), 1, bits, PALETTE, [packed], (b"PLTE", colours.tobytes()), (b"tRNS", alpha.tobytes()))
    check(data, np.concatenate([colours, alpha[:, None]], 1)[index][None], [])


@pytest.mark.parametrize(("colour", "channels"), [(GREY, 1), (GREY_ALPHA, 2), (RGB, 3), (RGBA, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_of_every_kind(colour: int, channels: int, dtype: str) -> None:
    array = levels((4, 5, channels), dtype)
    rows = [row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array]
    check(png(5, 4, array.itemsize * 8, colour, rows), array, [])


# BMP and GIF, by hand


def bmp(width: int, height: int, bits: int, body: bytes, *, packing: int = 0, rest: bytes = b"") -> bytes:
    start, size = 14 + 40 + len(rest), len(body)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, size, 0, 0, len(rest) // 4 * (bits < 16), 0)
    return b"BM" + struct.pack("<IHHI", start + size, 0, 0, start) + head + rest + body


COLOURS = b"\1\2\3\0\4\5\6\0"  # blue, green, red, unused
TWO = np.array([[[6, 5, 4], [3, 2, 1]]], np.uint8)
BMPS = {
    "1 bit": (bmp(2, 1, 1, b"\x80\0\0\0", rest=COLOURS), TWO),
    "4 bits": (bmp(2, 1, 4, b"\x10\0\0\0", rest=COLOURS), TWO),
    "8 bits": (bmp(2, 1, 8, b"\1\0\0\0", rest=COLOURS), TWO),
    "8 bits, run lengths": (bmp(2, 1, 8, b"\1\1\1\0\0\1", packing=1, rest=COLOURS), TWO),
    "4 bits, run lengths": (bmp(2, 1, 4, b"\2\x10\0\1", packing=2, rest=COLOURS), TWO),
    "5 bits a colour": (bmp(2, 1, 16, struct.pack("<HH", 31 << 10, 31)), [[[255, 0, 0], [0, 0, 255]]]),
    "5, 6, 5 bits": (
        bmp(2, 1, 16, struct.pack("<HH", 31 << 11, 63 << 5), packing=3, rest=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
        [[[255, 0, 0], [0, 255, 0]]],
    ),
    "24 bits, downwards": (bmp(1, -2, 24, b"\1\2\3\0\4\5\6\0"), [[[3, 2, 1]], [[6, 5, 4]]]),
    "32 bits, the fourth unused": (bmp(1, 1, 32, b"\1\2\3\0"), [[[3, 2, 1]]]),
}


@pytest.mark.parametrize("kind", BMPS)
def test_bmp_of_every_kind(kind: str) -> None:
    data, expected = BMPS[kind]
    check(data, np.array(expected, np.uint8), [])


def test_gif_with_a_transparent_colour() -> None:
    """Four pixels of a palette of four; codes of three bits: clear, 0, 1, clear, 2, 3, end."""
    codes = (4, 0, 1, 4, 2, 3, 5)
    packed = sum(code << 3 * k for k, code in enumerate(codes)).to_bytes(3, "little")
    data = (
        b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x91, 0, 0) + bytes(range(12)) + b"\x21\xf9\4\1\0\0\2\0"
        b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + b"\2\3" + packed + b"\0;"
    )
    expected = [[[0, 1, 2, 255], [3, 4, 5, 255]], [[6, 7, 8, 0], [9, 10, 11, 255]]]
    check(data, np.array(expected, np.uint8), [])


# JPEG, JPEG 2000, WebP, AVIF, against FFmpeg


def encode(codec: str, kind: str, array: np.ndarray, layout: str, **options: str) -> bytes:
    """An image by FFmpeg; in a thread of its own: SVT-AV1 gives it real-time priority if root."""
    pytest.importorskip("av")
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(encode_here, codec, kind, array, layout, **options).result()


def encode_here(codec: str, kind: str, array: np.ndarray, layout: str, **options: str) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=kind) as film:
        stream = film.add_stream(codec, rate=1, options=options)
        stream.height, stream.width = array.shape[:2]
        stream.pix_fmt = layout
        whole = {1: "gray", 3: "rgb24"}[array.shape[2]] if array.dtype == np.uint8 else "rgb48le"
        whole = "gray16le" if array.dtype == np.uint16 and array.shape[2] == 1 else whole
        frame = av.VideoFrame.from_ndarray(array[..., 0] if array.shape[2] == 1 else array, format=whole)
        film.mux([*stream.encode(frame.reformat(format=layout)), *stream.encode(None)])
    return out.getvalue()


def decode_elsewhere(data: bytes, layout: str) -> np.ndarray:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as film:
        return next(film.decode(video=0)).to_ndarray(format=layout)


SMOOTH = (np.mgrid[:32, :48][0] * 5 + np.mgrid[:32, :48][1])[..., None] + np.array([0, 20, 40])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("kind", "quality"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_jpeg_and_webp_as_ffmpeg_reads_them(mode: str, kind: str, quality: dict[str, object]) -> None:
    array, out = SMOOTH.astype(np.uint8), io.BytesIO()
    Image.fromarray(array).convert(mode).save(out, kind, **quality)
    got = read_image(out.getvalue()).array
    expected = decode_elsewhere(out.getvalue(), "gray" if got.shape[2] == 1 else "rgb24")
    assert np.abs(got.squeeze().astype(int) - expected).max() <= 3  # YCbCr is converted with other roundings


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1)])
def test_jpeg_2000_of_another_writer(dtype: str, channels: int) -> None:
    top = np.iinfo(dtype).max
    array = (SMOOTH[..., :channels] * (top // SMOOTH.max())).astype(dtype)
    layout = {("uint8", 1): "gray", ("uint8", 3): "rgb24", ("uint16", 1): "gray16le"}[dtype, channels]
    data = encode("jpeg2000", "image2pipe", array, layout, pred="1")
    expected = decode_elsewhere(data, layout).reshape(array.shape)
    np.testing.assert_allclose(expected, array, atol=top // 100)
    check(data, expected, [])


def with_precision(data: bytes, bits: int) -> bytes:
    """A JPEG 2000 of one channel whose marker SIZ, and header in JP2, declare other bits."""
    changed, at = bytearray(data), data.find(b"\xff\x4f\xff\x51")
    changed[at + 42] = bits - 1
    if (header := data.find(b"ihdr")) >= 0:
        changed[header + 14] = bits - 1
    return bytes(changed)


@pytest.mark.parametrize("bits", [4, 10, 12])
@pytest.mark.parametrize("kind", ["j2k", "jp2"])
def test_white_of_a_jpeg_2000_is_white(bits: int, kind: str) -> None:
    """Lossless coding of small levels is the same whatever the declared depth, but for the middle that is taken off."""
    out, top = io.BytesIO(), (1 << bits) - 1
    wide = 8 if bits < 8 else 16
    stored = np.full((8, 8), top - (1 << bits - 1) + (1 << wide - 1), f"uint{wide}")
    Image.fromarray(stored).save(out, "JPEG2000", irreversible=False, no_jp2=kind == "j2k")
    white = 255 if bits < 8 else 65535
    check(with_precision(out.getvalue(), bits), np.full((8, 8), white, stored.dtype), [])


def test_colours_of_more_bits_than_are_read_are_named() -> None:
    array = (SMOOTH * 100).astype(np.uint16)
    data = encode("jpeg2000", "image2pipe", array, "rgb48le", pred="1")
    got = read_image(data)
    assert got.notes == open_photo(data).notes == ["16-bit colour is read as 8-bit"]
    assert got.array.dtype == np.uint8
    np.testing.assert_allclose(got.array, array / 257, atol=1.1)
    film = encode("libsvtav1", "avif", np.tile(array, (2, 2, 1)), "yuv420p10le", preset="12")
    for use in (open_photo, read_image):
        assert use(film).notes == ["10-bit colour is read as 8-bit"]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_of_what_moves_the_first_frame_is_used_and_said(kind: str) -> None:
    frames, out = [Image.new("RGB", (16, 16), (k * 80, 9, 9)) for k in range(3)], io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    for use in (open_photo, read_image):
        assert use(out.getvalue()).notes == SEVERAL
        assert abs(int(use(out.getvalue()).array[0, 0, 0])) < 5
