"""Model folders: `generator.safetensors` with its `config.json`, alone or as `model/` inside a run."""

from pathlib import Path

WEIGHTS = "generator.safetensors"


def model_folder(path: Path) -> Path | None:
    """The model folder at a path: that of a run (`path/model`), or the path itself; None if there is none."""
    return next((folder for folder in (path / "model", path) if (folder / WEIGHTS).is_file()), None)
