"""Images of known pixels, most of them written here byte by byte, against what `pixels` makes of them."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.errors import UserError
from ganvas.imaging.decode import (
    BadImage,
    is_transparent,
    read_header,
    read_image,
    save_png,
    scale_and_crop,
    to_8bit,
    to_channels,
    to_float,
    to_uint8,
    whiten_hidden,
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *more: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    extra = b"".join(chunk(*m) for m in more)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body + chunk(b"IEND", b"")


def jpeg(width: int = 64, height: int = 48) -> bytes:
    noise = np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=95)
    return out.getvalue()


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
HAND_MADE = {
    "grey 1 bit": (png(4, 1, 1, GREY, [b"\xa0"]), [[[255], [0], [255], [0]]]),
    "grey 8 bit": (png(2, 2, 8, GREY, [b"\x00\x01", b"\xfe\xff"]), [[[0], [1]], [[254], [255]]]),
    "grey 16 bit": (png(2, 1, 16, GREY, [b"\x01\x02\xff\xfe"]), [[[0x0102], [0xFFFE]]]),
    "RGB": (png(2, 1, 8, RGB, [b"\x01\x02\x03\x04\x05\x06"]), [[[1, 2, 3], [4, 5, 6]]]),
    "RGB 16 bit": (png(1, 1, 16, RGB, [b"\x01\xff\x02\xff\x03\xff"]), [[[0x01FF, 0x02FF, 0x03FF]]]),
    "RGBA 16 bit": (png(1, 1, 16, RGBA, [b"\1\xff\2\xfe\3\xfd\4\xfc"]), [[[0x01FF, 0x02FE, 0x03FD, 0x04FC]]]),
    "grey and alpha 16 bit": (png(1, 1, 16, GREY_ALPHA, [b"\1\xff\2\xfe"]), [[[0x01FF] * 3 + [0x02FE]]]),
    "one transparent colour of 16 bit": (
        png(2, 1, 16, RGB, [b"\0\1\0\2\0\3\0\1\0\2\1\3"], (b"tRNS", b"\0\1\0\2\0\3")),
        [[[1, 2, 3, 0], [1, 2, 0x0103, 65535]]],
    ),
    "grey with one transparent level 16 bit": (
        png(2, 1, 16, GREY, [b"\1\0\1\1"], (b"tRNS", b"\1\1")),
        [[[256, 256, 256, 65535], [257, 257, 257, 0]]],
    ),
    "RGBA": (png(1, 2, 8, RGBA, [b"\x01\x02\x03\x04", b"\x05\x06\x07\x08"]), [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]),
    "grey and alpha": (png(2, 1, 8, GREY_ALPHA, [b"\x09\x80\x0a\xff"]), [[[9, 9, 9, 128], [10, 10, 10, 255]]]),
    "palette": (
        png(2, 1, 8, PALETTE, [b"\x01\x00"], (b"PLTE", b"\x01\x02\x03\x09\x08\x07")),
        [[[9, 8, 7], [1, 2, 3]]],
    ),
    "grey palette": (png(2, 1, 8, PALETTE, [b"\x01\x00"], (b"PLTE", b"\x05\x05\x05\xf0\xf0\xf0")), [[[240], [5]]]),
    "palette with transparency": (
        png(3, 1, 8, PALETTE, [b"\x00\x01\x02"], (b"PLTE", bytes(range(9))), (b"tRNS", b"\x00\x80")),
        [[[0, 1, 2, 0], [3, 4, 5, 128], [6, 7, 8, 255]]],
    ),
    "one transparent colour": (
        png(2, 1, 8, RGB, [b"\x01\x02\x03\x04\x05\x06"], (b"tRNS", b"\0\x04\0\x05\0\x06")),
        [[[1, 2, 3, 255], [4, 5, 6, 0]]],
    ),
    "PPM": (b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06", [[[1, 2, 3], [4, 5, 6]]]),
    "PGM of 16 bits": (b"P5 2 1 65535\n\x01\x02\xff\xfe", [[[0x0102], [0xFFFE]]]),
    "BMP, which is BGR and upside down": (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 70, 0, 54, 40, 1, 2, 1, 24, 0, 8, 0, 0, 0, 0) + b"\3\2\1\0\6\5\4\0",
        [[[4, 5, 6]], [[1, 2, 3]]],
    ),
}


@pytest.mark.parametrize("kind", HAND_MADE)
def test_every_kind_of_file_gives_the_pixels_that_were_written(kind: str) -> None:
    data, pixels = HAND_MADE[kind]
    array, header = read_image(data).array, read_header(data)
    assert array.dtype == (np.uint16 if "16 bit" in kind else np.uint8)
    np.testing.assert_array_equal(array, pixels)
    assert header.size == array.shape[:2]
    assert header.alpha == (array.shape[2] == 4)
    assert header.grey == (array.shape[2] == 1 or kind.startswith("grey"))
    assert header.bits == array.dtype.itemsize * 8


# where the first row and the first column of the stored image are to be seen: EXIF 2.3, tag 274
ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored(seen: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera held in this way writes, pixel by pixel from the definition."""
    height, width = seen.shape[:2]
    row0, column0 = ORIENTATIONS[orientation]
    sideways = row0 in ("left", "right")
    out = np.zeros((width, height, 3) if sideways else (height, width, 3), np.uint8)
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            if sideways:
                x = r if row0 == "left" else width - 1 - r
                y = c if column0 == "top" else height - 1 - c
            else:
                y = r if row0 == "top" else height - 1 - r
                x = c if column0 == "left" else width - 1 - c
            out[r, c] = seen[y, x]
    return out


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_undone(orientation: int, form: str) -> None:
    corners = np.random.RandomState(1).randint(0, 256, (2, 3, 3), np.uint8)
    seen = corners.repeat(16, 0).repeat(16, 1)  # JPEG stores these blocks almost exactly
    exif = Image.Exif()
    exif[274] = orientation
    out = io.BytesIO()
    how = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    Image.fromarray(stored(seen, orientation)).save(out, form, exif=exif, **how)
    array = read_image(out.getvalue()).array
    assert array.shape == seen.shape == (*read_header(out.getvalue()).size, 3)
    np.testing.assert_allclose(array.astype(int), seen, atol=3 if form == "JPEG" else 0)


def test_cmyk_is_converted_and_said() -> None:
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255]]], np.uint8)
    out = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(out, "TIFF")
    image = read_image(out.getvalue())
    np.testing.assert_array_equal(image.array, [[[255, 255, 255], [0, 255, 255], [255, 0, 255], [0, 0, 0]]])
    assert image.notes == ["CMYK is converted to RGB"]
    Image.fromarray(inks.repeat(8, 0).repeat(8, 1), "CMYK").save(out := io.BytesIO(), "JPEG", quality=100)
    np.testing.assert_allclose(read_image(out.getvalue()).array[4, 4::8].astype(int), image.array[0], atol=6)


def test_of_an_animation_the_first_frame_is_used_and_said() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out := io.BytesIO(), "GIF", save_all=True, append_images=frames[1:])
    image = read_image(out.getvalue())
    np.testing.assert_array_equal(image.array[3, 3], [255, 0, 0])
    assert image.notes == ["the first frame of several is used"]


BOMB = png(60000, 60000, 8, RGB, [b""])
NOISE = png(64, 64, 8, GREY, [np.random.RandomState(r).bytes(64) for r in range(64)])
BAD = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"this is no image at all", "is not an image of a supported format"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a supported format"),
    "truncated JPEG": (jpeg()[:3000], "truncated"),
    "JPEG without its last byte of data": (jpeg()[:-40], "truncated"),
    "truncated PNG": (NOISE[:2000], "truncated"),
    "PNG with a flipped bit": (HAND_MADE["RGB"][0].replace(b"IDAT\x78", b"IDAT\x79"), "damaged"),
    "header only": (jpeg()[:20], "damaged"),
    "bomb": (BOMB, "refused: 60000x60000 = 3600 megapixels is over the limit of 200"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_wholly_readable_is_refused_with_a_reason(kind: str, tmp_path: Path) -> None:
    data, reason = BAD[kind]
    file = tmp_path / "x.png"
    file.write_bytes(data)
    with pytest.raises(BadImage) as refused:
        read_image(file)
    assert reason in refused.value.reason
    assert "x.png" not in refused.value.reason
    assert str(refused.value) == f"{file}: {refused.value.reason}"
    assert isinstance(refused.value, UserError)


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70_000), ("I", -1)])
def test_numbers_of_unknown_range_are_refused(mode: str, value: float) -> None:
    Image.new(mode, (8, 8), value).save(out := io.BytesIO(), "TIFF")
    with pytest.raises(BadImage, match="8 or 16 bits"):
        read_image(out.getvalue())


def test_missing_files_and_folders_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, reason in (("missing.png", "No such file"), ("folder.png", "Is a directory")):
        with pytest.raises(BadImage, match=reason):
            read_image(tmp_path / name)


def test_the_limit_is_the_callers_and_headers_suffice() -> None:
    with pytest.raises(BadImage, match="2x2 = 0 megapixels is over the limit of 3e-06"):
        read_header(HAND_MADE["grey 8 bit"][0], max_pixels=3)
    assert Image.MAX_IMAGE_PIXELS == 89478485  # Pillow's global is not ours to change


def test_an_open_file_stays_open() -> None:
    stream = io.BytesIO(HAND_MADE["RGB"][0])
    read_image(stream)
    stream.seek(0)
    assert read_header(stream).size == (1, 2)


def test_fit_covers_and_cuts_the_centre() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, :10, 0] = wide[:, 10:20, 1] = wide[:, 20:, 2] = 255
    np.testing.assert_array_equal(scale_and_crop(wide, (10, 10)), wide[:, 10:20])
    tall = wide.swapaxes(0, 1)
    np.testing.assert_array_equal(scale_and_crop(tall, (10, 10)), tall[10:20])
    assert scale_and_crop(wide, (10, 30)) is wide
    assert scale_and_crop(wide, (7, 5)).shape == (7, 5, 3)
    assert scale_and_crop(wide, (64, 61)).shape == (64, 61, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fit_is_antialiased_and_keeps_levels(dtype: type) -> None:
    top = np.iinfo(dtype).max
    checks = (np.indices((64, 64)).sum(0) % 2 * top).astype(dtype)[..., None]
    small = scale_and_crop(checks, (16, 16)).astype(float)
    np.testing.assert_allclose(small, top / 2, rtol=0.02)  # without antialiasing: all 0 or all top
    flat = np.full((40, 50, 1), top // 3, dtype)
    np.testing.assert_array_equal(scale_and_crop(flat, (9, 13)), flat[:9, :13])
    np.testing.assert_array_equal(scale_and_crop(flat, (90, 130))[..., 0], top // 3)


def test_fit_does_not_wrap_around_at_sharp_edges() -> None:
    edge = np.zeros((32, 32, 1), np.uint16)
    edge[:, 16:] = 65535  # Lanczos overshoots here
    large = scale_and_crop(edge, (64, 64))
    assert large[:, :30].max() < 20000
    assert large[:, 34:].min() > 45000


def test_fit_keeps_hidden_colours_hidden() -> None:
    image = np.zeros((16, 16, 4), np.uint8)
    image[:, :8] = [255, 0, 0, 255]
    image[:, 8:] = [0, 255, 0, 0]  # green that nobody may see
    small = scale_and_crop(image, (5, 5))
    assert small[..., 1].max() == 0
    assert small[:, 0, 3].min() > 240  # Lanczos rings a little


def test_channels_follow_the_published_weights() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 10, 10]]], np.uint8)
    np.testing.assert_array_equal(to_channels(colours, 1)[..., 0], [[76, 150, 29, 255, 10]])  # 0.299, 0.587, 0.114
    np.testing.assert_array_equal(to_channels(colours[:, :1], 4), [[[255, 0, 0, 255]]])
    np.testing.assert_array_equal(to_channels(np.array([[[7]]], np.uint8), 3), [[[7, 7, 7]]])
    seen_through = np.array([[[0, 0, 0, 128], [9, 9, 9, 0], [9, 8, 7, 255]]], np.uint8)
    np.testing.assert_array_equal(to_channels(seen_through, 3), [[[127] * 3, [255] * 3, [9, 8, 7]]])
    np.testing.assert_array_equal(to_channels(seen_through, 1)[0, :2], [[127], [255]])
    deep = np.array([[[65535, 65535, 65535], [0, 0, 0]]], np.uint16)
    np.testing.assert_array_equal(to_channels(deep, 1)[..., 0], [[65535, 0]])
    assert to_channels(colours, 3) is colours


def test_depth_and_transparency() -> None:
    np.testing.assert_array_equal(to_8bit(np.array([0, 128, 129, 257, 65535], np.uint16)), [0, 0, 1, 1, 255])
    image = np.array([[[1, 2, 3, 0], [1, 2, 3, 1]]], np.uint8)
    np.testing.assert_array_equal(whiten_hidden(image), [[[255, 255, 255, 0], [1, 2, 3, 1]]])
    assert is_transparent(image)
    assert not is_transparent(np.full((2, 2, 4), 255, np.uint8))
    assert not is_transparent(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_gives_back_what_was_saved(channels: int, dtype: type, tmp_path: Path) -> None:
    shape = (5, 7, channels) if channels else (5, 7)
    array = np.random.RandomState(0).randint(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if dtype == np.uint16 and channels > 1:
        with pytest.raises(ValueError, match="uint16 in grey"):
            save_png(array, tmp_path / "x.png")
    else:
        save_png(array, tmp_path / "x.png")
        np.testing.assert_array_equal(read_image(tmp_path / "x.png").array, array.reshape(5, 7, -1))
        assert os.listdir(tmp_path) == ["x.png"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = np.zeros((4, 4), np.uint8)
    save_png(old, tmp_path / "x.png")

    def half(image: Image.Image, path: Path, form: str) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(UserError, match="disk full"):
        save_png(old + 1, tmp_path / "x.png")
    assert os.listdir(tmp_path) == ["x.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "x.png").array[..., 0], old)


def test_floats_are_in_minus_one_to_one_and_come_back_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    levels[..., 1] = 255 - levels[..., 1]
    floats = to_float(levels)
    assert floats.shape == (1, 3, 16, 16)
    assert floats.dtype == torch.float32
    assert floats.is_contiguous(memory_format=torch.channels_last)
    assert floats[0, 0, 0, 0] == -1
    assert floats[0, 1, 0, 0] == 1
    np.testing.assert_allclose(floats[0, 0].flatten(), np.arange(256) / 127.5 - 1, atol=2e-7)
    np.testing.assert_array_equal(to_uint8(floats), levels)
    np.testing.assert_array_equal(to_uint8(to_float(torch.from_numpy(levels))), levels)
    np.testing.assert_allclose(to_float(np.array([[[0], [65535]]], np.uint16)), [[[-1, 1]]], atol=2e-7)


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-9.0, -1.0, 0.9 / 127.5 - 1, 1.0, 9.0]).view(1, 1, 1, 5)
    np.testing.assert_array_equal(to_uint8(values).ravel(), [0, 0, 1, 255, 255])
    assert to_uint8(torch.zeros(3, 4, 5)).shape == (4, 5, 3)
