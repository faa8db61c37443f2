"""The studio's API: every route answers, every refusal is a sentence, nothing is lost or left behind."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
import zlib
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
import uvicorn
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import ganvas
from conftest import needed
from ganvas.api import EMBEDDED, ApplyOptions, apply, run_holder
from ganvas.errors import UserError
from ganvas.studio import security
from ganvas.studio.jobs import Jobs
from ganvas.studio.server import Place, create_app, free_port, make_place
from small import narrow

NAME = "127.0.0.1:7860"
TOKEN = "a-token-of-this-test"


def studio(folder, **fields):
    for name in ("runs", "models"):
        (folder / name).mkdir(exist_ok=True)
    app = create_app(Place(folder / "runs", folder / "models", **fields))
    return TestClient(app, base_url=f"http://{NAME}", raise_server_exceptions=False)


@pytest.fixture
def client(tmp_path):
    with studio(tmp_path) as client:
        yield client
        client.app.state.jobs.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of tiny models, named by their recipes."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("gan", "cgan"):
        ganvas.train(name, data="digits", outdir=folder / "runs" / name, images=128, resolution=8, set=narrow(name))
    return folder


@pytest.fixture
def explorer(trained):
    with studio(trained) as client:
        yield client
        client.app.state.jobs.close()


def png(size=(8, 6), mode="RGB", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def sentence(answer, status):
    """The sentence of a refusal; no Python error, no path of the package."""
    assert answer.status_code == status, answer.text
    text = answer.json()["detail"]
    assert isinstance(text, str)
    assert len(text) > 10
    assert "Error" not in text
    assert "Traceback" not in text
    return text


def wait(client, job, status="done", seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = client.get(f"/api/jobs/{job['id']}").json()
        if state["status"] in ("done", "failed", "cancelled"):
            assert state["status"] == status, state
            return state
        time.sleep(0.02)
    raise AssertionError(f"{state} after {seconds} s")


def enhance(client, *files, status="done", **form):
    answer = client.post(
        "/api/enhance", files=[("images", file) for file in files], data={"model": "bicubic", "outscale": "2", **form}
    )
    assert answer.status_code == 202, answer.text
    return wait(client, answer.json(), status)


# Who may ask


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:7860", "192.168.1.5"])
def test_another_name_is_refused_on_http_and_websocket(client, host):
    assert "host name" in sentence(client.get("/api/runs", headers={"host": host}), 421)
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/api/play", headers={"host": host}):
        pass
    assert caught.value.code == 4421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", f"http://{NAME}.evil.example", "http://[", "", "http://127.0.0.1:80", NAME],
)
def test_another_site_is_refused_on_http_and_websocket(client, origin):
    headers = {"origin": origin, "host": NAME}
    for answer in (client.get("/", headers=headers), client.post("/api/judge", json={}, headers=headers)):
        assert "another site" in sentence(answer, 403)
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/api/play", headers=headers):
        pass
    assert caught.value.code == 4403


def test_this_site_may_ask(client):
    for origin in ({}, {"origin": f"http://{NAME}"}):
        assert client.get("/api/runs", headers=origin).status_code == 200
        with suppress(CancelledError), client.websocket_connect("/api/play", headers={"host": NAME} | origin) as socket:
            assert socket
    assert client.get("/api/runs", headers={"host": "localhost:1"}).status_code == 200


def test_another_host_needs_the_token(tmp_path, monkeypatch):
    compared = []
    compare = security.hmac.compare_digest
    monkeypatch.setattr(security.hmac, "compare_digest", lambda a, b: compared.append(a) or compare(a, b))
    with studio(tmp_path, host="studio.lan", token=TOKEN) as client:
        lan = {"host": "studio.lan:7860"}
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"cookie": "ganvas_token=wrong"}, {"cookie": ";;=;a"}):
            answer = client.get("/api/runs", headers=lan | wrong)
            assert "token" in sentence(answer, 401)
            assert "set-cookie" not in answer.headers
            assert TOKEN not in answer.text
            with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/play", headers=lan | wrong):
                pass
        assert client.get("/?token=wrong", headers=lan).status_code == 401
        assert len(compared) == 27  # always all three, in constant time
        for right in ({"authorization": f"Bearer {TOKEN}"}, {"cookie": f"a=b; ganvas_token={TOKEN}"}):
            assert client.get("/api/runs", headers=lan | right).status_code == 200
            client.cookies.clear()
        cookie = client.get(f"/play?token={TOKEN}", headers=lan).headers["set-cookie"]
        assert cookie == f"ganvas_token={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
        assert client.get("/api/runs", headers=lan).status_code == 200  # by the cookie


def test_an_address_of_this_machine_will_do_where_all_are_listened_on(tmp_path):
    with studio(tmp_path, host="0.0.0.0", token=TOKEN) as client:
        for host, status in (("192.168.1.5:7860", 200), ("[fe80::1]:7860", 200), ("evil.example", 421)):
            assert (
                client.get("/api/runs", headers={"host": host, "authorization": f"Bearer {TOKEN}"}).status_code
                == status
            )


def test_only_loopback_needs_no_token(tmp_path):
    assert make_place(tmp_path, tmp_path, "127.0.0.1", 7900).token == ""
    one, two = (make_place(tmp_path, tmp_path, "0.0.0.0", 7900) for _ in range(2))
    assert len(one.token) >= 24
    assert one.token != two.token
    assert one.token in one.address


def test_every_answer_carries_the_security_headers(client, monkeypatch):
    monkeypatch.setattr("ganvas.studio.runs_routes.Runs.folders", lambda self: 1 / 0)
    answers = {
        "page": client.get("/play"),
        "static": client.get("/static/app.js"),
        "report": client.get("/static/report.css"),
        "none": client.get("/static/none.js"),
        "no page": client.get("/nonsense"),
        "method": client.put("/api/runs"),
        "values": client.post("/api/judge", json=[]),
        "sentence": client.get("/api/jobs/none"),
        "host": client.get("/", headers={"host": "evil"}),
        "origin": client.get("/", headers={"origin": "null"}),
        "defect": client.get("/api/runs"),
        "openapi": client.get("/api/openapi.json"),
    }
    assert answers["defect"].status_code == 500
    assert "terminal" in sentence(answers["defect"], 500)
    for name, answer in answers.items():
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy, name
        assert "default-src 'none'" in policy, name
        assert "http" not in policy, name
        assert "frame-ancestors 'none'" in policy, name
        assert "script-src 'self'" in policy, name
        assert answer.headers["x-content-type-options"] == "nosniff", name
        assert answer.headers["referrer-policy"], name
    for screen in ("", "play", "runs/a/b", "explore/runs/x", "enhance", "judge", "models"):
        assert "<script" in client.get(f"/{screen}").text


def test_a_static_file_takes_no_parameters(client):
    answer = client.get("/static/report.js?media_type=text/html&status_code=500&filename=x")
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]


# Paths

OUTSIDE = [
    "../secret.png", "a/../../secret.png", "%2e%2e/secret.png", "..%2fsecret.png", "%2e%2e%2fsecret.png",
    "link.png", "linked/secret.png", "%00", "a%00.png", "..%5csecret.png", "..\\secret.png", "/etc/passwd",
    "%2fetc%2fpasswd",
    "x" * 300, "x/" * 2000 + "y", "loop/x",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: name[:24])
def test_no_path_leads_out_of_the_folders(client, tmp_path, name):
    run, job = tmp_path / "runs" / "a", client.app.state.jobs.add("nothing", lambda job: {})
    run.mkdir()
    (run / "config.json").write_text("{}")
    (tmp_path / "secret.png").write_text("secret")
    (tmp_path / "runs" / "secret.png").write_text("secret")
    (job.folder.parent / "secret.png").write_text("secret")
    for folder in (run, job.folder, tmp_path / "models", tmp_path / "runs"):
        (folder / "link.png").symlink_to(tmp_path / "secret.png")
        (folder / "linked").symlink_to(tmp_path)
        (folder / "loop").symlink_to(folder / "loop")
    answers = [
        client.get(f"/api/jobs/{job.id}/files/{name}"),
        client.get(f"/api/enhance/{job.id}/preview/results/{name}"),
        client.get(f"/api/runs/files/a?file={name}"),
        client.get(f"/api/runs/files/{name}?file=config.json"),
        client.get(f"/api/runs/page?name={name}"),
        client.get(f"/api/explore/abilities/models/{name}"),
        client.get(f"/api/explore/wall/runs/{name}"),
        client.get(f"/static/{name}"),
        client.delete(f"/api/runs/{name}"),
        client.post(f"/api/runs/stop/{name}"),
        client.post(f"/api/runs/resume/{name}"),
        client.post("/api/judge", json={"metric": "psnr", "a": f"runs/{name}", "b": f"models/{name}"}),
        client.post("/api/enhance", files={"images": ("a.png", png())}, data={"model": f"models/{name}"}),
        client.post("/api/runs", json={"name": name, "recipe": "gan", "data": "digits"}),
        client.post("/api/runs", json={"name": "b", "recipe": "gan", "data": name}),
        client.post("/api/runs", json={"name": "b", "recipe": "gan", "data": f"uploads/{name}"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.url
        assert "secret" not in answer.text.replace("secret.png", ""), answer.url
    assert (run / "config.json").exists()
    assert not list(tmp_path.glob("runs/.starting/*"))


NAMES_A_FILE = [
    "/etc/passwd", "../secret.png", "~/secret.png", "secret.png", "data/../secret.png", "data/link.png",
    "data/none.png", "uploads/../../secret.png", "feature_statistics(style='secret.png')",
    "feature_statistics(style='\\x2fetc')", "a\\b",
]  # fmt: skip


@pytest.mark.parametrize("value", NAMES_A_FILE)
def test_an_option_of_a_recipe_names_no_file_outside_of_the_folders(tmp_path, monkeypatch, value):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    monkeypatch.chdir(tmp_path)  # where the run's process would look
    wish = {"name": "a", "recipe": "fast_style", "data": "photos", "options": {"style": value}}
    with studio(tmp_path, data=tmp_path / "data") as client:
        sentence(client.post("/api/runs", json=wish), 400)
        for path in ("style=/etc/passwd", "a b", "", "../x"):
            sentence(client.post("/api/runs", json=wish | {"options": {path: "1"}}), 422)
    assert not (tmp_path / "runs" / ".starting").exists()


def test_data_and_options_are_named_below_the_folders(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("ganvas.studio.processes.Runs.start", lambda self, name, arguments: started.append(arguments))
    for folder in ("data/faces", "runs/uploads/mine"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "style.png").write_bytes(png())
    wish = {"name": "a", "recipe": "fast_style", "eval_images": 64, "options": {"style": "data/style.png"}}
    with studio(tmp_path, data=tmp_path / "data") as client:
        listed = client.get("/api/runs/recipes").json()["data"]
        assert listed == client.get("/api/judge").json()["names"]
        assert {"data/digits", "data/faces", "data/style.png", "uploads/mine"} <= set(listed)
        for data in ("photos", "data/photos", "data/faces", "uploads/mine"):
            assert client.post("/api/runs", json=wish | {"data": data}).status_code == 202
        for data in ("faces", "data/none", "data/../runs", "data/", "/data/faces"):
            sentence(client.post("/api/runs", json=wish | {"data": data}), 400)
    paths = ["photos", "photos", f"{tmp_path}/data/faces", f"{tmp_path}/runs/uploads/mine"]
    assert [arguments[2] for arguments in started] == paths
    assert started[0][3:] == ["--preset=paper", "--eval-images=64", f"--set=style={tmp_path}/data/style.png"]


# Uploads


def test_a_body_over_the_limit_is_refused_by_its_header_and_by_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(
        security.Guard.__init__, "__kwdefaults__", security.Guard.__init__.__kwdefaults__ | {"largest": 1 << 20}
    )
    with studio(tmp_path) as client:
        for length in (str(1 << 21), "9" * 5000, "-1", "a"):
            answer = client.post("/api/enhance", content=b"", headers={"content-length": length})
            assert "limit" in sentence(answer, 413)
        sent = []

        def stream():  # without a length
            for _ in range(64):
                sent.append(1)
                yield b"--b\r\n" + bytes(1 << 16)

        kind = {"content-type": "multipart/form-data; boundary=b"}
        head = b'--b\r\ncontent-disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
        answer = client.post("/api/enhance", content=iter([head, *stream()]), headers=kind)
        assert "limit of 1 MB" in sentence(answer, 413)
        assert not list(client.app.state.jobs.place.iterdir())


def huge_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_broken_images_fail_alone(client):
    files = [
        ("text.png", b"not an image"),
        ("huge.png", huge_png(20_000, 15_000)),
        ("none.png", b""),
        ("notes.txt", b"x"),
    ]
    state = enhance(client, *files, ("fine.png", png()), outscale="2")
    status = {row["file"]: row["status"] for row in state["result"]["files"]}
    assert status == {name: "failed" for name, _ in files} | {"fine.png": "done"}
    for row in state["result"]["files"]:
        assert row["status"] == "done" or (row["reason"] and "Traceback" not in row["reason"])
    assert "300" in next(row["reason"] for row in state["result"]["files"] if row["file"] == "huge.png")
    for name, _ in files:
        sentence(client.get(f"/api/enhance/{state['id']}/preview/sources/{name}"), 400)


def test_uploads_are_stored_under_the_last_part_of_their_names(client):
    given = [
        "../../y.png",
        "a.png",
        "a.png",
        ".hidden.png",
        "c:\\d\\e.png",
        "/etc/f.png",
        "é" * 200 + ".png",
        "x" * 300 + ".png",
    ]
    state = enhance(client, *((name, png()) for name in given))
    folder = client.app.state.jobs.get(state["id"]).folder
    names = sorted(path.name for path in (folder / "sources").iterdir())
    assert names == sorted(
        ["y.png", "a.png", "a-2.png", "hidden.png", "e.png", "f.png", "é" * 80 + ".png", "x" * 160 + ".png"]
    )
    assert sorted(path.name for path in (folder / "results").iterdir()) == names
    assert not list(folder.parent.parent.glob("y.png"))
    before = set(client.app.state.jobs.place.iterdir())
    for name in ("..", "...", "/"):
        answer = client.post("/api/enhance", files=[("images", (name, png()))])
        assert "name" in sentence(answer, 400)
    assert client.post("/api/enhance", files=[("images", ("", png()))]).status_code in (400, 422)
    assert client.post("/api/enhance").status_code == 422
    assert set(client.app.state.jobs.place.iterdir()) == before


def test_results_of_one_name_do_not_replace_each_other(client):
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(jpeg, "JPEG")
    state = enhance(client, ("a.png", png()), ("a.jpg", jpeg.getvalue()), form="png")
    outputs = [row["output"] for row in state["result"]["files"] if row["status"] == "done"]
    assert len(set(outputs)) == 2, state


def test_an_uploaded_page_may_run_nothing(client):
    state = enhance(client, ("a.html", b"<script>1</script>"), ("a.png", png()))
    answer = client.get(f"/api/jobs/{state['id']}/files/sources/a.html")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "allow" not in answer.headers["content-security-policy"]


class Canary:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return builtins.open, (str(self.file), "w")


def test_a_model_that_would_run_code_runs_none(client, tmp_path):
    canary = tmp_path / "canary"
    plain = pickle.dumps(Canary(canary))
    (tmp_path / "models" / "plain.pth").write_bytes(plain)
    torch.save({"params": Canary(canary)}, tmp_path / "models" / "zip.pt")
    (tmp_path / "models" / "folder").mkdir()
    (tmp_path / "models" / "folder" / "generator.safetensors").write_bytes(plain)
    for name in ("plain.pth", "zip.pt", "folder"):
        state = enhance(client, ("a.png", png()), model=f"models/{name}", status="failed")
        assert len(state["problem"]) > 10
        sentence(client.get(f"/api/explore/abilities/models/{name}"), 400)
    assert not canary.exists()
    pickle.loads(plain).close()
    assert canary.exists()


@pytest.mark.parametrize("verb", ["remove", "edit-region"])
def test_a_region_needs_a_mask(client, verb):
    state = enhance(client, ("a.png", png()), verb=verb, model="", outscale="", status="failed")
    assert state["problem"] == f"{verb} needs a mask: paint the places to change."


# Jobs


def hold(client):
    """A job that runs until the event is set; returns it when it runs."""
    event = threading.Event()

    def work(job):
        while not event.wait(0.01):
            job.report(0.5)
        return {"x": 1}

    job = client.app.state.jobs.add("hold", work)
    while job.status == "waiting":
        time.sleep(0.01)
    return job, event


def test_200_jobs_at_once(client):
    jobs = client.app.state.jobs
    _, event = hold(client)
    answers = [
        client.post("/api/enhance", files={"images": ("a.png", png())}, data={"model": "bicubic", "outscale": "2"})
        for _ in range(200)
    ]
    taken = [answer.json() for answer in answers if answer.status_code == 202]
    assert len(taken) == 64
    assert all("64 jobs wait" in sentence(a, 429) for a in answers if a.status_code != 202)
    assert len(list(jobs.place.iterdir())) == 65
    event.set()
    for job in taken:
        assert wait(client, job)["result"]["files"][0]["status"] == "done"


def test_cancelled_jobs_leave_nothing_and_free_their_places(client):
    jobs = client.app.state.jobs
    running, _ = hold(client)
    waiting = [jobs.add("wait", lambda job: {}) for _ in range(64)]
    sentence(client.post("/api/judge", json={"metric": "modes", "a": "data/ring", "b": "data/ring"}), 429)
    for job in waiting:
        assert client.delete(f"/api/jobs/{job.id}").json()["status"] == "cancelled"
        assert not job.folder.exists()
    more = jobs.add("more", lambda job: {"y": 2})
    assert client.delete(f"/api/jobs/{running.id}").json()["status"] == "cancelled"
    assert wait(client, {"id": more.id})["result"] == {"y": 2}
    assert running.status == "cancelled"
    assert not running.folder.exists()
    assert client.delete(f"/api/jobs/{more.id}").json()["status"] == "done"  # it is over
    assert list(jobs.place.iterdir()) == [more.folder]
    place = jobs.place
    jobs.close()
    assert not place.exists()


def test_finished_jobs_and_their_files_go_after_a_while(monkeypatch):
    monkeypatch.setattr("ganvas.studio.jobs.REMEMBERED", 2)
    jobs = Jobs()
    done = []
    for _ in range(5):
        done.append(jobs.add("x", lambda job: {}))
        while not done[-1].over:
            time.sleep(0.005)
    jobs.add("last", lambda job: {})
    assert [job.folder.exists() for job in done] == [False, False, False, True, True]
    with pytest.raises(UserError, match="no job"):
        jobs.get(done[0].id)
    jobs.close()


def test_a_job_that_fails_says_why_and_the_next_one_works(client):
    jobs = client.app.state.jobs
    failed = jobs.add("fails", lambda job: 1 / 0)
    nan = jobs.add("nan", lambda job: {"value": float("nan"), "list": [float("inf")]})
    assert "division" in wait(client, {"id": failed.id}, "failed")["problem"]
    assert wait(client, {"id": nan.id})["result"] == {"value": None, "list": [None]}


def test_events_come_in_order_and_end(client):
    answer = client.post(
        "/api/enhance",
        files=[("images", (f"{k}.png", png())) for k in range(4)],
        data={"model": "bicubic", "outscale": "2"},
    )
    with client.stream("GET", f"/api/jobs/{answer.json()['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        states = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    order = ("waiting", "running", "done")
    ranks = [order.index(state["status"]) for state in states]
    shares = [state["share"] for state in states]
    assert ranks == sorted(ranks)
    assert shares == sorted(shares)
    assert states[-1]["status"] == "done"
    assert shares[-1] == 1
    assert [row["file"] for row in states[-1]["result"]["files"]] == [f"{k}.png" for k in range(4)]


def test_a_result_is_its_file_its_preview_and_in_the_zip(client, tmp_path):
    for mode in ("RGB", "RGBA", "L"):
        state = enhance(client, ("a.png", png(mode=mode)), ("b.png", png(seed=1)), outscale="2")
        at = f"/api/jobs/{state['id']}/files/results/a.png"
        saved = np.asarray(Image.open(io.BytesIO(client.get(at).content)))
        seen = np.asarray(
            Image.open(io.BytesIO(client.get(f"/api/enhance/{state['id']}/preview/results/a.png").content))
        )
        assert saved.shape[:2] == (12, 16), mode
        assert np.array_equal(saved, seen), mode
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"/api/enhance/{state['id']}/zip").content))
        assert archive.namelist() == ["a.png", "b.png"]
        assert archive.read("a.png") == client.get(at).content
    _, event = hold(client)
    waiting = client.post(
        "/api/enhance", files={"images": ("a.png", png())}, data={"model": "bicubic", "outscale": "2"}
    ).json()
    assert "no results" in sentence(client.get(f"/api/enhance/{waiting['id']}/zip"), 400)
    event.set()


@pytest.mark.parametrize(
    "form", [{"verb": "explode"}, {"outscale": "99"}, {"outscale": "x"}, {"strength": "2"}, {"iterations": "0"}]
)
def test_values_out_of_range_are_refused(client, form):
    sentence(
        client.post(
            "/api/enhance", files={"images": ("a.png", png())}, data={"model": "bicubic", "outscale": "2"} | form
        ),
        422,
    )
    assert not list(client.app.state.jobs.place.iterdir())


# Explore, Judge, Models


def test_explore(explorer):
    abilities = explorer.get("/api/explore/abilities/runs/cgan").json()
    assert abilities["name"] == "runs/cgan"
    assert len(abilities["classes"]) == 10
    pixels = {}
    for query in ("seeds=0-3", "seeds=3,2,1,0", "seeds=0-3&trunc=0.5", "seeds=0-3&label=3", "seeds=0-3&label=4"):
        answer = explorer.get(f"/api/explore/wall/runs/cgan?{query}&columns=2")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png", answer.text
        pixels[query] = answer.content
        assert explorer.get(f"/api/explore/wall/runs/cgan?{query}&columns=2").content == answer.content
    assert len(set(pixels.values())) == len(pixels)
    for kind, start in (("gif", b"GIF8"), ("png", b"\x89PNG"), ("mp4", b"ftyp")):
        if kind in abilities["tools"]["path"]:
            answer = explorer.post(f"/api/explore/walk/{kind}/runs/gan", json={"seeds": [1, 2], "steps": 3})
            assert answer.status_code == 202
            job = wait(explorer, answer.json())
            assert job["result"] == {"file": f"walk.{kind}", "frames": 6}
            film = explorer.get(f"/api/jobs/{job['id']}/files/walk.{kind}").content
            assert film[4 * (kind == "mp4") :].startswith(start)  # after the size of its first box
            assert len(film) > 100


def test_explore_moves_mixes_and_projects(explorer):
    tools = explorer.get("/api/explore/abilities/runs/gan").json()["tools"]
    assert tools["directions"] == {"names": [f"sefa{k}" for k in range(6)], "reach": 3}
    assert tools["mix"] == {"spaces": ["z"]}
    rows = explorer.get("/api/explore/directions/runs/gan").json()
    assert [row["name"] for row in rows] == tools["directions"]["names"]
    wall = "/api/explore/wall/runs/gan?seeds=0-3"
    still = explorer.get(wall).content
    assert explorer.get(f"{wall}&moves=sefa0=0").content == still
    walls = {explorer.get(f"{wall}&moves={m}").content for m in ("sefa0=2", "sefa0=-2", "sefa1=2", "sefa0=2,sefa1=2")}
    assert len({*walls, still}) == 5
    for moves in ("sefa99=1", "sefa0=x", "sefa0=99", "sefa0"):
        sentence(explorer.get(f"{wall}&moves={moves}"), 400)
    answer = explorer.get("/api/explore/mix/runs/cgan?rows=0-1&columns=2-4&label=3")
    with Image.open(io.BytesIO(answer.content)) as table:
        assert table.width > table.height
    sentence(explorer.get("/api/explore/mix/runs/gan?rows=0-31&columns=0-31"), 400)
    photo = {"image": ("a.png", png((20, 10)), "image/png")}
    job = wait(explorer, explorer.post("/api/explore/project/runs/gan", files=photo, data={"steps": 3}).json())
    assert {"psnr", "lpips", "notes"} <= job["result"].keys()
    assert explorer.get(f"/api/jobs/{job['id']}/files/projected.png").content[:4] == b"\x89PNG"
    broken = {"image": ("a.png", b"no image", "image/png")}
    assert (
        "a.png"
        in wait(explorer, explorer.post("/api/explore/project/runs/gan", files=broken).json(), "failed")["problem"]
    )


def test_explore_refuses(explorer):
    wall = "/api/explore/wall/runs/cgan"
    for seeds in ("", "-1", "a", "0-64", "3-1", "1,,2", "9" * 30, "0x1", "\u0663"):
        sentence(explorer.get(wall, params={"seeds": seeds}), 400)
    for query in ("trunc=3", "trunc=nan", "columns=0", f"seeds={'1,' * 2000}"):
        sentence(explorer.get(f"{wall}?{query}"), 422)
    sentence(explorer.get(f"{wall}?label=nonsense"), 400)
    sentence(explorer.post("/api/explore/walk/exe/runs/gan", json={"seeds": [1, 2]}), 400)
    for walk in ({"seeds": [1]}, {"seeds": [-1, 2]}, {"seeds": [1, 2], "steps": 1}, {"seeds": [1, 2], "more": 1}, {}):
        sentence(explorer.post("/api/explore/walk/gif/runs/gan", json=walk), 422)
    for name in ("compact-x2", "bicubic", "runs/none", "runs", "runs/", "none"):
        sentence(explorer.get(f"/api/explore/abilities/{name}"), 400)


def test_a_film_too_long_and_walls_too_many_are_refused(explorer, monkeypatch):
    monkeypatch.setattr("ganvas.studio.explore_routes.MOST_PIXELS", 8 * 64 * 64)
    long = sentence(explorer.post("/api/explore/walk/gif/runs/gan", json={"seeds": [1, 2, 3], "steps": 3}), 400)
    assert "9 frames of 8x8" in long
    assert "at most 8" in long
    assert explorer.post("/api/explore/walk/gif/runs/gan", json={"seeds": [1, 2], "steps": 4}).status_code == 202
    sentence(explorer.post("/api/explore/walk/gif/runs/cgan", json={"seeds": [1, 2], "steps": 2, "label": "none"}), 400)
    monkeypatch.setattr("ganvas.studio.explore_routes.MOST_WAITING", 0)
    assert "wait" in sentence(explorer.get("/api/explore/wall/runs/gan"), 429)


def test_judge_shows_nearest_images(explorer, trained):
    place = trained / "runs" / "uploads"
    for name, seeds in (("a", (1, 2, 3)), ("b", (7, 3, 1))):
        (place / name).mkdir(parents=True)
        for k, seed in enumerate(seeds):
            (place / name / f"{k}.png").write_bytes(png((16, 16), seed=seed))
    with zipfile.ZipFile(place / "b.zip", "w") as archive:
        for k in range(3):
            archive.write(place / "b" / f"{k}.png", f"{k}.png")
    for b in ("uploads/b", "uploads/b.zip"):
        answer = explorer.post("/api/judge/nearest", json={"a": "uploads/a", "b": b, "count": 2})
        job = wait(explorer, answer.json())
        rows = {name: [(row["b"], row["a"]) for row in job["result"][name]] for name in ("nearest", "farthest")}
        assert rows["nearest"] == [(1, 2), (2, 0)]  # the two copies
        assert [b for b, _ in rows["farthest"]] == [0]
        distances = [row["distance"] for name in rows for row in job["result"][name]]
        assert distances[:2] == [0, 0]
        assert distances[2] > 0.01
        for file in ("a_file", "b_file"):
            content = explorer.get(f"/api/jobs/{job['id']}/files/{job['result']['nearest'][0][file]}").content
            assert Image.open(io.BytesIO(content)).getpixel((3, 3)) == tuple(pixels_of(png((16, 16), seed=3))[0, 0])
    for sides in ({"a": "/etc", "b": "uploads/a"}, {"a": "uploads/a", "b": "uploads/../.."}):
        sentence(explorer.post("/api/judge/nearest", json=sides), 400)
    points = explorer.post("/api/judge/nearest", json={"a": "data/ring", "b": "data/grid"})
    assert "Points" in wait(explorer, points.json(), "failed")["problem"]


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_judge(explorer):
    metrics = explorer.get("/api/judge").json()
    assert {"psnr", "kid", "modes"} <= {row["name"] for row in metrics["metrics"]}
    sides = {"a": "data/ring", "b": "data/grid"}
    for question in (
        {"metric": "none", **sides}, {"metric": "psnr", **sides, "options": {"depth": 1}},
        {"metric": "kid", "a": "ring", "b": "data/x"}, {"metric": "kid", **sides, "options": {"cache": "elsewhere/x"}},
        {"metric": "kid", **sides, "options": {"features": "elsewhere/evil.pth"}},
        {"metric": "modes", **sides, "options": {"classifier": "/etc/passwd"}},
        {"metric": "discriminator", **sides, "options": {"held_out": "runs/../.."}},
    ):  # fmt: skip
        sentence(explorer.post("/api/judge", json=question), 400)
    sentence(explorer.post("/api/judge", json={"metric": "psnr", "a": 1}), 422)
    question = {"metric": "kid", "a": "data/digits", "b": "runs/gan"}
    question["options"] = {"samples": 64, "size": 32, "subsets": 2, "resolution": 8}
    answer = explorer.post("/api/judge", json=question)
    numbers = wait(explorer, answer.json())["result"]["numbers"]
    assert "kid" in json.dumps(numbers)
    assert "64" in json.dumps(numbers)
    shown = explorer.get("/api/runs", params={"name": "gan"}).json()["runs"]
    assert (
        next(card for card in shown if card["name"] == "gan")["measure"]["kid"] == numbers["kid"]
    )  # kept with its run


def test_models(explorer, trained, monkeypatch):
    (trained / "models" / "gone.pth").symlink_to(trained / "nothing")
    (trained / "models" / "w.pth").write_bytes(b"x")
    models = explorer.get("/api/models").json()
    assert {row["name"] for row in models["embedded"]} == set(EMBEDDED)
    assert {row["name"] for row in models["own"]} == {"models/w.pth", "runs/gan", "runs/cgan"}
    assert all(row["sha256"] and row["bytes"] for row in models["public"])
    sentence(explorer.post("/api/models/public/none"), 400)


# Runs


def test_presets_of_recipes_and_their_options(client, monkeypatch):
    for device, usual in (("cpu", "tiny"), ("cuda", "paper")):
        monkeypatch.setattr("ganvas.studio.runs_routes.pick_device", lambda device=device: torch.device(device))
        recipes = {entry["name"]: entry for entry in client.get("/api/runs/recipes").json()["recipes"]}
        assert (recipes["dcgan"]["presets"], recipes["dcgan"]["preset"]) == (["tiny", "small", "paper"], usual)
        assert (recipes["gan_points"]["presets"], recipes["gan_points"]["preset"]) == (["paper"], "paper")
    widths = []
    for preset in ("", "?preset=tiny", "?preset=paper"):
        options = {option["path"]: option["value"] for option in client.get(f"/api/runs/recipes/dcgan{preset}").json()}
        widths.append(options["generator.width"])
    assert widths == [64, 32, 64]
    sentence(client.get("/api/runs/recipes/dcgan?preset=huge"), 400)
    right = {"name": "a", "recipe": "gan_points", "data": "grid"}
    sentence(client.post("/api/runs", json=right | {"preset": "tiny"}), 400)


def test_runs_that_cannot_start_are_refused(client, tmp_path):
    right = {"name": "a", "recipe": "gan", "data": "digits"}
    (tmp_path / "runs" / "old").mkdir()
    (tmp_path / "runs" / "old" / "config.json").write_text("{}")
    for name in ("", ".", "..", "a/b", ".a", "-a", "a\nb", "x" * 81, "\U00020000" * 80, "uploads", "old"):
        sentence(client.post("/api/runs", json=right | {"name": name}), 400)
    sentence(client.post("/api/runs", json=right | {"recipe": "none"}), 400)
    for data in ("", "none", "/etc", "uploads/none", "uploads/../..", "edges:digits"):
        sentence(client.post("/api/runs", json=right | {"data": data}), 400)
    for wrong in (
        {"images": 0},
        {"minutes": -1},
        {"seed": -1},
        {"batch": 1.5},
        {"more": 1},
        {"options": {"a": "b" * 401}},
    ):
        sentence(client.post("/api/runs", json=right | wrong), 422)
    sentence(client.get("/api/runs/recipes/none"), 400)
    for act in ("stop", "resume"):
        sentence(client.post(f"/api/runs/{act}/none"), 400)
    sentence(client.post("/api/runs/stop/old"), 400)
    sentence(client.delete("/api/runs/none"), 400)
    assert not (tmp_path / "runs" / ".starting").exists()


def test_a_damaged_run_does_not_hide_the_others(client, tmp_path, trained):
    for name, text in (("damaged", "{"), ("nan", '{"recipe": 1}'), ("list", "[]")):
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "config.json").write_text(text)
    shutil.copytree(trained / "runs" / "gan", tmp_path / "runs" / "good")
    shutil.copytree(trained / "runs" / "gan" / "model", tmp_path / "runs" / "good" / "best")  # as evaluations make it
    cards = {card["name"]: card for card in client.get("/api/runs").json()["runs"]}
    assert cards["good"]["state"] == "finished"
    assert cards["damaged"]["state"] == "damaged"
    assert set(cards) == {"damaged", "nan", "list", "good"}


def test_data_for_runs_are_uploaded(client, tmp_path):
    files = [("images", ("../a.png", png())), ("images", ("a.png", png()))]
    answer = client.post("/api/runs/data/mine", files=files)
    assert answer.status_code == 201
    assert answer.json() == {"name": "uploads/mine", "files": 2}
    assert sorted(p.name for p in (tmp_path / "runs" / "uploads" / "mine").iterdir()) == ["a-2.png", "a.png"]
    sentence(client.post("/api/runs/data/mine", files=files), 400)
    sentence(client.post("/api/runs/data/.x", files=files), 400)
    assert client.post("/api/runs/data/zip", files=[("images", ("z.zip", b"PK"))]).json()["name"] == "uploads/zip/z.zip"
    sentence(client.post("/api/runs/data/none", files=[("images", ("..", b""))]), 400)
    assert not (tmp_path / "runs" / "uploads" / "none").exists()


def test_a_run_shows_its_log_and_nearest_training_images(explorer):
    page = explorer.get("/api/runs/page", params={"name": "gan"}).json()
    assert page["cards"][0]["state"] == "finished"
    assert {"samples", "doctor", "metrics", "curves", "recipe"} <= {part["key"] for part in page["sections"]}
    lines = explorer.get("/api/runs/log/gan").json()["lines"]
    assert lines[-1]["images"] == page["cards"][0]["images"]
    job = wait(explorer, explorer.post("/api/runs/nearest/gan").json())
    assert "training image" in job["result"]["html"]
    assert job["result"]["problems"] == []
    for answer in (explorer.get("/api/runs/log/../x"), explorer.post("/api/runs/nearest/none")):
        assert 400 <= answer.status_code < 500


def test_a_failed_start_or_resume_says_so_on_its_card(client, tmp_path, trained):
    run = tmp_path / "runs" / "old"
    shutil.copytree(trained / "runs" / "gan", run)
    log = tmp_path / "runs" / ".starting" / "old.log"
    log.parent.mkdir()
    log.write_text("")  # its process was started a moment ago
    assert card(client, "old")["state"] == "starting"
    log.write_text("Resuming ...\nganvas: The data have\n  changed.\n")
    assert card(client, "old")["problem"] == "The data have changed."
    log.write_text("Traceback (most recent call last):\n  File ...\nValueError: odd\n")
    assert card(client, "old")["problem"] == "ValueError: odd"
    assert client.get("/api/runs/log/old").json()["output"].endswith("odd")
    log.write_text("Samples: here\n")
    assert card(client, "old")["problem"] == ""
    sentence(client.delete("/api/runs/starting/old"), 400)
    (log.parent / "new.log").write_text("ganvas: There is no such option.\n")
    assert client.get("/api/runs").json()["starting"][0]["state"] == "failed"
    assert client.delete("/api/runs/starting/new").json()["state"] == "forgotten"
    assert client.get("/api/runs").json()["starting"] == []
    sentence(client.delete("/api/runs/starting/../x"), 400)


def card(client, name):
    listed = client.get("/api/runs").json()
    failed = [row for row in listed["starting"] if row["state"] == "failed"]
    assert not failed
    return next((row for row in listed["runs"] if row["name"] == name), {"state": "none", "images": 0})


def until(client, name, state, images=0, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = card(client, name)
        if now["state"] == state and now["images"] >= images:
            return now
        time.sleep(0.1)
    raise AssertionError(f"{now} is not {state}; {list(Path.cwd().glob('*'))}")


def test_a_run_is_a_process_that_the_folder_knows(tmp_path):
    wish = {"name": "real run", "recipe": "gan", "data": "digits", "images": 100_000_000, "resolution": "8", "seed": 0}
    wish["options"] = {key: str(value) for key, value in narrow("gan").items()}
    with studio(tmp_path) as client:
        assert client.post("/api/runs", json=wish).status_code == 202
        until(client, "real run", "running")
        time.sleep(1.5)
        sentence(client.post("/api/runs", json=wish), 400)
        sentence(client.delete("/api/runs/real run"), 400)
        sentence(client.post("/api/runs/resume/real run"), 400)
    with studio(tmp_path) as client:  # another server
        assert card(client, "real run")["state"] == "running"
        assert client.post("/api/runs/stop/real run").status_code == 200
        stopped = until(client, "real run", "stopped", 1)
        assert list((tmp_path / "runs" / "real run").rglob("*state*"))
        assert client.post("/api/runs/resume/real run").status_code == 202
        until(client, "real run", "running", stopped["images"])
        number = run_holder(tmp_path / "runs" / "real run")[0]
        os.kill(number, signal.SIGKILL)
        until(client, "real run", "died", 1)
        page = client.get("/api/runs/page", params={"name": "real run"}).json()
        assert page["sections"]
        assert "<script" not in json.dumps(page)
        trash = Path(client.delete("/api/runs/real run").json()["trash"])
        assert trash.parent == tmp_path / "runs" / ".trash"
        assert (trash / "config.json").exists()
        assert client.get("/api/runs").json()["runs"] == []
        sentence(client.post(f"/api/runs/resume/.trash/{trash.name}"), 400)


def test_a_run_finishes_and_one_that_fails_says_why(tmp_path):
    with studio(tmp_path) as client:
        wish = {"name": "short", "recipe": "gan", "data": "digits", "images": 64, "resolution": "8"}
        assert (
            client.post("/api/runs", json=wish | {"options": dict.fromkeys(["generator.width"], "4")}).status_code
            == 202
        )
        assert client.post("/api/runs", json=wish | {"name": "bad", "options": {"nonsense": "1"}}).status_code == 202
        end, rows = time.monotonic() + 40, []
        while time.monotonic() < end and not any(row["state"] == "failed" for row in rows):
            rows = client.get("/api/runs").json()["starting"]
            time.sleep(0.1)
        assert "nonsense" in next(row["problem"] for row in rows if row["name"] == "bad")


# The server and the command


def serve(app, port):
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    return server, thread


def ask(port, head, body=b"", read=True):
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(20)
        line.sendall(head.encode().replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)
        return line.recv(65536) if read else b""


def test_a_real_server(tmp_path):
    """Clients that go away, many that listen, a second server on the same port."""
    place = make_place(tmp_path, tmp_path, "127.0.0.1", 7930)
    app = create_app(place)
    server, thread = serve(app, place.port)
    jobs, port, event = app.state.jobs, place.port, threading.Event()
    try:
        assert make_place(tmp_path, tmp_path, "127.0.0.1", port).port > port
        head = f"POST /api/enhance HTTP/1.1\nhost: 127.0.0.1:{port}\ncontent-length: 100000\n"
        head += "content-type: multipart/form-data; boundary=b"
        part = b'--b\r\ncontent-disposition: form-data; name="images"; filename="a.png"\r\n\r\n' + bytes(5000)
        for path in ("/api/enhance", "/api/runs/data/cut"):
            ask(port, head.replace("/api/enhance", path), part, read=False)  # goes away in the middle
        assert b" 421 " in ask(port, "GET /api/runs HTTP/1.1\nhost: evil.example").split(b"\r\n")[0]
        job = jobs.add("hold", lambda job: {"x": event.wait(20)})
        lines = []
        for _ in range(100):  # pages that follow a job hold no thread
            line = socket.create_connection(("127.0.0.1", port))
            line.sendall(f"GET /api/jobs/{job.id}/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
            lines.append(line)
        time.sleep(0.5)
        start = time.monotonic()
        assert b"HTTP/1.1 200" in ask(port, f"GET /api/jobs/{job.id} HTTP/1.1\nhost: 127.0.0.1:{port}")
        assert time.monotonic() - start < 2
        for line in lines:
            line.close()
        assert list(jobs.place.iterdir()) == [job.folder]
        assert not (tmp_path / "uploads").exists()
    finally:
        event.set()
        server.should_exit = True
        thread.join(10)
        jobs.close()


def test_a_server_leaves_no_files_and_removes_those_of_one_that_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ganvas.studio.scratch.YOUNG", -1.0)
    (tmp_path / "ganvas-studio-files-killed" / "inside").mkdir(parents=True)
    (tmp_path / "ganvas-studio-files-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    other = Jobs()  # of a server that lives
    other.new_folder()
    with studio(tmp_path) as client:
        job = client.app.state.jobs.add("x", lambda job: {"size": (job.folder / "x").write_bytes(b"x")})
        wait(client, {"id": job.id})
        assert not (tmp_path / "ganvas-studio-files-killed").exists()
        assert client.app.state.jobs.thread.is_alive()
        assert len(list(tmp_path.glob("ganvas-studio-files-*/*"))) == 2
    assert not client.app.state.jobs.thread.is_alive()
    other.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"ganvas-studio-files-link", "elsewhere", "runs", "models"}
    create_app(Place(tmp_path, tmp_path))  # without a request there is no folder
    assert len(list(tmp_path.glob("ganvas-studio-files-*"))) == 1


class Distant:
    """A client of a server in another process, with what `card` and `until` need."""

    def __init__(self, address):
        self.address = address

    def get(self, path):
        with urllib.request.urlopen(self.address + path) as answer:
            content = json.load(answer)
        return SimpleNamespace(json=lambda: content)

    def post(self, path, data=None):
        kind = {"content-type": "application/json"}
        request = urllib.request.Request(self.address + path, json.dumps(data).encode(), kind, method="POST")
        with urllib.request.urlopen(request) as answer:
            return answer.status


@pytest.mark.slow
def test_runs_outlive_a_server_that_is_killed(tmp_path):
    """`kill -9` of the command while a run trains: the run goes on, and a new server shows it and stops it."""
    line = [sys.executable, "-m", "ganvas", "studio", "--no-open", "--port", "7960"]
    line += ["--runs", "runs", "--models", "models"]
    wish = {"name": "long", "recipe": "gan", "data": "digits", "images": 100_000_000, "resolution": "8"}
    wish["options"] = {key: str(value) for key, value in narrow("gan").items()}

    def begin():
        process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        return process, Distant(address.rstrip("/"))

    (tmp_path / "runs").mkdir()
    first, client = begin()
    second = None
    try:
        assert client.post("/api/runs", wish) == 202
        until(client, "long", "running")
        holder = run_holder(tmp_path / "runs" / "long")
        first.kill()
        first.wait()
        second, client = begin()
        until(client, "long", "running")
        assert run_holder(tmp_path / "runs" / "long") == holder
        assert client.post("/api/runs/stop/long") == 200
        until(client, "long", "stopped", 1)
    finally:
        for process in filter(None, (first, second)):
            process.terminate()
            process.wait(20)
        if holder := run_holder(tmp_path / "runs" / "long"):
            os.kill(holder[0], signal.SIGKILL)


def test_ports_and_hosts(monkeypatch):
    with pytest.raises(UserError, match="no address of this machine"):
        free_port("192.0.2.1", 7940)
    with socket.create_server(("127.0.0.1", 65535)), pytest.raises(UserError, match="taken"):
        free_port("127.0.0.1", 65535)


def test_a_missing_package_is_one_sentence(command, monkeypatch):
    from ganvas.cli import studio as module

    for name in ("fastapi", "python_multipart"):
        monkeypatch.setattr(module, "find_spec", lambda asked, name=name: None if asked == name else object())
        code, _, err = command("studio", "--no-open")
        assert code
        assert name in err
        assert "ganvas[studio]" in err
        assert "Traceback" not in err


def test_apply_is_the_command_bit_for_bit(command, tmp_path):
    for name, seed in (("content", 0), ("style", 1)):
        (tmp_path / f"{name}.png").write_bytes(png((96, 80), seed=seed))
    content, style = tmp_path / "content.png", tmp_path / "style.png"
    options = ApplyOptions(model="compact-x2", strength=0.5)
    apply("upscale", content, tmp_path / "a.png", options)
    model = ("--model", "compact-x2", "--strength", 0.5)
    assert command("upscale", "-i", content, "-o", tmp_path / "b.png", *model)[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    options = ApplyOptions(styles=(style,), iterations=3)
    apply("stylize", content, tmp_path / "c.png", options)
    assert command("stylize", content, style, "-o", tmp_path / "d.png", "--iterations", 3)[0] == 0
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "d.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "wish", "outcome"), [("a_browser", "1", "failed"), ("a_browser", "", "skipped"), ("a", "1", "skipped")]
)
def test_continuous_integration_skips_no_browser_test(monkeypatch, name, wish, outcome):
    monkeypatch.setenv("GANVAS_NEED_BROWSER", wish)
    reason = ("conftest.py", 1, "Skipped: no Chromium here")
    report = needed(pytest.CollectReport(name, "skipped", reason, []), Path(f"test_{name}.py"))
    assert report.outcome == outcome
    assert "no Chromium here" in str(report.longrepr)
