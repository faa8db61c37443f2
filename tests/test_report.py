"""The report: what the files of a run say is on the page, unchanged, harmless, and inside its budget."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data.batches import split_held_out
from ganvas.data.sources import open_source
from ganvas.doctor import diagnose
from ganvas.errors import UsageError, UserError
from ganvas.imaging.decode import to_uint8
from ganvas.reporting import neighbours, report
from ganvas.reporting import samples as timeline
from ganvas.reporting import tables as facts
from ganvas.reporting.metrics import measures
from ganvas.reporting.plot import Series, brief, chart, thin_out
from ganvas.reporting.read import read_records, short_names
from ganvas.run import Run, weights_hash
from reports import Page, config, log, measured, noisy, write_run

HOSTILE = "\"><script>alert(1)</script><img src=http://a.b/c onerror='x()'>&amp;\u202e\ud800"


def read(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


# --- what it shows ---------------------------------------------------------------------------------------


def test_everything_is_on_the_page(tmp_path):
    run = write_run(tmp_path / "run", evaluations=measured(), changes={"batch": "16"}, images=20_000)
    written = report(run, neighbours=False)
    assert written.path == run / "report.html"
    assert written.size == written.path.stat().st_size
    page = read(written.path)
    for text in (
        "dcgan_small on digits",
        "FD(pocket) 1 at 20,000",
        "features: pocket; resizer: antialiased bicubic to 32x32",
        "No problems found in the log up to 20,000 images",
        "A processor",
        "403 images/s (median of 50 log lines)",
        "75 s",
        "ab" * 16,
        f"ganvas train {run}/config.json --data digits --seed 3 --precision fp32 --outdir NEW",
    ):
        assert text in page.words, text
    assert re.search(r"\b2 of \d+ options differ from the recipe dcgan_small", page.words)  # batch, and images
    shots = page.all("img", "shot")
    assert [int(a["data-images"]) for a in shots] == [0, 4000, 8000, 12000, 16000]
    assert [("hidden" in a) for a in shots] == [True] * 4 + [False]


def test_the_page_fetches_nothing_and_runs_nothing_but_its_own_script(tmp_path):
    text = report(write_run(tmp_path / "run"), neighbours=False).path.read_text()
    page = Page(text)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("style", "script"):
        (content,) = page.inside[name]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|eval\(|innerHTML", content)
    assert harmless(page)


def harmless(page: Page) -> bool:
    """One script, images from the page itself, links inside it, no handlers and no styles in attributes."""
    for name, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            assert key != "style"
            assert key != "src" or value.startswith(("data:image/png;base64,", "data:image/webp;base64,"))
            assert key != "href" or value.startswith("#")
        assert name not in ("iframe", "object", "embed", "link", "base", "form")
    return len(page.all("script")) == 1


def test_what_comes_from_files_is_text(tmp_path):
    hostile = config(class_names=[HOSTILE], source=HOSTILE, path=HOSTILE, fingerprint=HOSTILE)
    hostile |= {"recipe_name": HOSTILE, "hardware": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}}
    hostile["precision"] = hostile["init_from"] = HOSTILE
    hostile["evaluation"] = {HOSTILE: HOSTILE}
    rows = [row | {f"d/{HOSTILE}": 1.0} for row in log()]
    healed = {"trouble": HOSTILE, "evidence": HOSTILE, "remedy": HOSTILE, "images": 10, "action": HOSTILE}
    rows[3]["heal"] = healed
    run = write_run(
        tmp_path / "<b>run", lines=rows, evaluations=measured(**{HOSTILE: HOSTILE, "other": {HOSTILE: HOSTILE}})
    )
    (run / "config.json").write_text(json.dumps(hostile))
    other = write_run(tmp_path / "other", recipe="lsgan")
    for written in (report(run, neighbours=False), report(run, other, output=tmp_path / "two.html", neighbours=False)):
        page = read(written.path)
        assert harmless(page)
        assert "<script>alert(1)</script>" in page.words
        assert "\u202e" not in page.words
        assert not page.all("b", "run")


def test_curves_can_be_read_back():
    rng = np.random.default_rng(0)
    for spread, log_axis in ((0.1, False), (3.0, True)):
        x = np.cumsum(rng.integers(1, 900, 150)).astype(float)
        y = 10.0 ** (spread * rng.normal(size=150))
        figure = Page(chart("loss", [Series("d", list(zip(x, y)))]))
        (svg,) = [a for n, a in figure.elements if n == "svg"]
        left, right, first, last, bottom, top, low, high = map(float, svg["data-view"].split())
        assert ("data-log" in svg) == log_axis
        (line,) = figure.all("path", "line")
        points = np.array([[float(v) for v in p.split(",")] for p in line["d"][1:].split("L")])
        share = (points[:, 1] - bottom) / (top - bottom)
        back = low * (high / low) ** share if log_axis else low + share * (high - low)
        np.testing.assert_allclose(first + (points[:, 0] - left) / (right - left) * (last - first), x, atol=last / 5e4)
        np.testing.assert_allclose(back, y, rtol=2e-3 if log_axis else 0, atol=0 if log_axis else (high - low) / 1e4)


def test_many_values_are_drawn_as_means_and_bands():
    rng = np.random.default_rng(0)
    x, y = np.arange(5000.0), rng.normal(size=5000)
    drawn = thin_out(list(zip(x, y)), 100)
    assert len(drawn.line) == len(drawn.band) == 100
    bins = np.clip((x / 4999 * 100).astype(int), 0, 99)
    for k in (0, 37, 99):
        mine = y[bins == k]
        assert drawn.line[k] == pytest.approx((x[bins == k].mean(), mine.mean()))
        assert drawn.band[k][1:] == (mine.min(), mine.max())
    assert thin_out(list(zip(x[:90], y[:90])), 100).band == []
    assert len(thin_out([(1.0, 2.0)] * 500, 100).line) == 1


@pytest.mark.parametrize("values", [[0.0], [1e300, -1e300], [5.0] * 9, [1e-300, 1.0], [-1e-12, 1e-12], [0, 1e6]])
def test_any_finite_values_can_be_drawn(values):
    figure = chart("x", [Series("x", [(float(k), float(v)) for k, v in enumerate(values)])])
    assert figure is not None
    numbers = re.findall(r'(?:d|cx|cy|x1|x|y)="M?([^"]*)"', figure)
    assert numbers
    assert not re.search("nan|inf", " ".join(numbers))


def test_numbers_are_said_briefly():
    said = [brief(v) for v in (0.0, 1, 0.25, 1234, 20_000, 1_500_000, 3e-05, -40_000)]
    assert said == ["0", "1", "0.25", "1234", "20k", "1.5M", "3e-05", "-40k"]


def test_measures_of_one_protocol_belong_together(tmp_path):
    other = measured(1, every=20_000, resizer="bilinear to 299x299")
    line = {"metric": "prdc", "trained_images": 30_000, "precision": 0.5, "recall": 0.75, "k": 5, "nearest": [1]}
    run = write_run(tmp_path / "run", evaluations=[*measured(), *other, line, {"trained_images": 3, "metric": None}])
    found = measures(read_records([run]))
    assert [(m.name, len(m.points)) for m in found] == [
        ("FD(pocket)", 4),
        ("FD(pocket)", 1),
        ("precision", 1),
        ("recall", 1),
    ]
    assert found[0].best == (20_000, 1.0)
    assert found[0].protocol != found[1].protocol
    assert found[2].protocol == "k: 5"


def test_findings_are_the_doctors(tmp_path):
    rows = log()
    for row in rows[20:]:
        row["d/gradient_norm"] = 1e5
    run = write_run(tmp_path / "run", lines=rows)
    (found,) = diagnose(run)
    page = read(report(run, neighbours=False).path)
    assert "Samples are checked" not in page.words
    for text in (found.trouble, found.evidence, found.remedy, f"at {found.images:,} images"):
        assert text in page.words
    assert [a["class"] for a in page.all("article")] == ["finding trouble"]


# --- several runs ----------------------------------------------------------------------------------------


def test_runs_are_compared_side_by_side(tmp_path):
    one = write_run(tmp_path / "one", evaluations=measured())
    two = write_run(tmp_path / "two", evaluations=measured(), changes={"g_optimizer.lr": "0.01"}, snapshots=3)
    page = read(report(one, two, output=tmp_path / "out" / "both.html", neighbours=False).path)
    assert "2 runs compared" in page.words
    assert "g_optimizer.lr 0.002 0.01" in page.words
    (slider,) = page.all("input")
    assert slider["data-positions"] == "0 4000 8000 12000 16000"
    assert len(page.all("path", "c1")) > 3
    assert "different" not in page.words


def test_strangers_are_called_so(tmp_path):
    one, two = write_run(tmp_path / "a"), write_run(tmp_path / "b", recipe="classifier", snapshots=0, source="photos")
    written = report(one, two, output=tmp_path / "x.html", neighbours=False)
    assert len([note for note in written.notes if "different tasks" in note]) == 1
    assert "a trains generation, b trains classification" in read(written.path).words


def test_names_tell_runs_apart(tmp_path):
    assert short_names([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    assert short_names([tmp_path / "x"]) == ["x"]


# --- what does not fit, and what is damaged --------------------------------------------------------------


def test_an_image_every_snapshot_fits(tmp_path):
    run = write_run(tmp_path / "run", snapshots=0)
    noisy(run, 150, 96)  # 28 kB each
    (record,) = read_records([run])
    kept, notes = timeline.shots(record, 300_000)
    assert sum(len(shot.content) for shot in kept) <= 300_000
    assert (kept[0].images, kept[-1].images) == (0, 14_900)
    assert len(kept) >= 20
    assert f"The page shows {len(kept)} of 150 snapshots, evenly spread, compressed again (WebP" in notes[0]
    with Image.open(io.BytesIO(kept[5].content)) as shown:
        assert shown.size == (96, 96)
    kept, notes = timeline.shots(record, 1 << 30)
    assert [len(kept), notes] == [
        60,
        ["The page shows 60 of 150 snapshots, evenly spread; the files in samples/ are unchanged."],
    ]
    assert kept[-1].content == record.snapshots[-1][1].read_bytes()


def test_large_grids_are_made_smaller(tmp_path):
    run = write_run(tmp_path / "run", snapshots=2, size=1500)
    kept, _ = timeline.shots(read_records([run])[0])
    for shot in kept:
        with Image.open(io.BytesIO(shot.content)) as shown:
            assert max(shown.size) == 1024


def test_damaged_files_are_left_out_and_said(tmp_path):
    run = write_run(tmp_path / "run", evaluations=measured())
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    (run / "samples" / "000000000001.png").write_bytes(b"no image")
    (run / "samples" / "000000004000.png").write_bytes((run / "samples" / "000000004000.png").read_bytes()[:60])
    os.symlink(secret, run / "samples" / "000000000002.png")
    damage = ["{half", "3", "[" * 100_000, '{"images": "many"}', '{"images": -1}', '{"images": NaN}', '{"d/real": 1}']
    with (run / "log.jsonl").open("ab") as file:
        file.write("\n".join(damage).encode() + b'\n\xff\xfe\n{"images": 9, "sec')
    with (run / "evaluation.jsonl").open("a") as file:
        file.write("null\n")
    written = report(run, neighbours=False)
    assert written.notes == [
        "8 lines of log.jsonl could not be read and are left out.",
        "1 line of evaluation.jsonl could not be read and is left out.",
        "2 snapshots are damaged and left out.",
    ]
    page = read(written.path)
    assert [int(a["data-images"]) for a in page.all("img", "shot")] == [0, 8000, 12000, 16000]
    assert all(note in page.words for note in written.notes)


def test_values_that_ganvas_never_writes(tmp_path):
    rows = log()
    rows[5] |= {"heal": {"trouble": 1, "evidence": 2, "remedy": 3, "images": "x", "action": 4}, "g/x": 10**400}
    rows[6] |= {"findings": 3, "d/real": "big", "d/fake": [1], "seconds": None, "rollbacks": "often"}
    written = report(write_run(tmp_path / "run", lines=rows), neighbours=False)
    assert "The doctor could not read this log: it holds values that ganvas does not write." in written.notes


def test_a_short_run_is_not_called_healthy(tmp_path):
    page = read(report(write_run(tmp_path / "run", lines=log(12), snapshots=2), neighbours=False).path)
    assert "doctor too early to say" in page.words
    assert "checked after 500 steps of the generator; this run has made about 150." in page.words


def test_a_run_that_has_just_begun(tmp_path):
    run = write_run(tmp_path / "run", snapshots=0, lines=[])
    page = read(report(run, neighbours=False).path)
    for text in (
        "no snapshots of samples",
        "The run has no log yet",
        "The log has no losses",
        "No measurements",
    ):
        assert text in page.words


@pytest.mark.parametrize(
    ("content", "code"), [("{", 1), ("[]", 1), ("{}", 1), ('{"recipe": {}, "data": {}}', 1), (None, 2)]
)
def test_what_is_no_run_is_refused(content, code, tmp_path, command):
    folder = tmp_path / "folder"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    good = write_run(tmp_path / "good")
    for arguments in ([folder], [good, folder, "-o", tmp_path / "out.html"]):
        got, out, err = command("report", *arguments)
        assert (got, out, err.count("\n")) == (code, "", 1), err
        assert str(folder) in err
    assert not [f for f in tmp_path.rglob("*") if f.suffix in (".html", ".tmp")]


def test_wrong_usage(tmp_path, command):
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two")
    for arguments, said in (
        ([one, two], "-o OUT.html"),
        ([one, tmp_path / "two" / ".." / "one", "-o", "x.html"], "given twice"),
        ([one, "-o", tmp_path / "x.pdf"], ".html"),
        ([tmp_path / "none"], "does not exist"),
    ):
        code, _, err = command("report", *arguments)
        assert code == 2
        assert said in err
    code, out, _ = command("report", one, two, "-o", tmp_path / "x.html", "--no-neighbours", "--json")
    assert code == 0
    assert json.loads(out)["report"] == str(tmp_path / "x.html")


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    old = report(run, neighbours=False).path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="could not be written"):
        report(run, neighbours=False)
    assert (run / "report.html").read_bytes() == old
    assert not list(run.rglob("*.tmp"))


# --- neighbours, and doing it again ----------------------------------------------------------------------

TINY = {"data": "digits", "resolution": 16, "batch": 8, "device": "cpu", "precision": "fp32"}
TINY |= {"set": {"generator.width": 4, "discriminator.width": 4}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    return ganvas.train("dcgan_small", outdir=folder, images=64, seed=7, hold_out=40, **TINY).path


def test_training_leaves_a_report(trained):
    page = read(trained / "report.html")
    assert "dcgan_small on digits" in page.words
    written = json.loads((trained / "config.json").read_text())["hardware"]
    assert (written["device"], written["threads"]) == ("cpu", torch.get_num_threads())
    assert written["processor"] in page.words


@pytest.fixture
def among_copies(trained, tmp_path):
    """The run as if it had been trained on images of which place 5 + 3 k is its own sample k."""

    def make(hold_out=0):
        run = shutil.copytree(trained, tmp_path / "run")
        model = ganvas.load(
            run, device="cpu", precision="fp32"
        )  # as the report does: bf16 rounds some pixels otherwise
        samples = to_uint8(model.sample(neighbours.SAMPLES, seed=neighbours.FIRST_SEED))
        pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1), np.uint8)
        pixels[5:][::3][: len(samples)] = samples
        np.savez(tmp_path / "data.npz", images=pixels)
        saved = json.loads((run / "config.json").read_text())
        source = str(tmp_path / "data.npz")
        data = open_source(source)
        saved["data"] |= {"path": source, "fingerprint": data.fingerprint, "images": 60, "held_out": hold_out}
        saved["data"]["asked_resolution"] = None
        (run / "config.json").write_text(json.dumps(saved))
        return run

    return make


def test_copies_are_found(among_copies):
    found, _ = neighbours.find_neighbours(read_records([among_copies()])[0], "cpu")
    assert found.near[:, 0].tolist() == [5 + 3 * k for k in range(neighbours.SAMPLES)]
    assert found.distance[:, 0].max() < 1e-3
    assert (found.distance[:, 1:] >= found.distance[:, :-1]).all()
    assert (found.training, found.searched, found.held_out) == (60, 60, False)


def test_held_out_images_are_no_neighbours(among_copies):
    run = among_copies(hold_out=20)
    aside, _ = split_held_out(60, 20, 7)
    found, _ = neighbours.find_neighbours(read_records([run])[0], "cpu")
    assert not {*found.near.flatten().tolist()} & {*aside.tolist()}
    copies = [5 + 3 * k for k in range(neighbours.SAMPLES)]
    assert {*copies} & {*aside.tolist()}  # or this test would say nothing
    assert [n == c for n, c in zip(found.near[:, 0], copies)] == [c not in aside for c in copies]
    assert (found.training, found.held_out) == (40, True)
    page = read(report(run).path)
    assert "among all 40 training images" in page.words
    assert "for a held-out image" in page.words
    assert len(page.all("img")) == 4 * neighbours.SAMPLES + len(page.all("img", "shot"))


def test_neighbours_of_a_part_say_so(among_copies):
    found, _ = neighbours.find_neighbours(read_records([among_copies()])[0], "cpu", searched=30)
    assert (found.searched, found.training) == (30, 60)
    assert "among 30 of the 60 training images" in neighbours._summary(found)


def test_why_there_are_no_neighbours(among_copies, tmp_path):
    run = among_copies()
    before = torch.get_rng_state()
    np.savez(tmp_path / "data.npz", images=np.zeros((60, 16, 16, 1), np.uint8))
    written = report(run)
    assert torch.equal(before, torch.get_rng_state())
    assert "The data have changed" in written.notes[0]
    assert "The data have changed" in read(written.path).words
    (tmp_path / "data.npz").unlink()
    assert "cannot be read again" in report(run).notes[0]
    assert "holds no model yet" in report(write_run(tmp_path / "none")).notes[0]
    points = write_run(tmp_path / "points", recipe="gan_points", resolution=[1, 1], source="ring")
    assert "Points in the plane" in report(points).notes[0]


def test_the_command_does_it_again(trained, tmp_path, command):
    again = facts.command(read_records([trained])[0])
    words = shlex.split(again)
    assert words[:3] == ["ganvas", "train", str(trained / "config.json")]
    assert "--hold-out" in words
    code, _, err = command(*words[1:-1], tmp_path / "again")
    assert code == 0, err
    assert weights_hash(Run(tmp_path / "again")) == weights_hash(Run(trained))


def test_components_of_your_own(tmp_path):
    run = write_run(tmp_path / "run")
    saved = json.loads((run / "config.json").read_text())
    saved["recipe"]["task"]["generator"]["()"] = "mine:Generator"
    (run / "config.json").write_text(json.dumps(saved))
    page = read(report(run, neighbours=False).path)
    assert "no command can repeat this run" in page.words
    assert "mine:Generator" in page.words
    assert "not in the catalogue of ganvas" in page.words


def test_speech_of_time():
    assert [facts.format_duration(s) for s in (46.2, 99.0, 720, 12_000)] == ["46.2 s", "99 s", "12 min", "3 h 20 min"]
    assert math.isclose(float(facts.format_duration(0.5).split()[0]), 0.5)


def test_a_report_is_of_runs():
    with pytest.raises(UsageError, match="1 to 8 runs"):
        report()
