"""How fast the studio is: every figure that it promises, beside its goal, in headless Chromium.

python benchmarks/studio.py play        frames and steps a second of Play, and the frames until a changed setting acts
python benchmarks/studio.py explore     from a slider to the image, with a 64x64 generator
python benchmarks/studio.py enhance     a 512x512 photograph x4 in the page and by `ganvas upscale`, in turns
python benchmarks/studio.py ready       from the command to the line with the address
python benchmarks/studio.py paint       first paint, weight and foreign requests of every page
python benchmarks/studio.py pages       memory of the server while 50 pages are open
python benchmarks/studio.py size        lines of JavaScript and CSS
python benchmarks/studio.py all         all of them

It needs playwright (the dev extra) and the system's Chromium, or $GANVAS_BROWSER.  Nothing else should run.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ganvas.studio import server as studio_server

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SCREENS = ("", *studio_server.SCREENS)
COMMAND = (sys.executable, "-m", "ganvas")

# Counts live frames, their steps, and the frames from a changed setting to its answer.
LISTEN = """
window.seen = {frames: 0, step: 0, asked: 0};
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) {
    super(...given);
    seen.socket = this;
    this.addEventListener("message", ({data}) => {
      if (typeof data === "string") return;
      const view = new DataView(data), kind = view.getUint8(1);
      if (kind === 0) { seen.frames++; seen.step = view.getUint32(4, true); }
      if (kind === 2 && seen.asked) {
        seen.answer = {frames: seen.frames - seen.before, ms: performance.now() - seen.asked};
        seen.asked = 0;
      }
    });
  }
  send(text) {
    const message = JSON.parse(text);
    if (message.kind === "start") seen.settings = message.settings;
    super.send(text);
  }
};
"""
CHANGE = """async (rate) => {
  seen.answer = null; seen.before = seen.frames; seen.asked = performance.now();
  seen.socket.send(JSON.stringify({kind: "set", side: 0, settings: {...seen.settings, g_lr: rate}}));
  while (!seen.answer) await new Promise((next) => setTimeout(next, 1));
  return seen.answer;
}"""
# From a moved slider to the frame in which the last image of the wall is painted.
SLIDE = """async (value) => {
  const slider = document.querySelector("input[type=range]");
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  let images = 0;
  const done = new Promise((resolve) => {
    CanvasRenderingContext2D.prototype.drawImage = function (...given) {
      draw.apply(this, given);
      const cells = document.querySelectorAll(".wall .cell").length;
      if (++images === cells) requestAnimationFrame(() => setTimeout(resolve));
    };
  });
  const begun = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  await done;
  CanvasRenderingContext2D.prototype.drawImage = draw;
  return performance.now() - begun;
}"""
# From the button to the first "0 % NAME", and to the result with its image.
ENHANCE = """async () => {
  const begun = performance.now();
  const start = [...document.querySelectorAll("button")].find((one) => one.textContent === "Start");
  start.click();
  const until = async (ready) => {
    while (!ready()) await new Promise((next) => setTimeout(next, 2));
    return (performance.now() - begun) / 1000;
  };
  const shown = await until(() => / % ./.test(document.querySelector("p.number[role=status]").textContent));
  const images = () => [...document.querySelectorAll("article img")];
  const total = await until(() => images().length && images().every((one) => one.complete && one.naturalWidth));
  return {shown, total};
}"""


class Row(NamedTuple):
    """A line of the table: what was measured, its goal, its value, and whether that is within the goal."""

    figure: str
    goal: str
    measured: str
    met: bool


class Bench:
    """A studio in a temporary folder and a browser."""

    def __init__(self, place: Path, arguments: argparse.Namespace):
        self.place, self.minutes, self.seconds, self.count = (
            place,
            arguments.minutes,
            arguments.seconds,
            arguments.count,
        )

    @contextmanager
    def studio(self) -> Iterator[tuple[str, int]]:
        """A running studio: its address and the number of its process."""
        folders = ("--runs", self.place, "--models", self.place)
        process = subprocess.Popen(
            [*COMMAND, "studio", "--no-open", "--port", "7950", *map(str, folders)],
            stdout=subprocess.PIPE, text=True, cwd=self.place,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the studio does not start"
            yield found.group(), process.pid
        finally:
            process.terminate()
            process.wait()

    @contextmanager
    def browser(self) -> Iterator[Any]:
        from playwright.sync_api import sync_playwright  # of the dev extra

        path = os.environ.get("GANVAS_BROWSER") or next(filter(None, map(shutil.which, CHROMIUM)), None)
        assert path, "no Chromium here: install one, or set GANVAS_BROWSER"
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield browser
            browser.close()

    @contextmanager
    def opened(self) -> Iterator[tuple[str, Any]]:
        """A running studio's address and a new page of 1440x900."""
        with self.studio() as (address, _), self.browser() as browser:
            yield address, new_page(browser)


def new_page(browser: Any) -> Any:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    return page


def middle(values: list[float], unit: str = "", digits: int = 0) -> str:
    """Median, and the range of all."""
    texts = [f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return f"{texts[0]}{unit} ({texts[1]} to {texts[2]}, {len(values)} times)"


def play(bench: Bench) -> list[Row]:
    """Play as it opens (with R1), and with the default settings: two networks of two layers of 32."""
    rows = []
    link = "#s=" + base64.urlsafe_b64encode(json.dumps([{}]).encode()).decode().rstrip("=")
    for name, place in (("default settings", link), ("as it opens, with R1", "")):
        with bench.opened() as (address, page):
            page.add_init_script(LISTEN)
            page.goto(f"{address}play{place}")
            while not page.evaluate("seen.frames"):
                page.wait_for_timeout(50)
            if page.locator(".play-button").inner_text() == "Play":
                page.locator(".play-button").click()
            page.wait_for_timeout(3000)
            begun, first = time.perf_counter(), page.evaluate("[seen.frames, seen.step]")
            page.wait_for_timeout(1000 * bench.seconds)
            seconds, last = time.perf_counter() - begun, page.evaluate("[seen.frames, seen.step]")
            frames, steps = ((b - a) / seconds for a, b in zip(first, last))
            answers = [page.evaluate(CHANGE, 0.001 * k) for k in range(1, 11)]
        late = max(answer["frames"] for answer in answers)
        rows += [
            Row(f"Play, {name}: frames/s", ">= 30", f"{frames:.1f}", frames >= 30),
            Row(f"Play, {name}: steps/s", ">= 300", f"{steps:.0f}", steps >= 300),
            Row(f"Play, {name}: frames before a changed setting acts", "<= 1",
                f"{late} ({middle([answer['ms'] for answer in answers], ' ms')})", late <= 1),
        ]  # fmt: skip
    return rows


def explore(bench: Bench) -> list[Row]:
    """The truncation slider of a 64x64 DCGAN as it is trained by default; the weights do not matter."""
    options = ("--data", "digits", "--resolution", "64", "--images", "128", "--device", "cpu")
    command = [*COMMAND, "train", "dcgan", *options, "--outdir", "generator"]
    subprocess.run(command, cwd=bench.place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with bench.opened() as (address, page):
        page.goto(f"{address}explore/runs/generator")
        page.locator(".wall .cell").first.wait_for()
        page.wait_for_timeout(500)
        times = [page.evaluate(SLIDE, 0.3 + 0.02 * k) for k in range(30)][5:]
    return [Row("Explore: slider to image", "< 150 ms", middle(times, " ms"), statistics.median(times) < 150)]


def enhance(bench: Bench) -> list[Row]:
    """The whole of the page's job and the whole command, in turns; the first use of a fresh studio is among them."""
    path = bench.place / "photo.png"
    photograph().save(path)
    shown, totals, commands = [], [], []
    with bench.opened() as (address, page):
        page.wait_for_timeout(5000)  # a person chooses a photograph meanwhile
        for k in range(bench.count):
            page.goto(f"{address}enhance")
            page.locator("input[type=file]").first.set_input_files(str(path))
            times = page.evaluate(ENHANCE)
            shown, totals = [*shown, times["shown"]], [*totals, times["total"]]
            command = [*COMMAND, "upscale", "-i", str(path), "-o", str(bench.place / f"out{k}.png")]
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            commands.append(time.perf_counter() - begun)
    ratio = statistics.median(totals) / statistics.median(commands)
    return [
        Row("Enhance: first progress, first use", "< 0.5 s", f"{shown[0]:.2f} s", shown[0] < 0.5),
        Row("Enhance: first progress", "< 0.5 s", middle(shown, " s", 2), statistics.median(shown) < 0.5),
        Row("Enhance: result, of the command's time", "<= 1.3",
            f"{ratio:.2f} ({middle(totals, ' s', 2)}; command {middle(commands, ' s', 2)})", ratio <= 1.3),
    ]  # fmt: skip


def photograph() -> Image.Image:
    """A photograph of 512x512: scikit-image's astronaut, or scikit-learn's flower, where they are installed."""
    try:
        from skimage.data import astronaut

        return Image.fromarray(astronaut())
    except ImportError:
        pass
    try:
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image("flower.jpg")).resize((512, 512))
    except ImportError:
        y, x = np.mgrid[:512, :512] / 40
        waves = [127 + 90 * np.sin(x + k) * np.cos(y * (1 + k / 3)) for k in range(3)]
        return Image.fromarray(np.stack(waves, -1).astype(np.uint8))


def ready(bench: Bench) -> list[Row]:
    """Until the address is printed, when the server answers already."""
    times = []
    for _ in range(bench.count):
        begun = time.perf_counter()
        with bench.studio():
            times.append(time.perf_counter() - begun)
    return [Row("Server ready", "< 3 s", middle(times, " s", 2), statistics.median(times) < 3)]


def paint(bench: Bench) -> list[Row]:
    """Every page with an empty cache."""
    rows, foreign = [], set()
    with bench.studio() as (address, _), bench.browser() as browser:
        for screen in SCREENS:
            paints, weights = [], []
            for _ in range(3):
                page = new_page(browser)
                page.on("request", lambda request: foreign.add(urlsplit(request.url).netloc))
                session, sizes = page.context.new_cdp_session(page), []
                session.send("Network.enable")
                session.on(
                    "Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"])
                )
                page.goto(address + screen)
                page.wait_for_timeout(1500)
                paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
                weights.append(sum(sizes) / 1000)
                page.context.close()
            median = statistics.median(paints)
            rows.append(Row(f"First paint of /{screen}", "< 500 ms", middle(paints, " ms"), median < 500))
            rows.append(Row(f"Weight of /{screen}", "< 150 kB", f"{max(weights):.0f} kB", max(weights) < 150))
    foreign -= {urlsplit(address).netloc, ""}
    return [
        *rows,
        Row("Requests to other hosts", "0", f"{len(foreign)} {' '.join(sorted(foreign))}".strip(), not foreign),
    ]


def pages(bench: Bench) -> list[Row]:
    """50 pages, of all screens in turn; those of Play play."""
    with bench.studio() as (address, process), bench.browser() as browser:
        empty = resident(process)
        for k in range(50):
            new_page(browser).goto(address + SCREENS[k % len(SCREENS)], wait_until="commit")
        time.sleep(10)
        first, most, end = resident(process), 0.0, time.monotonic() + 60 * bench.minutes
        while time.monotonic() < end:
            browser.contexts[0].pages[0].wait_for_timeout(5000)
            most = max(most, resident(process))
        text = f"{resident(process) - first:+.0f} MB (most {most - first:+.0f}; {empty:.0f} MB alone, {first:.0f} open)"
        growth = resident(process) - first
    return [Row(f"Memory of the server, 50 pages for {bench.minutes:g} minutes", "<= +50 MB", text, growth <= 50)]


def resident(process: int) -> float:
    """Memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1000  # type: ignore[union-attr]


def size(bench: Bench) -> list[Row]:
    """Lines as `wc -l` counts them."""
    files = [path for path in studio_server.STATIC.iterdir() if path.suffix in (".js", ".css")]
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in files)
    return [Row("Lines of JavaScript and CSS", "<= 3,000", f"{lines:,} in {len(files)} files", lines <= 3000)]


FIGURES: dict[str, Callable[[Bench], list[Row]]] = {
    f.__name__: f for f in (play, explore, enhance, ready, paint, pages, size)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=[*FIGURES, "all"])
    parser.add_argument("--minutes", type=float, default=10, help="that 50 pages stay open")
    parser.add_argument("--seconds", type=float, default=20, help="that Play is measured")
    parser.add_argument("--count", type=int, default=5, help="times of enhance and ready")
    arguments = parser.parse_args()
    rows = []
    for name in FIGURES if arguments.figure == "all" else [arguments.figure]:
        with tempfile.TemporaryDirectory() as place:
            for row in FIGURES[name](Bench(Path(place), arguments)):
                print(f"| {row.figure} | {row.goal} | {row.measured} | {'yes' if row.met else '**no**'} |", flush=True)
                rows.append(row)
    sys.exit(not all(row.met for row in rows))


if __name__ == "__main__":
    main()
