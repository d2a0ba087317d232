"""Which process this is, with or without a process group.

The answers come from torch's process group where there is one, else from the variables that
torchrun sets, else they are those of a single process.
"""

import os

import torch.distributed

from mmpt.errors import LaunchError


def get_rank() -> int:
    """This process's number among all processes of the run, from 0."""
    return torch.distributed.get_rank() if _initialised() else _from_environment("RANK", 0)


def get_world_size() -> int:
    """The number of processes of the run, at least 1."""
    if _initialised():
        return torch.distributed.get_world_size()
    return max(1, _from_environment("WORLD_SIZE", 1))


def get_local_rank() -> int:
    """This process's number on its machine (torchrun's `LOCAL_RANK`), 0 where none is set."""
    return _from_environment("LOCAL_RANK", 0)


def is_master() -> bool:
    """True for rank 0, the one process that logs and writes shared files."""
    return get_rank() == 0


def _initialised() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _from_environment(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise LaunchError(f"environment variable {name}={value!r} is not a number") from None
