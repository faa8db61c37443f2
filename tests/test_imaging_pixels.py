"""The path of a person's image, against other readers and writers, and the pains that it is there to spare."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from ganvas.errors import UsageError, UserError, printable
from ganvas.imaging.decode import BadImage, read_header, read_image
from ganvas.imaging.encode import FORMATS, format_of, save
from ganvas.imaging.encode_bands import bands, write_png
from ganvas.imaging.exif import Directory, read_directory
from ganvas.imaging.metadata import Metadata, exif_bytes
from ganvas.imaging.photo import Photo, Planes, open_photo
from test_pixels import GREY, GREY_ALPHA, ORIENTATIONS, PALETTE, RGB, chunk, jpeg, png, stored

DEPTHS = ["uint8", "uint16", "float32"]


def random_image(channels: int, dtype: str, size: tuple[int, int] = (9, 7), seed: int = 0) -> np.ndarray:
    values = np.random.RandomState(seed).random_sample((*size, channels)).astype(np.float32)
    return values if dtype == "float32" else (values * np.iinfo(dtype).max).round().astype(dtype)


def photo(array: np.ndarray, metadata: Metadata | None = None) -> Photo:
    top = 1.0 if array.dtype == np.float32 else float(np.iinfo(array.dtype).max)
    return Photo(array, (0.0, top), array.shape[2] < 3, metadata or Metadata())


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: str = "RGB ") -> bytes:
    made = bytearray(SRGB)
    made[16:20] = space.encode()
    return bytes(made)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[271], made[274], made[306] = "Müller".encode(), 6, "2020:02:03 04:05:06"
    made.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: 7, 0xA003: 9, 33434: 0.25, 0x927C: b"note"})
    made.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.5)})
    return made


def tags() -> Directory:
    return read_directory(io.BytesIO(exif().tobytes().removeprefix(b"Exif\0\0")), skip={274})[0]


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="kept"/></x:xmpmeta>'


# Every depth, every number of channels

HELD = [
    (f.name, f.suffixes[0], d, c) for f in FORMATS for d in f.depths for c in f.channels if f.name in ("PNG", "TIFF")
]


@pytest.mark.parametrize(("name", "suffix", "depth", "channels"), HELD, ids=str)
def test_what_a_format_holds_comes_back_to_the_last_bit(
    name: str, suffix: str, depth: str, channels: int, tmp_path: Path
) -> None:
    array = random_image(channels, depth)
    file = tmp_path / f"a{suffix}"
    assert save(photo(array), file) == []
    back = open_photo(file)
    assert back.kind == name
    assert back.array.dtype == depth
    np.testing.assert_array_equal(back.array, array)
    assert back.notes == []
    if name == "TIFF":  # an independent reader
        np.testing.assert_array_equal(tifffile.imread(file).reshape(array.shape), array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_readers_see_the_same_png(channels: int, tmp_path: Path) -> None:
    array = random_image(channels, "uint8", (40, 33))
    array[8:16] = array[7]  # rows that differ in the filter that is best
    array[16:24] = np.arange(33)[None, :, None]
    array[24:32] = 7
    save(photo(array), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        np.testing.assert_array_equal(np.asarray(image).reshape(array.shape), array)


def test_large_images_are_written_band_by_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.imaging.encode_bands.BAND", 1000)
    array = random_image(3, "uint16", (50, 20))
    array[20:] = np.arange(30, dtype=np.uint16)[:, None, None] * 300 + array[20]  # rows that follow from those above
    assert [len(b) for b in bands(array)] == [8] * 6 + [2]
    out = io.BytesIO()
    write_png(out, array, Metadata())
    np.testing.assert_array_equal(open_photo(out.getvalue()).array, array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_large_images_are_read_band_by_band(dtype: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.imaging.bit_depth.BAND", 100)
    array, out = random_image(channels, dtype, (31, 20)), io.BytesIO()
    write_png(out, array, Metadata())
    np.testing.assert_array_equal(open_photo(out.getvalue()).array, array)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", [None, "zlib", "lzw"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_of_other_writers(order: str, packing: str | None, channels: int) -> None:
    array, out = random_image(channels, "uint16"), io.BytesIO()
    extra = ["unassalpha"] if channels == 4 else None
    if packing == "lzw":  # which tifffile alone cannot write: Pillow can, 8 bits at a time
        image = Image.frombytes("RGB" if channels == 3 else "RGBA", (7, 9), (array >> 8).astype(np.uint8).tobytes())
        image.save(out, "TIFF", compression="tiff_lzw")
        np.testing.assert_array_equal(open_photo(out.getvalue()).array, array >> 8)
        return
    tifffile.imwrite(out, array, byteorder=order, photometric="rgb", compression=packing, extrasamples=extra)
    np.testing.assert_array_equal(open_photo(out.getvalue()).array, array)
    np.testing.assert_array_equal(read_image(out.getvalue()).array, array)


def test_interlaced_sixteen_bit_colour() -> None:
    array = random_image(3, "uint16", (8, 8))
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]  # Adam7
    raw = b"".join(
        b"\0" + row.astype(">u2").tobytes() for r, c, down, right in passes for row in array[r::down, c::right]
    )
    header = struct.pack(">IIBBBBB", 8, 8, 16, RGB, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(open_photo(data).array, array)


@pytest.mark.parametrize(("channels", "planar"), [(3, "separate"), (4, "separate"), (2, "contig")])
def test_tiffs_that_pillow_cannot_read(channels: int, planar: str) -> None:
    array, out = random_image(channels, "uint16"), io.BytesIO()
    stored_so = np.moveaxis(array, -1, 0) if planar == "separate" else array
    kind = "minisblack" if channels == 2 else "rgb"
    extra = ["unassalpha"] if channels in (2, 4) else None
    tifffile.imwrite(out, stored_so, photometric=kind, planarconfig=planar, extrasamples=extra)
    np.testing.assert_array_equal(open_photo(out.getvalue()).array, array)
    as_data = read_image(out.getvalue()).array
    np.testing.assert_array_equal(as_data, array[..., [0, 0, 0, 1]] if channels == 2 else array)
    header = read_header(out.getvalue())
    assert (header.size, header.bits, header.grey, header.alpha) == ((9, 7), 16, channels == 2, channels != 3)


def test_grey_that_counts_from_white() -> None:
    array, out = random_image(2, "uint16"), io.BytesIO()
    tifffile.imwrite(out, array, photometric="miniswhite", planarconfig="contig", extrasamples=["unassalpha"])
    got = open_photo(out.getvalue()).array
    np.testing.assert_array_equal(got[..., 0], 65535 - array[..., 0])
    np.testing.assert_array_equal(got[..., 1], array[..., 1])


def test_colour_stored_times_its_alpha_is_divided_by_it() -> None:
    alpha = np.array([0, 1, 32768, 65535], np.uint16)
    array = np.zeros((1, 4, 4), np.uint16)
    array[0, :, 0], array[0, :, 3] = alpha // 2, alpha
    out = io.BytesIO()
    tifffile.imwrite(out, array, photometric="rgb", extrasamples=["assocalpha"])
    got = open_photo(out.getvalue()).array[0]
    np.testing.assert_array_equal(got[:, 0], [0, 0, round(16384 / 32768 * 65535), 32767])
    np.testing.assert_array_equal(got[:, 3], alpha)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floating_point_keeps_its_values(dtype: str, channels: int, tmp_path: Path) -> None:
    array, file = random_image(channels, "float32").astype(dtype) * 900 - 100, tmp_path / "a.tif"
    extra = ["unassalpha"] if channels == 4 else None
    if channels == 4:
        array[..., 3] = (array[..., 3] + 100) / 900
    tifffile.imwrite(file, array, photometric="rgb" if channels > 1 else "minisblack", extrasamples=extra)
    got = open_photo(file)
    colours = array[..., :3].astype(np.float32)
    assert got.levels == (float(colours.min()), float(colours.max()))
    assert "are read as black and white" in got.notes[0]
    np.testing.assert_array_equal(got.array, array.astype(np.float32))
    planes = got.planes()
    assert -1 <= float(planes.colour.min()) <= float(planes.colour.max()) <= 1
    np.testing.assert_allclose(got.pixels(planes)[..., :channels], got.array, atol=5e-3 if channels == 4 else 2e-4)
    assert save(got, tmp_path / "b.png") == ["PNG does not hold floating point: 16 bits are written"]
    low, high = got.levels
    expected = (colours.astype(np.float64) - low) / (high - low) * 65535
    np.testing.assert_allclose(open_photo(tmp_path / "b.png").array[..., :3], expected, atol=0.51)
    if channels == 4:
        np.testing.assert_allclose(open_photo(tmp_path / "b.png").array[..., 3], got.array[..., 3] * 65535, atol=0.51)


def test_floating_point_up_to_one_is_taken_as_it_is() -> None:
    for most, levels in ((1.0, (0.0, 1.0)), (1.5, (0.0, 1.5))):
        array, out = np.zeros((4, 5, 3), np.float32), io.BytesIO()
        array[1, 1] = most
        tifffile.imwrite(out, array, photometric="rgb")
        assert open_photo(out.getvalue()).levels == levels


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, np.full((4, 5, 3), value, np.float32), photometric="rgb")
    with pytest.raises(BadImage, match="not numbers or not finite"):
        open_photo(out.getvalue())


# To networks and back


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pain_9_every_level_survives_and_white_stays_white(dtype: str, top: int, channels: int) -> None:
    levels = np.arange(top + 1, dtype=dtype).reshape(1, -1, 1).repeat(channels, 2)
    levels = np.concatenate([levels, levels[:, ::-1]]) if channels == 3 else levels
    levels[-1, :, 0] = 0
    one = photo(levels)
    planes = one.planes()
    assert planes.colour.dtype == torch.float32
    assert planes.colour.shape == (1, channels, *levels.shape[:2])
    assert planes.alpha is None
    expected = levels.astype(np.float64).transpose(2, 0, 1)[None] / top * 2 - 1
    np.testing.assert_allclose(planes.colour.numpy(), expected, atol=2e-7)
    np.testing.assert_array_equal(one.pixels(planes), levels)


def test_pain_9_depth_is_that_of_the_file_however_dark_it_is(tmp_path: Path) -> None:
    dark = random_image(3, "uint8").astype(np.uint16)  # a 16-bit file in which nothing exceeds 255
    save(photo(dark), tmp_path / "dark.png")
    got = open_photo(tmp_path / "dark.png")
    assert got.array.dtype == np.uint16
    assert float(got.planes().colour.max()) < -0.99


def test_pain_9_grey_gets_no_tint_from_a_network_of_three_channels() -> None:
    grey = random_image(1, "uint8")
    for array in (grey, grey.repeat(3, 2)):  # a grey file, and grey in a file of colours
        out = io.BytesIO()
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(out, "PNG")
        got = open_photo(out.getvalue())
        assert got.neutral
        planes = got.planes(channels=3)
        assert planes.colour.shape[1] == 3
        tinted = planes.colour + torch.tensor([0.02, 0.0, -0.02]).view(3, 1, 1)
        inside = (array > 10) & (array < 245)
        made = got.pixels(Planes(tinted))
        assert made.shape == array.shape
        np.testing.assert_array_equal(made[inside], array[inside])
        if array.shape[2] == 3:
            assert (made[..., 0] == made[..., 1]).all()
            assert (made[..., 0] == made[..., 2]).all()


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_image_with_one_pixel_of_colour_is_not_grey(channel: int) -> None:
    array, out = np.full((300, 4, 3), 7, np.uint8), io.BytesIO()
    array[299, 3, channel] = 8
    write_png(out, array, Metadata())
    assert not open_photo(out.getvalue()).neutral


def test_colour_for_a_grey_network_is_luma_and_comes_back_alike() -> None:
    one = photo(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8))
    planes = one.planes(channels=1)
    np.testing.assert_allclose(planes.colour[0, 0, 0].numpy(), np.array([0.299, 0.587, 0.114, 1]) * 2 - 1, atol=1e-6)
    np.testing.assert_array_equal(one.pixels(planes)[0, :, 1], [76, 150, 29, 255])


def test_a_part_is_the_same_as_that_part_of_the_whole() -> None:
    one = photo(random_image(4, "uint16", (20, 30)))
    part, entire = one.planes(slice(3, 11), slice(7, 30)), one.planes()
    assert torch.equal(part.colour, entire.colour[..., 3:11, 7:30])
    assert part.alpha is not None
    assert entire.alpha is not None
    assert torch.equal(part.alpha, entire.alpha[..., 3:11, 7:30])
    mirrored = one.planes(np.array([1, 0, 0, 1]), np.array([5, 5]))
    assert torch.equal(mirrored.colour, entire.colour[:, :, [1, 0, 0, 1]][..., [5, 5]])


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", DEPTHS)
def test_pain_8_alpha_is_multiplied_in_and_divided_out(channels: int, dtype: str) -> None:
    one = photo(random_image(channels, dtype, (20, 30)))
    planes, colours = one.planes(), channels - 1
    unit = one.array.astype(np.float64) / one.top
    expected = unit[..., :colours] * unit[..., colours:]
    np.testing.assert_allclose(planes.colour[0].numpy(), expected.transpose(2, 0, 1) * 2 - 1, atol=1e-6)
    back = one.pixels(planes)
    np.testing.assert_allclose(back[..., colours], one.array[..., colours], atol=1e-6 if dtype == "float32" else 0)
    seen = unit[..., colours] > 0.02
    np.testing.assert_allclose(back[seen] / one.top, unit[seen], atol=0.6 / one.top + 2e-5)


def test_pain_8_no_halo_around_what_is_cut_out() -> None:
    """A red disc, under whose transparent surroundings green is hidden, laid on red after scaling: all is red."""
    from ganvas.imaging.resize import resize

    y, x = np.mgrid[:32, :32]
    array = np.full((32, 32, 4), (0, 255, 0, 0), np.uint8)
    array[(x - 16) ** 2 + (y - 16) ** 2 < 100] = (255, 0, 0, 255)
    one = photo(array)
    planes = one.planes()
    assert planes.alpha is not None
    made = one.pixels(Planes(resize(planes.colour, scale=2), resize(planes.alpha, scale=2))).astype(np.float64)
    assert made.shape == (64, 64, 4)
    seen = made[..., 3] > 0
    assert made[seen][:, 1].max() <= 1  # no green anywhere that shows
    over = made[..., :3] * made[..., 3:] / 255 + np.array([255, 0, 0]) * (1 - made[..., 3:] / 255)
    assert (255 - over[..., 0]).max() < 12  # and no dark rim: 11 is what cubic weights below zero do
    straight = resize(torch.from_numpy(array[..., 1].astype(np.float32))[None, None], scale=2)[0, 0].numpy()
    assert straight[seen].max() > 60  # what happens without


def test_pain_8_what_shows_is_what_the_network_made_of_it() -> None:
    """Colour is divided by alpha as it is stored, so that both together give the product that was asked for."""
    one = photo(np.zeros((8, 8, 4), np.uint8))
    cover = torch.linspace(0.011, 0.2, 64).view(1, 1, 8, 8)
    product = (cover * 0.5).expand(-1, 3, -1, -1)
    made = one.pixels(Planes(product * 2 - 1, cover * 2 - 1)).astype(np.float64) / 255
    shown_over_black = made[..., :3] * made[..., 3:]
    off = np.abs(shown_over_black - product[0].permute(1, 2, 0).numpy())
    assert (off <= made[..., 3:] * 0.51 / 255).all()


def test_where_nothing_shows_nothing_is_divided() -> None:
    one = photo(np.zeros((2, 2, 4), np.uint8))
    made = one.pixels(Planes(torch.full((1, 3, 2, 2), 0.9), torch.full((1, 1, 2, 2), -1.0)))
    assert not made.any()
    with pytest.raises(ValueError, match="needs planes with alpha"):
        one.pixels(Planes(torch.zeros(1, 3, 2, 2)))


# Palettes, transparency, frames


def test_pain_8_palettes_keep_their_transparency() -> None:
    palette, clear = (b"PLTE", bytes(range(9))), (b"tRNS", b"\x00\x80")
    got = open_photo(png(3, 1, 8, PALETTE, [b"\x00\x01\x02"], palette, clear))
    np.testing.assert_array_equal(got.array, [[[0, 1, 2, 0], [3, 4, 5, 128], [6, 7, 8, 255]]])
    grey = open_photo(png(2, 1, 8, PALETTE, [b"\x00\x01"], (b"PLTE", b"\5\5\5\7\7\7"), (b"tRNS", b"\x00\x80")))
    np.testing.assert_array_equal(grey.array, [[[5, 0], [7, 128]]])


def test_grey_with_alpha_stays_two_channels() -> None:
    got = open_photo(png(2, 1, 8, GREY_ALPHA, [b"\x09\x80\x0a\xff"]))
    np.testing.assert_array_equal(got.array, [[[9, 128], [10, 255]]])
    deep = open_photo(png(1, 1, 16, GREY_ALPHA, [b"\1\xff\2\xfe"]))
    np.testing.assert_array_equal(deep.array, [[[0x01FF, 0x02FE]]])
    named = open_photo(png(2, 1, 16, GREY, [b"\1\0\1\1"], (b"tRNS", b"\1\1")))
    np.testing.assert_array_equal(named.array, [[[256, 65535], [257, 0]]])


def test_of_an_animation_the_first_frame_is_used_and_said() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    got = open_photo(out.getvalue())
    assert got.notes == ["the first frame of several is used"]
    assert got.array[0, 0].tolist() == [255, 0, 0]


# What the file tells


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pain_10_profile_exif_and_resolution_are_carried(source: str, suffix: str, tmp_path: Path) -> None:
    made, out = exif(), io.BytesIO()
    how = {"lossless": True} if source == "WEBP" else {}
    Image.fromarray(random_image(3, "uint8")).save(
        out, source, exif=made.tobytes(), icc_profile=profile(), dpi=(300, 150), **how
    )
    one = open_photo(out.getvalue().replace(b"M??ller", "Müller".encode()))  # Pillow's own loss
    assert one.array.shape == (7, 9, 3)  # turned
    larger = one.with_array(one.array.repeat(2, 0).repeat(2, 1))
    assert save(larger, tmp_path / f"b{suffix}") == []
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.size == (18, 14)
        assert image.info["icc_profile"] == profile()
        told = image.getexif()
        assert told.get(274, 1) == 1  # or it would be turned twice
        assert told[271].encode("latin-1").decode() == "Müller"
        details = told.get_ifd(0x8769)
        assert details[0x9003] == "2020:02:03 04:05:06"
        assert details[33434] == 0.25
        assert (details[0xA002], details[0xA003]) == (18, 14)  # the new size
        assert told.get_ifd(0x8825)[2] == (1.0, 2.0, 3.5)
        if source != "WEBP":
            dpi = (told[282], told[283]) if suffix == ".webp" else image.info["dpi"]
            np.testing.assert_allclose([float(v) for v in dpi], (300, 150), atol=0.02)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_xmp_is_carried_and_no_longer_turns(suffix: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(random_image(3, "uint8")).save(out, "JPEG", xmp=XMP)
    one = open_photo(out.getvalue())
    assert one.array.shape == (7, 9, 3)
    save(one, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as image:
        xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
        xmp = xmp if isinstance(xmp, bytes) else xmp.encode()
        assert xmp == XMP.replace(b'"6"', b'"1"')
    assert open_photo(tmp_path / f"b{suffix}").array.shape == (7, 9, 3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_pain_10_deep_images_are_turned_too(orientation: int, dtype: str) -> None:
    seen = random_image(3, "uint8", (2, 3))
    array, out = stored(seen, orientation).astype(dtype), io.BytesIO()
    array = array / 255 if dtype == "float32" else array
    tifffile.imwrite(out, array.astype(dtype), photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    got = open_photo(out.getvalue()).array * (255 if dtype == "float32" else 1)
    np.testing.assert_allclose(got, seen, atol=1e-3)


def test_thumbnails_are_left_behind() -> None:
    """A JPEG whose EXIF holds a small image of the old content, in IFD 1."""
    thumb = jpeg(16, 12)
    ifd0 = struct.pack("<HHHI4sI", 1, 271, 2, 4, b"abc\0", 26)  # next IFD at 26
    ifd1 = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, len(thumb), 0)
    raw = b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, 8) + ifd0 + ifd1 + thumb
    out = io.BytesIO()
    Image.fromarray(random_image(3, "uint8")).save(out, "JPEG", exif=raw)
    assert thumb[:20] in out.getvalue()
    kept = exif_bytes(open_photo(out.getvalue()).metadata)
    assert kept is not None
    assert b"abc\0" in kept
    assert thumb[100:120] not in kept


def test_profiles_for_other_colours_are_left_behind_and_said() -> None:
    def opened(mode: str, icc: bytes) -> Photo:
        out = io.BytesIO()
        Image.new(mode, (4, 4)).save(out, "PNG", icc_profile=icc)
        return open_photo(out.getvalue())

    assert opened("RGB", profile()).metadata.icc == profile()
    assert opened("L", profile("GRAY")).metadata.icc == profile("GRAY")
    got = opened("L", profile())
    assert got.metadata.icc is None
    assert got.notes == ["its colour profile is for RGB and left behind"]
    assert opened("RGB", b"x" * 200).notes == ["its colour profile is damaged and left behind"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_a_grey_profile_does_not_go_with_colours(suffix: str, tmp_path: Path) -> None:
    """As where a network gave a grey image colour, or a format has no grey."""
    grey = Metadata(icc=profile("GRAY"))
    lost = ["its colour profile is for GRAY and left behind"]
    assert save(photo(random_image(3, "uint8"), grey), tmp_path / f"a{suffix}") == lost
    assert "icc_profile" not in Image.open(tmp_path / f"a{suffix}").info
    assert save(photo(random_image(1, "uint8"), grey), tmp_path / f"b{suffix}") == (lost if suffix == ".webp" else [])


def test_damaged_exif_does_not_spoil_the_image() -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0rubbish")
    got = open_photo(out.getvalue())
    assert got.array.shape == (4, 4, 3)
    assert got.metadata.exif is None
    script = "import sys\nfrom ganvas.imaging.photo import open_photo\nopen_photo(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-c", script], input=out.getvalue(), capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_tiff_with_damaged_tags_is_read_for_its_pixels(tmp_path: Path) -> None:
    array = random_image(3, "uint16")
    save(photo(array, Metadata(profile(), tags(), XMP, (72.0, 72.0))), tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for tag in (34665, 700, 34853):  # EXIF, XMP, GPS point beyond the end, as what they are not
        place = data.index(struct.pack("<H", tag), 8)
        data[place + 2 : place + 12] = struct.pack("<HII", 3, 9, len(data) + 50)
    got = open_photo(bytes(data))
    np.testing.assert_array_equal(got.array, array)


def test_gamma_of_a_png_without_profile_is_carried(tmp_path: Path) -> None:
    linear = png(1, 1, 8, RGB, [b"\1\2\3"], (b"gAMA", struct.pack(">I", 100000)))
    save(open_photo(linear), tmp_path / "a.png")
    assert b"gAMA" + struct.pack(">I", 100000) in (tmp_path / "a.png").read_bytes()
    usual = (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))
    for chunks in ((), usual):
        save(open_photo(png(1, 1, 8, RGB, [b"\1\2\3"], *chunks)), tmp_path / "b.png")
        assert b"gAMA" not in (tmp_path / "b.png").read_bytes()


def test_cmyk_is_converted_with_a_note() -> None:
    out = io.BytesIO()
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
    Image.fromarray(inks, "CMYK").save(out, "TIFF", icc_profile=b"x" * 200)
    got = open_photo(out.getvalue())
    assert got.array.shape == (1, 3, 3)
    assert got.array[0, :, 0].tolist() == [255, 0, 0]
    assert got.notes == ["CMYK is converted to RGB"]
    assert got.metadata.icc is None


def test_cmyk_is_converted_by_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile of inks can be made here, so it is only seen that one would be used, and to what end."""

    def converted(image: Image.Image, source: object, target: object, outputMode: str) -> Image.Image:
        assert (image.mode, outputMode) == ("CMYK", "RGB")
        assert isinstance(source, ImageCms.ImageCmsProfile)
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", converted)
    out = io.BytesIO()
    Image.new("CMYK", (3, 2)).save(out, "JPEG", icc_profile=profile())
    got = open_photo(out.getvalue())
    assert got.array[0, 0].tolist() == [1, 2, 3]
    assert got.metadata.icc is None


# Formats that hold less


def test_a_format_that_holds_less_says_what_is_lost(tmp_path: Path) -> None:
    array = random_image(4, "uint16")
    array[0, 0, 3] = 0  # hidden, and kept where nothing is lost
    rich = photo(array, Metadata(profile(), tags(), XMP.replace(b"6", b"1"), (72.0, 72.0)))
    eight, laid = "does not hold 16 bits: 8 bits are written", "holds no transparency, which is laid on white"
    assert save(rich, tmp_path / "a.jpg", quality=100) == [f"JPEG {eight}", f"JPEG {laid}"]
    assert save(rich, tmp_path / "a.webp", lossless=True) == [f"WEBP {eight}"]
    unit = rich.array.astype(np.float64) / 65535
    np.testing.assert_array_equal(open_photo(tmp_path / "a.webp").array, (unit * 255).round())
    plain = ["BMP holds no EXIF or XMP, which are left behind"]
    plain.append("BMP holds no colour profile: the colours are converted to sRGB")
    assert save(rich, tmp_path / "a.bmp") == [f"BMP {eight}", f"BMP {laid}", *plain]
    white = (unit[..., :3] * unit[..., 3:] + 1 - unit[..., 3:]) * 255
    np.testing.assert_allclose(open_photo(tmp_path / "a.bmp").array, white, atol=1.6)
    assert [n.split(" holds")[0][:9] for n in save(rich, tmp_path / "a.gif")] == [
        "GIF does ",
        "GIF",
        "GIF",
        "GIF",
        "GIF shows",
    ]
    got = open_photo(tmp_path / "a.gif")
    assert set(got.array[..., -1].ravel().tolist()) <= {0, 255}
    np.testing.assert_array_equal(got.array[..., -1] > 0, unit[..., 3] > 127.5 / 255)


def test_without_a_place_for_the_profile_colours_become_srgb(tmp_path: Path) -> None:
    """The primaries of the profile are swapped, so what it calls red is blue."""
    icc = profile()
    red, blue = icc.index(b"rXYZ", 128), icc.index(b"bXYZ", 128)
    swapped = bytearray(icc)
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    array = np.zeros((2, 2, 3), np.uint8)
    array[..., 0] = 255
    save(photo(array, Metadata(icc=bytes(swapped))), tmp_path / "a.bmp")
    got = open_photo(tmp_path / "a.bmp").array[0, 0]
    assert got[2] > 250
    assert got[0] < 5


def test_grey_stays_grey_wherever_there_is_grey(tmp_path: Path) -> None:
    grey = random_image(1, "uint8")
    for suffix, same in ((".png", True), (".tif", True), (".bmp", True), (".gif", True), (".jpg", False)):
        save(photo(grey), tmp_path / f"a{suffix}", quality=100)
        got = open_photo(tmp_path / f"a{suffix}")
        assert got.array.shape == grey.shape, suffix
        np.testing.assert_allclose(got.array.astype(int), grey, atol=0 if same else 2)
    save(photo(grey), tmp_path / "a.webp", lossless=True)
    assert open_photo(tmp_path / "a.webp").neutral


def test_sizes_and_names_that_a_format_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="JPEG holds up to 65,500 pixels a side, not 70000x1: save it as PNG"):
        save(photo(np.zeros((1, 70000, 1), np.uint8)), tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="WEBP holds up to 16,383"):
        save(photo(np.zeros((17000, 1, 3), np.uint8)), tmp_path / "a.webp")
    with pytest.raises(UsageError, match=r"the suffix .pgn, and images are written as .*Did you mean '.png'"):
        format_of("a.pgn")
    with pytest.raises(UsageError, match="no suffix"):
        format_of("folder/a")
    with pytest.raises(UsageError, match="--quality is from 1 to 100, got 0"):
        save(photo(random_image(3, "uint8")), tmp_path / "a.jpg", quality=0)
    assert list(tmp_path.iterdir()) == []


# Files and their names

NAMES = [
    "ü ß 画像 🦊.png",
    "with 'quotes' & $HOME;#.png",
    " leading.png",
    "-dash.png",
    "new\nline.png",
    "n" * 251 + ".png",
]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"caf\xe9.png")], ids=ascii)
def test_pain_12_unusual_names(name: str, tmp_path: Path) -> None:
    array = random_image(3, "uint8")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system does not have such names")
    save(photo(array), tmp_path / name)
    np.testing.assert_array_equal(open_photo(tmp_path / name).array, array)
    np.testing.assert_array_equal(open_photo(str(tmp_path / name)).array, array)
    assert [os.fsencode(f.name) for f in tmp_path.iterdir()] == [os.fsencode(name)]
    (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(BadImage) as caught:
        open_photo(tmp_path / name)
    str(caught.value).encode()  # can be printed
    assert "\n" not in str(caught.value)
    assert read_header(io.BytesIO(png(1, 1, 8, RGB, [b"\1\2\3"]))).size == (1, 1)


def test_names_are_shown_as_text() -> None:
    assert printable("a\n\tü\udce9.png") == "a\\n\\tü\\udce9.png"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".png", ".tif", ".jpg"):
        file = tmp_path / f"a{suffix}"
        file.write_bytes(b"old")

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(UserError, match=f"a{suffix} could not be written: No space left on device"):
                save(photo(random_image(3, "uint8")), file)
        assert file.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3

    def refused(self: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", refused)  # up to the last moment the old file is whole
    with pytest.raises(UserError, match="Input/output error"):
        save(photo(random_image(3, "uint8")), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3


def test_folders_in_the_way_and_folders_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match="a.png is a folder"):
        save(photo(random_image(3, "uint8")), tmp_path / "a.png")
    with pytest.raises(UserError, match="could not be written: No such file or directory"):
        save(photo(random_image(3, "uint8")), tmp_path / "none" / "a.png")
    assert [f.name for f in tmp_path.iterdir()] == ["a.png"]


def float_tiff(**how: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, random_image(3, "float32", (40, 50)), photometric="rgb", **how)
    return out.getvalue()


def test_what_declares_too_much_is_refused_before_it_is_decoded() -> None:
    large = np.zeros((100, 100, 3), np.uint16)
    out = io.BytesIO()
    write_png(out, large, Metadata())
    for data in (out.getvalue(), float_tiff()):
        with pytest.raises(BadImage, match=r"refused: \d+x\d+ = 0 megapixels is over the limit of 0.001"):
            open_photo(data, max_pixels=1000)


def test_a_strip_that_unpacks_to_more_than_the_image_is_refused() -> None:
    honest = float_tiff(compression="zlib", rowsperstrip=40)
    with tifffile.TiffFile(io.BytesIO(honest)) as file:
        page = file.pages[0]
        count = page.tags[279]
        place, size = page.dataoffsets[0], page.databytecounts[0]
    bomb = zlib.compress(bytes(40 * 50 * 12 * 3), 9)
    data = bytearray(honest[: place + size] + bytes(len(bomb)))
    data[place : place + len(bomb)] = bomb
    assert count.dtype == 4
    data[count.valueoffset : count.valueoffset + 4] = struct.pack("<I", len(bomb))
    with pytest.raises(BadImage, match="unpacks to more than the whole image"):
        open_photo(bytes(data))
    np.testing.assert_array_equal(open_photo(honest).array, random_image(3, "float32", (40, 50)))


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "float", "webp"])
def test_truncated_files_are_refused(kind: str, cut: float, tmp_path: Path) -> None:
    if kind == "float":
        data = float_tiff(compression="zlib")
    else:
        save(photo(random_image(3, "uint16", (40, 50))), tmp_path / f"a.{kind}")
        data = (tmp_path / f"a.{kind}").read_bytes()
    with pytest.raises(BadImage):
        open_photo(data[: int(len(data) * cut)])


def test_transparent_grey_stays_grey_on_white(tmp_path):
    """A format without transparency gets one channel of grey, not three equal ones."""
    photo = Photo(np.array([[[100, 255], [100, 0]]], np.uint8))
    assert save(photo, tmp_path / "grey.bmp") == ["BMP holds no transparency, which is laid on white"]
    with Image.open(tmp_path / "grey.bmp") as image:
        assert (image.mode, np.asarray(image).tolist()) == ("L", [[100, 255]])


def test_noise_in_full_colour_is_written_as_jpeg(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    assert save(photo(noise), tmp_path / "a.jpg", quality=95) == []
    error = np.asarray(Image.open(tmp_path / "a.jpg"), float) - noise
    assert np.abs(error).mean() < 4
