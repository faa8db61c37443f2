"""The Play screen in a browser, as a person plays: nothing complains, no other host is asked, everything works."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from studio_pages import PATIENCE, pages, serve

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (the dev extra)")
pytest.importorskip("uvicorn", reason="the studio needs the extra studio")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    with serve(folder, folder, 7890) as address:
        yield address


@pytest.fixture
def opened(browser, address):
    """Open the screen: a `Screen`."""
    with pages(browser, address) as open_page:
        yield lambda width=1440, at="play", **options: Screen(open_page(at, width, **options))


class Screen:
    """The Play screen as a person sees it."""

    def __init__(self, page):
        self.page = page
        page.locator(".plane").first.wait_for()

    @property
    def step(self):
        return int(self.page.locator(".counter").inner_text().replace(",", ""))

    def until(self, condition):
        end = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < end, f"not in time; step {self.step}"
            self.page.wait_for_timeout(50)

    def press(self, name, exact=True):
        self.page.get_by_role("button", name=name, exact=exact).first.click()

    def pause(self):
        self.press("Pause")
        self.page.get_by_role("button", name="Play", exact=True).first.wait_for()
        self.page.wait_for_timeout(400)  # the picture on its way

    def pixels(self):
        return self.page.evaluate("document.querySelector('.plane').toDataURL()")

    def wide(self):
        return self.page.evaluate("document.documentElement.scrollWidth")


def test_it_plays_and_every_control_acts(opened, tmp_path):
    screen = opened()
    page = screen.page
    screen.until(lambda: screen.step > 3)  # it starts by itself
    screen.pause()
    before = screen.step
    for name in ("Both", "D", "G"):
        screen.press(name)
        screen.until(lambda: screen.step == before + 1)  # noqa: B023
        before += 1
    assert page.locator(".figures td").first.inner_text().endswith("of 3")
    screen.until(lambda: f"Step {before}:" in page.locator(".plane").get_attribute("aria-label"))

    for layer in ("reals", "fakes", "map", "grid", "arrows"):  # in two places
        word, box = page.locator(f".legend [data-layer={layer}]"), page.locator(f".graph [data-layer={layer}]")
        shown, picture = box.is_checked(), screen.pixels()
        assert word.get_attribute("aria-pressed") == str(shown).lower()
        word.click()
        screen.until(lambda box=box, shown=shown: box.is_checked() != shown)
        screen.until(lambda picture=picture: screen.pixels() != picture)
        box.click()
        assert word.get_attribute("aria-pressed") == str(shown).lower()

    page.locator("select[name=loss]").select_option("hinge")  # at once
    page.locator("select[name=penalty]").select_option("")
    page.locator("input[name=weight]").wait_for(state="detached")
    page.locator("select[name=penalty]").select_option("r1")
    page.locator("input[name=weight]").fill("0.5")
    page.locator("input[name=weight]").press("Enter")
    screen.press("Both")
    screen.until(lambda: screen.step == before + 1)
    page.locator("input[name='generator.width']").fill("0")  # GAN Lab's bug: not here
    page.locator("input[name='generator.width']").press("Enter")
    assert page.locator("input[name='generator.width']").get_attribute("aria-invalid") == "true"
    assert screen.step == before + 1

    page.locator("summary", has_text="Save and share").click()
    with page.expect_download() as download:
        screen.press("PNG")
    assert download.value.path().read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as download:
        screen.press("Recipe")
    recipe = json.loads(download.value.path().read_text())["recipe"]
    assert recipe["task"]["loss"]["()"] == "hinge"
    assert "ganvas train play.json --data gaussians --seed 0" in page.locator(".recipe code").inner_text()
    with page.expect_download() as download:
        screen.press("Points")
    assert np.load(download.value.path(), allow_pickle=False).shape == (50_000, 2)
    with page.expect_download() as download:
        screen.press("GIF")
    assert download.value.path().read_bytes()[:4] == b"GIF8"
    screen.press("Copy link")
    screen.until(lambda: "#s=" in page.url)
    again = opened(at=page.url)  # the same film: the changes come at their steps
    linked = again.page
    again.until(lambda: linked.locator("input[name=weight]").input_value() == "0.5")
    assert linked.locator("select[name=loss]").input_value() == "hinge"
    again.until(lambda: linked.locator(".timeline p").inner_text() == page.locator(".timeline p").inner_text())
    linked.locator("input[name=seed]").fill("7")  # a new film
    linked.locator("input[name=seed]").press("Enter")
    linked.get_by_role("link", name="Ganvas").click()
    linked.go_back()
    linked.locator(".plane").wait_for()


def test_slow_motion_timeline_comparison_and_lessons(opened):
    screen = opened()
    page = screen.page
    screen.until(lambda: screen.step > 1)
    screen.pause()
    before = screen.step
    screen.press("Slow motion")
    assert page.locator(".beat").inner_text().startswith("1 of 10")
    screen.press("Pause")  # in the midst of a step
    beat = page.locator(".beat").inner_text()
    page.wait_for_timeout(1400)
    assert page.locator(".beat").inner_text() == beat
    for number in range(int(beat.split()[0]) + 1, 11):
        screen.press("Next beat")
        assert page.locator(".beat").inner_text().startswith(f"{number} of 10")
        assert page.locator(".node.lit").count() < 9
        page.wait_for_timeout(100)
    screen.press("Slow motion")
    screen.until(lambda: screen.step == before + 1)

    screen.press("+100")
    screen.until(lambda: screen.step == before + 101)
    slider = page.locator(".timeline input")
    slider.focus()
    page.keyboard.press("Home")
    screen.until(lambda: screen.step == 0)
    page.keyboard.press("ArrowRight")
    screen.until(lambda: screen.step == 20)
    assert slider.get_attribute("aria-valuetext") == "step 20"
    screen.press("Back to now")
    screen.until(lambda: screen.step == before + 101)
    slider.focus()
    page.keyboard.press("Home")
    screen.press("Go on from step 0")
    screen.until(lambda: 0 < screen.step < before + 101)

    screen.press("Compare A | B")
    screen.until(lambda: page.locator(".plane").count() == 2 and screen.step > 0)
    page.locator("select[name=penalty]").select_option("")
    screen.press("Film A")
    assert page.locator("select[name=penalty]").input_value() == "r1"
    assert page.locator(".figures thead th").all_inner_texts() == ["Figure", "A", "B"]
    screen.press("Compare A | B")
    screen.until(lambda: page.locator(".plane").count() == 1)

    lesson = page.locator(".lesson", has_text="Oscillation")
    lesson.get_by_role("button").click()
    assert page.locator("select[name=loss]").input_value() == "wasserstein"
    screen.until(lambda: screen.step > 1)
    page.locator("select[name=g_steps]").select_option("0")
    page.locator("select[name=d_steps]").select_option("0")
    page.locator(".problem", has_text="Both players have 0 steps").wait_for()


def test_drawing_and_dots_and_the_bent_grid(opened):
    screen = opened(reduced_motion="reduce")
    page = screen.page
    screen.until(lambda: page.locator(".figures td").first.inner_text() != "–")
    page.wait_for_timeout(300)
    assert screen.step == 0  # nothing moves by itself
    box = page.locator(".plane").bounding_box()
    side = box["width"]
    page.locator(".legend [data-layer=fakes]").click()
    page.mouse.move(box["x"] + side / 2, box["y"] + (1 - 0.5 / 1.08) * side / 2)  # the group at (0, 0.5)
    page.locator(".tip", has_text="real ").wait_for()
    page.locator(".graph button").hover()

    screen.press("Draw your own data …")
    drawing = page.locator(".drawing")
    assert page.get_by_role("button", name="Apply").is_disabled()
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert page.locator("dialog [role=status]").inner_text() == "2 points"
    box = drawing.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 250, steps=8)
    page.mouse.up()
    assert int(page.locator("dialog [role=status]").inner_text().split()[0]) > 5
    screen.press("Clear")
    assert page.locator("dialog [role=status]").inner_text() == "0 points"
    for key in ("Space", "ArrowLeft", "Space"):
        drawing.press(key)
    screen.press("Apply")
    screen.until(lambda: page.locator("select[name=data]").input_value() == "drawn")
    screen.until(lambda: page.locator(".figures td").first.inner_text() == "–")
    screen.press("Both")
    screen.until(lambda: screen.step == 1)
    page.keyboard.press("s")
    screen.until(lambda: screen.step == 2)


def test_a_finger_draws(opened):
    screen = opened(390, has_touch=True, reduced_motion="reduce")
    page = screen.page
    button = page.get_by_role("button", name="Draw your own data …")
    if not button.is_visible():
        page.get_by_text("Settings", exact=True).click()
    button.tap()
    drawing = page.locator(".drawing")
    assert drawing.evaluate("(e) => getComputedStyle(e).touchAction") == "none"  # a finger draws, it does not scroll
    box = drawing.bounding_box()
    for share in (0.3, 0.6):
        page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + share * box["height"])
    assert int(page.locator("dialog [role=status]").inner_text().split()[0]) >= 2
    page.get_by_role("button", name="Apply").tap()
    screen.until(lambda: page.locator("select[name=data]").input_value() == "drawn")


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_it_fits_a_telephone(opened, scheme):
    screen = opened(390, color_scheme=scheme, has_touch=True, is_mobile=True)
    page = screen.page
    screen.until(lambda: screen.step > 1)
    page.locator(".pane-settings summary").tap()
    page.locator("select[name=loss]").wait_for()
    for width in (390, 360, 768):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(100)
        assert screen.wide() <= width
    bright = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (bright > 128) == (scheme == "light")
    page.get_by_role("button", name="Draw your own data …").tap()
    box = page.locator(".drawing").bounding_box()
    for x, y in ((60, 60), (120, 160)):
        page.touchscreen.tap(box["x"] + x, box["y"] + y)
    assert page.locator("dialog [role=status]").inner_text() == "2 points"
    page.get_by_role("button", name="Apply").tap()
    screen.until(lambda: page.locator("select[name=data]").input_value() == "drawn")
