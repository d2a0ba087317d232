"""Random numbers that repeat: one call to seed everything, one block that leaves no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def set_seed(seed: int = 43211) -> None:
    """Seeds Python's, numpy's and torch's generators (all CUDA devices too).

    The default is the seed of the published toolkit.  Settings of cuDNN are left alone.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def mixed_seed(*parts: int) -> int:
    """One 128-bit seed out of several numbers, (seed, epoch, index) say.

    Different tuples give independent streams: numpy's SeedSequence mixes them, and gives the same
    everywhere (unlike `hash`).

    Args:
        parts: non-negative integers.
    """
    return int.from_bytes(np.random.SeedSequence(parts).generate_state(4).tobytes(), "little")


@contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Inside the block, the CPU generators depend on `parts` alone; afterwards they are as before.

    Python's, numpy's and torch's CPU generator are meant; CUDA generators are not touched, since
    the block is for drawing data and may run in the training process itself.

    Args:
        parts: non-negative integers, mixed as by `mixed_seed`.
    """
    seed = mixed_seed(*parts)
    words = np.frombuffer(seed.to_bytes(16, "little"), dtype=np.uint32)
    cpu = torch.default_generator
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = cpu.get_state()
    try:
        random.seed(seed)
        np.random.seed(words)
        cpu.manual_seed(int(words[0]))
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        cpu.set_state(torch_state)
