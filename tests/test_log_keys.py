"""Logs of earlier versions: read under the present keys, by the doctor, the report, and a resumed run."""

from __future__ import annotations

import json
import re

import pytest
import torch

from ganvas.doctor import diagnose
from ganvas.legacy import LOG_KEYS, current_log_line
from ganvas.reporting import report
from ganvas.reporting.curves import DIAGNOSTICS, LOSSES, SPEED
from ganvas.run import Run
from ganvas.training.players import Tally
from reports import Page, write_run

# As version 0.1.0 wrote them.
OLD_LINE = """{"images": 41120, "seconds": 118.788, "images_per_second": 791.74, "d/adversarial": 1.181748867034912,
"d/real": 0.3014289379119873, "d/gradient_norm": 2.1833755493164064, "g/gradient_norm": 0.8503877639770507,
"signal/g_update": 0.01537295337766409, "signal/g_dead": 0.0, "signal/d_update": 0.02328248880803585,
"signal/d_dead": 0.0, "signal/g_spectral": 10.812844276428223, "signal/d_spectral": 5.250401496887207,
"signal/ranking": 0.8045654296875, "signal/gap": 1.2256298065185547, "signal/real_sign": 0.71875,
"signal/fake_sign": 0.125, "signal/low": -1.0, "signal/high": 0.984375, "signal/saturated": 0.267608642578125,
"signal/checkerboard": 5.537049946724437e-05, "signal/real_low": -1.0, "signal/real_high": 1.0,
"signal/real_saturated": 0.32470703125, "signal/real_checkerboard": 5.476999649545178e-05,
"signal/wander": 0.0665772408246994, "signal/nonfinite": 0.0, "signal/off_centre": 0.12440939247608185,
"signal/diversity": 0.9798189401626587, "signal/lost": 0.06352940946817398, "signal/told_apart": 0.59375,
"signal/nearness": 1.1526609659194946, "signal/variety": 1.0145233869552612, "signal/data_wait": 0.0074,
"signal/gradient_ratio": 2.567505838872029}"""
OLD_HEAL = """{"images": 32000, "seconds": 90.1, "healed": {"trouble": "mode collapse", "evidence": "two samples are
alike", "remedy": "smooth it", "severity": "trouble", "images": 36000, "done": "back to the state at 32,000 images"}}"""


@pytest.fixture
def old_run(tmp_path):
    rows = [json.loads(OLD_LINE) | {"images": 1000 * k, "signal/told_apart": 1.0} for k in range(1, 41)]
    for row in rows:
        row |= {"signal/ranking": 1.0, "signal/gap": 8.0, "signal/data_wait": 0.6}
    heal = json.loads(OLD_HEAL.replace("\n", " "))
    rows = [*rows[:32], heal, *rows[32:-1], rows[-1] | {"returns": 2}]
    return Run(write_run(tmp_path / "run", lines=rows))


def test_old_lines_have_the_present_keys(old_run):
    lines = old_run.log()
    assert not [key for line in lines for key in line if key.startswith("signal/")]
    old, new = json.loads(OLD_LINE), lines[0]
    assert list(new) == [LOG_KEYS.get(key, key) for key in old]  # in their order
    assert new["diagnostics/nearest_real_ratio"] == old["signal/nearness"]
    assert new["diagnostics/percentile_99"] == old["signal/high"]
    assert new["d/real"] == old["d/real"]
    assert lines[-1]["rollbacks"] == 2
    assert lines[32]["heal"]["action"] == "back to the state at 32,000 images"
    assert current_log_line(new) == new


def test_the_doctor_reads_an_old_log(old_run):
    found = [(finding.trouble, finding.severity) for finding in diagnose(old_run)]
    expected = {("discriminator wins", "trouble"), ("data loader bound", "warning"), ("exploding gradient", "warning")}
    assert {*found} == expected | {("mode collapse", "note")}


def test_the_report_shows_an_old_log_under_the_present_names(old_run):
    page = Page(report(old_run.path, neighbours=False).path.read_text("utf-8"))
    names = {text for text in page.inside["span"] if re.fullmatch(r"[\w ./-]+", text)}
    assert "nearest-neighbour accuracy" in names
    assert not [name for name in names if "signal" in name]
    known = {field for panel in [*LOSSES, *DIAGNOSTICS, *SPEED] for field in panel.fields}
    unchanged = {key for key in LOG_KEYS.values() if "/" in key}
    assert unchanged <= known


def test_a_resumed_run_goes_on_under_the_present_keys(old_run):
    old_run.rewind_log(10_000)
    assert "signal/" not in old_run.log_file.read_text()
    assert len(old_run.log()) == 10
    saved = {"sums": {"d/real": torch.tensor(3.0), "signal/lost": torch.tensor(0.5)}, "counts": {"d/real": 2}}
    saved["counts"]["signal/lost"] = 1
    tally = Tally(saved)
    tally.add("diagnostics/missing_cluster_share", torch.tensor(0.25))
    state = tally.state_dict()
    assert state["counts"] == {"d/real": 2, "diagnostics/missing_cluster_share": 2}
    assert state["sums"]["diagnostics/missing_cluster_share"] == 0.75


def test_no_two_old_keys_become_one():
    assert len({*LOG_KEYS.values()}) == len(LOG_KEYS)
    assert not {*LOG_KEYS} & {*LOG_KEYS.values()}


def test_terms_of_older_logs_have_catalogue_names():
    old = {"images": 8, "d/r1_0": 1.0, "d/r2_1": 2.0, "d/gradientpenalty_0": 3.0, "g/orthogonalregularisation_0": 4.0}
    new = {"images": 8, "d/r1": 1.0, "d/r2": 2.0, "d/gradient_penalty": 3.0, "g/orthogonal": 4.0}
    assert current_log_line(old) == new
    assert current_log_line(new) == new
    twins = {"d/r1_0": 1.0, "d/r1_2": 2.0, "d/lecam_1_a": 3.0, "d/lecam_1_b": 4.0, "g/totalvariation": 5.0}
    expected = {"d/r1_0": 1.0, "d/r1_1": 2.0, "d/lecam_a": 3.0, "d/lecam_b": 4.0, "g/total_variation": 5.0}
    assert current_log_line(twins) == expected
    assert current_log_line(expected) == expected
    others = {"d/adversarial_a": 1.0, "d/real_a": 2.0, "g/pixel": 3.0, "d/gradient_norm": 4.0, "g/cycle_b": 5.0}
    assert current_log_line(others) == others
