"""The doctor: each trouble is named with numbers and a remedy that can be typed, and healthy runs are left in peace."""

from __future__ import annotations

import pytest

from ganvas import catalog
from ganvas.doctor import Doctor, diagnose
from ganvas.run import Run


def config(name="dcgan", images=10_000):
    recipe = catalog.RECIPES[name]()
    recipe.images = images
    return {"recipe": recipe.to_dict(), "data": {"images": 1797}}


def lines(count=20, **series):
    """Lines of a log whose fields are functions of the line's number."""
    rows = []
    for k in range(count):
        row = {"images": 500 * (k + 1), "seconds": k, "images_per_second": 100.0}
        rows.append(row | {name.replace("__", "/"): value(k) for name, value in series.items()})
    return rows


def heard(rows, **options):
    doctor = Doctor(config(**options))
    return [finding for row in rows for finding in doctor.hear(row)]


def test_exploding_gradient():
    found = heard(lines(d__gradient_norm=lambda k: 2.0 if k < 9 else 1e4, g__gradient_norm=lambda k: 1.0))
    assert [f.trouble for f in found] == ["exploding gradient"]
    assert "discriminator's gradient norm has grown from 2 to 10,000" in found[0].evidence
    assert found[0].images == 500 * 14  # five lines after it began
    assert "clip_norm=1.0" in found[0].remedy


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_vanishing_gradient(loss):
    rows = lines(g__gradient_norm=lambda k: 3.0 if k < 9 else 1e-6)
    setup = config()
    recipe = catalog.RECIPES["dcgan"]()
    recipe.set("loss", loss, catalog.COMPONENTS)
    setup["recipe"] = recipe.to_dict()
    doctor = Doctor(setup)
    (found,) = [finding for row in rows for finding in doctor.hear(row)]
    assert found.trouble == "vanishing gradient"
    assert ("loss=non_saturating" in found.remedy) == (loss == "minimax")


def test_a_steady_run_is_left_in_peace():
    assert not heard(lines(d__gradient_norm=lambda k: 1 + k % 3, g__gradient_norm=lambda k: 2 + k % 2))
    assert not heard([])


def test_a_run_folder_is_diagnosed(tmp_path):
    run = Run.create(tmp_path / "r")
    run.write_config(config())
    for row in lines(d__gradient_norm=lambda k: 2.0 if k < 9 else 1e4):
        run.append_log(row)
    assert [f.trouble for f in diagnose(run)] == ["exploding gradient"]
    assert diagnose(str(run.path)) == diagnose(run)
