"""Functions run in several processes that form a gloo group, as the ranks of a training do.

The processes are forked from a server that has torch loaded and nothing else running.
"""

import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 60


def run_ranks(world: int, function: Callable, *args: Any) -> list[Any]:
    """`function(rank, *args)` in every rank of a gloo group of `world`; what they return, in order.

    Args:
        function: of a module's top level.
        args: picklable.

    Raises:
        AssertionError: a rank failed (its traceback is the message), or none came to an end.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmpt.losses", "mmpt.tasks"])
    pipes, ranks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for rank in range(world):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_be_rank, args=(rank, world, f"{folder}/meet", sender, function, args)
            )
            process.start()
            sender.close()
            pipes.append(receiver)
            ranks.append(process)
        try:
            return [_answer(rank, pipe) for rank, pipe in enumerate(pipes)]
        finally:
            for process in ranks:
                process.join(timeout=5)
                process.kill()


def _answer(rank: int, pipe) -> Any:
    assert pipe.poll(SECONDS), f"rank {rank} did not answer within {SECONDS} s"
    try:
        failure, value = pipe.recv()
    except EOFError:
        raise AssertionError(f"rank {rank} ended without an answer") from None
    assert failure is None, f"rank {rank}:\n{failure}"
    return value


def _be_rank(rank: int, world: int, meeting: str, sender, function: Callable, args: tuple) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
    sys.path.insert(0, str(REPOSITORY))
    try:
        store = f"file://{meeting}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
        answer = (None, function(rank, *args))
        dist.barrier()
    except BaseException:
        answer = (traceback.format_exc(), None)
    sender.send(answer)
    sender.close()
    if answer[0] is None:
        dist.destroy_process_group()
