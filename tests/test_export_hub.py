"""The Hub: a folder as it keeps them, uploaded to and fetched from a server that speaks its routes; offline at once."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

import ganvas
from ganvas import catalog
from ganvas.errors import UsageError, UserError
from ganvas.export.hub import push, save_pretrained
from ganvas.models import hub as names
from ganvas.models.model import Model
from ganvas.policy import Policy
from small import narrow

hub = pytest.importorskip("huggingface_hub", reason="the Hub needs the extra hub")
from huggingface_hub import constants  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """A Hub of one model: its files by name."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Routes)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files, self.stored, self.tokens, self.asked = {}, {}, set(), []


class Routes(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Length": len(body), "Content-Type": "application/json", **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        self.server.asked.append(self.path)
        if not self.server.files:
            return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        if "/tree/" in self.path:
            rows = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in self.server.files.items()
            ]
            return self.answer(rows)
        if self.path.startswith("/api/models/user/digits"):
            return self.answer(
                {"id": "user/digits", "sha": COMMIT, "siblings": [{"rfilename": f} for f in self.server.files]}
            )
        body = self.server.files[self.path.rpartition("/")[2].partition("?")[0]]
        return self.answer(body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def do_PUT(self):
        self.server.stored[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def do_POST(self):
        self.server.tokens.add(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            return self.answer({"url": f"{self.server.address}/user/digits", "id": "user/digits"})
        if "/preupload/" in self.path:
            kinds = {True: "lfs", False: "regular"}
            files = [f["path"] for f in json.loads(body)["files"]]
            rows = [{"path": f, "uploadMode": kinds[f.endswith(".safetensors")], "shouldIgnore": False} for f in files]
            return self.answer({"files": rows})
        if self.path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            rows = [{**o, "actions": {"upload": {"href": f"{self.server.address}/put/{o['oid']}"}}} for o in objects]
            return self.answer({"transfer": "basic", "objects": rows}, Content_Type="application/vnd.git-lfs+json")
        if "/commit/" in self.path:
            self.commit([json.loads(line) for line in body.splitlines()])
            return self.answer({"commitUrl": f"{self.server.address}/user/digits/commit/{COMMIT}", "commitOid": COMMIT})
        return self.answer({"errors": [], "warnings": []})

    def commit(self, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.stored[value["oid"]]


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"):
        monkeypatch.setattr(constants, name, name != "HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    small = {"generator.width": 4, "discriminator.width": 4}
    options = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": small}
    watch = {"eval_images": 16, "eval_samples": 40}
    return ganvas.train(
        "dcgan", data="digits", outdir=tmp_path_factory.mktemp("hub") / "run", images=16, **options, **watch
    )


def test_a_run_is_pushed_and_loaded_by_its_name(server, run, command, monkeypatch):
    code, out, err = command("push", run.path, "user/digits", "--license", "apache-2.0", "--json")
    assert code == 0, err
    assert json.loads(out) == {
        "url": f"{server.address}/user/digits",
        "files": ["README.md", "config.json", "model.safetensors", "samples.png"],
        "license": "apache-2.0",
    }
    assert server.files.keys() - {".gitattributes"} == {"README.md", "config.json", "model.safetensors", "samples.png"}
    here, there = (ganvas.load(name, device="cpu", precision="fp32") for name in (run.path, "user/digits"))
    assert torch.equal(here.sample(3), there.sample(3))
    server.shutdown()
    server.server_close()
    start = time.monotonic()  # from the cache, where the Hub is silent
    again = ganvas.load("user/digits", device="cpu", precision="fp32")
    assert time.monotonic() - start < 3
    assert torch.equal(here.sample(3), again.sample(3))


def test_the_card_says_license_tags_images_and_measures_with_their_protocol(run, tmp_path):
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    save_pretrained(model, tmp_path / "m", run=run, name="user/digits", license="mit")
    data = hub.ModelCard.load(tmp_path / "m" / "README.md").data.to_dict()  # the Hub's own reader
    assert (data["license"], data["library_name"]) == ("mit", "ganvas")
    assert data["pipeline_tag"] == "unconditional-image-generation"
    assert {"ganvas", "gan", "dcgan"} <= {*data["tags"]}
    assert data["widget"][0]["output"]["url"] == "samples.png"
    (result,) = data["model-index"][0]["results"]
    (metric,) = result["metrics"]
    measured = run.evaluations()[-1]
    assert (metric["type"], metric["value"]) == ("fd", measured["fd"])
    assert f"features {measured['features']}" in metric["name"]
    assert 'ganvas.load("user/digits")' in (tmp_path / "m" / "README.md").read_text()
    assert (tmp_path / "m" / "samples.png").read_bytes() == sorted(run.samples.glob("*.png"))[-1].read_bytes()


def test_a_model_saves_itself_and_nothing_is_written_over(run, tmp_path):
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    assert "model.safetensors" in model.save_pretrained(tmp_path / "m")
    again = ganvas.load(tmp_path / "m", device="cpu", precision="fp32")
    assert torch.equal(model.sample(2), again.sample(2))
    assert 'license: "unknown"' in (tmp_path / "m" / "README.md").read_text()
    with pytest.raises(UsageError, match="new or empty"):
        model.save_pretrained(tmp_path / "m")


def test_an_upscaler_has_an_entry_of_openmodeldb(tmp_path):
    recipe = catalog.RECIPES["compact"]()
    for path, value in narrow("compact").items():
        recipe.set(path, str(value))
    data = {"resolution": [8, 8], "channels": 3, "class_names": [], "source_scale": 2}
    task = recipe.task.build(resolution=(8, 8), channels=3, source_scale=2)
    config = {"format": 1, "task": recipe.task.to_dict(), "data": data, "images": 4000}
    model = Model(task.eval(), Policy.choose("cpu", "fp32"), config)
    place = tmp_path / "m"
    assert "openmodeldb.json" in save_pretrained(model, place, name="user/sharp", license="Apache-2.0")
    entry, weights = json.loads((place / "openmodeldb.json").read_text()), (place / "model.safetensors").read_bytes()
    assert (entry["name"], entry["author"], entry["license"]) == ("sharp", "user", "Apache-2.0")
    assert (entry["scale"], entry["architecture"]) == (2, "compact")
    assert (entry["inputChannels"], entry["outputChannels"]) == (3, 3)
    (resource,) = entry["resources"]
    assert (resource["sha256"], resource["size"]) == (hashlib.sha256(weights).hexdigest(), len(weights))
    image = torch.rand(1, 3, 9, 7) * 2 - 1
    torch.testing.assert_close(ganvas.load(place, device="cpu", precision="fp32")(image), model(image))
    with pytest.raises(UsageError, match="only models of runs"):
        ganvas.load("compact-x2", device="cpu").save_pretrained(tmp_path / "n")


def test_without_a_hub_it_is_said_at_once(run, monkeypatch, command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    start = time.process_time()
    with pytest.raises(UsageError, match=r"no folder user/nothing here, and the Hub does not answer at http://127"):
        ganvas.load("user/nothing")
    code, _, err = command("push", run.path, "user/digits")
    assert (code, "Nothing was sent: the Hub does not answer" in " ".join(err.split())) == (1, True)
    assert time.process_time() - start < 1


def test_what_the_hub_refuses_is_a_sentence(server, run, monkeypatch):
    with pytest.raises(UsageError, match=r"no folder user/none here and no model user/none on http"):
        ganvas.load("user/none")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="did not take user/digits: it knows no token"):
        push(run.path, "user/digits")
    with pytest.raises(UsageError, match="is user/name, got 'digits'"):
        push(run.path, "digits")
    assert not server.files


def test_without_the_extra(monkeypatch, command):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'ganvas\[hub\]'"):
        names.fetch("user/name")
    code, _, err = command("push", "run", "user/name")
    assert (code, "ganvas[hub]" in err) == (1, True)
