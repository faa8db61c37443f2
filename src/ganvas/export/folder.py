"""Export a model folder: weights, config and card."""

import shutil
from pathlib import Path

from ..errors import UsageError
from ..files import atomic_write
from ..models.folder import model_folder


def export_folder(model: Path, output: Path) -> list[str]:
    """Copy a run's model folder and list its files; raises `UsageError` if there is none or `output` has content."""
    folder = model_folder(model)
    if folder is None:
        raise UsageError(f"{model} holds no model; a folder is made of a run. Weights go into .pth or .safetensors.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists already; give a folder that is new or empty.")
    with atomic_write(output) as part:
        shutil.copytree(folder, part)
    return sorted(str(f) for f in output.rglob("*") if f.is_file())
