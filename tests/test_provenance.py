"""What a model made, or changed, says so: IPTC's digital source type in XMP, beside what the source had there."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.cli.save import save_interpolation, save_samples
from ganvas.imaging.encode import save
from ganvas.imaging.photo import Photo, open_photo
from ganvas.imaging.provenance import COMPOSITE, GENERATED, MP4_XMP, NAMESPACE, mark_photo, mark_xmp
from ganvas.inference.batch import FileOptions, jobs_for, run_jobs
from ganvas.inference.video import FilmOptions, change_film

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
START, END = '<x:xmpmeta xmlns:x="adobe:ns:meta/">', "</x:xmpmeta>"
SOURCES = {  # what a source holds: XMP, and what must still be there
    "a title": (
        f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}"><rdf:Description rdf:about="uuid:7" {DC} dc:title="A &amp; B"/></rdf:RDF>',
        'dc:title="A &amp; B"',
    ),
    "another prefix": (
        f'<r:RDF xmlns:r="{RDF[1:-1]}"><r:Description r:about="" {DC}><dc:title>é</dc:title></r:Description></r:RDF>',
        "<dc:title>é</dc:title>",
    ),
    "nothing": (f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}"/>', ""),
    "another type": (
        f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}"><rdf:Description rdf:about="" xmlns:e="{NAMESPACE}" {DC} dc:format="x"'
        ' e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/></rdf:RDF>',
        'dc:format="x"',
    ),
    "another type as an element": (
        f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}"><rdf:Description rdf:about="" xmlns:e="{NAMESPACE}">'
        "<e:DigitalSourceType>digitalCapture</e:DigitalSourceType><e:Event>x</e:Event></rdf:Description></rdf:RDF>",
        "<e:Event>x</e:Event>",
    ),
}


def source_types(xmp: bytes) -> list[str]:
    """Every value of the property in a packet, by a parser."""
    name = f"{{{NAMESPACE}}}DigitalSourceType"
    root = ElementTree.fromstring(xmp.decode().replace("\ufeff", "").strip("\0"))
    return [value for e in root.iter() for value in [e.get(name), e.text if e.tag == name else None] if value]


def xmp_of(file: Path) -> bytes:
    with Image.open(file) as image:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return xmp if isinstance(xmp, bytes) else xmp.encode()


@pytest.mark.parametrize("name", SOURCES)
def test_the_property_is_added_beside_what_is_there(name):
    packet, stays = SOURCES[name]
    marked = mark_xmp(f"{START}{packet}{END}".encode(), COMPOSITE)
    assert source_types(marked) == [COMPOSITE]
    assert stays in marked.decode()
    abouts = {e.get(f"{RDF}about") for e in ElementTree.fromstring(marked.decode()).iter(f"{RDF}Description")}
    assert len(abouts) == 1  # all descriptions are of one resource
    assert mark_xmp(marked, COMPOSITE).count(COMPOSITE.encode()) == 1


def test_what_a_model_made_stays_so_and_damage_is_not_guessed_at():
    made = mark_xmp(None, GENERATED)
    assert source_types(made) == [GENERATED]
    assert mark_xmp(made, COMPOSITE) == made
    assert source_types(mark_xmp(f"{START}{SOURCES['nothing'][0]}{END}".encode("utf-16"), COMPOSITE)) == [COMPOSITE]
    assert mark_xmp(b"<x:xmpmeta", COMPOSITE) is None
    assert mark_xmp(b"<a/>", COMPOSITE) is None
    photo = mark_photo(open_blank(b"<x:xmpmeta"), Path("a.png"), COMPOSITE)
    assert photo.metadata.xmp == b"<x:xmpmeta"
    assert "damaged" in photo.notes[0]


def open_blank(xmp: bytes | None = None) -> Photo:
    from ganvas.imaging.metadata import Metadata

    return Photo(np.full((8, 8, 3), 90, np.uint8), metadata=Metadata(xmp=xmp, size=(8, 8)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("wanted", [True, False])
def test_every_format_that_carries_xmp_says_it_unless_it_is_not_wanted(tmp_path, suffix, wanted):
    source = tmp_path / "in.png"
    packet = f"{START}{SOURCES['a title'][0]}{END}".encode()
    save(open_blank(packet if suffix not in (".bmp", ".gif") else None), source)
    batch = jobs_for(source, tmp_path / f"out{suffix}", FileOptions(no_provenance=not wanted))
    [outcome] = run_jobs(batch, lambda photo, output, progress: photo, source_type=COMPOSITE)
    assert outcome.status == "done"
    if suffix in (".bmp", ".gif"):
        assert not any("XMP" in note for note in outcome.notes)
        return
    xmp = open_photo(tmp_path / f"out{suffix}").metadata.xmp
    assert source_types(xmp) == ([COMPOSITE] if wanted else [])
    assert 'dc:title="A &amp; B"' in xmp.decode()


def test_a_command_marks_what_a_network_changed_and_not_an_interpolation(tmp_path, command):
    save(open_blank(), tmp_path / "in.png")
    for model, options, expected in (
        ("x2", (), [COMPOSITE]),
        ("x2", ("--no-provenance",), []),
        ("bicubic", ("--outscale", 2), []),
    ):
        out = tmp_path / "out.jpg"
        assert command("upscale", "-i", tmp_path / "in.png", "-o", out, "--model", model, *options)[0] == 0
        xmp = xmp_of(out)
        assert (source_types(xmp) if xmp else []) == expected


def test_generated_images_say_it(tmp_path):
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    for source_type, expected in ((GENERATED, [GENERATED]), (None, [])):
        save_samples(iter([images]), range(4), tmp_path / "grid.png", source_type=source_type)
        save_samples(iter([images]), range(4), tmp_path / "folder", source_type=source_type)
        save_interpolation(images, tmp_path / "walk.png", fps=4, columns=2, source_type=source_type)
        for file in ("grid.png", "folder/seed000003.png", "walk.png"):
            xmp = xmp_of(tmp_path / file)
            assert (source_types(xmp) if xmp else []) == expected
    with Image.open(tmp_path / "grid.png") as plain:
        before = np.asarray(plain)
    save_samples(iter([images]), range(4), tmp_path / "grid.png")
    assert (np.asarray(Image.open(tmp_path / "grid.png")) == before).all()  # not a pixel differs


def test_films_and_animations_say_it(tmp_path):
    av = pytest.importorskip("av")
    frames = [Image.fromarray(np.full((16, 16, 3), 60 * k, np.uint8)) for k in range(3)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=100)
    for name in ("out.webp", "out.png", "out.mp4", "out.mov", "out.mkv", "out.webm"):
        for source_type in (COMPOSITE, None):
            change_film(tmp_path / "in.gif", tmp_path / name, lambda photo: photo, FilmOptions(source_type=source_type))
            if name in ("out.webp", "out.png"):
                xmp = xmp_of(tmp_path / name)
                assert (source_types(xmp) if xmp else []) == ([COMPOSITE] if source_type else [])
                assert Image.open(tmp_path / name).n_frames == 3
                continue
            with av.open(str(tmp_path / name)) as film:
                assert sum(1 for _ in film.decode(video=0)) == 3
                tag = film.metadata.get("DIGITAL_SOURCE_TYPE")
            data = (tmp_path / name).read_bytes()
            said = re.search(re.escape(MP4_XMP) + b"(.*)", data, re.DOTALL)
            if name in ("out.mp4", "out.mov"):
                assert (source_types(said[1]) if said else []) == ([COMPOSITE] if source_type else [])
            else:
                assert tag == source_type
