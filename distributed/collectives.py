"""What the processes of a run exchange. With one process, every function here returns what it was given."""

from typing import Any

import torch
from torch import Tensor, distributed

from distributed.processes import local_rows, rank, world_size


def gather(rows: Tensor) -> Tensor:
    """This process's rows [b, ...] -> those of all processes [B, ...], in rank order, so that they are the whole batch's.

    A loss of the gathered rows is the same number in every process. Its gradient reaches this process's rows only, times
    the number of processes: averaging the weights' gradients over the processes then gives those of the whole batch.
    Weights behind the gathering have that very gradient in every process, and averaging leaves it as it is.
    """
    return rows if world_size() == 1 else Gather.apply(rows)


class Gather(torch.autograd.Function):
    """`gather`, for several processes. Nothing is exchanged on the way back, as all have the same gradient."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient[local_rows(len(gradient))] * world_size()


def total(values: Tensor) -> Tensor:
    """The sum over all processes of a tensor of one shape, without a gradient."""
    if world_size() > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def largest(values: Tensor) -> Tensor:
    """The largest over all processes of each value of a tensor of one shape, without a gradient."""
    if world_size() > 1:
        values = values.clone()
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return values


def collect(value: Any) -> list[Any]:
    """The plain values or arrays of all processes, in rank order, for the leading one; an empty list for the others."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values)
    return values or []
