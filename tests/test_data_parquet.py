"""Images in rows: parquet as the Hub writes it, data sets of `datasets`, hf:NAME; containers that are not read."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ganvas import api
from ganvas.checkpoints import hub as connection
from ganvas.data import hub as hub_data
from ganvas.data import open_source
from ganvas.data.containers import conversion
from ganvas.errors import UsageError, UserError

PIXELS = np.random.RandomState(0).randint(0, 256, (12, 9, 8, 3), np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(file, pixels=PIXELS, classes=None, images=None, **columns):
    """A table as `datasets` writes it: {bytes, path}, and the names of classes in the schema."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    cells = images or [{"bytes": png(p), "path": f"{k}.png"} for k, p in enumerate(pixels)]
    table = pyarrow.table({"image": cells, **columns})
    if classes:
        features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, file, row_group_size=5)
    return file


def test_rows_are_images_with_labels_by_name_and_captions(tmp_path):
    labels = [k % 3 for k in range(11)] + [-1]
    texts = [f"image {k}" for k in range(12)]
    file = write_parquet(tmp_path / "d.parquet", classes=["zebra", "ape", "none", "cat"], label=labels, text=texts)
    for name in (str(file), str(tmp_path)):
        data = open_source(name, cache=tmp_path / "cache")
        assert np.array_equal(data.images, PIXELS)
        assert data.class_names == ("zebra", "ape", "none")
        assert data.labels.tolist() == labels
        assert data.captions == texts


def test_plain_bytes_words_and_several_files(tmp_path):
    for part, name in ((PIXELS[:7], "train-0"), (PIXELS[7:], "train-1"), (PIXELS[:1], "test-0")):
        cells = [png(p) for p in part]
        write_parquet(tmp_path / "set" / "data" / f"{name}.parquet", images=cells, category=["b"] * len(part))
    data = open_source(str(tmp_path / "set"), cache=tmp_path / "cache")
    assert np.array_equal(data.images, PIXELS)
    assert data.class_names == ("b",)
    assert "the split train; there are also test" in data.notes
    assert len(open_source(f"edges:{tmp_path / 'set'}", cache=tmp_path / "cache", resolution=(8, 8))) == 12


def test_a_row_may_name_a_file_below_its_table_and_no_other(tmp_path):
    (tmp_path / "t" / "pics").mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(tmp_path / "t" / "pics" / "a.png")
    Image.fromarray(PIXELS[0]).save(tmp_path / "secret.png")
    paths = ["pics/a.png", "../secret.png", str(tmp_path / "secret.png"), "pics/none.png"]
    cells = [{"bytes": None, "path": path} for path in paths] + [{"bytes": b"junk", "path": ""}]
    data = open_source(str(write_parquet(tmp_path / "t" / "d.parquet", images=cells)), cache=tmp_path / "cache")
    assert np.array_equal(data.images, PIXELS[:1])
    reasons = dict(data.skipped)
    assert [("leads out" in reasons[f"row {k}"]) for k in (1, 2, 3)] == [True, True, False]
    assert "row 4" in reasons


def test_what_is_no_table_of_images_is_said(tmp_path, monkeypatch):
    file = write_parquet(tmp_path / "a.parquet", images=[1, 2])
    with pytest.raises(UserError, match="no column of images, only image"):
        open_source(str(file), cache=tmp_path / "cache")
    whole = write_parquet(tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"b\.parquet is no parquet file that can be read: .*; copy it again"):
        open_source(str(tmp_path / "b.parquet"), cache=tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"pip install 'ganvas\[parquet\]'"):
        open_source(str(file), cache=tmp_path / "cache")


class Image_:
    def __init__(self, decode=True):
        self.decode = decode


Image_.__name__ = "Image"


class ClassLabel:
    names = ("cat", "dog")


class Rows:
    """What is used of datasets.Dataset."""

    def __init__(self, decode=True):
        self.features = {"image": Image_(decode), "label": ClassLabel()}
        self.column_names, self._fingerprint = list(self.features), "f1"

    def cast_column(self, name, feature):
        assert (name, feature.decode) == ("image", False)
        return Rows(False)

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, key):
        if isinstance(key, str):
            return [k % 2 for k in range(len(self))]
        assert not self.features["image"].decode
        return {"image": {"bytes": png(PIXELS[key]), "path": None}, "label": key % 2}


class Splits(dict):
    column_names = {}  # noqa: RUF012


def test_a_data_set_of_datasets_is_data(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    for given in (Rows(), Splits(test=None, train=Rows())):
        data = api.TrainRequest("dcgan", given, tmp_path / "run").data
        assert np.array_equal(data.images, PIXELS)
        assert (data.labels.tolist(), data.class_names) == ([0, 1] * 6, ("cat", "dog"))
    streaming = Rows()
    streaming.__class__ = type("Streaming", (), {"features": streaming.features, "column_names": []})
    with pytest.raises(UsageError, match="streams has no length"):
        api.TrainRequest("dcgan", streaming, tmp_path / "run")


@pytest.mark.slow
def test_a_real_data_set_of_datasets(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [Image.fromarray(p) for p in PIXELS], "label": [k % 2 for k in range(12)]}
    given = datasets.Dataset.from_dict(rows, features=features)
    data = api.TrainRequest("dcgan", given, tmp_path / "run").data
    assert np.array_equal(data.images, PIXELS)
    assert (data.labels.tolist(), data.class_names) == (rows["label"], ("cat", "dog"))
    given.to_parquet(tmp_path / "d.parquet")
    read = open_source(str(tmp_path / "d.parquet"))
    assert np.array_equal(read.images, PIXELS)
    assert read.class_names == ("cat", "dog")


# --- the Hub ------------------------------------------------------------------------------------------------


class Hub:
    """A Hub of one data set in a folder, as the functions that are used of it."""

    def __init__(self, real, folder):
        self.errors, self.folder, self.calls = real.errors, folder, []

    def HfApi(self, endpoint):
        return self

    def list_repo_files(self, name, repo_type, revision):
        assert (name, repo_type) == ("user/set", "dataset")
        return [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]

    def snapshot_download(self, name, repo_type, allow_patterns=None, local_files_only=False, **_):
        self.calls.append(allow_patterns)
        if local_files_only and not self.folder.exists():
            raise OSError
        return str(self.folder)


@pytest.fixture
def server(tmp_path, monkeypatch):
    real = pytest.importorskip("huggingface_hub")
    import huggingface_hub.errors  # noqa: F401

    fake = Hub(real, tmp_path / "hub")
    monkeypatch.setattr(hub_data, "import_hub", lambda: fake)
    monkeypatch.setattr(hub_data, "answers", lambda: True)
    return fake


def test_a_data_set_of_the_hub_by_its_name(server, tmp_path, monkeypatch):
    write_parquet(server.folder / "data" / "train-00000-of-00001.parquet", label=[0, 1] * 6)
    write_parquet(server.folder / "data" / "test-00000-of-00001.parquet", PIXELS[:5], label=[0] * 5)
    (server.folder / "README.md").write_text("x")
    cache = tmp_path / "cache"
    assert len(open_source("hf:user/set", cache=cache)) == 12
    assert server.calls == [["data/train-00000-of-00001.parquet"]]
    assert len(open_source("hf:user/set:test", cache=cache)) == 5
    assert len(open_source("edges:hf:user/set:test", cache=cache)) == 5
    with pytest.raises(UserError, match="hf:user/set has no split 'dev'"):
        open_source("hf:user/set:dev", cache=cache)
    monkeypatch.setattr(hub_data, "answers", lambda: False)
    assert len(open_source("hf:user/set", cache=cache)) == 12


def test_folders_of_images_on_the_hub_are_read_as_folders(server, tmp_path):
    for k, kind in enumerate("ab"):
        (server.folder / kind).mkdir(parents=True)
        Image.fromarray(PIXELS[k]).save(server.folder / kind / "x.png")
    data = open_source("hf:user/set", cache=tmp_path / "cache")
    assert (data.class_names, len(data)) == (("a", "b"), 2)


def test_offline_it_is_a_sentence_at_once(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="is not here"):  # imports what the Hub's package imports lazily
        open_source("hf:user/none")
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"hf:user/none is not here, and the Hub does not answer at http://127"):
        open_source("hf:user/none")
    assert time.perf_counter() - start < 1
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'ganvas\[hub\]'"):
        open_source("hf:user/none")
    assert connection.endpoint() == "http://127.0.0.1:9"


# --- containers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lsun/data.mdb", "an LMDB"),
        ("celeba.lmdb", "an LMDB"),
        ("galaxies.h5", "an HDF5 file"),
        ("imagenet.tfrecord", "a TFRecord"),
        ("train-00000-of-01024", "a TFRecord"),
        ("x.tfrecords-00001", "a TFRecord"),
    ],
)
def test_containers_are_answered_with_the_line_that_converts(name, kind, tmp_path):
    file = tmp_path / "in" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\1" * 99)
    for source in (tmp_path / "in", file):
        with pytest.raises(UserError, match=f"is {kind}, which is not read; this writes what is read") as caught:
            open_source(str(source))
        assert str(tmp_path / "in") in str(caught.value)
        assert 'python -c "import' in str(caught.value)
    assert conversion(["a.png", "b.txt"]) == ""


def test_the_line_for_hdf5_converts(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pictures"] = PIXELS
    line = conversion(["a.h5"], tmp_path).partition("): ")[2].replace("'KEY'", "'pictures'")
    line = line.replace("OUT", str(tmp_path / "out")).replace("python ", f"{sys.executable} ", 1)
    assert subprocess.run(line, shell=True, capture_output=True, env={**os.environ}).stdout == b"['pictures']\n"
    assert np.array_equal(open_source(str(tmp_path / "out.npz"), cache=tmp_path / "cache").images, PIXELS)
