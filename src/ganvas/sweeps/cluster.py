"""The machines of a Ray cluster, or the processes of this one: their number and devices."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..errors import UsageError, UserError

EXTRA = 'Ray is not installed: pip install "ganvas[ray]".'


@dataclass(frozen=True)
class WorkerOptions:
    """The number of workers, each with a device of its own: a GPU, or one thread of a CPU."""

    count: int
    gpu: bool = False

    def resources(self) -> dict[str, float]:
        """The resources that Ray keeps for a worker."""
        return {"num_cpus": 1, "num_gpus": 1} if self.gpu else {"num_cpus": 1}


def check_ray() -> None:
    """Raise `UsageError` where Ray is not installed; it is not imported."""
    if find_spec("ray") is None:
        raise UsageError(EXTRA)


def check_place(on: str, workers: int | None) -> None:
    """Raise `UsageError` for another place than local and ray, for workers of no cluster, and without Ray."""
    if on not in ("local", "ray"):
        raise UsageError(f"--on is local or ray, not {on!r}.")
    if on == "local" and workers is not None:
        raise UsageError("--workers is of --on ray; leave it out, or add --on ray.")
    if on == "ray":
        check_ray()


def choose_workers(count: int | None, device: str) -> WorkerOptions:
    """Connect to the cluster (RAY_ADDRESS, or that of this machine, else a new one of processes), and count workers.

    Raises `UsageError` for more workers than it has devices, and for a device that it lacks.
    """
    if count is not None and count < 1:
        raise UsageError(f"--workers must be at least 1, got {count}.")
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise UsageError(f"--on ray takes --device auto, cpu or cuda, not {device!r}.")
    connect()
    import ray

    has = ray.cluster_resources()
    gpus, cpus = int(has.get("GPU", 0)), int(has.get("CPU", 0))
    gpu = device.startswith("cuda") or (device == "auto" and gpus > 0)
    there, kind = (gpus, "GPUs") if gpu else (cpus, "CPU cores")
    if not there or (count or 1) > there:
        raise UsageError(f"The Ray cluster has {there} {kind}, one for each worker; {count or 1} are too many.")
    return WorkerOptions(count or there, gpu)


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names or that this machine runs; without one, begin one of processes here.

    Raises `UserError` if it does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a job without Ray; by default 15
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except Exception as problem:  # of the network, of another version, of a wrong address
        address = os.environ.get("RAY_ADDRESS", "on this machine")
        raise UserError(f"The Ray cluster {address} does not answer: {reason_of(problem)}.") from None


def prepare_data(block: int) -> None:
    """Turn off the progress bars and log lines of Ray Data, which is imported; `block` is a task's size in bytes."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = block  # Ray joins smaller tables, and would give all names to one worker
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def call(function: Callable[..., Any], argument: Any, folder: str, workers: WorkerOptions) -> Any:
    """The result of a function on a worker; raises the `UserError` that it ends in."""
    return next(results(function, [argument], folder, workers, retries=3))


def results(
    function: Callable[[Any], Any], items: Iterable[Any], folder: str, workers: WorkerOptions, retries: int = -1
) -> Iterator[Any]:
    """Yield the result of a function for every item, in their order, by tasks that begin again where a worker is lost.

    Two tasks a worker are in hand at most.  Raises the `UserError` that one ends in.
    """
    import ray

    def run(item: Any) -> tuple[Any, UserError | None]:
        os.chdir(folder)
        try:
            return function(item), None
        except UserError as problem:
            return None, problem

    options: dict[str, Any] = {"max_retries": retries, **workers.resources()}
    task = ray.remote(**options)(run)
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(task.remote(item))
        if len(waiting) >= 2 * workers.count:
            yield _answer(waiting.popleft())
    while waiting:
        yield _answer(waiting.popleft())


def _answer(reference: Any) -> Any:
    """The result of a task; raises the `UserError` that it ended in."""
    import ray

    try:
        result, problem = ray.get(reference)
    except ray.exceptions.RayError as failure:
        raise UserError(f"A worker of the Ray cluster failed: {reason_of(failure)}.") from None
    if problem is not None:
        raise problem
    return result


def reason_of(problem: BaseException) -> str:
    """The last line of an error, or of the first of several: it names the cause where Ray adds tracebacks."""
    first = str(problem).partition("The above exception was the direct cause")[0]
    lines = [line.strip() for line in first.splitlines() if line.strip()]
    return (lines[-1] if lines else type(problem).__name__).rstrip(".")
