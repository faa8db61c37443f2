"""Lists of models: those of the package, public weights, and a user's own below folders of runs and models."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import read_json
from .cards import EMBEDDED
from .folder import model_folder, weights_of

FILES = (".safetensors", ".pth", ".pt", ".bin", ".onnx")
MOST = 500  # own models that are listed


@dataclass(frozen=True)
class OwnModel:
    """A model folder or a weight file of the user's."""

    path: Path  # as given to --model
    kind: str  # folder or file
    bytes: int  # of its weights


def own_models(root: Path, *, files: bool = True) -> list[OwnModel]:
    """Model folders and, with `files`, weight files two levels below a folder, at most `MOST`."""
    rows: list[OwnModel] = []
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        path = Path(folder)
        depth = len(path.relative_to(root).parts)
        if depth and (weights := model_folder(path)):
            rows.append(OwnModel(path, "folder", weights_of(weights).stat().st_size))
            inner.clear()
            continue
        for name in sorted(names) if files else ():
            if name.lower().endswith(FILES) and (path / name).is_file():
                rows.append(OwnModel(path / name, "file", (path / name).stat().st_size))
        if depth >= 2 or len(rows) >= MOST:
            inner.clear()
    return rows


def embedded_rows() -> list[dict[str, Any]]:
    """The embedded models as JSON: their cards, with the smallest facts first."""
    return [{"name": card.name, **asdict(card)} for card in EMBEDDED.values()]


def own_rows(*roots: tuple[Path, bool]) -> list[dict[str, Any]]:
    """The user's own models below folders, each with whether its weight files count: name, commands, purpose."""
    own = [model for root, files in roots for model in own_models(root, files=files)]
    return [{"name": str(model.path), "kind": model.kind, "purpose": _purpose(model)} for model in own[:MOST]]


def _purpose(model: OwnModel) -> str:
    """The recipe and the data of an own model, as far as its config.json says them."""
    run = model.path / "config.json"
    try:
        config = read_json(run) if model.kind == "folder" and run.is_file() else {}
    except UserError:
        return "Damaged config.json."
    name, data = config.get("recipe_name"), config.get("data")
    source = Path(str(data.get("source", ""))).name if isinstance(data, dict) else ""
    return f"{name} on {source}." if name else ("Model folder." if model.kind == "folder" else "Weight file.")
