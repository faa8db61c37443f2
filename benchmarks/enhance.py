"""How fast images are enlarged, and in how much memory.

python benchmarks/enhance.py speed      ganvas against the plain way: float32, NCHW, eager, the whole image at once
python benchmarks/enhance.py engines    ganvas by each engine, the plain way, ncnn
python benchmarks/enhance.py photo      a 1024x1024 image through Compact x4 by `ganvas upscale`
python benchmarks/enhance.py folder     a folder by `ganvas upscale` against the network alone
python benchmarks/enhance.py large      an image of 100 megapixels x2 by `ganvas upscale`
python benchmarks/enhance.py film       films of 320x180 x2 by `ganvas upscale` (extra video)
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ganvas.export.pth import save_network
from ganvas.imaging.encode_bands import write_png
from ganvas.imaging.metadata import Metadata
from ganvas.imaging.photo import Photo
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import ImageModel
from ganvas.networks.compact import Compact
from ganvas.networks.rrdb import RRDBNet
from ganvas.policy import Policy, keep_large_buffers


def scene(height: int, width: int) -> np.ndarray:
    """An image with edges and a little noise, (H, W, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = 127 + 80 * np.sin(x / 37) * np.cos(y / 23) + 40 * ((x // 64 + y // 48) % 2)
    noise = np.random.default_rng(0).normal(0, 3, (height, width)).astype(np.float32)
    return np.stack([base + noise, base * 0.8 + noise, 255 - base + noise], -1).clip(0, 255).astype(np.uint8)


def networks() -> dict[str, tuple[nn.Module, int]]:
    """Networks with weights as they begin, and the side of the image."""
    torch.manual_seed(0)
    return {"Compact-32 x4": (Compact(convolutions=32), 256), "RRDB-23 x4": (RRDBNet(), 128)}


def timed(call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def speed(rounds: int, threads: int) -> None:
    """Both ways in turn, medians and the quartiles of their ratio."""
    torch.set_num_threads(threads)
    for name, (network, side) in networks().items():
        network.eval().requires_grad_(False)
        x = torch.from_numpy(scene(side, side)).permute(2, 0, 1)[None].float() / 127.5 - 1
        ours = Enhancer(ImageModel(network, 3, name), Policy.choose("cpu"), EnhanceOptions(tile=0))
        with torch.inference_mode():
            off = (ours(x) - network(x)).square().mean().item()
            times = np.array([(timed(partial(network, x)), timed(partial(ours, x))) for _ in range(rounds)])
        plain, fast = np.median(times, 0)
        low, ratio, high = np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])
        said = f"{ours.policy.precision}, {10 * np.log10(4 / off):.1f} dB from the plain way's"
        ratios = f"x {ratio:.2f} ({low:.2f} to {high:.2f})"
        print(f"{name} at {side}x{side}: plain {plain:.3f} s, ganvas {fast:.3f} s, {ratios}; {said}")


def command(*arguments: object) -> tuple[float, float]:
    """Seconds and the most resident memory, in MB, of one `ganvas ...` (VmHWM, which counts file pages too)."""
    begun, most = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "ganvas", *map(str, arguments)])
    while process.poll() is None:  # what wait4 tells also holds the peak of this process, from which it was forked
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            most = max(most, int(next(line for line in lines if line.startswith("VmHWM")).split()[1]))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"ganvas ended with {process.returncode}")
    return time.perf_counter() - begun, most / 1024


def written(array: np.ndarray, file: Path) -> None:
    with open(file, "wb") as out:
        write_png(out, array, Metadata(), level=1)


def model(folder: Path, **options: int) -> Path:
    torch.manual_seed(0)
    save_network(Compact(**options), folder / "model.safetensors")
    return folder / "model.safetensors"


def photo(folder: Path, convolutions: int) -> None:
    """One image of a megapixel, as a person does it: the start of Python is in the time."""
    written(scene(1024, 1024), folder / "in.png")
    weights = model(folder, scale=4, convolutions=convolutions)
    seconds, most = command("upscale", "-i", folder / "in.png", "-o", folder / "out.png", "--model", weights)
    print(f"1024x1024 x4 through Compact-{convolutions}: {seconds:.1f} s, {most:,.0f} MB at most")
    network = Compact(scale=4, convolutions=convolutions).eval().requires_grad_(False)
    enhancer = Enhancer(ImageModel(network, 3, ""), Policy.choose("cpu"))
    image = Photo(scene(1024, 1024), neutral=False)
    took = min(timed(lambda: enhancer.photo(image)) for _ in range(3))
    print(f"the same in Python, from pixels to pixels: {took:.2f} s; own memory {own_memory():,.0f} MB at most")


def own_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def folder_rate(folder: Path, count: int, side: int, convolutions: int) -> None:
    """A folder with decoding and encoding beside the network, against the network alone on images in memory."""
    from ganvas.inference.batch import jobs_for, run_jobs

    (folder / "in").mkdir()
    for k in range(count):
        written(np.roll(scene(side, side), 7 * k, 1), folder / "in" / f"{k:03d}.png")
    network = Compact(scale=4, convolutions=convolutions).eval().requires_grad_(False)
    enhancer = Enhancer(ImageModel(network, 3, ""), Policy.choose("cpu"))
    image = Photo(scene(side, side), neutral=False)
    enhancer.photo(image)
    alone, whole = [], []
    for turn in range(3):
        alone.append(timed(lambda: [enhancer.photo(image) for _ in range(count)]))
        jobs = jobs_for(folder / "in", folder / f"out{turn}")
        whole.append(timed(partial(list, run_jobs(jobs, lambda p, output, progress: enhancer.photo(p)))))
    ratios = 100 * np.array(alone) / np.array(whole)
    rates = f"network alone {count / np.median(alone):.2f} a second, folder {count / np.median(whole):.2f}"
    said = f"{np.median(ratios):.0f} % of it ({ratios.min():.0f} to {ratios.max():.0f})"
    print(f"{count} images of {side}x{side} x4, Compact-{convolutions}: {rates}: {said}")


def large(folder: Path, side: int, convolutions: int, width: int) -> None:
    """100 megapixels in, 400 out."""
    written(np.tile(scene(min(side, 500), side), (-(-side // 500), 1, 1))[:side], folder / "in.png")
    weights = model(folder, scale=2, convolutions=convolutions, width=width)
    seconds, most = command("upscale", "-i", folder / "in.png", "-o", folder / "out.png", "--model", weights)
    size = (folder / "out.png").stat().st_size / 1e6
    print(f"{side}x{side} x2: {seconds:.0f} s, {most:,.0f} MB resident at most; the PNG has {size:,.0f} MB")


def write_film(file: Path, seconds: int, size: tuple[int, int] = (320, 180)) -> None:
    """A film of 25 frames a second that moves over a photograph, with sound."""
    import av
    from skimage import data

    photo = Image.fromarray(data.coffee()).resize((2 * size[0], 2 * size[0] * 2 // 3), Image.Resampling.LANCZOS)
    with av.open(str(file), "w") as out:
        stream, audio = out.add_stream("libx264", rate=25, options={"crf": "26"}), out.add_stream("aac", rate=44100)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(25 * seconds):
            x, y = (round(0.5 * room * (1 + np.sin(k / 40 + turn))) for room, turn in ((size[0], 0), (size[1], 1.5)))
            frame = av.VideoFrame.from_image(photo.crop((x, y, x + size[0], y + size[1])))
            out.mux(stream.encode(frame))
            wave = (8000 * np.sin(np.arange(1764) * (k + 1764) / 3000)).astype(np.int16).repeat(2)[None]
            samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="s16", layout="stereo")
            samples.sample_rate = 44100
            out.mux(audio.encode(samples))
        out.mux([*stream.encode(None), *audio.encode(None)])


def packets(file: Path, kind: str) -> list[tuple[float, bytes]]:
    """Time in seconds and content of each packet of the first stream of a kind."""
    import av

    with av.open(str(file)) as container:
        stream = getattr(container.streams, kind)[0]
        return sorted((float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size)


def film(folder: Path, rows: list[tuple[str, int]], sheet: Path | None) -> None:
    """Films of several lengths through a model: the memory must not grow with the length."""
    names = "model", "film", "frames", "seconds", "frames a second", "MB at most", "times differ by", "sound"
    print(f"| {' | '.join(names)} |", "|---" * len(names) + "|", sep="\n", flush=True)
    for weights, length in rows:
        source, output = folder / f"{length}.mp4", folder / f"{weights}-{length}.mkv"
        write_film(source, length)
        seconds, most = command("upscale", "-i", source, "-o", output, "--model", weights, "--outscale", 2)
        before, after = packets(source, "video"), packets(output, "video")
        off = max(abs(a[0] - b[0]) for a, b in zip(before, after, strict=True))
        sound = [p[1] for p in packets(source, "audio")] == [p[1] for p in packets(output, "audio")]
        rate = f"{len(after) / seconds:.1f} | {most:,.0f} | {1e6 * off:.1f} µs"
        line = f"| {weights} | {length} s | {len(after)} | {seconds:.0f} | {rate} | {'same' if sound else 'CHANGED'} |"
        print(line, flush=True)
        if sheet and weights != "bicubic":
            compare(source, output, sheet)


def compare(source: Path, output: Path, sheet: Path) -> None:
    """A frame of a film before, at twice its size, and after, side by side."""
    import av

    with av.open(str(source)) as before, av.open(str(output)) as after:
        old, new = (next(itertools.islice(c.decode(video=0), 60, None)).to_image() for c in (before, after))
    image = Image.new("RGB", (648, 360), "white")
    box = (0, 0, 320, 360)
    image.paste(old.resize(new.size, Image.Resampling.BICUBIC).crop(box), (0, 0))
    image.paste(new.crop(box), (328, 0))
    image.save(sheet, quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "engines", "photo", "folder", "large", "film"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--convolutions", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--side", type=int)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--rows", default="x2:10,bicubic:10,bicubic:60", help="model:seconds of film")
    parser.add_argument("--sheet", type=Path, help="image of a frame before and after")
    parser.add_argument("--plain-allocator", action="store_true", help="leave glibc's thresholds as they are")
    o = parser.parse_args()
    if not o.plain_allocator:
        keep_large_buffers()
    with tempfile.TemporaryDirectory() as name:
        if o.what == "speed":
            speed(o.rounds, o.threads)
        elif o.what == "engines":
            from engines import engines

            engines(networks(), scene, o.rounds, o.threads)
        elif o.what == "photo":
            photo(Path(name), o.convolutions)
        elif o.what == "folder":
            folder_rate(Path(name), o.count, o.side or 256, o.convolutions)
        elif o.what == "film":
            rows = [(model, int(seconds)) for model, _, seconds in (row.partition(":") for row in o.rows.split(","))]
            film(Path(name), rows, o.sheet)
        else:
            large(Path(name), o.side or 10_000, o.convolutions, o.width)


if __name__ == "__main__":
    main()
