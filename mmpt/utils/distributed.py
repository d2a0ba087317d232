"""Which process this is, and what processes tell each other, with or without a process group.

Who a process is comes from torch's process group where there is one, else from the variables that
torchrun sets, else it is alone.  The exchanges need no group where a process is alone; else all
processes have to call them, in the same order.
"""

import os
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmpt.errors import LaunchError

SETTLE_SECONDS = 0.05
ROWS_AT_ONCE = 1 << 14
"""Of `exchange_rows`: bounds what a GPU must hold beside its model."""


def get_rank() -> int:
    """This process's number among all processes of the run, from 0."""
    return dist.get_rank() if _initialised() else _from_environment("RANK", 0)


def get_world_size() -> int:
    """The number of processes of the run, at least 1."""
    if _initialised():
        return dist.get_world_size()
    return max(1, _from_environment("WORLD_SIZE", 1))


def get_local_rank() -> int:
    """This process's number on its machine (torchrun's `LOCAL_RANK`), 0 where none is set."""
    return _from_environment("LOCAL_RANK", 0)


def is_master() -> bool:
    """True for rank 0, the one process that logs and writes shared files."""
    return get_rank() == 0


def exchange_objects(value: Any) -> list[Any]:
    """What each process gives, in the order of ranks; in every process."""
    if not _initialised():
        return [value]
    values = [None] * get_world_size()
    dist.all_gather_object(values, value)
    return values


def exchange_rows(rows: Tensor) -> list[Tensor]:
    """Rows [n, width] of each process, in the order of ranks, on the CPU; in the first process,
    nothing in the others.  n may differ, and be 0."""
    if not _initialised():
        return [rows]
    shapes = exchange_objects(tuple(rows.shape))
    width = max(shape[1] for shape in shapes)
    device = _exchange_device()
    parts: list[list[Tensor]] = [[] for _ in shapes]
    for first in range(0, max(shape[0] for shape in shapes), ROWS_AT_ONCE):
        counts = [max(0, min(ROWS_AT_ONCE, shape[0] - first)) for shape in shapes]
        sent = torch.zeros(max(counts), width, dtype=rows.dtype, device=device)
        own = rows[first : first + ROWS_AT_ONCE]
        sent[: len(own), : rows.shape[1]] = own.to(device)
        received = [torch.empty_like(sent) for _ in shapes] if is_master() else None
        dist.gather(sent, received)
        for part, block, count in zip(parts, received or [], counts, strict=False):
            part.append(block[:count].cpu())
    if not is_master():
        return []
    return [torch.cat(part) if part else rows.new_zeros(0, width) for part in parts]


def let_threads_settle() -> None:
    """To be called before loader workers are forked.

    A thread of the process group that touches Python just then leaves a lock taken in the worker,
    which waits for it for ever (CPython up to 3.11).  After a collective such threads are busy for
    a moment.
    """
    if get_world_size() > 1:
        time.sleep(SETTLE_SECONDS)


def _exchange_device() -> torch.device:
    """Where a tensor has to be that goes to other processes."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def _from_environment(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise LaunchError(f"environment variable {name}={value!r} is not a number") from None
