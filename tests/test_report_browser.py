"""The report in a browser: nothing is fetched, nothing complains, the slider works, and it fits a telephone."""

from __future__ import annotations

from datetime import datetime

import pytest

from ganvas.reporting import report
from reports import log, measured, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (the dev extra)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    rows = log(120)
    for row in rows[60:]:
        row["d/gradient_norm"] = 1e5
    long = ["a class whose name is " + "very" * 40, "<b>bold</b>", "x" * 200]
    one = write_run(folder / "one", lines=rows, evaluations=measured(), class_names=long)
    two = write_run(folder / ("two" * 30), evaluations=measured(), snapshots=3, changes={"g_optimizer.lr": "0.1"})
    empty = write_run(folder / "empty", snapshots=0, lines=[])
    return {
        "one": report(one, neighbours=False).path,
        "both": report(one, two, output=folder / "both.html", neighbours=False).path,
        "empty": report(empty, neighbours=False).path,
    }


@pytest.fixture
def opened(browser, pages):
    """Open a page: (page, what it complained of, what it asked the network for)."""
    contexts = []

    def open_page(name, width=1400, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page, complaints, asked = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        return page, complaints, asked

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "both", "empty"])
def test_it_is_quiet_and_fits(name, scheme, width, opened):
    page, complaints, asked = opened(name, width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.wait_for_timeout(50)
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert [url for url in asked if url.startswith("file:")] == [page.url]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bright = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (bright > 128) == (scheme == "light")


def grey(page, place=0):
    """The grey of the snapshot that is seen, as the test's files have it: 40 a snapshot."""
    return page.evaluate(
        """(place) => {
          const seen = [...document.querySelectorAll('.shots figure')][place].querySelectorAll('.shot:not([hidden])');
          if (seen.length !== 1) throw new Error(`${seen.length} images are seen`);
          const canvas = document.createElement('canvas');
          canvas.getContext('2d').drawImage(seen[0], 0, 0);
          return canvas.getContext('2d').getImageData(5, 5, 1, 1).data[0];
        }""",
        place,
    )


def test_the_slider_changes_the_image(opened):
    page, complaints, _ = opened("one")
    slider = page.locator("#snapshot")
    assert grey(page) == 160
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert grey(page) == 120
    assert slider.get_attribute("aria-valuetext") == "12,000 images"
    assert page.locator("#position").inner_text() == "12,000 images"
    page.keyboard.press("Home")
    assert grey(page) == 0
    assert page.locator(".after").inner_text() == "after 0 images"
    slider.fill("2")
    assert grey(page) == 80
    assert complaints == []


def test_one_slider_moves_all_runs(opened):
    page, _, _ = opened("both")
    assert [grey(page, 0), grey(page, 1)] == [160, 80]
    page.locator("#snapshot").focus()
    page.keyboard.press("ArrowLeft")
    assert [grey(page, 0), grey(page, 1)] == [120, 80]  # the second has no later one
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert [grey(page, 0), grey(page, 1)] == [40, 40]


def test_it_plays_to_the_end(opened):
    page, _, _ = opened("one")
    page.clock.install(time=datetime(2030, 1, 1))
    page.clock.pause_at(datetime(2030, 1, 1, 1))  # time goes on when this test says so
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Pause"
    assert grey(page) == 0
    page.clock.run_for(800)
    assert grey(page) == 80
    page.clock.run_for(5000)
    assert page.locator("#play").inner_text() == "Play"
    assert grey(page) == 160


def test_the_pointer_reads_values(opened):
    page, complaints, _ = opened("one")
    figure = page.locator(".chart", has=page.locator(".name", has_text="gradient norm")).first
    svg = figure.locator("svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] / 2)
    assert figure.locator(".legend b").first.inner_text() == "100k"
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    assert float(figure.locator(".legend b").first.inner_text()) == pytest.approx(3, abs=1.1)
    assert " at " in figure.locator(".name").inner_text()
    assert complaints == []


def test_without_javascript_the_last_snapshot_is_there(opened):
    page, _, _ = opened("one", java_script_enabled=False)
    assert page.locator(".shot:not([hidden])").count() == 1
    assert not page.locator("#slider").is_visible()
    assert "needs JavaScript" in page.locator("noscript").inner_text()


def test_meanings_are_in_sight_on_a_telephone(opened):
    page = opened("one", width=400)[0]
    page.locator("#recipe summary").click()
    place = page.locator("#recipe details td.text").first.bounding_box()
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 400
