"""A folder of models chosen by name, with entries of OpenModelDB: names, digests, addresses, refusals, the list."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import UsageError, UserError
from ganvas.models.library import Library
from ganvas.models.open_model_db import read_entry
from published import compact_shapes, esrgan_shapes, tensors

ENTRY = {  # as data/models of the database has it
    "name": "Sharp", "author": ["one", "two"], "license": "CC-BY-4.0", "tags": ["photo"], "description": "Sharp.",
    "date": "2024-02-03", "architecture": "compact", "size": ["8nf", "2nc"], "scale": 2, "inputChannels": 3,
    "outputChannels": 3, "trainingIterations": 85000,
    "resources": [{"platform": "pytorch", "type": "pth", "urls": ["https://example.org/files/2x_sharp_G.pth?dl=1"]}],
    "images": [{"type": "paired", "LR": "https://example.org/a.png", "SR": "https://example.org/b.png"}],
}  # fmt: skip


def entry(file, weights=b"", **changes):
    """Write the entry of a file with these bytes."""
    (resource,) = ENTRY["resources"]
    whole = {**resource, "size": max(len(weights), 1), "sha256": hashlib.sha256(weights).hexdigest()}
    file.write_text(json.dumps({**ENTRY, "resources": [{**whole, **changes.pop("resource", {})}], **changes}))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Three weight files: a Compact x2 with its entry under another name, an ESRGAN x4, and a damaged one."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "sub").mkdir()
    torch.save({"params": tensors(compact_shapes(scale=2, convolutions=1))}, folder / "2x_sharp_9000_G.pth")
    torch.save(tensors(esrgan_shapes("old", blocks=1)), folder / "sub" / "4xOther.pth")
    (folder / "broken.pth").write_bytes(b"nothing")
    entry(folder / "2x-Sharp.json", (folder / "2x_sharp_9000_G.pth").read_bytes())
    entry(folder / "4x-Absent.json", b"absent", name="Absent", scale=4, license=None)
    return folder


@pytest.fixture
def library(built, tmp_path, monkeypatch):
    """A copy of the three files; an image beside it."""
    shutil.copytree(built, tmp_path / "lib")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "lib"


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("2x_sharp_9000_G", 2), ("2x_sharp_9000_g.PTH", 2), ("2x-Sharp", 2), ("2xsharp", 2), ("Sharp", 2),
        ("sub/4xOther", 4), ("4xOther", 4), ("x2", 2),
    ],
)  # fmt: skip
def test_a_model_by_its_name(name, scale, library, command):
    code, out, err = command("upscale", "-i", "a.png", "-o", "b.png", "--models", "lib", "--model", name, "--json")
    assert code == 0, err
    assert Image.open("b.png").size == (9 * scale, 8 * scale)
    (row,) = json.loads(out)["models"] or [{"name": "x2", "license": None}]
    assert row["license"] == ("CC-BY-4.0" if "harp" in name else None)
    assert ("licence CC-BY-4.0, verified by its SHA-256" in " ".join(err.split())) == ("harp" in name)


def test_restore_python_and_two_models_at_once(library, command):
    result = ganvas.enhance("a.png", model="Sharp", models="lib", device="cpu", precision="fp32")
    direct = ganvas.enhance("a.png", model=library / "2x_sharp_9000_G.pth", device="cpu", precision="fp32")
    assert np.array_equal(np.asarray(result), np.asarray(direct))
    options = ("-i", "a.png", "-o", "b.png", "--models", "lib", "--model")
    code, out, err = command("restore", *options, "Sharp,4xOther", "--json")
    assert code == 0, err
    assert [model["name"] for model in json.loads(out)["models"]] == ["2x_sharp_9000_G", "sub/4xOther"]


REFUSALS = {
    "nothing": "There is no model nothing in lib. It has 2x_sharp_9000_G, broken, sub/4xOther.",
    "4xOthr": "Did you mean 'sub/4xOther'?",
    "../a.png": "There is no model ../a.png in lib",
    "lib/2x_sharp_9000_G.pth": "There is no model",
    "4xabsent": "lib has 4x-Absent.json and not its file; get 4x-Absent from https://example.org/files/2x_sharp_G.pth",
    "broken": "is neither a PyTorch file nor safetensors.",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_name_that_is_not_there_is_a_sentence(name, library, command):
    code, _, err = command("upscale", "-i", "a.png", "-o", "b.png", "--models", "lib", "--model", name)
    assert code
    assert REFUSALS[name] in " ".join(err.split())
    assert not (library.parent / "b.png").exists()


def test_the_folder_and_the_name_are_needed(library, command):
    for folder, model, reason in (
        ("lib", None, "--models needs --model"),
        ("none", "a", "none does not exist"),
        ("a.png", "a", "a.png is a file"),
    ):
        code, _, err = command(
            "upscale", "-i", "a.png", "-o", "b.png", "--models", folder, *(["--model", model] * bool(model))
        )
        assert (code, reason in err) == (2, True), err
    assert command("list", "losses", "--models", "lib")[0] == 2


def test_another_file_than_the_entry_names_is_refused(library):
    (library / "2x-Sharp.pth").write_bytes((library / "2x_sharp_9000_G.pth").read_bytes() + b"x")
    (library / "2x_sharp_9000_G.pth").unlink()
    with pytest.raises(
        UserError, match=r"has the SHA-256 \w{64}, but .*2x-Sharp.json has \w{64}; .* from https://exam"
    ):
        ganvas.enhance("a.png", model="Sharp", models=library)
    (library / "2x-Sharp.pth").rename(library / "2x-Sharp.pt")  # a type for which the entry has no file
    model = Library(library).locate("Sharp")
    assert (model.entry.name, model.verify()) == ("Sharp", None)


def test_two_models_of_one_name(library):
    shutil.copy(library / "2x_sharp_9000_G.pth", library / "2x_sharp_9000_G.pt")
    assert {"2x_sharp_9000_G.pth", "2x_sharp_9000_G.pt"} <= set(Library(library).own)
    with pytest.raises(UsageError, match="is 2x_sharp_9000_G.pt and 2x_sharp_9000_G.pth in .*; give one"):
        Library(library).locate("2x_sharp_9000_G")
    assert Library(library).locate("2x_sharp_9000_G.pt").path == library / "2x_sharp_9000_G.pt"


def test_links_do_not_lead_out(library, tmp_path):
    shutil.copy(library / "2x_sharp_9000_G.pth", tmp_path / "outside.pth")
    os.symlink(tmp_path / "outside.pth", library / "link.pth")
    os.symlink(library / "2x_sharp_9000_G.pth", library / "inside.pth")
    with pytest.raises(UsageError, match="link.pth is a link that leads out of --models; give its path"):
        Library(library).locate("link")
    assert Library(library).locate("inside").path == library / "inside.pth"


HOSTILE = {
    "cut.json": ('{"name": "x", "archi', "is not valid JSON"),
    "list.json": ("[1, 2]", "does not hold a JSON object"),
    "deep.json": ('{"architecture":' * 20_000, "is not valid JSON"),
    "digits.json": ('{"architecture": "a", "scale": ' + "9" * 9_000 + "}", "is not valid JSON"),
    "large.json": ('{"architecture": "' + "a" * (1 << 20) + '"}', "too many for an entry"),
    "bytes.json": (b"\xff\xfe{}", "is not valid JSON"),
}
WRONG = {
    "name": 5, "architecture": "", "scale": True, "inputChannels": 0, "outputChannels": 65, "resources": [1],
    "license": {"a": 1}, "author": 7, "tags": [1],
}  # fmt: skip
BAD_RESOURCES = {"sha256": "../../etc/passwd", "size": -1, "urls": "https://a.b", "type": None}


def test_hostile_entries_are_sentences(library, command):
    for name, (text, _) in HOSTILE.items():
        (library / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for key, value in WRONG.items():
        entry(library / f"wrong_{key}.json", **{key: value})
    for key, value in BAD_RESOURCES.items():
        entry(library / f"wrong_{key}.json", resource={key: value})
    (library / "config.json").write_text('{"of another": "program"}')
    os.mkfifo(library / "pipe.json")
    code, out, _ = command("list", "models", "--models", "lib", "--json")
    problems = json.loads(out)["problems"]
    assert code == 0
    assert all(sum(f"lib/{name} " in p and reason in p for p in problems) == 1 for name, (_, reason) in HOSTILE.items())
    for key in (*WRONG, *BAD_RESOURCES):
        assert sum(f"wrong_{key}.json is no entry of OpenModelDB: it has" in p and key in p for p in problems) == 1, key
    assert len(problems) == len(HOSTILE) + len(WRONG) + len(BAD_RESOURCES)
    entry(library / "odd.json", resource={"urls": ["file:///etc/passwd", "javascript:1", "http://a.b/c"]})
    assert read_entry(library / "odd.json").resources[0].urls == ("http://a.b/c",)


def test_a_broken_entry_of_a_models_name_is_said_and_the_model_works(library, command):
    (library / "4xOther.json").write_text("{")
    code, _, err = command("upscale", "-i", "a.png", "-o", "b.png", "--models", "lib", "--model", "4xOther")
    assert code == 0
    assert "4xOther.json is not valid JSON. sub/4xOther is not verified." in " ".join(err.split())


def test_the_list_of_a_folder(library, command):
    code, out, err = command("list", "models", "--models", "lib", "--json")
    rows = {row["name"]: row for row in json.loads(out)["models"]}
    assert code == 0, err
    facts = ("architecture", "scale", "channels", "license", "author", "verified")
    assert [rows["2x_sharp_9000_G"][fact] for fact in facts] == [
        "Compact (SRVGGNetCompact)", 2, 3, "CC-BY-4.0", "one, two", True
    ]  # fmt: skip
    assert [rows["sub/4xOther"][fact] for fact in facts[1:]] == [4, 3, None, None, None]
    assert rows["2x_sharp_9000_G"]["bytes"] == (library / "2x_sharp_9000_G.pth").stat().st_size
    assert "neither a PyTorch file" in rows["broken"]["problem"]
    (absent,) = json.loads(out)["missing"]
    assert (absent["name"], absent["resources"][0]["sha256"]) == ("4x-Absent", hashlib.sha256(b"absent").hexdigest())
    _, shown, notes = command("list", "models", "--models", "lib")
    assert all(word in shown for word in ("2x_sharp_9000_G", "x2", "CC-BY-4.0", "not read"))
    assert "1 entry has no file here" in notes


def test_an_entry_is_written_as_it_is_read(library, tmp_path):
    first = read_entry(library / "2x-Sharp.json")
    (tmp_path / "again.json").write_text(json.dumps(first.as_json()))
    assert read_entry(tmp_path / "again.json") == first
    assert first.as_json()["resources"][0]["urls"] == ENTRY["resources"][0]["urls"]
