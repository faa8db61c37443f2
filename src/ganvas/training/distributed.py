"""Several processes that train as one: no wrapper, gradients are averaged flat after accumulation."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from ..errors import UserError
from .players import Group

CONNECTION = timedelta(minutes=5)  # a connection that is lost meanwhile ends the process: torchrun tries once more
WORK = timedelta(days=1)  # the first may decode a large folder meanwhile
POLL = 0.02  # seconds between two looks for the other processes


class Processes(Group):
    """Processes started by `torchrun`.

    They draw the same random numbers and each works on its part, so that N processes train as one with the
    whole batch, and a run may be resumed on another number of them.
    """

    def __init__(self, device: torch.device):
        # its functions take the default group as a default argument: imported later (optimisers do, through dynamo),
        # they would keep the group and its threads alive after `close`, to crash while Python shuts down
        import torch.distributed.nn  # noqa: F401

        backend = "nccl" if device.type == "cuda" else "gloo"
        shared, rank, world = next(dist.rendezvous("env://", timeout=CONNECTION))
        store = own_store(shared, rank, world)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=CONNECTION)
        # votes travel between processors, so that no step waits for a GPU
        self.votes = dist.new_group(backend="gloo", timeout=CONNECTION) if backend == "nccl" else None
        for group in (dist.group.WORLD, self.votes):
            if group is not None:
                dist.distributed_c10d._set_pg_timeout(WORK, group)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.device = device

    def average(self, tensors: list[Tensor]) -> None:
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.world).split([t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts):
            tensor.copy_(part.view_as(tensor))

    def agree(self, flag: bool) -> bool:
        votes = torch.tensor(float(flag))
        dist.all_reduce(votes, dist.ReduceOp.MAX, group=self.votes)
        return bool(votes.item())

    def first(self, work: Callable[[], None]) -> None:
        failure: UserError | None = None
        if not self.rank:
            try:
                work()
            except UserError as problem:
                failure = problem
        if self.agree(failure is not None):
            raise failure or UserError("The first process failed; its own message has the reason.")

    def wait(self) -> None:
        dist.barrier()

    def close(self) -> None:
        dist.destroy_process_group()


def own_store(shared: dist.Store, rank: int, world: int) -> dist.Store:
    """A part of a store that only the processes of this start use.

    The store of torchrun outlives processes that it starts again, and they would take the addresses of the dead ones
    for those of their neighbours (pytorch/pytorch#135712).  Its restart count cannot tell starts apart: nodes differ
    in it.  So the first process names the start, and every other one asks for that name by a key that is new.
    """
    own = uuid4().hex
    if rank:
        shared.set(f"ganvas/asks/{rank}", own)
        while not shared.check([f"ganvas/answer/{own}"]):
            time.sleep(POLL)
        start = shared.get(f"ganvas/answer/{own}").decode()
        shared.set(f"ganvas/{start}/{rank}", "")
        return dist.PrefixStore(f"ganvas/{start}", shared)
    waiting = set(range(1, world))
    while waiting := {other for other in waiting if not shared.check([f"ganvas/{own}/{other}"])}:
        for other in waiting:
            if shared.check([f"ganvas/asks/{other}"]):  # of this start, or of a dead process
                shared.set(f"ganvas/answer/{shared.get(f'ganvas/asks/{other}').decode()}", own)
        time.sleep(POLL)
    return dist.PrefixStore(f"ganvas/{own}", shared)


def under_torchrun() -> bool:
    """True if torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, or the CPU."""
    if device.type != "cuda":
        return device
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(place)
    return place


class _Sum(Function):
    """Sum over all processes, differentiable any number of times: its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return _Sum.apply(g.contiguous())


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes, on any device (torch's own needs a GPU).

    Every process must hold the same number of images.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = x.numel() / x.shape[1] * dist.get_world_size()
        mean = _Sum.apply(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centred * scale[:, None, None]).to(x.dtype)
        return (centred * (self.weight * scale)[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, unbiased: Tensor) -> None:
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, arg-type]


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Convert every BatchNorm2d inside to one over all processes, in place and with the same weights."""
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SyncBatchNorm2d
    return module
