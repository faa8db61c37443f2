"""Regions of images: their parts, removal, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import UserError
from ganvas.inference.edit_image import as_region
from ganvas.inference.region import BLOCK, CELL, MARGIN, Box, Region, split_region

Y, X = np.mgrid[:40, :60]
SLOPE = np.stack([3 * X + 20, 2 * Y + 60, 120 - X + Y], 2).astype(np.uint8)  # which a fill continues
HOLE = (Y - 18) ** 2 + (X - 33) ** 2 < 40
SCRATCHED = np.where(HOLE[..., None], np.uint8(255), SLOPE)


@pytest.fixture
def files(tmp_path):
    Image.fromarray(SCRATCHED).save(tmp_path / "a.png")
    Image.fromarray(HOLE).save(tmp_path / "m.png")
    return tmp_path


def region(kind):
    places = np.zeros((2600, 900), bool)
    if kind == "far apart":
        places[5:9, 3:10] = places[2300:2310, 800:890] = True
    elif kind == "long":
        places[:, 400:404] = True
    elif kind == "large":
        places[100:2500, 50:850] = True
    else:
        places[np.random.default_rng(0).integers(0, 2600, 60), np.random.default_rng(1).integers(0, 900, 60)] = True
    return places


@pytest.mark.parametrize("kind", ["far apart", "long", "large", "specks"])
def test_parts_make_up_the_region_and_none_is_large(kind):
    places, most = region(kind), CELL * BLOCK + 2 * MARGIN[1]
    total = np.zeros(places.shape, int)
    for rows, columns, inside in split_region(places):
        total[rows, columns] += inside
        assert max(inside.shape) <= most
        at = np.argwhere(inside)
        for side, k in ((rows, 0), (columns, 1)):
            first, last = at[:, k].min(), inside.shape[k] - 1 - at[:, k].max()
            assert first >= min(MARGIN[0], side.start + first)
            assert last >= min(MARGIN[0], places.shape[k] - side.stop + last)
    assert np.array_equal(total, places)
    assert kind != "far apart" or len(list(split_region(places))) == 2


def test_remove_fills_the_region_alone(files, command):
    """By a mask and by a box, in the command and in Python; what is around a slope continues it."""
    code, out, err = command(
        "remove", "-i", files / "a.png", "-o", files / "b.png", "--mask", files / "m.png", "--json"
    )
    assert (code, json.loads(out)["model"], "Model: inpaint." in err) == (0, "inpaint", True)
    after = np.asarray(Image.open(files / "b.png"))
    assert np.array_equal(after[~HOLE], SLOPE[~HOLE])
    assert np.abs(after[HOLE].astype(int) - SLOPE[HOLE]).max() < 16
    rows, columns = (np.flatnonzero(HOLE.any(k)) for k in (1, 0))
    box = [int(n) for n in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]
    assert np.array_equal(ganvas.remove(SCRATCHED, mask=HOLE), after)
    for mask in (files / "m.png", Image.fromarray(HOLE), torch.from_numpy(HOLE), HOLE[..., None] * np.uint8(255)):
        assert np.array_equal(as_region(mask, None).read("", HOLE.shape), HOLE)
    with_box = np.asarray(ganvas.remove(files / "a.png", box=box))
    assert command("restore", "-i", files / "a.png", "-o", files / "c.png", "--box", ",".join(map(str, box)))[0] == 0
    assert np.array_equal(with_box, np.asarray(Image.open(files / "c.png")))
    assert np.abs(with_box.astype(int) - SLOPE).max() < 16


def test_tensors_and_stacks_keep_what_is_outside():
    images = torch.from_numpy(SCRATCHED).permute(2, 0, 1)[None].repeat(2, 1, 1, 1).float() / 127.5 - 1
    filled, stack = ganvas.remove(images, mask=HOLE), ganvas.remove(np.stack([SCRATCHED] * 2), mask=HOLE)
    assert torch.equal(filled[..., ~torch.from_numpy(HOLE)], images[..., ~torch.from_numpy(HOLE)])
    levels = ((filled + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(levels - stack).max() <= 0.51


@pytest.mark.parametrize("corner", [(0, 0, 9, 9), (-5, -5, 12, 12), (50, 30, 400, 400)])
def test_a_region_at_the_edge_is_filled(corner):
    places = Box(*corner).mark((40, 60))
    damaged = np.where(places[..., None], np.uint8(255), SLOPE)
    filled = ganvas.remove(damaged, box=corner)
    assert np.array_equal(filled[~places], SLOPE[~places])
    assert np.abs(filled[places].astype(int) - SLOPE[places]).max() < 40


REFUSED = {
    "no region": ("", 2, "Missing region: --mask IMAGE"),
    "two regions": ("--mask m.png --box 1,2,3,4", 2, "Give --mask or --box, not both"),
    "no such mask": ("--mask none.png", 2, "There is no mask"),
    "another size": ("--mask small.png", 1, "is 9x9 and the image 60x40"),
    "black": ("--mask black.png", 1, "marks nothing: it is dark everywhere"),
    "all white": ("--mask white.png", 1, "The region is the whole image"),
    "a box of three numbers": ("--box 1,2,3", 2, "takes X,Y,WIDTH,HEIGHT in pixels"),
    "a box without area": ("--box 1,2,0,3", 2, "takes X,Y,WIDTH,HEIGHT in pixels"),
    "a box outside": ("--box 60,0,5,5", 1, "The box 60,0,5,5 lies outside of the image, which is 60x40"),
    "a model without masks": (
        "--box 1,2,3,4 --model clean",
        2,
        "clean cannot remove; embedded models that can: inpaint",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_region_that_does_not_fit_is_refused_in_one_sentence(case, files, command, monkeypatch):
    monkeypatch.chdir(files)
    for name, size, level in (("small", (9, 9), 255), ("black", (60, 40), 0), ("white", (60, 40), 255)):
        Image.new("L", size, level).save(f"{name}.png")
    options, expected, sentence = REFUSED[case]
    code, _, err = command("remove", "-i", "a.png", "-o", "out.png", *options.split())
    assert (code, sentence in err) == (expected, True), err
    assert not (files / "out.png").exists()


def test_a_folder_of_masks_may_have_dark_ones(files, command):
    for name in ("in/a.png", "in/b.png", "masks/a.png", "masks/b.png"):
        (files / name).parent.mkdir(exist_ok=True)
        mask = HOLE if name == "masks/a.png" else np.zeros_like(HOLE)
        Image.fromarray(mask if "masks" in name else SCRATCHED).save(files / name)
    code, out, _ = command("remove", "-i", files / "in", "-o", files / "out", "--mask", files / "masks", "--json")
    notes = [row["notes"] for row in json.loads(out)["files"]]
    assert (code, notes) == (0, [[], ["its mask marks nothing, so it stays as it is"]])
    assert np.array_equal(np.asarray(Image.open(files / "out" / "b.png")), SCRATCHED)


def test_masks_of_other_types_are_refused():
    with pytest.raises(UserError, match="A mask is a file, a PIL image"):
        ganvas.remove(SCRATCHED, mask=np.zeros((40, 60)))
    with pytest.raises(UserError, match=r"A box is \(x, y, width, height\)"):
        ganvas.remove(SCRATCHED, box="1,2,3,4")
    with pytest.raises(UserError, match="not both"):
        ganvas.remove(SCRATCHED, mask=HOLE, box=(1, 2, 3, 4))
    with pytest.raises(UserError, match="marks nothing"):
        Region(np.zeros((4, 4), bool)).read("", (4, 4))
