"""Export a model folder: weights, config and card."""

import shutil
from pathlib import Path

from ..errors import UsageError
from ..files import atomic_write
from ..models.cards import embedded_card
from ..models.folder import model_folder
from ..paths import user_path


def export_folder(model: Path | str, output: Path) -> list[str]:
    """Copy the model folder of a run or of an embedded model and list its files.

    Raises `UsageError` if there is none or `output` has content.
    """
    card = embedded_card(model)
    folder = model_folder(card.locate() if card else user_path(model))
    if folder is None:
        raise UsageError(f"{model} holds no model; a folder is made of a run. Weights go into .pth or .safetensors.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists already; give a folder that is new or empty.")
    with atomic_write(output) as part:
        shutil.copytree(folder, part)
    return sorted(str(f) for f in output.rglob("*") if f.is_file())
