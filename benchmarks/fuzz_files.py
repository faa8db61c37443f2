"""Mutated runs, models, states, statistics, weight and data files for `fuzz.py`, and what is done with each."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from fuzz_bytes import VALUES, Case, mutate_archive, mutate_bytes, mutate_json, mutate_value, pick

TINY = {"images": 24, "batch": 8, "snapshot_images": 8, "device": "cpu"}
NARROW = ("generator.width=2", "discriminator.width=2")


# --- seeds -------------------------------------------------------------------------------------------------


@cache
def base() -> Path:
    """A folder with a run, statistics, foreign weights and data, made once a process."""
    import torch

    from ganvas import catalog
    from ganvas.checkpoints.files import Checkpoint, write
    from ganvas.metrics.frechet import Gaussian
    from ganvas.metrics.statistics import save_statistics
    from ganvas.models.foreign import build_network

    top = Path(tempfile.mkdtemp(prefix="ganvas-fuzz-base-", dir=os.environ.get("FUZZ_FOLDER")))
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (24, 8, 8, 1), np.uint8), np.arange(24) % 3
    np.savez(top / "data.npz", images=images, labels=labels)
    np.save(top / "data.npy", images)
    for name, magic, content in (("images-idx3", 3, images), ("labels-idx1", 1, labels.astype(np.uint8))):
        sizes = struct.pack(">III", 24, 8, 8) if magic == 3 else struct.pack(">I", 24)
        for suffix, opened in (("", open), (".gz", gzip.open)):
            with opened(top / f"{name}-ubyte{suffix}", "wb") as file:
                file.write(bytes([0, 0, 8, magic]) + sizes + content.tobytes())
    _train(top / "run", top / "data.npz")
    gaussian = Gaussian(torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64), 20)
    save_statistics(top / "statistics.npz", gaussian, {"features": "pocket", "images": 20})
    known = {"scale": 2, "channels": 3, "width": 4, "convolutions": 1, "activation": "prelu"}
    torch.manual_seed(0)
    network = catalog.NETWORKS["compact"](**known)
    checkpoint = Checkpoint("compact", known, dict(network.state_dict()))
    build_network(checkpoint)
    write(top / "weights.safetensors", checkpoint)
    write(top / "weights.pth", checkpoint)
    _save_again(top / "weights.pth")
    torch.save(network.state_dict(), top / "old.pth", _use_new_zipfile_serialization=False)
    return top


def _train(folder: Path, data: Path) -> None:
    """A short run whose files do not depend on the time or the process."""
    from ganvas import api

    api.train("dcgan", data=str(data), outdir=folder, **TINY, set=NARROW, hold_out=4)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for name, rows in (
        ("log", [{**line, "seconds": 1.5, "images_per_second": 8.5} for line in lines]),
        ("evaluation", [{"metric": "fd", "trained_images": k, "fd": 10.0 / k} for k in (8, 16, 24)]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for state in (folder / "state").glob("*.pt"):
        _save_again(state, seconds=1.5)
    (folder / "report.html").unlink(missing_ok=True)


def _save_again(file: Path, **changes: float) -> None:
    """Write a .pt or .pth without its own name inside, which PyTorch adds and which holds the number of the process."""
    import torch

    out = io.BytesIO()
    torch.save({**torch.load(file, weights_only=True), **changes}, out)
    file.write_bytes(out.getvalue())


# --- mutations of one file -----------------------------------------------------------------------------------


class Canary:
    """An object whose unpickling would run a command."""

    def __init__(self, rng):
        self.call = pick(
            rng, ((os.system, ("true",)), (eval, ("1",)), (exec, ("1",)), (os.getcwd, ()), (open, ("x", "w")))
        )

    def __reduce__(self):
        return self.call


def mutate(rng, file: Path) -> str:
    """Change one file in place, by its kind as long as it still is of that kind."""
    data = file.read_bytes()
    try:
        if rng.random() < 0.8:
            what, data = _by_kind(rng, file, data)
        else:
            what, data = mutate_bytes(rng, data, data)
    except (ValueError, RuntimeError, EOFError, OSError, LookupError, zipfile.BadZipFile, pickle.UnpicklingError):
        what, data = mutate_bytes(rng, data, data)
    file.write_bytes(data)
    return what


def _by_kind(rng, file: Path, data: bytes) -> tuple[str, bytes]:
    if file.suffix in (".json", ".jsonl"):
        return mutate_json(rng, data)
    if file.suffix in (".pt", ".pth"):
        return _mutate_torch(rng, data)
    if file.suffix == ".npz":
        return mutate_archive(rng, data, lambda name, content: _npy(rng))
    if file.suffix == ".npy":
        return "array", _npy(rng)
    if file.suffix == ".safetensors":
        return _mutate_safetensors(rng, data)
    if file.suffix == ".gz":
        raw = gzip.decompress(data)
        bomb = rng.random() < 0.05
        what, raw = ("bomb", raw[:8] + bytes(64 << 20)) if bomb else mutate_bytes(rng, raw, raw)
        return what, gzip.compress(raw, 1)
    return mutate_bytes(rng, data, data)


def _npy(rng) -> bytes:
    """An array of any type and shape, or one whose header is hostile."""
    if rng.random() < 0.3:
        size, kind = pick(rng, ("(6,)", "(6, 6)", "(99999999999,)", "(6, 6", "()", "(-1,)", "'x'", "(" * 500)), ""
        kind = pick(rng, ("'<f8'", "'|O'", "'<U999999999'", "[('a', '<f8')]", "'x", "'<M8[s]'", "None"))
        head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {size}, }}"
        head += " " * (63 - (len(head) + 10) % 64) + "\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + rng.bytes(288)
    shape = pick(rng, ((), (0,), (1,), (6,), (6, 6), (24,), (24, 8, 8, 1), (24, 8, 8), (2, 3, 8, 8), (3, 3, 3)))
    kind = pick(rng, ("f8", "f4", "f2", "i8", "u1", "u2", "i4", "b1", "c16", "U4", "S3", "M8[s]", "V4", ">f8"))
    content = rng.normal(size=shape) * pick(rng, (1, 1e300, 200)) if kind[0] != "U" else np.full(shape, "{}")
    if pick(rng, (0, 0, 1)) and kind in ("f8", "f4"):
        content = np.full(shape, pick(rng, (np.nan, np.inf, -np.inf, -1.0, 1e308)))
    if shape == () and pick(rng, (0, 1)):
        text = pick(
            rng, ("[" * 2000, "{}", "[]", '{"features": []}', '{"features": {"a": NaN}}', "", "9" * 5000, "x" * 9999)
        )
        content, kind = np.array(text), ""
    out = io.BytesIO()
    with np.errstate(all="ignore"):
        np.save(out, np.asarray(content).astype(kind) if kind else content)
    return out.getvalue()


def _mutate_torch(rng, data: bytes) -> tuple[str, bytes]:
    """Change a value inside a state or weights, or put in what unpickling would run."""
    import torch

    what = pick(rng, ("value", "value", "value", "value", "canary", "archive", "pickle"))
    if what == "archive" and data[:2] == b"PK":
        return mutate_archive(rng, data, lambda name, content: mutate_bytes(rng, content, data)[1])
    content = torch.load(io.BytesIO(data), weights_only=True)
    if what == "canary":
        key = pick(rng, list(content))
        content[key] = pick(rng, (Canary(rng), [Canary(rng)]))
    elif what == "pickle":
        return what, pickle.dumps({"trainer": Canary(rng)}, protocol=int(rng.integers(0, 5)))
    else:
        what, content = _change_tensors(rng, content)
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=data[:2] == b"PK")
    return what, out.getvalue()


def _change_tensors(rng, content):
    """Change one value or tensor at any depth."""
    import torch

    tensors = (
        torch.zeros(0),
        torch.zeros(3),
        torch.ones(2, 2).half(),
        torch.tensor(float("nan")),
        torch.zeros(4, dtype=torch.int8),
    )
    tensors = (
        *tensors,
        torch.zeros(1).expand(1 << 20),
        torch.eye(3).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
    )
    if rng.random() < 0.4:
        path, at = content, []
        while isinstance(path, dict) and path:
            at.append(pick(rng, list(path)))
            path = path[at[-1]]
        inside = content
        for key in at[:-1]:
            inside = inside[key]
        inside[at[-1]] = pick(rng, (*tensors, *VALUES[:20]))
        return f"tensor {at}"[:80], content
    return mutate_value(rng, content)


def _mutate_safetensors(rng, data: bytes) -> tuple[str, bytes]:
    size = struct.unpack("<Q", data[:8])[0]
    what, head = mutate_json(rng, data[8 : 8 + size])
    head = head.ljust(-(-len(head) // 8) * 8)
    return what, struct.pack("<Q", len(head)) + head + data[8 + size :]


# --- what is done with them --------------------------------------------------------------------------------


def _resume(run: Path) -> None:
    from ganvas import api

    session = api.prepare(api.TrainRequest(None, None, run, resume=True, images=32, device="cpu", set=()))
    try:
        for _ in session:
            pass
    finally:
        session.close()


def _init_from(run: Path) -> None:
    from ganvas import api

    source = base() / "data.npz"
    new = run.parent / "new"
    options = {"init_from": run, "device": "cpu", "images": 8, "batch": 8, "set": NARROW}
    api.prepare(api.TrainRequest("dcgan", str(source), new, **options)).close()
    shutil.rmtree(new, ignore_errors=True)
    api.prepare(api.TrainRequest(None, str(source), new, **options, init_raw=True)).close()


def _command(*arguments: object) -> None:
    """A command line in this process."""
    from ganvas import cli

    cli.app([*map(str, arguments)], standalone_mode=False)


def _doctor(run: Path) -> None:
    _command("doctor", run, "--json")


def _report(run: Path) -> None:
    from ganvas import api

    api.report(run, neighbours=False)


def _sample(run: Path) -> None:
    _command("sample", run, "-o", run.parent / "out", "--seeds", "0-1", "--device", "cpu")


def _evaluate(run: Path) -> None:
    from ganvas import api

    api.evaluate("fd", str(base() / "data.npz"), str(run), samples=4, device="cpu")


def _statistics(file: Path) -> None:
    from ganvas.evaluation.inputs import open_side
    from ganvas.metrics.frechet import frechet_distance
    from ganvas.metrics.statistics import load_statistics

    side = open_side(file)
    gaussian, _ = load_statistics(file)
    other, _ = load_statistics(base() / "statistics.npz")
    if gaussian.mean.shape == other.mean.shape:
        frechet_distance(gaussian, other)
    assert side.count >= 0, "a negative count"


def _weights(file: Path) -> None:
    from ganvas.models.model import load

    load(file, device="cpu")


def _data(file: Path) -> None:
    from ganvas.data.sources import open_source

    open_source(str(file), cache=file.parent / "cache")


RUN_FILES = {
    "config.json": 4,
    "log.jsonl": 2,
    "evaluation.jsonl": 1,
    "model/config.json": 3,
    "model/generator.safetensors": 2,
    "state/000000000024.pt": 4,
    "both states": 1,
}
ACTIONS: dict[str, Callable[[Path], None]] = {
    **{"resume": _resume, "init_from": _init_from, "doctor": _doctor, "report": _report, "sample": _sample},
    **{"evaluate": _evaluate, "statistics": _statistics, "weights": _weights, "data": _data},
}
USES = {  # by what reads a file
    "config.json": ("resume", "init_from", "doctor", "report"),
    "log.jsonl": ("resume", "doctor", "report"),
    "evaluation.jsonl": ("resume", "report"),
    "model/config.json": ("sample", "evaluate", "report", "init_from"),
    "model/generator.safetensors": ("sample", "evaluate"),
    "state/000000000024.pt": ("resume", "init_from"),
    "both states": ("resume", "init_from"),
}
SINGLE = {  # by the file
    **{
        "statistics.npz": "statistics",
        "weights.pth": "weights",
        "weights.safetensors": "weights",
        "old.pth": "weights",
    },
    **{"data.npz": "data", "data.npy": "data", "images-idx3-ubyte": "data", "images-idx3-ubyte.gz": "data"},
    **{"labels-idx1-ubyte": "data", "labels-idx1-ubyte.gz": "data"},
}


def case(rng, folder: Path) -> Case:
    """A mutated run folder with one command, or a single mutated file that is opened."""
    if rng.random() < 0.45:
        return _single(rng, folder)
    name = str(rng.choice(list(RUN_FILES), p=np.array([*RUN_FILES.values()]) / sum(RUN_FILES.values())))
    run = folder / "run"
    shutil.copytree(base() / "run", run)
    files = sorted((run / "state").glob("*.pt")) if name == "both states" else [run / name]
    what = ", ".join(mutate(rng, file) for file in files for _ in range(1 + int(rng.random() < 0.2)) if file.exists())
    action = pick(rng, USES[name])
    return Case(f"{action} {name}: {what}", lambda: _refusal(ACTIONS[action], run))


def _single(rng, folder: Path) -> Case:
    name = pick(rng, ("statistics.npz", *SINGLE))
    place = folder / name
    shutil.copy(base() / name, place)
    what = mutate(rng, place)
    if name.startswith("images-idx3"):
        shutil.copy(base() / "labels-idx1-ubyte", folder)
    elif name.startswith("labels-idx1"):
        shutil.copy(base() / "images-idx3-ubyte", folder)
        place = folder / "images-idx3-ubyte"
    return Case(f"{SINGLE[name]} {name}: {what}", lambda: _refusal(ACTIONS[SINGLE[name]], place))


def _refusal(action: Callable[[Path], None], place: Path) -> str:
    from ganvas.errors import UserError

    try:
        action(place)
    except UserError as problem:
        return str(problem)
    return ""
