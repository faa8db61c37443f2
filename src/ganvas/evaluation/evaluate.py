"""Metrics by name: `evaluate("fd", A, B)`; statistics of features in a file; results kept with a run."""

from pathlib import Path

from ..catalog import METRICS
from ..errors import UsageError, did_you_mean
from ..features.extractor import Resizer
from ..files import explain_failure, read_json
from ..legacy import METRIC_NAMES
from ..metrics.statistics import save_statistics
from ..models.folder import model_folder
from ..paths import user_path
from ..run import Run
from . import comparison
from .comparison import Comparison, FeatureNetwork, Metric, Numbers, SideInput


def evaluate(metric: str, a: SideInput, b: SideInput | None = None, **options: object) -> Numbers:
    """Measure B against A: the result by the metric's name, and the protocol it was measured by.

    `metric` is one of `ganvas list metrics`; A (the real images) and B are folders, archives, sources, statistics,
    runs, a `Dataset`, images in an array or a tensor, or a `Model`.  Raises `UsageError` for options that the metric
    does not have.
    """
    return find_metric(metric).compare(a, b, options)


def find_metric(name: str) -> Metric:
    """The metric of that name; raises `UsageError` for others."""
    name = METRIC_NAMES.get(name, name)
    if name not in METRICS:
        there = f"There are: {', '.join(METRICS)}."
        raise UsageError(f"There is no metric {name!r}.{did_you_mean(name, METRICS)} {there}")
    metric: Metric = METRICS[name]
    return metric


@comparison.metric()
def statistics(
    c: Comparison,
    *,
    output: Path,  # the .npz to write
    features: FeatureNetwork = "pocket",  # the network, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
) -> Numbers:
    """Mean and covariance of the features of A in an .npz, to compare with in place of the images."""
    if c.real.file is not None:
        raise UsageError(f"{c.real.name} holds statistics already; give the images.")
    output, network = user_path(output, "--output"), c.network(features, resizer=resizer)
    gaussian = c.real.gaussian(network, c.cache)
    with explain_failure(output):
        save_statistics(output, gaussian, network.stamp)
    return {"output": str(output), **network.protocol, "images": gaussian.count}


def record_evaluation(metric: str, a: SideInput, b: SideInput | None, numbers: Numbers) -> None:
    """Append a result to RUN/evaluation.jsonl of the run that B, or else A, is a model of."""
    for side in (b, a):
        model = None if side is None else model_folder(user_path(str(side)).resolve())
        if model is not None and (run := Run(model.parent)).exists():
            images = read_json(model / "config.json").get("images", 0)
            return run.append_evaluation({"metric": metric, "trained_images": images, **numbers})
