"""Regions of images: their parts, removal, what is put into them, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import UsageError, UserError
from ganvas.game import ImageToImage
from ganvas.imaging.guide import CELL as SQUARE
from ganvas.imaging.photo import Photo
from ganvas.inference.edit_image import as_region
from ganvas.inference.edit_region import Content, EditOptions, RegionEditor
from ganvas.inference.inpaint import Inpainter
from ganvas.inference.overlay import Overlay
from ganvas.inference.region import BLOCK, CELL, MARGIN, Box, Region, split_region
from ganvas.models.resolve import ImageModel
from ganvas.policy import Policy

Y, X = np.mgrid[:40, :60]
SLOPE = np.stack([3 * X + 20, 2 * Y + 60, 120 - X + Y], 2).astype(np.uint8)  # which a fill continues
HOLE = (Y - 18) ** 2 + (X - 33) ** 2 < 40
CPU = Policy.choose("cpu", "fp32")
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


def test_parts_continue_from_those_before(monkeypatch):
    """A line in parts of 8 pixels: a part sees the pixels of earlier parts as they were filled, others as holes."""
    for name, value in (("CELL", 8), ("BLOCK", 1), ("MARGIN", (16, 16))):
        monkeypatch.setattr(f"ganvas.inference.region.{name}", value)
    network = Follows()
    network.guide = 0
    network.forward = lambda x: network.seen.append(x) or torch.ones_like(x[:, :3])
    line = (Y == 20) & (X > 3) & (X < 50)
    inpainter = Inpainter(ImageModel(network, 3, "test"), CPU, Region(line))
    assert (inpainter.photo(photo(SLOPE), line).array[line] == 255).all()
    assert len(network.seen) == 7
    for k, x in enumerate(network.seen):
        first = max(8 * k - 16, 0) if k else 0  # of the columns that are seen
        filled, hole = (x[0, :3, 16] == 1).all(0), x[0, 3, 16] > 0
        assert torch.equal(filled.nonzero()[:, 0] + first, torch.arange(max(first, 4), max(8 * k, 4)))
        assert torch.equal(hole.nonzero()[:, 0] + first, torch.arange(max(8 * k, 4), min(8 * k + 24, 50)))


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
        "clean takes no --mask; it changes the whole image",
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


# --- something put into a region ------------------------------------------------------------------------------


class Follows(ImageToImage):
    """Draws the painted colours, black on lines, and white where nothing is given."""

    masked, guide = True, 5

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        image = torch.where(x[:, 6:7] > 0, x[:, 3:6], torch.ones_like(x[:, :3]))
        return torch.where(x[:, 8:] > 0, torch.where(x[:, 7:8] > 0, -torch.ones_like(image), image), x[:, :3])


def editor(options, network=None):
    model = ImageModel(network or Follows(), 3, "test")
    return RegionEditor(
        Region(HOLE), options, Inpainter(model, ganvas.policy.Policy.choose("cpu", "fp32"), Region(HOLE))
    )


def photo(array):
    return Photo(np.ascontiguousarray(array), neutral=array.shape[2] < 3)


def test_a_reference_is_blended_without_a_network(files, command):
    """A slope that is brighter everywhere takes the level of its surroundings, and pasted it keeps its own."""
    Image.fromarray(SLOPE + np.uint8(30)).save(files / "bright.png")
    line = ["edit-region", "-i", files / "a.png", "-o", files / "b.png", "--mask", files / "m.png", "--json"]
    code, out, _ = command(*line, "--reference", files / "bright.png")
    answer = json.loads(out)
    assert (code, answer["method"], len(answer["files"][0]["notes"])) == (0, "blend", 1)
    assert answer["files"][0]["notes"][0].endswith("blended along its gradients, pixel on pixel")
    assert np.abs(np.asarray(Image.open(files / "b.png")).astype(int) - SLOPE).max() <= 1
    pasted = ganvas.edit_region(SCRATCHED, reference=SLOPE + np.uint8(30), mask=HOLE, blend=False)
    assert np.array_equal(pasted, np.where(HOLE[..., None], SLOPE + np.uint8(30), SLOPE))


@pytest.mark.parametrize(("fit", "size"), [("cover", (12, 24)), ("contain", (6, 12))])
def test_a_reference_is_scaled_to_the_region(fit, size):
    """Of 30x60 pixels over a box of 12x12: its middle covers it, or all of it is contained."""
    places = Box(20, 10, 12, 12).mark((40, 60))
    wide = photo(np.stack([4 * np.mgrid[:30, :60][1]] * 3, 2).astype(np.uint8))
    laid = Overlay.lay(wide, places, 3, fit)
    assert laid.colour.shape[2:] == (size[0], 12)
    assert (laid.top, laid.left) == (10 + (12 - size[0]) // 2, 20)
    ramp = (laid.colour[0, 0].mean(0) + 1) * 127.5
    ends = (15, 45) if fit == "cover" else (0, 60)  # columns of the reference that are seen
    step = (ends[1] - ends[0]) / 12
    assert ramp[0] == pytest.approx(4 * (ends[0] + step / 2 - 0.5), abs=1.5)
    assert ramp[-1] == pytest.approx(4 * (ends[1] - step / 2 - 0.5), abs=1.5)


def test_paint_is_laid_and_the_rest_is_filled():
    """Soft paint keeps its alpha, unpainted places are the inpainter's, and the image's depth and alpha stay."""
    paint = np.zeros((40, 60, 4), np.uint8)
    paint[15:19, 30:34] = (200, 0, 0, 255)
    deep = np.concatenate([SCRATCHED, np.full((40, 60, 1), 200, np.uint8)], 2).astype(np.uint16) * 257
    network = Follows()
    network.guide = 0
    network.forward = lambda x: torch.where(x[:, 3:] > 0, 0.0, x[:, :3])
    result = editor(EditOptions(paint=photo(paint)), network).photo(Photo(deep, (0, 65535), False), HOLE)
    painted = HOLE & (paint[..., 3] > 0)
    assert result.array.dtype == np.uint16
    assert np.array_equal(result.array[~HOLE], deep[~HOLE])
    assert np.abs(result.array[painted][:, :3].astype(int) - (200 * 257, 0, 0)).max() < 400
    assert np.array_equal(result.array[..., 3], deep[..., 3])
    assert any("filled by test" in note for note in result.notes)


def test_a_guided_network_sees_colours_and_lines_in_the_region_alone():
    step = np.where((X < 33)[..., None], np.uint8([250, 20, 20]), np.uint8([20, 20, 250]))
    change = editor(EditOptions(reference=photo(step)))
    result = change.photo(photo(SCRATCHED), HOLE)
    (x,) = change.inpainter.model.network.seen
    hole = x[0, 8] > 0
    assert torch.equal(hole, torch.from_numpy(HOLE))
    assert torch.equal(x[0, 6] > 0, hole)  # all of it is painted
    assert not (x[0, 7] > 0)[~hole].any()
    assert {*np.argwhere((x[0, 7] > 0).numpy())[:, 1].tolist()} in ({32}, {33}, {32, 33})  # the edge of the step
    assert not x[0, 3:6, ~hole].any()
    assert change.method == "guided"
    assert np.array_equal(result.array[~HOLE], SLOPE[~HOLE])
    assert (result.array[18, 28] == (250, 20, 20)).all()  # squares of one colour, away from the step


def test_guides_of_paint_and_sketch():
    """Squares of one colour where it is painted; lines are the dark pixels of the sketch."""
    paint, sketch = np.zeros((40, 60, 4), np.uint8), np.full((40, 60), 255, np.uint8)
    paint[:, :30] = (100, 150, 200, 255)
    sketch[20] = 0
    laid = Overlay.lay(photo(paint), np.ones((40, 60), bool), 3)
    guide = Content(None, laid, sketch < 128).guide(slice(8, 24), slice(22, 38), 3)
    assert guide.shape == (1, 5, 16, 16)
    levels = (guide[0, :3, :, : SQUARE - 1] + 1) * 127.5
    assert torch.allclose(levels, torch.tensor([100.0, 150, 200])[:, None, None].expand_as(levels), atol=0.1)
    assert torch.equal(guide[0, 3] > 0, (torch.arange(16) < 8).expand(16, 16))
    assert torch.equal((guide[0, 4] > 0).nonzero()[:, 0].unique(), torch.tensor([12]))


def test_colours_come_into_a_grey_image_of_three_channels_alone():
    grey = np.full((40, 60, 3), 90, np.uint8)
    red = photo(np.full((40, 60, 3), (200, 0, 0), np.uint8))
    options = EditOptions(reference=red, blend=False)
    coloured = editor(options).photo(Photo(grey), HOLE)  # the guided network paints it
    assert (coloured.array[18, 33] == (200, 0, 0)).all()
    network = Follows()
    network.guide = 0
    single = editor(options, network).photo(Photo(grey[..., :1].copy()), HOLE)
    assert single.array.shape == (40, 60, 1)
    assert (single.array[18, 33], single.notes[0]) == (60, "it is grey, and so is what is put into it")


NOT_PUT = {
    "nothing": ({}, "Missing content: --reference IMAGE"),
    "a fit that is none": ({"reference": SLOPE, "fit": "stretch"}, "--fit is cover or contain, got 'stretch'"),
    "mixed paint": ({"paint": SLOPE, "mixed": True}, "--mixed blends a reference"),
    "a sketch without a guided model": ({"sketch": SLOPE}, "inpaint does not follow lines; --sketch takes a --model"),
}


@pytest.mark.parametrize("case", NOT_PUT)
def test_content_that_does_not_fit_is_refused(case):
    options, sentence = NOT_PUT[case]
    with pytest.raises(UsageError, match=sentence):
        ganvas.edit_region(SCRATCHED, mask=HOLE, **options)


def test_files_of_content_that_do_not_exist_are_refused(files, command):
    code, _, err = command("edit-region", "-i", files / "a.png", "-o", "b.png", "--box", "1,1,5,5", "--paint", "no.png")
    assert (code, "--paint no.png does not exist" in err) == (2, True)
    sketch = photo(np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(UserError, match="The sketch is 5x5 and the image 60x40"):
        editor(EditOptions(sketch=sketch)).photo(photo(SCRATCHED), HOLE)


def test_the_recipe_learns_from_guided_holes(tmp_path, command):
    """A run of a few images is a model of `edit-region`, which takes a sketch, and of `remove`."""
    small = {"degradation": "guided_holes", "generator.net.width": 4, "generator.net.depth": 2, "discriminator": "none"}
    options = {"resolution": 16, "images": 4, "batch": 2, "device": "cpu", "precision": "fp32"}
    data = np.stack([SLOPE[:32, :32], SLOPE[8:, 20:52]] * 2)
    run = ganvas.train("inpaint", data=data, outdir=tmp_path / "run", set=small, **options)
    assert run.config()["data"]["source_channels"] == 9
    for name, array in (("a", SCRATCHED), ("s", np.where(X == 33, 0, 255).astype(np.uint8))):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    line = ["-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--box", "20,10,16,16", "--model", run.path, "--json"]
    code, out, _ = command("edit-region", *line, "--sketch", tmp_path / "s.png")
    assert (code, json.loads(out)["method"]) == (0, "guided")
    assert command("remove", *line)[0] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_on_guided_holes_follows_painted_colours(tmp_path):
    """Squares of random colours in holes that hide them: only the paint tells their colour."""
    random = np.random.default_rng(0)
    data = np.full((256, 16, 16, 3), 128, np.uint8)
    data[:, 4:12, 4:12] = random.integers(0, 256, (256, 1, 1, 3))
    small = {"degradation": "guided_holes(covered=[0.3, 0.5], boxes=1.0, colours=0.8)", "discriminator": "none"}
    small |= {"generator.net": "residual_unet(widths=[16, 24], blocks=1)", "g_optimizer.lr": 2e-3}
    options = {"resolution": 16, "images": 16_000, "batch": 16, "device": "cpu", "precision": "fp32", "set": small}
    run = ganvas.train("inpaint", data=data, outdir=tmp_path / "run", **options)
    model, square = ganvas.load(run.path, device="cpu", precision="fp32"), (4, 4, 8, 8)
    errors = {"paint": [], "nothing": []}
    for colour in random.integers(0, 256, (8, 3)):
        paint = np.full((16, 16, 3), colour, np.uint8)
        results = {"paint": ganvas.edit_region(data[0], paint=paint, box=square, model=model, precision="fp32")}
        results["nothing"] = ganvas.remove(data[0], box=square, model=model, precision="fp32")
        for name, result in results.items():
            errors[name].append(np.abs(result[4:12, 4:12].astype(int) - colour).mean())
    assert np.mean(errors["paint"]) < 0.7 * np.mean(errors["nothing"]), errors
