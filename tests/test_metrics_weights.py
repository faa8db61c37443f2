"""Weight files: fetched whole or in parts, verified, never substituted, never run."""

from __future__ import annotations

import hashlib
import pickle
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from torch import nn

from ganvas.checkpoints import download as weights
from ganvas.errors import UsageError, UserError

CONTENT = bytes(range(256)) * 5000  # larger than a chunk
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A file on a loopback server that can break off, and forget how to continue."""

    class Handler(BaseHTTPRequestHandler):
        breaks_at, continues, asked = None, True, []

        def do_GET(self):
            start = self.headers.get("Range")
            self.asked.append(start)
            begin = int(start[6:-1]) if start and self.continues else 0
            if begin >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(CONTENT) - begin))
            self.end_headers()
            self.wfile.write(CONTENT[begin : self.breaks_at])

        def log_message(self, *_):
            pass

    Handler.asked = []
    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    address = f"http://127.0.0.1:{http.server_port}/vgg16.pth"
    file = replace(weights.FILES["vgg16"], address=address, size=len(CONTENT), sha256=SHA)
    monkeypatch.setitem(weights.FILES, "vgg16", file)
    yield Handler
    http.shutdown()
    http.server_close()
    thread.join()


def test_a_file_is_fetched_once(server):
    heard = []
    place = weights.fetch("vgg16", lambda have, total: heard.append((have, total)))
    assert place.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert weights.fetch("vgg16") == weights.path("vgg16") == place
    assert server.asked == [None]
    assert [f.name for f in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize("continues", [True, False])
def test_what_broke_off_is_continued(server, continues):
    server.breaks_at = 100_000
    with pytest.raises(UserError, match="the part is kept for the next try"):
        weights.fetch("vgg16")
    with pytest.raises(UsageError, match="are not here"):
        weights.path("vgg16")
    server.breaks_at, server.continues = None, continues
    assert weights.fetch("vgg16").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_part_that_was_whole_is_verified_and_taken(server):
    weights.folder().mkdir(parents=True)
    (weights.folder() / "vgg16-397923af.pth.part").write_bytes(CONTENT)
    assert weights.fetch("vgg16").read_bytes() == CONTENT


def test_another_file_is_thrown_away(server, monkeypatch):
    monkeypatch.setitem(weights.FILES, "vgg16", replace(weights.FILES["vgg16"], sha256="ab" * 32))
    with pytest.raises(UserError, match=f"has the SHA-256 {SHA}, but vgg16-397923af.pth has abab"):
        weights.fetch("vgg16")
    assert not list(weights.folder().iterdir())


def test_offline_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    nowhere = replace(weights.FILES["inception"], address="http://127.0.0.1:9/x")
    monkeypatch.setitem(weights.FILES, "inception", nowhere)
    with pytest.raises(
        UserError, match=r"could not be fetched .* Offline: put pt_inception-2015-12-05-6726825d.pth into"
    ):
        weights.fetch("inception")
    with pytest.raises(UsageError, match=r"ganvas weights fetch inception.*weights add inception FILE"):
        weights.read("inception")
    with pytest.raises(UsageError, match=r"no weights called 'inceptoin'. Did you mean 'inception'\?"):
        weights.path("inceptoin")


def test_a_copy_can_be_added(server, tmp_path):
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    assert weights.add("vgg16", tmp_path / "mine.pth").read_bytes() == CONTENT
    (tmp_path / "short.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"has 1,279,999 bytes, but vgg16-397923af.pth has 1,280,000"):
        weights.add("vgg16", tmp_path / "short.pth")
    with pytest.raises(UsageError, match="There is no file"):
        weights.add("vgg16", tmp_path / "none.pth")


class Evil:
    def __reduce__(self):
        return (print, ("code of a weight file ran",))


@pytest.mark.parametrize(
    "content", [pickle.dumps(Evil()), b"", b"PK\x03\x04 no archive"], ids=["pickle", "empty", "cut"]
)
def test_files_are_input(content, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    weights.folder().mkdir(parents=True)
    (weights.folder() / weights.FILES["vgg16"].file).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as weights"):
        weights.read("vgg16")
    assert "ran" not in capsys.readouterr().out


def test_reading_gives_named_tensors_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    weights.folder().mkdir(parents=True)
    place = weights.folder() / weights.FILES["vgg16"].file
    torch.save({"a": torch.ones(2)}, place)
    assert weights.read("vgg16")["a"].tolist() == [1, 1]
    torch.save({"a": [1, 2]}, place)
    with pytest.raises(UserError, match="something else than named tensors"):
        weights.read("vgg16")


def test_weights_of_another_network_are_refused():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {k: torch.randn_like(v.float()) for k, v in net.state_dict().items() if "tracked" not in k}
    weights.load(net, state, "it")
    assert torch.equal(net[0].weight, state["0.weight"])
    for change, said in (
        ({"0.weight": torch.ones(3, 3)}, "has another shape of 0.weight"),
        ({"9.weight": torch.ones(1), "9.bias": torch.ones(1)}, "also has 9.weight and 1 more"),
    ):
        with pytest.raises(UserError, match=said):
            weights.load(net, {**state, **change}, "it")
    with pytest.raises(UserError, match="lacks 0.bias"):
        weights.load(net, {k: v for k, v in state.items() if k != "0.bias"}, "it")


def test_hashes_begin_as_the_files_names_say():
    for known in weights.FILES.values():
        published = known.file.removesuffix(".pth").rpartition("-")[2]
        if len(published) == 8:
            assert known.sha256.startswith(published)
        assert known.address.startswith("https://")
