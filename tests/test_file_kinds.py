"""What is not read is named by its content, with what would take it; sound files are not called damaged."""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

import published_translation as published
from ganvas.data.sources import open_source
from ganvas.errors import BadImage, UsageError, UserError
from ganvas.imaging.decode import read_image
from ganvas.imaging.encode import format_of
from ganvas.imaging.file_kinds import HEAD, PATTERNS, kind_of_content
from ganvas.imaging.photo import open_photo
from ganvas.inference.batch import jobs_for
from ganvas.models.model import load
from ganvas.models.recognise import read
from ganvas.models.resolve import resolve
from test_pixels import RGB, jpeg, png

INNER = re.compile(r"Pillow|PIL\b|torch\.|zipfile|[pP]ickle|\wError\b|0x|libtiff|decoder|-\d|NoneType|Magic|unpickl")

FTYP = b"\0\0\0\x18ftyp"
FILES = {  # content, words for it, words for what would take it
    "film.mp4": (FTYP + b"isom\0\0\2\0isom", "film", "ffmpeg"),
    "film.mov": (FTYP + b"qt  \0\0\0\0", "film", "ffmpeg"),
    "film.mkv": (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1matroska", "film", "ffmpeg"),
    "film.avi": (b"RIFF\0\1\0\0AVI LIST", "film", "ffmpeg"),
    "film.ts": ((b"G" + bytes(187)) * 3, "film", "ffmpeg"),
    "old.mov": (b"\0\0\0\x08wide\0\0\1\0mdat", "film", "ffmpeg"),
    "photo.heic": (FTYP + b"heix\0\0\0\0mif1heix", "HEIC", "heif-convert"),
    "burst.heif": (FTYP + b"msf1\0\0\0\0", "HEIC", "heif-convert"),
    "bare.jxl": (b"\xff\x0a" + bytes(range(30)), "JPEG XL", "djxl"),
    "boxed.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "djxl"),
    "bare.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "rsvg-convert"),
    "drawn.svg": (b"<?xml version='1.0'?>\n<!-- by hand -->\n<!DOCTYPE svg>\n<svg>", "SVG", "rsvg-convert"),
    "raw.cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(90), "raw photograph", "darktable"),
    "raw.cr3": (FTYP + b"crx \0\0\0\1crx isom", "raw photograph", "darktable"),
    "raw.raf": (b"FUJIFILMCCD-RAW 0201FF383501", "raw photograph", "dcraw"),
    "raw.orf": (b"IIRO\x08\0\0\0", "raw photograph", "dcraw"),
    "layers.psd": (b"8BPS\0\1" + bytes(20), "Photoshop", "export"),
    "layers.xcf": (b"gimp xcf v011\0", "GIMP", "export"),
    "light.exr": (b"\x76\x2f\x31\x01\2\0\0\0", "OpenEXR", "oiiotool"),
    "light.hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "Radiance", "oiiotool"),
    "paper.pdf": (b"%PDF-1.7\n", "PDF", "pdftoppm"),
    "sky.fits": (b"SIMPLE  =                    T", "FITS", "astropy"),
    "sound.mp3": (b"ID3\4\0\0\0\0\0\0", "sound", "images"),
    "page.png": (b"\n<!DOCTYPE HTML>\n<html><svg></svg>", "web page", "download"),
    "error.jpg": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML", "download"),
    "error.png": (b'{"message": "Not Found"}', "JSON", "download"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS", "git lfs pull"),
    "lost.jpg": (bytes(5000), "zeros", "download"),
    "array.png": (b"\x93NUMPY\1\0v\0{'descr'", "NumPy", "--data"),
    "packed.png": (b"PK\3\4" + bytes(40), "archive", "unpack"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_named_by_their_content(name: str, tmp_path: Path) -> None:
    content, word, way_out = FILES[name]
    for file in (tmp_path / name, tmp_path / "renamed.png"):
        file.write_bytes(content)
        for reads in (open_photo, read_image):
            with pytest.raises(BadImage) as refused:
                reads(file)
            reason = refused.value.reason
            assert word in reason
            assert way_out in reason
            assert "damaged" not in reason
            assert not INNER.search(reason.replace("dcraw -T -6", ""))


def test_recognising_takes_no_time_whatever_is_given() -> None:
    """Patterns see 4 kB at most, and none of them tries many ways to match."""
    import time

    heads = [b"<?xml", b"<!--", b"<!--<?xml<!DOCTYPE svg", b" ", b"<html", b"G", b"{", b"\0", b"\xef\xbb\xbf<!--"]
    start = time.perf_counter()
    for part in heads:
        kind_of_content((part * HEAD)[:HEAD])
    assert time.perf_counter() - start < 0.5
    assert len(PATTERNS) > 30


# Output names, folders, data


@pytest.mark.parametrize(
    ("name", "words"), [("a.mp4", ("film", "ffmpeg")), ("a.MOV", ("film",)), ("a.psd", ("Photo",))]
)
def test_output_names_of_other_kinds(name: str, words: tuple, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        format_of(tmp_path / name)
    for word in (*words, ".png"):
        assert word in str(refused.value)
    assert "Did you mean" not in str(refused.value)
    with pytest.raises(UsageError, match=r"Did you mean '\.png'"):
        format_of("a.pgn")


def test_a_folder_of_other_kinds_is_named(tmp_path: Path) -> None:
    for name in ("IMG_1.HEIC", "IMG_2.heic", "clip.mov", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError) as refused:
        jobs_for(tmp_path, tmp_path / "out")
    for words in ("2 of them are each a HEIC", "heif-convert", "1 of them is a film"):
        assert words in str(refused.value)
    with pytest.raises(UserError) as refused:
        open_source(str(tmp_path))
    assert "HEIC" in str(refused.value)


def test_others_beside_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.heic").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "a.png").write_bytes(png(8, 8, 8, RGB, [bytes(24)] * 8))
    batch = jobs_for(tmp_path, tmp_path / "out")
    assert batch.other_files == 2
    assert "1 of them is a HEIC" in batch.other_kinds
    skipped = dict(open_source(str(tmp_path), cache=tmp_path / "cache").summary())["skipped"]
    assert "is a HEIC photograph, which is not read: 1 (b.heic)" in skipped
    assert "is not an image: 1 (c.txt)" in skipped


@pytest.mark.parametrize(("name", "word"), [("film.mp4", "film"), ("paper.pdf", "PDF"), ("page.png", "web page")])
def test_data_of_another_kind_are_named(name: str, word: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name][0])
    with pytest.raises(UsageError, match=f"not a data source.*{word}"):
        open_source(str(tmp_path / name))


# Sound files of layouts that are not read


def sound_tiff(data: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, data, metadata=None, **options)
    return out.getvalue()


def with_frame(code: int, bits: int) -> bytes:
    """A JPEG whose frame header is of another process or depth."""
    raw = bytearray(jpeg())
    at = raw.index(b"\xff\xc0")
    raw[at + 1], raw[at + 4] = code, bits
    return bytes(raw)


def bmp(bits: int, packing: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, bits, packing, 16, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + head + bytes(16)


WIDE = np.zeros((9, 9, 3), np.uint32)
SOUND = {
    "32-bit colours": (sound_tiff(WIDE, photometric="rgb"), "3 channels of 32 bits"),
    "complex": (sound_tiff(np.zeros((9, 9), np.complex64), photometric="minisblack"), "complex"),
    "64 bits": (sound_tiff(np.zeros((9, 9), np.int64), photometric="minisblack"), "64 bits"),
    "12-bit JPEG": (with_frame(0xC1, 12), "12 bits"),
    "lossless JPEG": (with_frame(0xC3, 8), "lossless"),
    "BMP that holds a JPEG": (bmp(24, 4), "compression 4"),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_files_are_not_called_damaged(kind: str) -> None:
    content, words = SOUND[kind]
    with pytest.raises(BadImage) as refused:
        open_photo(content)
    assert words in refused.value.reason
    assert "damaged" not in refused.value.reason
    assert not INNER.search(refused.value.reason)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"])
def test_damage_is_in_no_librarys_words(kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (32, 32, 3), dtype=np.uint8)).save(out, kind)
    raw = out.getvalue()
    for cut in (12, 20, len(raw) // 3, len(raw) // 2):
        with pytest.raises(BadImage, match=r"truncated|damaged|not an image") as refused:
            open_photo(raw[:cut])
        assert not INNER.search(refused.value.reason), refused.value.reason


def test_limits_say_how_to_raise_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.imaging import bit_depth

    with pytest.raises(BadImage, match="GANVAS_MAX_PIXELS raises it"):
        open_photo(png(60000, 60000, 8, RGB, [b""]))
    monkeypatch.setenv("GANVAS_MAX_PIXELS", "4e9")
    assert bit_depth.pixel_limit() == 4_000_000_000
    monkeypatch.setenv("GANVAS_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="GANVAS_MAX_PIXELS is a number of pixels, not 'many'"):
        bit_depth.pixel_limit()


def test_a_zip_that_is_none_is_named(tmp_path: Path) -> None:
    for content, word in ((FILES["page.png"][0], "a web page"), (zipped("a.png")[:40], "cut off")):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(UserError, match=f"is not a zip that can be read: it is {word}"):
            open_source(str(tmp_path / "a.zip"))


# Weight files


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return out.getvalue()


MODELS = {
    "x4.param": (b"7767517\n3 3\nInput data 0 1 data\n", "ncnn", ".pth"),
    "x4.bin": (b"\x47\x6b\x30\x01" + bytes(range(64)), "ncnn", ".pth"),
    "net.h5": (b"\x89HDF\r\n\x1a\n" + bytes(16), "HDF5", "download"),
    "net.tflite": (b"\x1c\0\0\0TFL3" + bytes(16), "TensorFlow Lite", ".pth"),
    "net.gguf": (b"GGUF\3\0\0\0", "GGUF", ".pth"),
    "net.keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "Keras", "download"),
    "script.pt": (zipped("m/code/__torch__.py", "m/data.pkl", "m/constants.pkl"), "TorchScript", "state_dict"),
    "page.pth": (b"<!doctype html><title>Sign in</title>", "web page", "download"),
    "error.pth": (b'<?xml version="1.0"?><Error/>', "XML", "download"),
    "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS", "git lfs pull"),
    "zeros.pth": (bytes(9000), "zeros", "download"),
    "photo.pth": (jpeg(), "an image", "-i"),
    "arrays.npz": (zipped("a.npy", "b.npy"), "NumPy", "a.npy"),
    "others.zip": (zipped("a/b.pth", "c.txt"), "archive", "unpack"),
    "cut.pth": (zipped("archive/data.pkl")[:60], "cut off", "download"),
}


@pytest.mark.parametrize("name", MODELS)
def test_weight_files_of_other_kinds_are_named(name: str, tmp_path: Path) -> None:
    content, word, way_out = MODELS[name]
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        resolve(file)
    with pytest.raises(UserError) as by_load:
        load(file)
    assert str(by_load.value) == str(refused.value)
    said = str(refused.value).replace(str(file), "")
    assert word in said
    assert way_out in said
    assert "\n" not in said
    assert not INNER.search(said.replace("torch.save(torch.jit", ""))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_download_is_said_in_plain_words(suffix: str, share: float, tmp_path: Path) -> None:
    file, state = tmp_path / f"a{suffix}", {"a": torch.ones(999)}
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(UserError, match=r"cut off: [\d,]+ bytes are here; download it again") as refused:
        read(file)
    assert not INNER.search(str(refused.value).replace(str(file), ""))


def test_an_onnx_network_is_named(tmp_path: Path) -> None:
    """`--model` opens one through onnxruntime; what ganvas loads and trains on is a weight file."""
    file = tmp_path / "net.onnx"
    file.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x051.13")
    with pytest.raises(UserError, match="is no ONNX file that onnxruntime opens"):
        resolve(file)
    with pytest.raises(UserError, match=r"an ONNX network: give the \.pth or \.safetensors"):
        load(file)


def test_a_pickle_of_another_tool_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": np.float64(1)}, 2))
    with pytest.raises(UserError, match="is a pickle without a generator"):
        read(tmp_path / "a.pkl")


ATTENTION = "layers.0.residual_group.blocks.0.attn"
NETWORKS = {
    "SwinIR": [f"{ATTENTION}.relative_position_bias_table", f"{ATTENTION}.qkv.weight", "conv_first.weight"],
    "Swin2SR": [f"{ATTENTION}.logit_scale", f"{ATTENTION}.cpb_mlp.0.weight", f"{ATTENTION}.qkv.weight"],
    "HAT": [
        f"{ATTENTION}.qkv.weight",
        "layers.0.residual_group.overlap_attn.qkv.weight",
        "relative_position_index_OCA",
    ],
    "DAT": ["before_RG.1.weight", "layers.0.blocks.0.attn.attns.0.pos.pos1.1.weight", "conv_first.weight"],
    "DRCT": ["layers.0.swin1.attn.qkv.weight", "conv_first.weight"],
    "Restormer": ["encoder_level1.0.attn.temperature", "patch_embed.proj.weight"],
    "NAFNet": ["intro.weight", "encoders.0.0.beta", "encoders.0.0.sca.1.weight"],
    "RCAN": ["body.0.body.0.body.3.conv_du.0.weight", "head.0.weight"],
    "EDSR": ["head.0.weight", "body.0.body.0.weight", "tail.0.0.weight"],
    "GFPGAN": ["stylegan_decoder.style_mlp.1.weight", "conv_body_first.weight"],
    "Stable Diffusion": ["model.diffusion_model.input_blocks.0.0.weight"],
    "LoRA": ["lora_unet_down_blocks_0.lora_up.weight"],
    "CUT": ["model.1.weight", "model.4.weight", "model.7.filt", "model.12.conv_block.1.weight"],
    "pix2pixHD's global": [*(f"model.{k}.weight" for k in (1, 4, 7, 10, 13, 37)), "model.16.conv_block.1.weight"],
    "pix2pixHD's local": ["model1_1.1.weight", "model1_2.0.conv_block.1.weight", "model.1.weight"],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_other_projects_are_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    state: dict[str, torch.Tensor] = {key: torch.zeros(4, 3, 3, 3) for key in NETWORKS[name]}
    state["relative_position_index"] = torch.zeros(2, dtype=torch.int64)
    torch.save({"params_ema": state}, file)
    with pytest.raises(UserError) as refused:
        resolve(file)
    said = str(refused.value)
    assert f"this is {name}" in said.replace("a LoRA", "LoRA").replace("a Stable", "Stable")
    assert "not read here" in said
    assert "int64" not in said


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix", "stargan"])
def test_translators_given_to_upscale(name: str, tmp_path: Path) -> None:
    kinds = {"cyclegan": published.resnet_shapes, "pix2pix": published.unet_shapes, "stargan": published.stargan_shapes}
    torch.save({k: torch.zeros(s) for k, s in kinds[name]().items()}, tmp_path / "net.pth")
    with pytest.raises(UsageError) as refused:
        resolve(tmp_path / "net.pth", verb="upscale")
    assert "translate" in str(refused.value)
