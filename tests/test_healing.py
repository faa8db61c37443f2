"""Healing: a run with trouble goes back, goes on with smaller steps, says so in its log, and gives up in time."""

from __future__ import annotations

import json

import pytest

import ganvas
from ganvas import doctor
from ganvas.cli import app
from ganvas.doctor import diagnose
from ganvas.doctor.rules import Rule
from ganvas.run import weights_hash
from ganvas.training.players import Diverged
from ganvas.training.recorder import Logged, Notice

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


def ill_from(images, ease, severity="trouble"):
    """A rule that finds trouble from so many images on."""

    def sign(chart):
        return f"it is {chart.images} [images] old" if chart.images >= images else ""

    return Rule("old age", severity, sign, lambda setup: "be younger", ease)


def train(place, *rules, monkeypatch, images=160, **options):
    monkeypatch.setattr(doctor, "RULES", list(rules))
    heard = []
    run = ganvas.train(
        "dcgan_small", outdir=place, images=images, snapshot_images=32, on_event=heard.append, **TINY, **options
    )
    return run, heard


def test_back_and_on_with_smaller_steps(tmp_path, monkeypatch):
    run, heard = train(tmp_path / "run", ill_from(104, {"g": 0.5}), monkeypatch=monkeypatch, heal=True)
    told = [event.sentence for event in heard if isinstance(event, Notice)]
    assert told[0] == (
        "Healing old age: back to the state at 64 images, with g_optimizer.lr x 0.5 (cure 1 of 3)."
    )  # states at 64 and 96 were kept: the older one
    assert len(told) == 4
    assert told[2].endswith("g_optimizer.lr x 0.125 (cure 3 of 3).")
    assert told[3] == "Old age again after 3 cures; training goes on as it is."
    state = run.load_state()
    assert state["heals"] == 3
    assert state["trainer"]["ease"] == {"g": 0.125, "d": 1.0}
    assert state["trainer"]["images"] == 160
    rate = 2e-3 * 0.125
    assert state["trainer"]["g"]["param_groups"][0]["lr"] < rate  # its schedule falls, too
    assert state["trainer"]["d"]["param_groups"][0]["lr"] == pytest.approx(
        8 * state["trainer"]["g"]["param_groups"][0]["lr"]
    )


def test_the_log_says_what_was_done(tmp_path, monkeypatch):
    run, _ = train(tmp_path / "run", ill_from(104, {"g": 0.5}), monkeypatch=monkeypatch, heal=True)
    healed = [line["heal"] for line in run.log() if "heal" in line]
    assert [(said["trouble"], said["images"]) for said in healed] == [("old age", 104)] * 3
    assert healed[-1]["action"] == "back to the state at 64 images, with g_optimizer.lr x 0.125"
    images = [line["images"] for line in run.log()]
    assert images == sorted(images)
    assert images.count(104) == 1  # what was taken back is not told twice
    notes = [finding for finding in diagnose(run) if finding.severity == "note"]
    assert len(notes) == 3
    assert "104 [images] old (healed: back to the state at 64 images" in notes[0].evidence


def test_killed_right_after_it_goes_on_from_there(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "RULES", [ill_from(104, {"g": 0.5})])
    states, place = [], tmp_path / "run"

    def hear(event):
        if isinstance(event, Notice):
            states.append([int(file.stem) for file in ganvas.Run(place).states()])

    options = {"outdir": place, "images": 128, "snapshot_images": 32, "on_event": hear, "heal": True}
    ganvas.train("dcgan_small", **options, **TINY)
    assert states[0] == [64]  # and not the later one, which has the trouble in it


@pytest.mark.parametrize(
    ("rule", "heal"),
    [
        (ill_from(104, {"g": 0.5}), False),
        (ill_from(104, {}), True),
        (ill_from(104, {"g": 0.5}, "warning"), True),
    ],
)
def test_nothing_is_done_unasked(tmp_path, monkeypatch, rule, heal):
    run, heard = train(tmp_path / "run", rule, monkeypatch=monkeypatch, heal=heal)
    found = [finding for event in heard if isinstance(event, Logged) for finding in event.findings]
    assert [(finding.trouble, finding.images) for finding in found] == [("old age", 104)]
    assert [line["findings"][0]["trouble"] for line in run.log() if "findings" in line] == ["old age"]
    assert run.load_state()["trainer"]["ease"] == {"g": 1.0, "d": 1.0}
    plain, _ = train(tmp_path / "plain", monkeypatch=monkeypatch)
    assert weights_hash(plain) == weights_hash(run) or heal  # hashes hold no tally of findings


def test_a_healed_run_resumes_healed(tmp_path, monkeypatch):
    rule = ill_from(104, {"d": 0.5})
    whole, _ = train(tmp_path / "whole", rule, monkeypatch=monkeypatch, heal=True)
    run, _ = train(tmp_path / "run", rule, monkeypatch=monkeypatch, heal=True, images=128)
    assert run.load_state()["heals"] == 3
    resumed = ganvas.train(outdir=run.path, resume=True, images=160, heal=True)
    assert resumed.load_state()["trainer"]["ease"] == {"g": 1.0, "d": 0.125}
    assert whole.load_state()["heals"] == resumed.load_state()["heals"]


def test_a_divergence_also_halves_the_rates(tmp_path, monkeypatch):
    from ganvas.training.trainer import Trainer

    advance, count = Trainer.advance, [0]

    def diverging(self):
        count[0] += 1
        if count[0] in (6, 9):
            raise Diverged
        return advance(self)

    monkeypatch.setattr(Trainer, "advance", diverging)
    run, heard = train(tmp_path / "run", monkeypatch=monkeypatch, heal=True)
    told = [event.sentence for event in heard if isinstance(event, Notice)]
    assert "with other noise and learning rates halved (try 1 of 3)" in told[0]
    assert run.load_state()["trainer"]["ease"] == {"g": 0.25, "d": 0.25}
    count[0] = 0
    run, heard = train(tmp_path / "unhealed", monkeypatch=monkeypatch)
    assert run.load_state()["trainer"]["ease"] == {"g": 1.0, "d": 1.0}


def test_the_command(tmp_path, monkeypatch, capsys):
    from typer.testing import CliRunner

    run, _ = train(tmp_path / "run", ill_from(104, {"g": 0.5}), monkeypatch=monkeypatch)
    said = CliRunner().invoke(app, ["doctor", str(run.path), "--json"])
    answer = json.loads(said.stdout)
    assert answer["images"] == 160
    assert answer["findings"] == [
        {
            "trouble": "old age",
            "evidence": "it is 104 [images] old",
            "remedy": "be younger",
            "severity": "trouble",
            "images": 104,
        }
    ]
    shown = CliRunner().invoke(app, ["doctor", str(run.path)])
    assert shown.exit_code == 0
    assert "Old age at 104 images: it is 104 [images] old. To change: be younger." in shown.stderr
    monkeypatch.setattr(doctor, "RULES", [])
    assert "No problems found" in CliRunner().invoke(app, ["doctor", str(run.path)]).stderr


def test_no_run_no_diagnosis(tmp_path):
    with pytest.raises(ganvas.UserError, match="is not a run of ganvas"):
        diagnose(tmp_path)
