"""Model folders: `generator.safetensors` with its `config.json`, alone or as `model/` inside a run."""

from pathlib import Path

WEIGHTS = "generator.safetensors"
HUB_WEIGHTS = "model.safetensors"  # their name on the Hugging Face Hub


def weights_of(folder: Path) -> Path:
    """The weights of a model folder."""
    return folder / WEIGHTS if (folder / WEIGHTS).is_file() else folder / HUB_WEIGHTS


def _is_model(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file() or ((folder / HUB_WEIGHTS).is_file() and (folder / "config.json").is_file())


def model_folder(path: Path) -> Path | None:
    """The model folder at a path: that of a run (`path/model`), or the path itself; None if there is none."""
    return next((folder for folder in (path / "model", path) if _is_model(folder)), None)
