"""Kinds of files that are not read here, recognised by their content, with what would take them."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

NO_IMAGE = "is not an image"  # the reason for which data leave out a file with another suffix
HEAD = 4096  # bytes that are enough to recognise a file


@dataclass(frozen=True)
class FileKind:
    """A kind of file."""

    name: str  # with its article
    way_out: str  # what reads it, or makes something of it that is read here
    suffixes: tuple[str, ...] = ()


FRAMES = "`ffmpeg -i FILE FOLDER/%06d.png` writes its images, and `ffmpeg -i FOLDER/%06d.png FILE` makes a film of some"
DEVELOP = "develop it to TIFF of 16 bits, as with darktable-cli, RawTherapee or `dcraw -T -6 FILE`"
CONVERT = "save it as PNG or TIFF, as with `magick FILE out.png`"
EXPORT = "export it as PNG or TIFF from the program that wrote it"
AGAIN = "download the file itself"
PTH = "give the .pth or .safetensors from which it was made"

FILM = FileKind("a film", FRAMES, (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg"))
HEIC = FileKind("a HEIC photograph", "save it as JPEG or PNG, as with `heif-convert FILE out.png`", (".heic", ".heif"))
JXL = FileKind("a JPEG XL image", "`djxl FILE out.png` converts it", (".jxl",))
SVG = FileKind("a vector drawing (SVG)", "`rsvg-convert -w 2000 FILE -o out.png` draws it", (".svg", ".svgz"))
RAW = FileKind(
    "a raw photograph",
    DEVELOP,
    (".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".x3f"),
)
PSD = FileKind("a Photoshop document", EXPORT, (".psd", ".psb"))
XCF = FileKind("a GIMP document", EXPORT, (".xcf",))
EXR = FileKind("an OpenEXR image", "`oiiotool FILE -o out.tif` writes TIFF in floating point", (".exr",))
HDR = FileKind("a Radiance image", "`oiiotool FILE -o out.tif` writes TIFF in floating point", (".hdr",))
PDF = FileKind("a PDF document", "`pdftoppm -r 300 -png FILE page` draws its pages", (".pdf",))
EPS = FileKind("PostScript", "`gs -sDEVICE=png16m -r300 -o page%d.png FILE` draws its pages", (".eps", ".ps"))
TEXTURE = FileKind("a compressed texture", CONVERT, (".dds", ".ktx", ".ktx2"))
ICON = FileKind("an icon file", CONVERT, (".ico", ".icns"))
OTHER_IMAGE = FileKind("an image of another format", CONVERT, (".tga", ".qoi", ".pcx", ".jxr", ".bpg", ".flif", ".sgi"))
FITS = FileKind("a FITS file", "save its array as .npy or TIFF, as with astropy", (".fits", ".fit"))
SOUND = FileKind("a sound", "images are read", (".mp3", ".wav", ".flac", ".ogg", ".m4a"))
ARCHIVE = FileKind("an archive", "unpack it", (".zip", ".gz", ".7z", ".rar", ".tar", ".xz", ".bz2"))
PAGE = FileKind("a web page", f"{AGAIN}: its address gave a page to look at or to sign in", (".html", ".htm"))
LFS = FileKind("a pointer of Git LFS", "`git lfs pull` in its repository fetches the file itself")
XML = FileKind("an XML text", f"{AGAIN}, if a server's error was saved in its place", (".xml",))
JSON = FileKind("a JSON text", f"{AGAIN}, if a server's error was saved in its place", (".json",))
ZEROS = FileKind("a file of zeros", f"its content was never written or is lost; {AGAIN} again")
ARRAYS = FileKind("a NumPy array", "`--data` takes arrays; convert it to PNG for other commands", (".npy", ".npz"))
NCNN = FileKind("a network for ncnn", PTH, (".param",))
ONNX = FileKind("an ONNX network", PTH, (".onnx",))
HDF5 = FileKind("an HDF5 file, as Keras writes weights", PTH, (".h5", ".hdf5", ".keras"))
TFLITE = FileKind("a TensorFlow Lite network", PTH, (".tflite",))
GGUF = FileKind("a GGUF network", PTH, (".gguf",))
TORCH = FileKind("a PyTorch file", "a weight file is given as --model", (".pth", ".pt", ".ckpt"))
SAFETENSORS = FileKind("a safetensors file", "a weight file is given as --model", (".safetensors",))
IMAGE = FileKind("an image", "give a weight file as --model and images as -i")

SIGNATURES: tuple[tuple[FileKind, str], ...] = (  # a pattern that the beginning of a file matches
    (HEIC, r".{4}ftyp(hei[cxms]|hev[cxms]|m[is]f1(?!.{0,64}avi[fs]))"),
    (RAW, r".{4}ftypcrx "),
    (IMAGE, r".{4}ftyp(avif|avis)"),
    (FILM, r".{4}ftyp|\0.{3}(moov|mdat|wide)"),
    (
        FILM,
        r"\x1a\x45\xdf\xa3|RIFF.{4}AVI |\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|\0\0\x01[\xba\xb3]|G.{187}G.{187}G",
    ),
    (JXL, r"\xff\x0a|\0\0\0\x0cJXL \r\n"),
    (RAW, r"(II\*\0.{4}CR|IIU\0|IIR[OS]|MMOR|FUJIFILMCCD-RAW|FOVb|\0MRM|.{6}HEAPCCDR)"),
    (IMAGE, r"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]|BM.{8}\0\0|P[1-7]\s|\0\0\0\x0cjP  "),
    (PSD, r"8BPS"),
    (XCF, r"gimp xcf"),
    (EXR, r"\x76\x2f\x31\x01"),
    (HDR, r"#\?(RADIANCE|RGBE)"),
    (PDF, r"%PDF"),
    (EPS, r"%!PS|\xc5\xd0\xd3\xc6"),
    (TEXTURE, r"DDS |\xabKTX"),
    (ICON, r"\0\0[\1\2]\0.\0|icns"),
    (OTHER_IMAGE, r"qoif|II\xbc\x01|BPG\xfb|FLIF|\x01\xda[\0\1][\1\2]"),
    (FITS, r"SIMPLE  ="),
    (SOUND, r"ID3[\2-\4]|\xff[\xfb\xf3\xfa]|RIFF.{4}WAVE|fLaC|OggS"),
    (LFS, r"version https://git-lfs"),
    (PAGE, r"(\xef\xbb\xbf)?\s*(<\?xml.{0,200}?)?(<!--.{0,500}?-->\s*)?(<!doctype html|<html|<head|<body)"),
    (SVG, r"(\xef\xbb\xbf)?\s*<(svg\b|(\?xml|!--|!doctype svg)(?!.*<html).*?<svg\b)"),
    (XML, r"(\xef\xbb\xbf)?\s*<\?xml"),
    (JSON, r"\s*[{\[]\s*[\"{\]}]"),
    (ARRAYS, r"\x93NUMPY"),
    (TORCH, r"PK\x03\x04.{26}[^\0]{1,200}/data\.pkl|\x80\x02\x8a\x0al\xfc\x9c"),
    (ARRAYS, r"PK\x03\x04.{26}[^\0/]{1,100}\.npy"),
    (HDF5, r"\x89HDF|PK\x03\x04.{26}metadata\.json"),
    (ARCHIVE, r"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh[1-9]|.{257}ustar"),
    (NCNN, r"7767517\s|\x47\x6b\x30\x01|\x38\x4b\x0d\0"),
    (TFLITE, r".{4}TFL3"),
    (GGUF, r"GGUF"),
    (SAFETENSORS, r".{6}\0\0\{"),
    (ONNX, r"\x08[\x01-\x1f](\x12|\x1a|\x22|\x3a|\x42)"),
    (ZEROS, r"\0{16,}\Z"),
)
PATTERNS = [(kind, re.compile(pattern.encode("latin-1"), re.DOTALL | re.IGNORECASE)) for kind, pattern in SIGNATURES]
KINDS = list(dict.fromkeys(kind for kind, _ in SIGNATURES))
BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}


def kind_of_content(head: bytes) -> FileKind | None:
    """The kind of a file with these first bytes, `HEAD` of them or all; None for an unknown one."""
    return next((kind for kind, pattern in PATTERNS if pattern.match(head)), None)


def kind_of_stream(stream: BinaryIO) -> FileKind | None:
    """The kind of a file from its position on, which it keeps; None for an unknown one."""
    start = stream.tell()
    head = stream.read(HEAD)
    stream.seek(start)
    return kind_of_content(head)


def kind_of_file(file: Path | str) -> FileKind | None:
    """The kind of a file by its content, or else by its name; None for an unknown one."""
    try:
        with open(file, "rb") as stream:
            kind = kind_of_stream(stream)
    except OSError:
        kind = None
    return kind or kind_of_name(file)


def kind_of_name(file: PurePath | str) -> FileKind | None:
    """The kind that a file's suffix stands for; None for an unknown one."""
    return BY_SUFFIX.get(PurePath(file).suffix.lower())


def not_an_image(kind: FileKind | None) -> str:
    """The reason for which a file of that kind, or an unknown one, is no image."""
    name = "is not an image of a supported format"
    if kind in (None, IMAGE):  # an image of which only the first bytes are right
        return name
    return name.replace("is", f"is {kind.name},", 1) + f": {kind.way_out}"


def name_other(file: PurePath | str, reason: str) -> str:
    """The reason for which a file is left out, and where that is `NO_IMAGE` the kind that its suffix stands for."""
    kind = kind_of_name(file) if reason == NO_IMAGE else None
    return f"is {kind.name}, which is not read" if kind else reason


def count_kinds(files: Iterable[PurePath | str]) -> str:
    """Sentences on the files whose suffix is of a known kind: how many, and what to do; empty if there are none."""
    counts = Counter(kind for file in files if (kind := kind_of_name(file)))
    sentences = (
        f"{count:,} of them {'is' if count == 1 else 'are each'} {kind.name}: {kind.way_out}"
        for kind, count in counts.most_common(3)
    )
    return "; ".join(sentences)
