"""Options of the machines on which a command works."""

from typing import TYPE_CHECKING, Annotated

from .help import option_group

if TYPE_CHECKING:
    from ..sweeps.cluster import WorkerOptions

option = option_group("Machines")

On = Annotated[str, option(help="Where the work is done: local, or ray for the workers of a Ray cluster.")]
Workers = Annotated[int | None, option(help="With ray: number of workers.", show_default="one a GPU, or a CPU core")]


def find_workers(on: str, count: int | None, device: str) -> "WorkerOptions | None":
    """The workers of a cluster; None for local work.  Raises `UsageError` for anything impossible."""
    from ..sweeps.cluster import check_place, choose_workers

    check_place(on, count)
    return choose_workers(count, device) if on == "ray" else None
