"""The evaluation of a run: of held-out pairs, or against the training data."""

from typing import TYPE_CHECKING, Any

import torch

from ..config import Recipe
from ..data.dataset import Dataset
from .request import TrainRequest

if TYPE_CHECKING:
    from ..evaluation.during_training import Evaluation


def open_evaluation(
    request: TrainRequest, recipe: Recipe, dataset: Dataset, device: torch.device
) -> "Evaluation | None":
    """The evaluation of a request: of held-out pairs, or against the training data; None without one."""
    every, samples = request.eval_images or 0, request.eval_samples or 2000
    end: dict[str, Any] = {"stop_when": request.stop_when, "patience": request.patience}
    if request.eval_data is not None:
        from ..data.pair_files import PairFiles
        from ..evaluation.paired_watch import PairedWatch

        pairs = PairFiles(request.eval_data, samples)
        return PairedWatch(pairs, every=every, metric=request.eval_metric or "psnr", **end)
    if not every:
        return None
    from ..evaluation.during_training import Watch, suitable_metric

    metric, notice = suitable_metric(request.eval_metric or "fd", recipe.task.to_dict())
    return Watch(dataset, every=every, metric=metric, samples=samples, device=device.type, notice=notice, **end)
