"""Memory and time are bounded by what is asked, not by what a file claims."""

from __future__ import annotations

import gzip
import io
import json
import resource
import shutil
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import ganvas
from ganvas import archives
from ganvas.data.sources import open_source
from ganvas.errors import BadImage, UserError
from ganvas.imaging.decode import read_header, read_image
from ganvas.imaging.encode import save
from ganvas.imaging.photo import open_photo
from ganvas.metrics.statistics import load_statistics
from ganvas.models.model import Model
from ganvas.run import Run
from small import SMALL

# --- images ------------------------------------------------------------------------------------------------


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def run_length_bmp(width, height):
    rows = b"".join(bytes([16, 0x12, 0, 0]) for _ in range(8)) + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 4, 2, len(rows), 2835, 2835, 16, 16)
    return b"BM" + struct.pack("<IHHI", 118 + len(rows), 0, 0, 118) + head + bytes(range(64)) + rows


def tall_tiff(mode, height):
    """A TIFF of 48 rows whose header declares more."""
    data = bytearray(saved(Image.new(mode, (20, 48)), "TIFF"))
    at = data.index(struct.pack("<HHII", 257, 4, 1, 48)) + 8
    data[at : at + 4] = struct.pack("<I", height)
    return bytes(data)


def progressive(scans):
    """A progressive JPEG of 9 megapixels with a scan repeated."""
    data = saved(Image.new("L", (3000, 3000), 99), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


def tall_gif():
    data = bytearray(saved(Image.new("L", (8, 8)), "GIF"))
    data[6:10] = struct.pack("<HH", 60_000, 3_000)
    return bytes(data)


def wide_ppm():
    return b"P5 60000 3000 255\n" + bytes(1000)


CLAIMS = {  # files of at most 90 kB that declare up to 200 megapixels
    "bmp": run_length_bmp(16_777_221, 8),
    "bmp upside down": run_length_bmp(8, -16_777_221),
    "tiff of transparent grey": tall_tiff("LA", 8_323_076),
    "tiff of a palette": tall_tiff("P", 8_323_096),
    "gif": tall_gif(),
    "ppm": wide_ppm(),
    "jpeg of many scans": progressive(2000),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_file_too_small_for_its_pixels_is_refused_at_once(name):
    start = time.process_time()
    for read in (read_image, open_photo, read_header):
        with pytest.raises(BadImage, match="refused|damaged"):
            read(CLAIMS[name])
    assert time.process_time() - start < 0.5


def test_strips_that_are_missing_are_not_black():
    """Pillow fills what a small file lacks with zeros; a second library refuses it."""
    data = tall_tiff("L", 60)
    with pytest.raises(BadImage, match="holds 960 of its 20x60 = 1,200 pixels"):
        read_image(data)
    whole = saved(Image.new("L", (20, 48), 7), "TIFF")
    assert (tifffile.imread(io.BytesIO(whole)) == read_image(whole).array[..., 0]).all()


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        *(("PNG", "1", {}), ("JPEG", "L", {"progressive": True}), ("WEBP", "RGB", {"lossless": True})),
        *(("GIF", "L", {}), ("TIFF", "1", {"compression": "group4"}), ("TIFF", "L", {"compression": "tiff_lzw"})),
        ("TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_blank_images_are_read(form, mode, options):
    data = saved(Image.new(mode, (6000, 900), 1), form, **options)
    assert read_image(data).array.shape[:2] == (900, 6000)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e38])
def test_floats_of_any_size_are_rounded_as_they_are_read(tmp_path, scale):
    values = (np.random.default_rng(0).random((20, 30), np.float32) * 2 - 1) * np.float32(scale)
    tifffile.imwrite(tmp_path / "a.tif", values)
    save(open_photo(tmp_path / "a.tif"), tmp_path / "a.png")
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if low < 0 or high > 1 else (0.0, 1.0)
    expected = (values.astype(np.float64) - low) / (high - low) * 65535
    assert np.abs(np.asarray(Image.open(tmp_path / "a.png"), np.float64) - expected).max() <= 0.5001


# --- data and statistics -------------------------------------------------------------------------------------


def write_npz(file, arrays, packing=zipfile.ZIP_DEFLATED):
    """An archive of arrays, or of the bytes that stand in for one."""
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, value in arrays.items():
            out = io.BytesIO()
            np.save(out, value) if isinstance(value, np.ndarray) else out.write(value)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), out.getvalue(), packing)
    return file


def npy(header, content=b""):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + content


SIX = {"mu": np.zeros(6), "sigma": np.eye(6)}
HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (6,%s }\n"
STATISTICS = {  # what an archive holds, and what is said of it
    "infinite count": ({**SIX, "count": np.array(np.inf)}, "computed from inf images"),
    "negative count": ({**SIX, "count": np.array(-3)}, "computed from -3 images"),
    "count of no number": ({**SIX, "count": np.array(np.nan)}, "computed from nan images"),
    "protocol nested deep": ({**SIX, "protocol": np.array("[" * 100_000)}, "recursion"),
    "long protocol": ({**SIX, "protocol": np.array("x" * 400_000)}, "protocol declares 1,600,000 bytes"),
    "open bracket": ({**SIX, "mu": npy(HEADER.replace(",%s", "(")[:-2])}, "the header of mu.npy is damaged"),
    "open quote": ({**SIX, "mu": npy("{'descr': '<f8")}, "the header of mu.npy is damaged"),
    "more than it holds": ({**SIX, "sigma": npy(HEADER.replace("(6,%s", "(6, 6),"))}, "sigma declares 288 bytes"),
    "a list as protocol": ({**SIX, "protocol": np.array("[]")}, "by a list how it was made"),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_refused_in_a_sentence(tmp_path, name):
    content, said = STATISTICS[name]
    with pytest.raises(UserError, match=said):
        load_statistics(write_npz(tmp_path / "s.npz", content))


@pytest.mark.parametrize(("field", "value", "said"), [(0, 1, "encrypted"), (2, 99, "compression")])
@pytest.mark.parametrize("content", [SIX, {"images": np.zeros((8, 8, 8), np.uint8)}], ids=["statistics", "images"])
def test_members_that_cannot_be_unpacked(tmp_path, field, value, said, content):
    file = write_npz(tmp_path / "s.npz", content, zipfile.ZIP_STORED)
    raw = bytearray(file.read_bytes())
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = raw.find(magic) + offset + field
        raw[at : at + 2] = struct.pack("<H", value)
    file.write_bytes(raw)
    with pytest.raises(UserError, match=said):
        load_statistics(file) if "mu" in content else open_source(str(file), cache=tmp_path)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    write_npz(tmp_path / "zeros.npz", {"images": np.zeros((500, 64, 64, 1), np.uint8)})
    with pytest.raises(UserError, match="would unpack from 0.0 MB to 2, as no images do"):
        open_source(str(tmp_path / "zeros.npz"), cache=tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (500, 64, 64, 1), np.uint8)
    write_npz(tmp_path / "noise.npz", {"images": noise})
    assert len(open_source(str(tmp_path / "noise.npz"), cache=tmp_path)) == 500


@pytest.mark.parametrize("count", [16, 2_000_000_000])
def test_packed_labels_are_read_no_further_than_there_are_images(tmp_path, count):
    images = bytes([0, 0, 8, 3]) + struct.pack(">III", 16, 8, 8) + bytes(16 * 64)
    with gzip.open(tmp_path / "images-idx3-ubyte.gz", "wb") as file:
        file.write(images)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    labels = packer.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", count))
    labels += b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    (tmp_path / "labels-idx1-ubyte.gz").write_bytes(labels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="must match|would unpack"):
        open_source(str(tmp_path / "images-idx3-ubyte.gz"), cache=tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


# --- runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    options = {"resolution": 8, "batch": 8, "images": 24, "snapshot_images": 8, "device": "cpu", "set": SMALL}
    options["set"] = {k: v for k, v in SMALL.items() if k in ("generator.width", "discriminator.width")}
    return ganvas.train("dcgan", data="digits", outdir=tmp_path_factory.mktemp("runs") / "r", **options).path


@pytest.fixture
def run(original, tmp_path):
    return Run(shutil.copytree(original, tmp_path / "run"))


def put(content, path, value):
    *above, last = path.split(".")
    for name in above:
        content = content[name]
    if value is None:
        del content[last]
    else:
        content[last] = value


CONFIGS = [  # a field, its value, what is said
    ("data.resolution", "8x8", "data.resolution is '8x8', not tuple"),
    ("data.channels", -1, "data.channels is -1"),
    ("seed", {"()": "dcgan"}, "seed is dict, not int"),
    ("seed", float("inf"), "seed is inf, not int"),
    ("data", [1], "data is list"),
    ("recipe.batch", float("nan"), "recipe.batch is nan, not int"),
    ("recipe.task", "x", "recipe.task is 'x', not dict"),
]


@pytest.mark.parametrize(("field", "value", "said"), CONFIGS)
def test_a_damaged_config_is_named_with_its_field(run, command, field, value, said):
    content = json.loads(run.config_file.read_text())
    put(content, field, value)
    run.config_file.write_text(json.dumps(content))
    for line in (("doctor", run.path), ("train", "--resume", "--outdir", run.path)):
        code, _, err = command(*line)
        assert code
        assert f"config.json is damaged: {said}" in " ".join(err.split())


def test_lines_of_the_log_that_are_none_are_left_out(run, command):
    before = command("doctor", run.path, "--json")[1]
    with run.log_file.open("a") as log:
        for line in ({"images": {}}, {"images": "x"}, {"images": -8}, {"images": 24, "findings": [1]}):
            log.write(json.dumps(line) + "\n")
    assert command("doctor", run.path, "--json")[:2] == (0, before)


STATES = [  # a field of the newest state, and its value; None: missing
    ("retries", None),
    ("seconds", "long"),
    ("trainer.average", None),
    ("trainer.images", 8.5),
    ("trainer.tally.counts", 3),
    ("trainer.g.param_groups", [{"lr": "fast", "betas": [0.5], "params": [0]}]),
]


@pytest.mark.parametrize(("field", "value"), STATES)
def test_the_state_before_a_damaged_one_is_used(run, original, command, field, value):
    newest = run.states()[0]
    state = torch.load(newest, weights_only=True)
    put(state, field, value)
    torch.save(state, newest)
    code, _, err = command("train", "--resume", "--outdir", run.path, "--device", "cpu")
    assert code == 0, err
    said = " ".join(err.split())
    assert f"is damaged: {field}" in said
    assert "The one before it is used." in said
    assert run.load_state()["trainer"]["images"] == 24
    ours, theirs = (Run(path).load_state()["trainer"]["task"] for path in (run.path, original))
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


@pytest.mark.parametrize("name", ["x" * 5000, "gone/folder"])
def test_a_run_goes_on_without_the_run_its_weights_came_from(run, command, name):
    config = json.loads(run.config_file.read_text())
    put(config, "init_from", name)
    run.config_file.write_text(json.dumps(config))
    code, _, err = command("train", "--resume", "--outdir", run.path, "--device", "cpu")
    assert code == 0, err


@pytest.mark.parametrize("field", ["trainer.task", "trainer.average"])
def test_initial_weights_come_from_the_state_before_a_damaged_one(run, tmp_path, field):
    for k, file in enumerate(run.states()):
        state = torch.load(file, weights_only=True)
        put(state, field, None)
        torch.save(state, file)
        options = {"resolution": 8, "batch": 8, "images": 8, "device": "cpu", "init_from": run.path}
        options["set"] = {"generator.width": 4, "discriminator.width": 4}
        if k == 0:
            ganvas.train("dcgan", data="digits", outdir=tmp_path / "new", **options)
            continue
        with pytest.raises(UserError, match=f"damaged: {field} is missing"):
            ganvas.train("dcgan", data="digits", outdir=tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


def test_any_number_of_samples_is_written_a_batch_at_a_time(run, monkeypatch, command, tmp_path):
    inside, most, generate = 0, 0, Model.generate

    class Counted(torch.Tensor):
        def __del__(self):
            nonlocal inside
            inside -= len(self)

    def counted(self, inputs):
        nonlocal inside, most
        images = generate(self, inputs).as_subclass(Counted)
        inside += len(images)
        most = max(most, inside)
        return images

    monkeypatch.setattr(Model, "generate", counted)
    for name in ("folder", "images.npz"):
        most = 0
        assert command("sample", run.path, "-o", tmp_path / name, "--seeds", "0-299")[0] == 0
        assert most <= 192, name
    files = sorted((tmp_path / "folder").iterdir())
    assert len(files) == 300
    packed = np.load(tmp_path / "images.npz")["images"]
    assert packed.shape == (300, 8, 8, 1)
    assert (packed[299, ..., 0] == np.asarray(Image.open(files[299]))).all()
