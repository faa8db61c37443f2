"""Every page of the studio in a browser, as a person uses it: nothing complains, no other host is asked."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.api import train
from studio_pages import PATIENCE, pages, serve

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (the dev extra)")
pytest.importorskip("uvicorn", reason="the studio needs the extra studio")

PAGES = ("", "play", "runs", "runs/a", "runs/a&b", "explore", "explore/runs/b", "enhance", "judge", "models")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, browser):
    folder = tmp_path_factory.mktemp("runs")
    for name, recipe in (("a", "dcgan_small"), ("b", "cgan")):
        train(recipe, data="digits", outdir=folder / name, images=64, batch=16, snapshot_images=32)
    return folder


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    with serve(runs, tmp_path_factory.mktemp("models"), 7950) as address:
        yield address


@pytest.fixture
def opened(browser, address):
    """Open a page."""
    with pages(browser, address) as open_page:

        def opened_page(at="", width=1440, **options):
            page = open_page(at, width, **options)
            page.locator("h1").first.wait_for()
            return page

        yield opened_page


def wait(page, condition):
    """Wait until a JavaScript condition holds; by polling from here, for the page's policy allows no evaluation."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


# Interactive elements of a page that were not in focus since `WATCH`, or without an outline, or that have no name.
WATCH = """() => {
  window.reached = new Map();
  addEventListener("focusin", ({ target }) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(target);
    reached.set(target, outlineStyle !== "none" && parseFloat(outlineWidth) > 0);
  });
}"""
INTERACTIVE = "a[href], button, input, select, textarea, summary, [tabindex='0']"
MISSED = f"""() => [...document.querySelectorAll("{INTERACTIVE}")]
  .filter((e) => e.checkVisibility() && !e.disabled)
  .filter((e) => !reached.get(e) ||
    !(e.ariaLabel || e.textContent.trim() || e.closest("label")?.textContent.trim() || e.labels?.length))
  .map((e) => `${{reached.get(e)}}: ${{e.outerHTML}}`)"""
# What a page weighs without images; a run's page carries those of its report.
BYTES = """performance.getEntries()
  .filter((e) => e.encodedBodySize && !/[.]png|files|preview|wall|runs.page/.test(e.name))
  .reduce((sum, e) => sum + e.encodedBodySize, 0)"""


def show_results(page, at, folder):
    """Bring content to a page: the form of a run, a result, a number."""
    if at == "runs":
        page.get_by_text("Start a run").click()
        page.get_by_role("button", name="Start", exact=True).wait_for()
    elif at == "enhance":
        Image.new("RGB", (48, 32), "teal").save(folder / "photo with a rather long name, as cameras give them.png")
        page.locator("#pictures").set_input_files([*folder.glob("*.png")])
        page.get_by_role("button", name="Start").click()
        page.get_by_role("link", name="Download photo").wait_for()
    elif at == "judge":
        page.get_by_label("Metric").select_option("diversity")
        page.get_by_label("Side B").select_option("runs/b")
        page.get_by_label("samples", exact=True).fill("16")
        page.get_by_role("button", name="Measure").click()
        page.locator(".headline").wait_for()
    elif at.startswith("runs/"):
        page.get_by_label("Play the snapshots").wait_for()
    elif at.startswith("explore/"):
        page.locator(".cell").nth(23).wait_for()
        page.locator(".cell").first.click()


def check_keyboard(page, at):
    """Every control has a name, and the Tab key reaches it and shows it."""
    page.evaluate(WATCH)
    page.locator(".skip").focus()
    for _ in range(page.locator(INTERACTIVE).count() + 12):  # what scrolls is in focus, too
        page.keyboard.press("Tab")
    assert page.evaluate(MISSED) == [], at


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_every_page_is_accessible_light_and_no_wider_than_the_screen(opened, address, tmp_path, width, scheme):
    axe = pytest.importorskip("axe_playwright_python", reason="rules of accessibility need axe-playwright-python")
    rules = (Path(axe.__file__).parent / "axe.min.js").read_text()
    page = opened(width=width, color_scheme=scheme, reduced_motion="reduce")
    for at in PAGES:
        page.goto(address + at)
        page.locator("main h1").first.wait_for()
        show_results(page, at, tmp_path)
        assert page.locator("main .problem:not(:empty)").count() == 0, at
        for wide in {width, min(width, 390)}:
            page.set_viewport_size({"width": wide, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (at, wide)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(BYTES) < 150_000, at
        page.evaluate(rules)
        findings = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [f for f in findings if f["impact"] in ("serious", "critical")] == [], at
        if width == 1440:
            check_keyboard(page, at)


def test_a_gan_learns_behind_the_first_page_of_an_empty_machine(opened, address):
    def empty(page):
        page.route("**/api/runs", lambda route: route.fulfill(json={"runs": [], "starting": []}))
        page.goto(address)
        page.locator("a.card").nth(3).wait_for()

    page = opened()
    empty(page)
    canvas = page.locator("canvas.behind[aria-hidden=true]")
    canvas.wait_for()
    first = canvas.evaluate("(c) => c.toDataURL()")
    wait(page, f"document.querySelector('canvas.behind').toDataURL() !== '{first}'")
    page.get_by_role("link", name="Models").click()  # its cards are above the canvas and take the pointer
    canvas.wait_for(state="detached")
    still = opened(reduced_motion="reduce")
    empty(still)
    still.get_by_role("link", name="Models").wait_for()
    assert still.locator("canvas").count() == 0


def test_home_lists_the_runs_and_the_back_button_returns(opened):
    page = opened()
    assert page.locator("main .cards").first.locator("a").count() == 4
    page.locator("a.card[href='/runs/a']").click()
    page.locator(".report").wait_for()
    page.go_back()
    page.get_by_text("Last runs").wait_for()


@pytest.mark.parametrize("width", [1440, 390])
def test_runs_card_page_and_side_by_side(opened, width):
    page = opened("runs", width)
    card = page.locator("article", has=page.locator("a[href='/runs/a']"))
    assert "64 of 64 images" in card.inner_text()
    assert "finished" in card.inner_text()
    wait(page, "[...document.querySelectorAll('.sheet')].every((i) => i.getBoundingClientRect().width < innerWidth)")
    page.get_by_label("Compare a").check()
    page.get_by_label("Compare b").check()
    page.get_by_role("button", name="Side by side").click()
    page.get_by_role("heading", name="a and b").wait_for()
    page.locator(".shots figure").nth(1).wait_for()
    page.go_back()
    page.locator("a[href='/runs/a']").click()
    slider = page.locator("#snapshot")
    slider.wait_for()
    wait(page, "document.getElementById('position').textContent.startsWith('64 ')")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(".after").inner_text() == "after 0 images"
    page.locator(".log summary").click()
    wait(page, "document.querySelector('.log pre').textContent.includes('images')")
    assert page.get_by_role("button", name="Delete").count() == 1
    assert page.get_by_role("link", name="Judge it").get_attribute("href") == "/judge?b=runs%2Fa"
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(251, 250, 248)"  # the report's style stays inside its frame


def test_a_run_starts_from_the_form_and_its_card_appears(opened, runs):
    page = opened("runs")
    page.get_by_text("Start a run").click()
    page.get_by_label("Name").fill("from the page")
    assert page.get_by_label("Recipe").locator("option").count() > 10
    page.get_by_label("Recipe").select_option("dcgan")
    page.get_by_text("Options of the recipe").click()
    for preset, width in (("paper", "64"), ("tiny", "32")):
        page.get_by_label(re.compile("^Preset")).select_option(preset)
        page.locator(f"input[placeholder='{width}']").first.wait_for()
    page.get_by_label("Recipe").select_option("dcgan_small")
    page.get_by_label("Length in real images").fill("64")
    page.get_by_label("Images per step").fill("32")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("from the page starts.").wait_for()
    card = page.locator("article", has=page.get_by_role("link", name="from the page"))
    card.get_by_text("finished").wait_for()
    card.get_by_role("link", name="from the page").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Runs").wait_for()
    card.wait_for(state="detached")
    assert list((runs / ".trash").glob("from the page-*/config.json"))


@pytest.mark.parametrize("width", [1440, 390])
def test_explore_seeds_truncation_class_and_film(opened, width):
    page = opened("explore", width)
    page.get_by_role("link", name="runs/b").click()
    cells = page.locator(".wall .cell canvas")
    cells.nth(23).wait_for()
    # a cell holds exactly one sample of 32x32, enlarged to 64x64, without the white between them
    assert cells.first.evaluate("(c) => [c.width, c.height]") == [64, 64]
    corner = (
        "(c) => [...c.getContext('2d').getImageData(0, 0, 64, 1).data].filter((v, k) => k % 4 < 3 && v < 255).length"
    )
    assert cells.nth(9).evaluate(corner) > 0
    before = cells.first.evaluate("(c) => c.toDataURL()")
    page.get_by_label("Truncation").fill("0.2")
    wait(page, f"document.querySelector('.cell canvas').toDataURL() !== '{before}'")
    page.get_by_label("Class").select_option("3")
    page.get_by_role("button", name="More seeds").click()
    for seed in (24, 26):
        page.get_by_role("button", name=f"Seed {seed}", exact=True).click()
    assert page.locator(".kept img").count() == 2
    assert "--seeds 24,26 --label '3' --trunc 0.2" in page.locator(".command").inner_text()
    with page.expect_download() as film:
        page.get_by_role("button", name="Film").click()
    with Image.open(film.value.path()) as image:
        assert image.format == "GIF"
        assert image.n_frames > 20


def test_explore_moves_mixes_and_projects(opened, tmp_path):
    """A direction changes the wall and 0 gives it back; kept seeds are mixed; an image is found."""
    page = opened("explore/runs/a", 1440)
    first = page.locator(".wall .cell canvas").first
    first.wait_for()
    before = first.evaluate("(c) => c.toDataURL()")
    direction = page.get_by_label("Direction").first
    direction.fill("2.5")
    wait(page, f"document.querySelector('.cell canvas').toDataURL() !== '{before}'")
    assert "=2.5" in page.locator(".command").inner_text()
    direction.fill("0")
    wait(page, f"document.querySelector('.cell canvas').toDataURL() === '{before}'")
    for seed in (1, 2):
        page.get_by_role("button", name=f"Seed {seed}", exact=True).click()
    page.get_by_role("button", name="Mix the kept seeds").click()
    page.get_by_role("img", name="Mixtures of the kept seeds").wait_for()
    wait(page, "document.querySelector('figure img[alt^=Mixtures]').naturalWidth > 64")
    Image.new("L", (40, 32), 90).save(tmp_path / "mine.png")
    page.get_by_label("Find an image of yours").set_input_files(tmp_path / "mine.png")
    page.get_by_role("img", name="Your image, and the nearest").wait_for()
    wait(page, "document.querySelector('figure img[alt^=Your]').naturalWidth > 32")


@pytest.mark.parametrize("width", [1440, 390])
def test_enhance_upscales_compares_and_downloads(opened, address, tmp_path, width):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no image")
    page = opened("enhance", width)
    page.locator("#pictures").set_input_files([tmp_path / "photo.png", tmp_path / "text.png"])
    page.get_by_role("button", name="Start").click()
    broken = page.locator(".results article", has_text="text.png")
    broken.locator(".problem").wait_for()
    link = page.get_by_role("link", name="Download photo")
    link.wait_for()
    with page.expect_download() as saved:
        link.click()
    data = saved.value.path().read_bytes()
    body = page.request.get(address.rstrip("/") + link.get_attribute("href")).body()
    assert hashlib.sha256(data).digest() == hashlib.sha256(body).digest()
    with Image.open(saved.value.path()) as image:
        assert image.size == (128, 128)
    share = "getComputedStyle(document.querySelector('.seam')).left"
    middle = page.evaluate(share)
    page.locator(".divider").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(share) != middle
    page.locator(".compare").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    images = page.locator(".compare img")
    assert images.first.evaluate("(i) => i.style.transform") == images.last.evaluate("(i) => i.style.transform")
    assert "scale(1.5)" in images.first.evaluate("(i) => i.style.transform")


def test_enhance_paints_a_mask(opened, tmp_path):
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "photo.png")
    page = opened("enhance")
    page.locator("#pictures").set_input_files([tmp_path / "photo.png"])
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("button", name="Paint a mask").click()
    mask = page.locator("canvas.mask")
    mask.wait_for()

    def white():
        data = mask.evaluate("(c) => c.toDataURL()").partition(",")[2]
        return int((np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 0] > 100).sum())

    assert white() == 0
    page.get_by_role("button", name="Fill the middle").click()
    assert white() == 256
    page.get_by_role("button", name="Clear").click()
    assert white() == 0
    mask.focus()
    for key in ("ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    assert white() > 100  # a round dot, and the cross
    page.get_by_role("button", name="Eraser").click()
    mask.press("Enter")
    assert 0 < white() < 50  # the cross alone


def test_enhance_removes_and_puts_colours_into_a_region(opened, tmp_path):
    """A painted square goes, by `inpaint`; then the brush's colour, and last a reference comes into that square."""
    photo = np.full((64, 64, 3), (40, 60, 120), np.uint8)
    photo[26:38, 26:38] = 255
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.new("RGB", (9, 9), "yellow").save(tmp_path / "ground.png")
    page = opened("enhance", 390)
    page.locator("#pictures").set_input_files([tmp_path / "photo.png"])
    page.get_by_role("button", name="Remove an object").click()
    page.get_by_role("button", name="Paint a mask").click()
    page.locator("canvas.mask").wait_for()
    colour = page.get_by_label("Colour of the brush")
    assert colour.is_hidden()

    def result():
        page.get_by_role("button", name="Start").click()
        page.locator(".compare").wait_for()
        address = page.get_by_role("link", name="Download photo.png").get_attribute("href")
        body = page.request.get(f"{page.url.partition('/enhance')[0]}{address}").body()
        return np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)

    page.get_by_role("button", name="Fill the middle").click()
    after = result()
    inside = np.zeros((64, 64), bool)
    inside[24:40, 24:40] = True
    assert np.array_equal(after[~inside], photo[~inside])
    assert np.abs(after - (40, 60, 120)).max() < 24
    page.get_by_role("button", name="Edit a region").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    colour.fill("#20a040")
    page.get_by_role("button", name="Fill the middle").click()
    painted = result()
    assert (painted[inside] == (0x20, 0xA0, 0x40)).all()
    assert np.array_equal(painted[~inside], photo[~inside])
    page.get_by_label("Reference image").set_input_files([tmp_path / "ground.png"])
    assert np.abs(result() - (40, 60, 120)).max() <= 1  # a flat reference, blended, is its surroundings


@pytest.mark.parametrize("width", [pytest.param(1440, marks=pytest.mark.slow), 390])
def test_judge_gives_a_number_with_its_protocol(opened, width):
    page = opened("judge", width)
    page.get_by_label("Metric").select_option("diversity")
    page.get_by_label("Side B").select_option("runs/b")
    page.get_by_label("samples", exact=True).fill("128")
    page.get_by_role("button", name="Measure").click()
    page.locator(".headline").wait_for()
    assert page.locator(".headline").inner_text().startswith("diversity = ")
    assert page.locator("caption").inner_text() == "Protocol"
    page.get_by_role("button", name="Show nearest images").click()
    images = page.locator(".pairs img")
    images.nth(31).wait_for()
    wait(page, "[...document.querySelectorAll('.pairs img')].every((image) => image.naturalWidth === 68)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_models_have_their_tables(opened):
    page = opened("models")
    starts = [re.split("[:,]", text)[0] for text in page.locator("caption").all_inner_texts()]
    assert starts == ["In the package", "Public weights of metrics and style", "Yours"]
    assert page.get_by_role("link", name="runs/a").get_attribute("href") == "/explore/runs/a"
    assert "x4" in page.locator("table").first.inner_text()
