"""Films and animations frame by frame: times, sound, colours, turn, what is refused, and a run that is resumed."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import UserError
from ganvas.imaging import film, matroska
from ganvas.imaging.animation import AnimationReader
from ganvas.imaging.film import FULL, LIMITED, Colours, FilmReader
from ganvas.imaging.photo import Photo
from ganvas.inference import video
from ganvas.inference.video import FilmOptions, change_film

av = pytest.importorskip("av")

BASE = Fraction(1, 90_000)
STEPS = [3003, 1700, 9000, 3003, 4500, 2999, 3003, 3003, 6100, 3003, 3003]  # a variable frame rate
MICROSECOND = Fraction(1, 1_000_000)


def picture(k: int, size: tuple[int, int] = (64, 48), top: int = 255) -> np.ndarray:
    """A coloured slope that moves with the number of the frame."""
    y, x = np.mgrid[: size[1], : size[0]]
    unit = np.stack([x / size[0], y / size[1], (x + y + 3 * k) / (sum(size) + 60)], -1)
    return (unit * top).round().astype(np.uint16 if top > 255 else np.uint8)


def write_film(
    file: Path,
    *,
    codec: str = "libx264",
    layout: str = "yuv420p",
    sound: str = "aac",
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    turn: int = 0,
    matrix: int = 2,
    subtitles: bool = False,
    rate: int | None = None,
) -> Path:
    """A film with times of 1/90,000 s, or a constant rate."""
    with av.open(str(file), "w") as out:
        stream = out.add_stream(codec, rate=rate or 30, options={"preset": "ultrafast"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *size, layout
        base = Fraction(1, rate) if rate else BASE
        stream.time_base = stream.codec_context.time_base = base
        if matrix != 2:
            context = stream.codec_context
            context.colorspace, context.color_range = matrix, LIMITED
            context.color_trc = context.color_primaries = matrix
        if turn:
            stream.set_display_rotation(turn)
        audio = out.add_stream(sound, rate=44100) if sound else None
        words = out.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if subtitles else None
        if subtitles:
            marks = [{"id": k, "start": 200 * k, "end": 200 * k + 199, "time_base": Fraction(1, 1000)} for k in (0, 1)]
            out.set_chapters([{**mark, "metadata": {"title": f"part {mark['id']}"}} for mark in marks])
            out.metadata["title"] = "a film"
        pts = 0
        for k in range(frames):
            deep = "10" in layout
            pixels = picture(k, size, 65535 if deep else 255)
            image = av.VideoFrame.from_ndarray(pixels, format="rgb48le" if deep else "rgb24")
            image = image.reformat(format=layout, dst_colorspace=matrix if matrix != 2 else None)
            image.pts, image.time_base = pts, base
            pts += 1 if rate else STEPS[k % len(STEPS)]
            out.mux(stream.encode(image))
        out.mux(stream.encode(None))
        if words:
            packet = av.Packet(b"hello")
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 120
            packet.duration = 100
            out.mux(packet)
        for start in range(0, int(44100 * pts * base) if audio else 0, 1024):
            wave = (np.sin(np.arange(start, start + 1024) / 20) * 8000).astype(np.int16).repeat(2)[None]
            samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="s16", layout="stereo")
            samples.sample_rate, samples.pts, samples.time_base = 44100, start, Fraction(1, 44100)
            out.mux(audio.encode(samples))
        if audio:
            out.mux(audio.encode(None))
    return file


def packets(file: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Time in seconds and content of each packet of the first stream of a kind."""
    with av.open(str(file)) as container:
        stream = getattr(container.streams, kind)[0]
        return sorted((p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size)


def times(file: Path) -> list[Fraction]:
    return [time for time, _ in packets(file, "video")]


def shown(file: Path) -> list[np.ndarray]:
    with FilmReader(file) as reader:
        return [frame.array() for frame in reader.frames()]


def double(photo: Photo) -> Photo:
    return photo.with_array(photo.array.repeat(2, 0).repeat(2, 1))


def same(photo: Photo) -> Photo:
    return photo


SOURCES = {  # options of the source, name of the output
    "variable rate, sound before zero": ({}, "out.mkv"),
    "variable rate to mp4": ({}, "out.mp4"),
    "turned": ({"turn": 90}, "out.mkv"),
    "turned in mp4": ({"turn": 270, "sound": ""}, "out.mp4"),
    "10 bits, BT.2020": ({"codec": "libx265", "layout": "yuv420p10le", "matrix": 9, "sound": ""}, "out.mkv"),
    "10 bits, BT.709": ({"codec": "libx265", "layout": "yuv422p10le", "matrix": 1, "sound": ""}, "out.mp4"),
    "no sound": ({"sound": ""}, "out.mkv"),
    "to QuickTime": ({"matrix": 1}, "out.mov"),
    "MPEG-2": ({"codec": "mpeg2video", "sound": "mp2", "rate": 25, "name": "in.mpg"}, "out.mkv"),
    "AVI": ({"codec": "mpeg4", "sound": "mp2", "rate": 25, "name": "in.avi"}, "out.mkv"),
    "Matroska": ({"codec": "ffv1", "name": "in.mkv"}, "out.mkv"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_times_sound_colours_and_turn_are_those_of_the_source(tmp_path, name):
    options, output = SOURCES[name]
    source = write_film(tmp_path / options.get("name", "in.mp4"), **{k: v for k, v in options.items() if k != "name"})
    output = tmp_path / output
    count, notes = change_film(source, output, double)
    assert (count, notes) == (12, [])
    before, after = times(source), times(output)
    assert len(before) == len(after) == 12
    assert max(abs(a - b) for a, b in zip(before, after)) <= MICROSECOND / 2
    with FilmReader(source) as old, FilmReader(output) as new:
        assert (new.info.width, new.info.height) == (2 * old.info.width, 2 * old.info.height)
        assert new.info.matrix == old.info.matrix
        assert bool(new.info.matrix) == ("turned" in name)
        assert (new.info.depth, new.info.chroma) == (old.info.depth, old.info.chroma)
        assert (new.info.colours.matrix, new.info.colours.primaries) == (options.get("matrix", 2),) * 2
    if options.get("sound", "aac"):
        pairs = list(zip(packets(source, "audio"), packets(output, "audio"), strict=True))
        assert all(a[1] == b[1] for a, b in pairs)
        assert max(abs(a[0] - b[0]) for a, b in pairs) <= MICROSECOND
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([source.name, output.name])  # no parts are left


LAYOUTS = [
    ("yuv444p", 1, 3),
    ("yuv444p", 9, 3),
    ("yuv420p", 2, 3),
    ("yuv420p10le", 9, 3),
    ("bgr0", 2, 0),
    ("gray", 2, 1),
]


@pytest.mark.parametrize(("layout", "matrix", "most"), LAYOUTS)
def test_colours_are_decoded_and_encoded_by_the_matrix_that_the_film_says(tmp_path, layout, matrix, most):
    """Known pixels: the slope that was written, and once more after a pass that changes nothing."""
    source = write_film(tmp_path / "in.mkv", codec="ffv1", layout=layout, sound="", frames=2, matrix=matrix)
    change_film(source, tmp_path / "out.mkv", same, FilmOptions(codec="ffv1"))
    for file in (source, tmp_path / "out.mkv"):
        for k, array in enumerate(shown(file)):
            deep = array.dtype == np.uint16
            expected = picture(k, top=65535 if deep else 255).astype(float) / (257 if deep else 1)
            array = array.astype(float) / (257 if deep else 1)
            if layout == "gray":
                expected = expected @ np.array([[0.299], [0.587], [0.114]])
            assert array.shape == expected.shape
            assert np.abs(array - expected)[2:-2, 2:-2].max() <= most


def test_a_size_for_which_players_assume_another_matrix_is_tagged():
    small, large = (320, 180), (1280, 720)
    untagged = Colours()
    assert (untagged.assumed_matrix(*small), untagged.assumed_matrix(*large)) == (5, 1)
    info = film.FilmInfo(*small, 0, BASE, Fraction(25), layout="yuv420p", chroma="420")
    assert film.tag_colours(info, "yuv420p", 640, 360).matrix == 2
    assert film.tag_colours(info, "yuv420p", *large).matrix == 6
    assert film.tag_colours(info, "gbrp", *large).range == FULL


def test_subtitles_chapters_and_tags_are_copied_and_mp4_refuses_what_it_does_not_hold(tmp_path):
    source = write_film(tmp_path / "in.mkv", codec="ffv1", subtitles=True)
    change_film(source, tmp_path / "out.mkv", same)
    assert packets(source, "subtitles") == packets(tmp_path / "out.mkv", "subtitles") == [(Fraction(3, 25), b"hello")]
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert [c["metadata"]["title"] for c in out.chapters()] == ["part 0", "part 1"]
        assert out.metadata["title"] == "a film"
    with pytest.raises(UserError, match=r"MP4 does not hold its subtitle of the kind (srt|subrip); write \.mkv"):
        change_film(source, tmp_path / "out.mp4", same)
    assert not (tmp_path / "out.mp4").exists()


def test_names_of_streams_stay_beside_their_delays(tmp_path):
    """A stream that begins before zero has a delay in Matroska, for which there is room in its name."""
    for name in ("", "Deutsch", "a" * 100):
        head = (
            b"\x86\x53\x6e" + bytes([0x80 | len(matroska.delay_name(2, name))]) + matroska.delay_name(2, name).encode()
        )
        file = tmp_path / "head"
        file.write_bytes(head + b"rest")
        matroska.patch(file, {2: 0.5}, microseconds=False)
        rest = b"\x53\x6e" + bytes([0x80 | len(name)]) + name.encode() if name else b""
        assert file.read_bytes() == b"\x86\x56\xaa\x84" + (500_000_000).to_bytes(4) + rest + b"rest"


@pytest.mark.parametrize("output", ["out.mkv", "out.mp4", "out.gif"])
def test_killed_and_resumed_is_the_same_file(tmp_path, monkeypatch, output):
    monkeypatch.setattr(video, "FILM_PART", 4)
    monkeypatch.setattr(video.FilmParts, "length", 4)
    monkeypatch.setattr(video.ImageParts, "length", 4)
    source = write_film(tmp_path / "in.mp4")
    change_film(source, tmp_path / f"whole-{output}", double)
    calls = itertools.count()

    def stop(photo: Photo) -> Photo:
        if next(calls) == 6:
            raise KeyboardInterrupt
        return double(photo)

    with pytest.raises(KeyboardInterrupt):
        change_film(source, tmp_path / output, stop)
    assert not (tmp_path / output).exists()
    seen: list[int] = []

    def count(photo: Photo) -> Photo:
        seen.append(1)
        return double(photo)

    frames, notes = change_film(source, tmp_path / output, count, resume=True)
    assert frames == 12
    assert len(seen) == 9  # the first, by which the model is compared, and those of the parts that were missing
    assert (tmp_path / output).read_bytes() == (tmp_path / f"whole-{output}").read_bytes()
    assert not [n for n in notes if "anew" in n]
    assert not list(tmp_path.glob(".ganvas*"))


@pytest.mark.parametrize("change", ["model", "options", "source", "not resumed"])
def test_parts_of_another_model_or_source_are_not_used(tmp_path, monkeypatch, change):
    monkeypatch.setattr(video.FilmParts, "length", 4)
    source, output = write_film(tmp_path / "in.mp4", sound=""), tmp_path / "out.mkv"
    calls = itertools.count()

    def stop(photo: Photo) -> Photo:
        if next(calls) == 5:
            raise UserError("It stops.")
        return double(photo)

    with pytest.raises(UserError, match=r"It stops\. 4 frames are kept; --resume continues after them"):
        change_film(source, output, stop)
    seen: list[int] = []

    def other(photo: Photo) -> Photo:
        seen.append(1)
        result = double(photo)
        return result.with_array(255 - result.array) if change == "model" else result

    if change == "source":
        write_film(source, sound="", turn=90)
    options = FilmOptions(crf=30) if change == "options" else FilmOptions()
    change_film(source, output, other, options, resume=change != "not resumed")
    assert len(seen) == 12
    plain = tmp_path / "plain.mkv"
    seen.clear()
    change_film(source, plain, other, options)
    assert plain.read_bytes() == output.read_bytes()


def test_a_part_of_a_film_begins_at_zero_with_its_sound(tmp_path):
    source, output = write_film(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    count, _ = change_film(source, output, same, FilmOptions(start=0.1, frames=4))
    before = [t for t in times(source) if t >= Fraction(1, 10)][:4]
    assert count == 4
    assert max(abs(a - before[0] - b) for a, b in zip(before, times(output), strict=True)) <= MICROSECOND
    sound = {content: time for time, content in packets(source, "audio")}
    inside = packets(output, "audio")
    assert 3 < len(inside) < len(sound)
    assert all(abs(sound[content] - before[0] - time) <= MICROSECOND for time, content in inside)
    with pytest.raises(UserError, match=r"has no frame at 99 s; give a smaller --start"):
        change_film(source, output, same, FilmOptions(start=99))


def cut(file: Path, share: float) -> Path:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    return file


def test_a_film_that_ends_early_is_changed_up_to_there_and_said(tmp_path):
    source = cut(write_film(tmp_path / "in.mkv", codec="ffv1", frames=20, sound=""), 0.7)
    count, notes = change_film(source, tmp_path / "out.mkv", same)
    assert 10 < count < 20
    assert "incomplete" in " ".join(notes)


REFUSED = {
    "no film": (lambda folder: cut(write_film(folder / "in.mp4"), 0.5), "out.mkv", "damaged or incomplete"),
    "sound alone": (lambda folder: sound_alone(folder / "in.mp4"), "out.mkv", "no video stream, only audio"),
    "an image's suffix": (lambda folder: write_film(folder / "in.mp4", frames=2), "out.jpg", "written as .mkv, .mp4"),
    "sound for WebM": (
        lambda folder: write_film(folder / "in.mp4", frames=2),
        "out.webm",
        "WebM does not hold its audio",
    ),
    "over itself": (lambda folder: write_film(folder / "in.mp4", frames=2), "in.mp4", "written over itself"),
}


def sound_alone(file: Path) -> Path:
    with av.open(str(file), "w") as out:
        audio = out.add_stream("aac", rate=44100)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
        samples.sample_rate = 44100
        out.mux([*audio.encode(samples), *audio.encode(None)])
    return file


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_or_written_is_refused_in_a_sentence(tmp_path, command, name):
    make, output, words = REFUSED[name]
    source = make(tmp_path)
    before = source.read_bytes()
    code, _, err = command("upscale", "-i", source, "-o", tmp_path / output, "--model", "bicubic", "--outscale", 2)
    assert code in (1, 2)
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert [f.name for f in tmp_path.iterdir()] == [source.name]
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--codec", "h265"), "auto, h264, hevc"),
        (("--codec", "ffv1"), "MP4 is written with"),
        (("--crf", 99), "--crf is from 0"),
        (("--frames", 0), "--frames is a number"),
        (("--start", -1), "--start is a time"),
    ],
)
def test_options_out_of_range(tmp_path, command, options, words):
    source = write_film(tmp_path / "in.mp4", frames=2, sound="")
    code, _, err = command("upscale", "-i", source, "-o", tmp_path / "o.mp4", "--model", "bicubic", *options)
    assert code == 2
    assert words in " ".join(err.split())


def test_the_command_counts_frames(tmp_path, command):
    source = write_film(tmp_path / "in.mp4")
    code, out, err = command(
        *("upscale", "-i", source, "-o", tmp_path / "out.mkv", "--model", "bicubic", "--outscale", 2, "--json")
    )
    assert code == 0
    assert '"frames": 12' in out
    assert "12/12 frames, 0:00 left" in err
    code, _, err = command("upscale", "-i", source.with_suffix(".png"), "-o", tmp_path / "o.png", "--frames", 2)
    assert code == 2
    Image.fromarray(picture(0)).save(tmp_path / "one.png")
    code, _, err = command("upscale", "-i", tmp_path / "one.png", "-o", tmp_path / "o.png", "--frames", 2)
    assert code == 2
    assert "--frames is for films" in err


# Animations


def animate(file: Path, clear: bool = False) -> Path:
    frames = [Image.fromarray(picture(20 * k, (30, 20))) for k in range(4)]
    if clear:
        for frame in frames:
            frame.putalpha(Image.fromarray((picture(0, (30, 20))[..., 0] > 99).astype(np.uint8) * 255))
    options = {"lossless": True} if file.suffix == ".webp" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=[50, 100, 150, 70], loop=3, **options)
    return file


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("output", ["out.gif", "out.webp", "out.png"])
@pytest.mark.parametrize("source", ["in.gif", "in.webp", "in.png"])
def test_animations_keep_times_transparency_and_loops(tmp_path, source, output, clear):
    source, output = animate(tmp_path / source, clear), tmp_path / output
    count, _ = change_film(source, output, double, FilmOptions(lossless=True))
    assert count == 4
    with AnimationReader(source) as old, AnimationReader(output) as new:
        assert (new.info.width, new.info.height, new.info.loop) == (60, 40, old.info.loop)
        assert new.info.alpha == old.info.alpha == clear
        for before, after in zip(old.frames(), new.frames(), strict=True):
            assert (after.pts, after.duration) == (before.pts, before.duration)
            expected = before.array().repeat(2, 0).repeat(2, 1).astype(int)
            off = np.abs(after.array().astype(int) - expected)
            off = off[expected[..., 3] > 0] if clear else off
            assert off.max() <= (60 if output.suffix == ".gif" else 0)
            assert off.mean() < 6


@pytest.mark.parametrize("output", ["out.mp4", "out.webm"])
def test_an_animation_becomes_a_film_and_a_film_an_animation(tmp_path, output):
    source = animate(tmp_path / "in.gif")
    change_film(source, tmp_path / output, double)
    assert times(tmp_path / output) == [Fraction(t, 1000) for t in (0, 50, 150, 300)]
    change_film(tmp_path / output, tmp_path / "back.webp", same)
    with AnimationReader(tmp_path / "back.webp") as back:
        assert [f.duration for f in back.frames()][:3] == [50, 100, 150]
        assert back.info.loop == 0


def test_memory_does_not_grow_with_the_film(tmp_path):
    """As many frames are alive at once for 40 frames as for 12."""
    alive, most = set(), []

    class Counted(np.ndarray):
        def __array_finalize__(self, _: object) -> None:
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    def change(photo: Photo) -> Photo:
        result = photo.array.copy().view(Counted)
        most[-1] = max(most[-1], len(alive))
        return photo.with_array(result)

    for frames in (12, 40):
        most.append(0)
        source = write_film(tmp_path / f"{frames}.mp4", frames=frames, sound="")
        change_film(source, tmp_path / "out.mkv", change)
    assert most[1] <= most[0] + 1
