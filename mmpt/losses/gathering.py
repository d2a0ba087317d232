"""Rows of every process of a run, as if they were one batch: for contrast over all GPUs.

A loss that gathers is computed by every process over all rows, so all of them get the same number.
Its gradient is that of one process on the joined batch: going back, each row's gradient is summed
over the processes, of which each holds one copy of the loss, and the trainer's mean over processes
takes the number of copies out again.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmpt.utils.distributed import get_world_size

Gather = Callable[[Tensor], Tensor]
"""This process's rows [n, ...] -> the rows of all processes [N, ...], in the order of ranks."""


def own_rows(rows: Tensor) -> Tensor:
    """The `Gather` of a process that contrasts its own batch alone."""
    return rows


def gather_of_all(rows: Tensor) -> Gather:
    """A `Gather` over all processes of the run; each may have another number of rows.

    All processes have to make one, and to call it equally often in the same order.

    Args:
        rows: [n, ...], anything with as many rows as what will be gathered, on its device. What is
            gathered must have the same shape in all processes, apart from the rows.
    """
    if get_world_size() == 1:
        return own_rows
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(get_world_size())]
    dist.all_gather(counts, count)
    counts = torch.cat(counts).tolist()

    def gather(rows: Tensor) -> Tensor:
        return _GatherRows.apply(rows, counts)

    return gather


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        if rows.dtype == torch.bool:
            # not every backend knows truth values
            return _all_rows(rows.to(torch.uint8), counts).bool()
        return _all_rows(rows, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # a sum of many in half precision would lose what one process keeps
        total = gradient.to(torch.promote_types(gradient.dtype, torch.float32)).contiguous()
        if total is gradient:
            total = total.clone()
        dist.all_reduce(total)
        first = sum(ctx.counts[: dist.get_rank()])
        own = total[first : first + ctx.counts[dist.get_rank()]]
        return own.to(gradient.dtype), None


def _all_rows(rows: Tensor, counts: list[int]) -> Tensor:
    """[n, ...] of every process -> [N, ...]; collectives want equal shapes, so rows are padded."""
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
