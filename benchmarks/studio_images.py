"""The film and the image of the studio's Play page that the documents show, taken in a browser.

    python benchmarks/studio_images.py docs      docs/studio_play.webp (animated, at most 1.5 MB), docs/studio_play.png

Needs the extras `studio` and `dev`, and Chromium.  Training on the page has a seed, so every run takes the same film.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from ganvas.studio.server import create_app, make_place

SIZE = {"width": 1280, "height": 1000}
WIDTH = 720  # pixels of the film
FRAMES, STEPS = 40, 3  # of the film, and training steps from one to the next
BENT = 10  # frames with the generator's grid
MILLISECONDS = 120  # a frame
LARGEST = 1_500_000  # bytes


class Page:
    """The Play page in a browser: paused, and stepped by its key."""

    def __init__(self, page: Any, address: str):
        self.page = page
        page.goto(f"{address}play")
        page.locator(".figures td", has_text="of 3").first.wait_for(timeout=120_000)

    def step(self, count: int) -> None:
        """Train some steps, and wait until they are shown."""
        end = self.shown + count
        for _ in range(count):
            self.page.keyboard.press("s")
        while self.shown < end:
            self.page.wait_for_timeout(20)

    @property
    def shown(self) -> int:
        return int(self.page.locator(".counter").inner_text().replace(",", ""))

    def image(self) -> Image.Image:
        """The toolbar, the plot and the overview."""
        return Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")


def take(page: Page) -> Iterator[Image.Image]:
    """The frames of the film: training, and at the end the grid in place of the arrows."""
    yield page.image()
    for _ in range(FRAMES):
        page.step(STEPS)
        yield page.image()
    for layer in ("arrows", "grid"):
        page.page.locator(f".legend [data-layer={layer}]").click()
    for _ in range(BENT):
        page.step(STEPS)
        yield page.image()


def save(images: list[Image.Image], folder: Path) -> None:
    """Write the film and the image at its end of training."""
    images[FRAMES].quantize(256, dither=Image.Dither.NONE).save(folder / "studio_play.png", optimize=True)
    height = round(images[0].height * WIDTH / images[0].width)
    frames = [image.resize((WIDTH, height), Image.Resampling.LANCZOS) for image in images]
    lasting = [MILLISECONDS] * (len(frames) - 1) + [2000]
    file = folder / "studio_play.webp"
    for quality in (75, 60, 45, 30):
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=lasting, loop=0, quality=quality)
        if file.stat().st_size <= LARGEST:
            break
    print(f"{file}: {len(frames)} frames, {file.stat().st_size:,} bytes at quality {quality}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--browser", default=shutil.which("chromium"), help="Chromium's program")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as driver:
        place = make_place(Path(runs), Path(runs), "127.0.0.1", 7950)
        server = uvicorn.Server(uvicorn.Config(create_app(place), port=place.port, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        browser = driver.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        save(list(take(Page(page, place.address))), options.folder)
        browser.close()
        server.should_exit = True
        thread.join(10)


if __name__ == "__main__":
    main()
