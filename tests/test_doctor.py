"""The doctor: each trouble is named with numbers and a remedy that can be typed, and healthy runs are left in peace."""

from __future__ import annotations

import re

import pytest

from ganvas import catalog
from ganvas.doctor import Doctor, diagnose, symptoms
from ganvas.doctor.log import Setup
from ganvas.doctor.rules import RULES
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
    return [finding for row in rows for finding in doctor.add(row)]


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
    recipe.set("loss", loss)
    setup["recipe"] = recipe.to_dict()
    doctor = Doctor(setup)
    (found,) = [finding for row in rows for finding in doctor.add(row)]
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


# --- every sign, and what is just not it -----------------------------------------------------------------

WELL = {  # a run that stands still and is fine
    "g/gradient_norm": 1.0,
    "d/gradient_norm": 1.0,
    "diagnostics/d_auc": 0.75,
    "diagnostics/score_gap": 1.0,
    "diagnostics/real_sign": 0.3,
    "diagnostics/fake_sign": -0.3,
    "diagnostics/diversity": 0.95,
    "diagnostics/nearest_real_ratio": 1.2,
    "diagnostics/nn_two_sample_accuracy": 0.75,
    "diagnostics/missing_cluster_share": 0.05,
    "diagnostics/mean_shift": 0.1,
    "diagnostics/saturated_share": 0.3,
    "diagnostics/real_saturated_share": 0.3,
    "diagnostics/percentile_1": -1.0,
    "diagnostics/percentile_99": 0.98,
    "diagnostics/real_percentile_1": -1.0,
    "diagnostics/real_percentile_99": 1.0,
    "diagnostics/checkerboard_share": 0.005,
    "diagnostics/real_checkerboard_share": 0.005,
    "diagnostics/g_update_ratio": 0.005,
    "diagnostics/d_update_ratio": 0.005,
    "diagnostics/g_spectral_norm": 3.0,
    "diagnostics/d_spectral_norm": 3.0,
    "diagnostics/g_dead_unit_share": 0.1,
    "diagnostics/d_dead_unit_share": 0.1,
    "diagnostics/label_effect": 0.5,
    "diagnostics/label_contrast": 0.3,
    "diagnostics/real_label_contrast": 0.35,
    "diagnostics/gradient_ratio": 1.0,
    "diagnostics/data_wait_share": 0.05,
    "diagnostics/overfitting": 0.1,
    "diagnostics/real_accuracy": 0.8,
    "diagnostics/held_out_accuracy": 0.78,
}


def said(ill, name="dcgan", count=30, held_out=0, images=1797, batch=8, resolution=(32, 32)):
    """What is said about a run whose fields are as in `WELL`, but for some: numbers, or functions of the line."""
    setup = config(name)
    setup["data"] |= {"images": images, "held_out": held_out, "resolution": list(resolution)}
    setup["recipe"]["batch"] = batch  # 500 images are 62 steps of 8
    doctor = Doctor(setup)
    found = []
    for k in range(count):
        fields = {name: ill.get(name, value) for name, value in (WELL | ill).items()}
        row = {field: value(k) if callable(value) else value for field, value in fields.items()}
        found += doctor.add({"images": 500 * (k + 1), **row})
    return found


def names(*arguments, **options):
    return [finding.trouble for finding in said(*arguments, **options)]


def test_a_healthy_run_is_left_in_peace():
    assert said({}) == []
    assert said({}, held_out=100) == []


@pytest.mark.parametrize(
    ("trouble", "ill", "almost"),
    [
        ("exploding gradient", {"d/gradient_norm": lambda k: 1.0 if k < 9 else 200.0}, {"d/gradient_norm": 50.0}),
        ("exploding gradient", {"rollbacks": 1}, {"rollbacks": 0}),
        ("vanishing gradient", {"g/gradient_norm": lambda k: 0.9**k if k < 5 else 1e-6}, {"g/gradient_norm": 0.01}),
        ("learning rate too high", {"diagnostics/d_update_ratio": 0.3}, {"diagnostics/d_update_ratio": 0.1}),
        (
            "learning rate too high",
            {"diagnostics/g_spectral_norm": lambda k: 3.0 if k < 3 else 150.0},
            {"diagnostics/g_spectral_norm": lambda k: 3.0 if k < 3 else 60.0},
        ),
        ("dead units", {"diagnostics/g_dead_unit_share": 0.9}, {"diagnostics/g_dead_unit_share": 0.7}),
        ("mode collapse", {"diagnostics/diversity": lambda k: 0.9 if k < 9 else 0.01}, {"diagnostics/diversity": 0.5}),
        ("mode collapse", {"diagnostics/diversity": 0.2}, {"diagnostics/diversity": lambda k: 0.05 * 1.1**k}),
        (
            "partial mode collapse",
            {"diagnostics/missing_cluster_share": 0.6},
            {"diagnostics/missing_cluster_share": 0.3},
        ),
        ("oscillation", {"diagnostics/mean_shift": 0.8}, {"diagnostics/mean_shift": 0.2}),
        ("oscillation", {"diagnostics/d_auc": lambda k: [0.5, 0.9][k // 2 % 2]}, {"diagnostics/d_auc": 0.9}),
        (
            "discriminator wins",
            {"diagnostics/d_auc": 1.0, "diagnostics/score_gap": 8.0, "diagnostics/nn_two_sample_accuracy": 1.0},
            {"diagnostics/d_auc": 1.0, "diagnostics/score_gap": 8.0, "diagnostics/nn_two_sample_accuracy": 0.9},
        ),
        (
            "discriminator wins",
            {
                "diagnostics/d_auc": 1.0,
                "diagnostics/score_gap": 8.0,
                "diagnostics/nn_two_sample_accuracy": 1.0,
                "diagnostics/gradient_ratio": 0.001,
                "diagnostics/nearest_real_ratio": lambda k: 0.95**k,
            },
            {
                "diagnostics/d_auc": 1.0,
                "diagnostics/score_gap": 8.0,
                "diagnostics/nn_two_sample_accuracy": 1.0,
                "diagnostics/nearest_real_ratio": lambda k: 0.95**k,
            },
        ),
        (
            "generator wins",
            {"diagnostics/d_auc": 0.5, "diagnostics/nn_two_sample_accuracy": 1.0},
            {"diagnostics/d_auc": 0.5, "diagnostics/nn_two_sample_accuracy": 0.9},
        ),
        (
            "generator wins",
            {"diagnostics/d_auc": 0.0, "diagnostics/nn_two_sample_accuracy": 1.0, "diagnostics/d_update_ratio": 1e-5},
            {"diagnostics/d_auc": 0.0, "diagnostics/nn_two_sample_accuracy": 1.0},
        ),
        (
            "checkerboard",
            {"diagnostics/checkerboard_share": 0.1},
            {"diagnostics/checkerboard_share": 0.1, "diagnostics/real_checkerboard_share": 0.05},
        ),
        ("labels ignored", {"diagnostics/label_effect": 0.001}, {"diagnostics/label_effect": 0.1}),
        ("labels ignored", {"diagnostics/label_contrast": 0.01}, {"diagnostics/label_contrast": 0.1}),
        ("output range mismatch", {"diagnostics/percentile_99": 2.5}, {"diagnostics/percentile_99": 1.1}),
        ("output range mismatch", {"diagnostics/percentile_1": 0.0}, {"diagnostics/percentile_1": -0.6}),
        (
            "output range mismatch",
            {"diagnostics/real_percentile_1": -0.1, "diagnostics/real_percentile_99": 0.1},
            {"diagnostics/real_percentile_99": 0.6},
        ),
        ("saturated output", {"diagnostics/saturated_share": 0.9}, {"diagnostics/saturated_share": 0.5}),
        ("data loader bound", {"diagnostics/data_wait_share": 0.6}, {"diagnostics/data_wait_share": 0.3}),
    ],
)
def test_every_sign(trouble, ill, almost):
    found = said(ill)
    assert trouble in [finding.trouble for finding in found]
    assert [finding.trouble for finding in found].count(trouble) == 1  # said once
    assert all(finding.evidence and finding.remedy and finding.images for finding in found)
    assert trouble not in names(almost)


BEATEN = {
    "diagnostics/d_auc": 1.0,
    "diagnostics/score_gap": 8.0,
    "diagnostics/nn_two_sample_accuracy": 1.0,
}  # D ranks without a mistake
FOOLED = {"diagnostics/d_auc": 0.5, "diagnostics/nn_two_sample_accuracy": 1.0}  # D guesses
BETTER = {"diagnostics/nearest_real_ratio": lambda k: 0.95**k}


def after(line, before, then):
    return lambda k: before if k < line else then


def turns(*values):
    """Two lines of each value, over and over."""
    return lambda k: values[k // 2 % len(values)]


# (trouble, the other fields, a field, its values just short of the threshold, and just beyond it)
THRESHOLDS = [
    ("exploding gradient", {}, "d/gradient_norm", after(9, 1.0, 98), after(9, 1.0, 102)),
    ("exploding gradient", {}, "g/gradient_norm", after(9, 0.05, 9.8), after(9, 0.05, 10.2)),  # the floor: 10
    ("vanishing gradient", {}, "g/gradient_norm", after(9, 1.0, 1.02e-3), after(9, 1.0, 0.98e-3)),
    ("vanishing gradient", {}, "g/gradient_norm", 1.02e-5, 0.98e-5),  # the floor: 1e-5 from the first line on
    ("learning rate too high", {}, "diagnostics/d_spectral_norm", after(3, 3.0, 118), after(3, 3.0, 122)),
    (
        "learning rate too high",
        {},
        "diagnostics/g_spectral_norm",
        after(3, 0.1, 19.6),
        after(3, 0.1, 20.4),
    ),  # the floor: 20
    ("learning rate too high", {}, "diagnostics/g_update_ratio", 0.148, 0.152),
    ("dead units", {}, "diagnostics/d_dead_unit_share", 0.79, 0.81),
    ("discriminator wins", BEATEN, "diagnostics/d_auc", 0.994, 0.996),
    ("discriminator wins", BEATEN, "diagnostics/score_gap", 4.9, 5.1),
    ("discriminator wins", BEATEN, "diagnostics/nn_two_sample_accuracy", 0.975, 0.985),
    ("discriminator wins", BEATEN | BETTER, "diagnostics/gradient_ratio", 0.0205, 0.0195),
    ("generator wins", FOOLED, "diagnostics/d_auc", 0.605, 0.595),
    ("generator wins", FOOLED, "diagnostics/d_auc", 0.345, 0.355),
    ("generator wins", FOOLED | {"diagnostics/d_auc": 0.0}, "diagnostics/d_update_ratio", 3.1e-4, 2.9e-4),
    ("generator wins", FOOLED, "diagnostics/nn_two_sample_accuracy", 0.965, 0.975),
    ("oscillation", {}, "diagnostics/mean_shift", 0.395, 0.405),
    ("oscillation", {}, "diagnostics/d_auc", turns(0.5, 0.845), turns(0.5, 0.855)),
    ("oscillation", {}, "diagnostics/d_auc", turns(0.655, 0.9), turns(0.645, 0.9)),
    ("mode collapse", BETTER, "diagnostics/diversity", 0.051, 0.049),  # the floor, whatever gets better
    ("mode collapse", {}, "diagnostics/diversity", 0.305, 0.295),
    ("mode collapse", BETTER, "diagnostics/diversity", after(9, 0.5, 0.255), after(9, 0.5, 0.245)),
    ("partial mode collapse", {}, "diagnostics/missing_cluster_share", 0.395, 0.405),
    (
        "checkerboard",
        {"diagnostics/real_checkerboard_share": 1e-5},
        "diagnostics/checkerboard_share",
        0.00195,
        0.00205,
    ),  # the floor
    ("checkerboard", {}, "diagnostics/checkerboard_share", 0.0495, 0.0505),
    ("labels ignored", {}, "diagnostics/label_effect", 0.0205, 0.0195),
    ("labels ignored", {"diagnostics/real_label_contrast": 0.5}, "diagnostics/label_contrast", 0.0605, 0.0595),
    (
        "labels ignored",
        {"diagnostics/label_contrast": 0.0},
        "diagnostics/real_label_contrast",
        0.0495,
        0.0505,
    ),  # the floor
    ("output range mismatch", {}, "diagnostics/percentile_99", 1.245, 1.255),
    ("output range mismatch", {}, "diagnostics/percentile_1", -1.245, -1.255),
    ("output range mismatch", {}, "diagnostics/percentile_1", -0.405, -0.395),
    ("output range mismatch", {}, "diagnostics/percentile_99", 0.405, 0.395),
    (
        "output range mismatch",
        {"diagnostics/percentile_1": 0.0},
        "diagnostics/diversity",
        0.195,
        0.205,
    ),  # the floor: else it collapsed
    (
        "output range mismatch",
        {"diagnostics/percentile_1": 0.0, "diagnostics/real_percentile_99": 0.25},
        "diagnostics/real_percentile_1",
        -0.245,
        -0.255,
    ),
    (
        "output range mismatch",
        {"diagnostics/percentile_1": 0.0, "diagnostics/real_percentile_1": 0.0},
        "diagnostics/real_percentile_99",
        0.305,
        0.295,
    ),
    ("saturated output", {}, "diagnostics/saturated_share", 0.595, 0.605),
    ("data loader bound", {}, "diagnostics/data_wait_share", 0.395, 0.405),
    ("data loader bound", {}, "diagnostics/data_wait_share", turns(0.7, 0.195), turns(0.7, 0.205)),
]


@pytest.mark.parametrize(("trouble", "others", "field", "short", "beyond"), THRESHOLDS)
def test_every_threshold(trouble, others, field, short, beyond):
    assert trouble not in names(others | {field: short})
    assert trouble in names(others | {field: beyond})


@pytest.mark.parametrize(
    ("field", "short", "beyond"),
    [
        ("diagnostics/overfitting", 0.495, 0.505),
        ("diagnostics/held_out_accuracy", 0.755, 0.745),
        ("diagnostics/real_accuracy", 0.695, 0.705),
    ],
)
def test_thresholds_of_overfitting(field, short, beyond):
    ill = {"diagnostics/overfitting": 0.8, "diagnostics/real_accuracy": 0.95, "diagnostics/held_out_accuracy": 0.5}
    assert not names(ill | {field: short}, held_out=100)
    assert names(ill | {field: beyond}, held_out=100) == ["discriminator overfitting"]


@pytest.mark.parametrize(
    ("field", "short", "beyond"),
    [
        ("diagnostics/real_sign", 0.595, 0.605),
        ("diagnostics/fake_sign", -0.495, -0.505),
        ("diagnostics/nn_two_sample_accuracy", 0.955, 0.945),
    ],
)
def test_thresholds_of_suspected_overfitting(field, short, beyond):
    ill = {"diagnostics/real_sign": 0.95, "diagnostics/fake_sign": -0.95}
    assert not names(ill | {field: short}, images=100)
    assert names(ill | {field: beyond}, images=100) == ["discriminator overfitting"]


def test_overfitting_is_suspected_after_twenty_passes():
    ill = {"diagnostics/real_sign": 0.95, "diagnostics/fake_sign": -0.95}
    assert not names(ill, images=751)  # 15,000 images of training are 19.97 passes
    assert names(ill, images=750)


@pytest.mark.parametrize(
    ("trouble", "ill"),
    [
        ("discriminator wins", BEATEN),
        ("generator wins", FOOLED),
        ("oscillation", {"diagnostics/mean_shift": 0.8}),
        ("mode collapse", {"diagnostics/diversity": 0.01}),
        ("partial mode collapse", {"diagnostics/missing_cluster_share": 0.6}),
        ("checkerboard", {"diagnostics/checkerboard_share": 0.1}),
        ("labels ignored", {"diagnostics/label_effect": 0.001}),
        ("output range mismatch", {"diagnostics/percentile_99": 2.5}),
        ("saturated output", {"diagnostics/saturated_share": 0.9}),
    ],
)
def test_samples_are_judged_after_500_steps(trouble, ill):
    assert trouble not in names(ill, count=60, batch=61)  # 30,000 images are 491 steps
    assert trouble in names(ill, count=60, batch=60)


def test_suspicion_and_updates_wait_for_their_steps():
    suspicious = {"diagnostics/real_sign": 0.95, "diagnostics/fake_sign": -0.95}
    assert not names(suspicious, images=100, batch=31)
    assert names(suspicious, images=100, batch=30)
    assert not names({"diagnostics/d_update_ratio": 0.3}, batch=152)  # 98 steps
    assert names({"diagnostics/d_update_ratio": 0.3}, batch=150)


@pytest.mark.parametrize(
    ("trouble", "ill", "field", "passes"),
    [  # what changes in the right direction is left alone: (slower, faster) a line, from the value of `ill` on
        ("generator wins", FOOLED | {"diagnostics/d_auc": 0.37}, "diagnostics/d_auc", (1.012, 1.02)),
        ("generator wins", FOOLED | {"diagnostics/score_gap": 1.0}, "diagnostics/score_gap", (1.012, 1.02)),
        ("mode collapse", {"diagnostics/diversity": 0.01}, "diagnostics/diversity", (1.012, 1.03)),
        (
            "partial mode collapse",
            {"diagnostics/missing_cluster_share": 0.9},
            "diagnostics/missing_cluster_share",
            (0.998, 0.99),
        ),
        ("checkerboard", {"diagnostics/checkerboard_share": 0.2}, "diagnostics/checkerboard_share", (0.98, 0.965)),
        ("labels ignored", {"diagnostics/label_contrast": 0.01}, "diagnostics/label_contrast", (1.02, 1.05)),
        ("output range mismatch", {"diagnostics/percentile_99": 3.0}, "diagnostics/percentile_99", (0.997, 0.98)),
        ("output range mismatch", {"diagnostics/percentile_1": -3.0}, "diagnostics/percentile_1", (0.997, 0.98)),
    ],
)
def test_what_recovers_is_left_alone(trouble, ill, field, passes):
    slower, faster = (lambda k, rate=rate: ill[field] * rate**k for rate in passes)
    assert trouble in names(ill | {field: slower})
    assert trouble not in names(ill | {field: faster})


def test_overfitting_to_few_images():
    ill = {"diagnostics/overfitting": 0.8, "diagnostics/real_accuracy": 0.95, "diagnostics/held_out_accuracy": 0.5}
    (found,) = said(ill, held_out=100)
    assert (found.trouble, found.severity) == ("discriminator overfitting", "trouble")
    assert "95 % of the training images as real and only 50 % of the held-out ones" in found.evidence
    assert not said(ill | {"diagnostics/held_out_accuracy": 0.9}, held_out=100)
    sure = {"diagnostics/real_sign": 0.95, "diagnostics/fake_sign": -0.95}
    (found,) = said(sure, images=100)
    assert (found.trouble, found.severity) == ("discriminator overfitting", "warning")
    assert "without held-out images" in found.evidence
    assert "--hold-out 10" in found.remedy
    assert not said(sure, images=60_000)  # not even one pass
    assert not said(sure, images=100, held_out=50)  # then it is known, not guessed
    assert not said(sure, name="wgan_gp", images=100)  # whose logits have no sign


def test_points_have_no_range_to_use():
    narrow = {"diagnostics/real_percentile_1": -0.1, "diagnostics/real_percentile_99": 0.1}
    assert "output range mismatch" in names(narrow)
    assert "output range mismatch" not in names(narrow, resolution=(1, 1))


def test_nothing_is_said_too_early():
    ill = {
        "diagnostics/diversity": 0.01,
        "diagnostics/missing_cluster_share": 0.9,
        "diagnostics/mean_shift": 1.0,
        "diagnostics/checkerboard_share": 0.5,
    }
    ill |= {
        "diagnostics/label_effect": 0.0,
        "diagnostics/saturated_share": 1.0,
        "diagnostics/percentile_1": -9.0,
        "diagnostics/nn_two_sample_accuracy": 1.0,
    }
    assert not said(ill, batch=64)  # 232 steps
    assert not said(ill | {"diagnostics/d_auc": 0.5}, batch=64)
    assert not said(
        ill | {"diagnostics/d_auc": 1.0, "diagnostics/score_gap": 9.0, "diagnostics/gradient_ratio": 0.0}, batch=64
    )


def test_what_still_gets_better_is_left_in_peace():
    better = BETTER
    assert names({"diagnostics/mean_shift": 0.8, "diagnostics/missing_cluster_share": 0.6}) == [
        "oscillation",
        "partial mode collapse",
    ]
    assert not names({"diagnostics/mean_shift": 0.8, "diagnostics/missing_cluster_share": 0.6} | better)
    assert not names(
        {
            "diagnostics/mean_shift": 0.8,
            "diagnostics/missing_cluster_share": 0.6,
            "diagnostics/diversity": lambda k: 0.5 * 1.03**k,
        }
    )
    ill = {
        "diagnostics/label_effect": 0.0,
        "diagnostics/saturated_share": 1.0,
        "diagnostics/percentile_1": -9.0,
        "diagnostics/diversity": 0.2,
    }
    assert len(names(ill)) == 4
    assert not names(ill | better)
    assert names({"diagnostics/d_auc": 0.5, "diagnostics/nn_two_sample_accuracy": 1.0}) == ["generator wins"]
    assert not names({"diagnostics/d_auc": 0.5, "diagnostics/nn_two_sample_accuracy": 1.0} | better)


NEEDS_A_GAME = ("loss", "penalties", "augment", "d_steps", "generator", "discriminator.head")


@pytest.mark.parametrize("name", catalog.RECIPES)
def test_every_remedy_can_be_typed(name):
    """Each `--set` in a remedy is one that the recipe takes, and changes it."""
    setup = Setup(config(name) | {"data": {"images": 100, "resolution": [32, 32]}})
    for rule in RULES:
        remedy = rule.remedy(setup)
        assert remedy
        for option in re.findall(r"--set (\S+?=(?:\S*\(.*?\)|[^\s,;)]+))", remedy):
            path, _, value = option.partition("=")
            if value == "...":
                continue
            recipe = catalog.RECIPES[name]()
            if setup.get("discriminator") is None and path in NEEDS_A_GAME:
                continue  # no sign of it can show
            if path == "generator.norm" and setup.component("generator") not in symptoms.OF_ONE_IMAGE:
                continue
            recipe.set(path, value)
            assert recipe.to_dict() != catalog.RECIPES[name]().to_dict(), option


@pytest.mark.parametrize("name", ["dcgan", "infogan"])
def test_remedies_know_the_variant_of_dcgan(name):
    remedies = {rule.symptom.__name__: rule.remedy(Setup(config(name))) for rule in RULES}
    assert "generator=resnet_generator" in remedies["shows_checkerboard"]
    assert "dcgan_generator" not in remedies["misses_range"]  # its generator ends with tanh


@pytest.mark.parametrize(
    ("recipe", "changes", "expected"),
    [
        ("pix2pix", {"batch": "16"}, ["batch norm mismatch"]),
        ("pix2pix", {}, []),  # as published: one image a batch
        ("pix2pix", {"batch": "16", "generator.norm": "batch_running"}, []),
        ("pix2pix", {"batch": "16", "generator.norm": "instance"}, []),
        ("cyclegan", {"batch": "8", "generator.norm": "batch"}, ["batch norm mismatch"]),
        ("dcgan", {"batch": "16"}, []),
    ],
)
def test_batch_norm_is_applied_with_the_statistics_of_training(recipe, changes, expected):
    chosen = catalog.RECIPES[recipe]()
    for path, value in changes.items():
        chosen.set(path, value)
    doctor = Doctor({"recipe": chosen.to_dict(), "data": {"images": 1000}})
    assert [finding.trouble for finding in doctor.add({"images": 500, "seconds": 1.0})] == expected


def test_what_was_said_is_not_said_again():
    rows = [row | {"images": 2000 * k} for k, row in enumerate([WELL | {"diagnostics/mean_shift": 0.8}] * 40)]
    first = Doctor(config())
    found = [finding for row in rows for finding in first.add(row)]
    assert [finding.trouble for finding in found] == ["oscillation"]
    again = Doctor(config(), [*rows, {"findings": [{"trouble": "oscillation"}]}])  # as a resumed run begins
    assert not again.add(rows[-1])
    assert Doctor(config(), rows).add(rows[-1])


def test_lines_that_another_wrote_are_no_traceback():
    rows = [{}, {"images": 500, "diagnostics/d_auc": "high", "d/gradient_norm": None, "g/gradient_norm": float("nan")}]
    assert heard(rows * 40) == []
