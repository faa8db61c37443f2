"""Images of a folder through a network by the workers of a Ray cluster: `map_batches` of Ray Data."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError
from ..files import explain_failure
from ..inference.batch import (
    Batch,
    FileOptions,
    Job,
    Outcome,
    Work,
    check_folders,
    check_names,
    is_image,
    output_name,
    run_jobs,
    walk_files,
)
from ..inference.places import Places, time_there
from ..paths import as_address, path_text
from .cluster import WorkerOptions, call, connect, prepare_data, reason_of

BATCH = 8  # images of a call: a killed worker repeats what was left of one
BLOCK = 512  # names of a task at most
MANY = 20_000  # names, from which on a task of them is large
MANY_BYTES = 1 << 16  # of a task of `BLOCK` names
SHARES = 32  # tasks of a worker at least, so that the last ones end together

List = Callable[[], Iterator[Job]]


@dataclass(frozen=True)
class Folder:
    """The images of a folder, here or at an address, listed while they are worked on: memory stays flat."""

    source: Path
    output: Path
    options: FileOptions

    def check(self) -> None:
        """Raise `UsageError` for what is no folder with images, and for options that a folder does not have.

        `UserError` where a storage does not answer.
        """
        self.options.check()
        self.options.check_no_film(self.source)
        if not self.source.is_dir() and not as_address(self.source):
            raise UsageError(f"--on ray is for folders of images, and {path_text(self.source)} is none; leave it out.")
        check_folders(self.source, self.output)
        if next(self(), None) is None:
            deeper = "" if self.options.recursive else " (--recursive also looks into its folders)"
            raise UsageError(f"There are no images in {path_text(self.source)}{deeper}.")

    def __call__(self) -> Iterator[Job]:
        for file in filter(is_image, walk_files(self.source, self.output, self.options.recursive)):
            name = output_name(file, self.options.form)
            yield Job(file, self.output / file.relative_to(self.source).parent / name)

    def check_names(self) -> None:
        """Raise `UsageError` if two images, which are in one folder then, would become one file."""
        for _, jobs in groupby(self(), key=lambda job: job.output.parent):
            check_names([*jobs], self.output)


@dataclass(frozen=True)
class Bulk:
    """A job on a cluster: what is listed, what is done with it, and by how many workers."""

    jobs: Folder
    open_work: Callable[[], Work]
    workers: WorkerOptions

    def about(self) -> dict[str, Any]:
        """The description of the model, as a worker has it; raises the `UserError` that loading or naming ends in."""
        connect()
        return call(partial(describe, self.jobs), self.open_work, os.getcwd(), self.workers)

    def run(self) -> Iterator[dict[str, Any]]:
        """Yield the outcome of every image as the JSON answer has it, in the order in which they are known.

        An image is written whole or not at all, and once: what a lost worker had written is not done again.
        Raises `UserError` if the cluster cannot go on.
        """
        connect()
        if as_address(output := self.jobs.output):
            since = time_there(output)
        else:
            with explain_failure(output):
                output.mkdir(parents=True, exist_ok=True)
                since = time_there(output)
        for block in stream(self.jobs, self.workers, Worker, self.open_work, self.jobs, since, os.getcwd()):
            for outcome in map(json.loads, block["outcome"].to_pylist()):
                if problem := outcome.get("problem"):
                    raise UserError(f"The workers cannot go on: {problem} --resume does what is left.")
                yield outcome


def stream(jobs: List, workers: WorkerOptions, worker: type, *arguments: Any) -> Iterator[Any]:
    """Yield what workers, built from arguments in processes of their own, return for tables of names.

    A lost worker is started again, and does its task again from the beginning.
    """
    import ray.data

    size, task_bytes, ahead = plan_tasks(jobs, workers.count)
    prepare_data(task_bytes)
    names = ray.data.read_datasource(
        source_of(jobs, workers.count, size),
        override_num_blocks=1,
        num_cpus=0,  # it would wait for the workers, which wait for names
    )
    pool = ray.data.ActorPoolStrategy(size=workers.count, max_tasks_in_flight_per_actor=ahead)
    options = {"fn_constructor_args": arguments, "batch_size": size, "batch_format": "pyarrow", "compute": pool}
    done = names.map_batches(worker, **options, **workers.resources())
    try:
        with warnings.catch_warnings(action="ignore"):  # it takes the only source of names for the only task
            yield from done.iter_batches(batch_size=None, batch_format="pyarrow")
    except (ray.exceptions.RayError, RuntimeError, OSError) as problem:
        raise UserError(f"The workers cannot go on: {reason_of(problem)}. --resume does what is left.") from None


def plan_tasks(jobs: List, workers: int) -> tuple[int, int, int]:
    """Names of a task, its bytes, and the tasks that a worker is given at once.

    Few names are divided among the workers as equally as tasks of a size allow.  Of few tasks a worker is given one,
    since the one that is ready first would take those of the others; of many two, so that none waits for its next.
    """
    lengths = [len(os.fsencode(job.source)) + len(os.fsencode(job.output)) + 8 for job in islice(jobs(), MANY)]
    count = len(lengths)
    if count in (0, MANY):
        return BATCH, MANY_BYTES, 2
    size = -(-count // workers)
    if size > BATCH:
        size = min(range(BATCH, BATCH * 3 // 2 + 1), key=lambda n: largest_share(count, n, workers))
    # Ray joins smaller tables and divides those of more than 1.5 times as many bytes: either would make other tasks.
    return size, max(1, sum(lengths) * size // count * 4 // 5), 1 if count <= 2 * workers * size else 2


def largest_share(count: int, size: int, workers: int) -> int:
    """The most names that a worker gets if tasks of a size are given out in turn."""
    rounds, left = divmod(count, size * workers)
    return rounds * size + min(left, size)


class Worker:
    """The work, opened once in a process of its own, done for a few images at a time."""

    def __init__(self, open_work: Callable[[], Work], jobs: Folder, since: float, folder: str):
        os.chdir(folder)
        self.work, self.options, self.since = open_work(), jobs.options, since
        self.places = Places(jobs.source, jobs.output)

    def __call__(self, names: Any) -> Any:
        import pyarrow

        pairs = zip(names["source"].to_pylist(), names["output"].to_pylist())
        jobs = [Job(Path(os.fsdecode(source)), Path(os.fsdecode(output))) for source, output in pairs]
        try:
            answers = [json.dumps(outcome.as_dict()) for outcome in self.outcomes(jobs)]
        except UserError as problem:  # of a storage; raised here, it would be wrapped in Ray's own words
            answers = [json.dumps({"problem": str(problem)})]
        return pyarrow.table({"outcome": answers})

    def outcomes(self, jobs: list[Job]) -> Iterator[Outcome]:
        """The outcomes of images; one that a lost worker wrote is done."""
        before = [job for job in jobs if self.places.is_written(job.output, self.since)]
        yield from (Outcome(job, "done") for job in before)
        left = [job for job in jobs if job not in before]
        batch, work = Batch(Path(), Path(), left, options=self.options, places=self.places), self.work
        yield from run_jobs(batch, work.change, None, work.size, work.source_type)


def describe(jobs: Folder, open_work: Callable[[], Work]) -> dict[str, Any]:
    """The description of the work, without the lists that grow while it goes on; names are checked in the worker, too.

    The driver's memory does not grow with them.
    """
    jobs.check_names()
    return {name: value for name, value in open_work().about.items() if value != []}


def source_of(jobs: List, workers: int, size: int) -> Any:
    """Jobs as a source of Ray Data that lists in a task of its own, while the first ones are at work already."""
    from ray.data.datasource import Datasource, ReadTask

    class Names(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            return [ReadTask(lambda: blocks_of(jobs(), workers, size), metadata_of_unknown())]

    return Names()


def metadata_of_unknown() -> Any:
    """The metadata of a block before it is listed."""
    from ray.data.block import BlockMetadata

    return BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)


def blocks_of(jobs: Iterator[Job], workers: int, size: int) -> Iterator[Any]:
    """Yield the names as tables: of `size` at first, larger ones where there are many."""
    import pyarrow

    listed = 0
    while part := list(islice(jobs, max(size, min(listed // (SHARES * workers), BLOCK)))):
        listed += len(part)
        names = {key: [os.fsencode(getattr(job, key)) for job in part] for key in ("source", "output")}
        yield pyarrow.table({key: pyarrow.array(values, pyarrow.binary()) for key, values in names.items()})
