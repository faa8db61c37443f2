"""Public API: train, load, evaluate, enhance, edit, stylize, report; imported on first use."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Recipe as Recipe
    from .config import Spec as Spec
    from .config import options as options
    from .data.dataset import Dataset as Dataset
    from .data.sources import open_source as open_source
    from .data.toy import modes as modes
    from .data.toy import points_dataset as points_dataset
    from .errors import UserError as UserError
    from .evaluation.cluster import cluster as cluster
    from .evaluation.evaluate import evaluate as evaluate
    from .evaluation.evaluate import find_metric as find_metric
    from .evaluation.evaluate import record_evaluation as record_evaluation
    from .evaluation.export_features import export_features as export_features
    from .evaluation.nearest import ImagePair as ImagePair
    from .evaluation.nearest import nearest_images as nearest_images
    from .evaluation.probe import probe as probe
    from .imaging.grid import grid as grid
    from .imaging.grid import save_walk as save_walk
    from .imaging.provenance import GENERATED as GENERATED
    from .imaging.provenance import png_mark as png_mark
    from .inference.apply import ApplyOptions as ApplyOptions
    from .inference.apply import apply as apply
    from .inference.apply import preview as preview
    from .inference.edit_image import edit_region as edit_region
    from .inference.edit_image import remove as remove
    from .inference.enhance_image import enhance as enhance
    from .inference.stylize import stylize as stylize
    from .latent.codes import Codes as Codes
    from .latent.directions import Direction as Direction
    from .latent.directions import mixing_space as mixing_space
    from .latent.discover import sefa_names as sefa_names
    from .latent.photos import read_photos as read_photos
    from .latent.synthesize import synthesize as synthesize
    from .metrics.modes import coverage as coverage
    from .models.cards import EMBEDDED as EMBEDDED
    from .models.cards import NAMES as NAMES
    from .models.cards import PLAIN as PLAIN
    from .models.cards import embedded_card as embedded_card
    from .models.folder import model_folder as model_folder
    from .models.listing import own_models as own_models
    from .models.model import Model as Model
    from .models.model import accuracy as accuracy
    from .models.model import load as load
    from .reporting import report as report
    from .reporting.read import read_records as read_records
    from .run import Run as Run
    from .training.lock import run_holder as run_holder
    from .training.request import TrainRequest as TrainRequest
    from .training.session import Session as Session
    from .training.session import build_trainer as build_trainer
    from .training.session import find_recipe as find_recipe
    from .training.session import prepare as prepare
    from .training.session import train as train
    from .training.trainer import Trainer as Trainer

HOMES = {
    **dict.fromkeys(["Recipe", "Spec", "options"], "config"),
    "Dataset": "data.dataset",
    "open_source": "data.sources",
    **dict.fromkeys(["modes", "points_dataset"], "data.toy"),
    "coverage": "metrics.modes",
    "UserError": "errors",
    **dict.fromkeys(["evaluate", "find_metric", "record_evaluation"], "evaluation.evaluate"),
    **dict.fromkeys(["ImagePair", "nearest_images"], "evaluation.nearest"),
    "cluster": "evaluation.cluster",
    "export_features": "evaluation.export_features",
    "probe": "evaluation.probe",
    **dict.fromkeys(["grid", "save_walk"], "imaging.grid"),
    "Codes": "latent.codes",
    **dict.fromkeys(["Direction", "mixing_space"], "latent.directions"),
    "sefa_names": "latent.discover",
    "read_photos": "latent.photos",
    **dict.fromkeys(["GENERATED", "png_mark"], "imaging.provenance"),
    **dict.fromkeys(["EMBEDDED", "NAMES", "PLAIN", "embedded_card"], "models.cards"),
    "model_folder": "models.folder",
    "own_models": "models.listing",
    "weights": "checkpoints.download:",
    **dict.fromkeys(["ApplyOptions", "apply", "preview"], "inference.apply"),
    "enhance": "inference.enhance_image",
    **dict.fromkeys(["edit_region", "remove"], "inference.edit_image"),
    "stylize": "inference.stylize",
    "synthesize": "latent.synthesize",
    **dict.fromkeys(["Model", "accuracy", "load"], "models.model"),
    "report": "reporting",
    "read_records": "reporting.read",
    "run_holder": "training.lock",
    "Run": "run",
    "TrainRequest": "training.request",
    **dict.fromkeys(["Session", "build_trainer", "find_recipe", "prepare", "train"], "training.session"),
    "Trainer": "training.trainer",
}

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that importing ganvas takes no torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    home, whole, _ = HOMES[name].partition(":")
    module = importlib.import_module(f"ganvas.{home}")
    return module if whole else getattr(module, name)
