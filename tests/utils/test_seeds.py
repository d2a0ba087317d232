"""Seeds, ranks, and the lazy names of `mmpt.utils`."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmpt.errors import LaunchError
from mmpt.utils import get_local_rank, get_rank, get_world_size, is_master, mixed_seed, seeded
from mmpt.utils import set_seed as set_all


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_set_seed_seeds_all_three():
    set_all(3)
    first = draw()
    random_is = random.Random(3).random()
    set_all(3)
    assert draw() == first
    assert first[0] == random_is
    set_all(4)
    assert not set(draw()) & set(first)


def test_a_seeded_block_repeats_and_leaves_no_trace():
    set_all(0)
    expected = [draw(), draw()]
    set_all(0)
    got = [draw()]
    with seeded(1, 2, 3):
        inside = draw()
    got.append(draw())
    assert got == expected
    with seeded(1, 2, 3):
        assert draw() == inside


def test_an_error_restores_the_generators_too():
    set_all(0)
    expected = draw()
    set_all(0)
    with pytest.raises(RuntimeError), seeded(5):
        draw()
        raise RuntimeError
    assert draw() == expected


def test_neighbouring_seeds_are_independent():
    seeds = {mixed_seed(s, e, i) for s in range(10) for e in range(10) for i in range(10)}
    assert len(seeds) == 1000
    draws = []
    for index in range(4000):
        with seeded(1, 1, index):
            draws.append(random.random())
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    # 400 expected, standard deviation 19
    assert np.abs(counts - 400).max() < 100
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08


def test_one_process_without_a_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (get_rank(), get_world_size(), get_local_rank(), is_master()) == (0, 1, 0, True)


def test_the_environment_of_torchrun(monkeypatch):
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert (get_rank(), get_world_size(), get_local_rank(), is_master()) == (3, 4, 1, False)
    monkeypatch.setenv("RANK", "three")
    with pytest.raises(LaunchError, match="RANK='three' is not a number"):
        get_rank()


def test_a_process_group_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    try:
        assert (get_rank(), get_world_size()) == (0, 1)
    finally:
        torch.distributed.destroy_process_group()


def test_utils_imports_nothing_heavy():
    code = (
        "import sys, mmpt.utils; assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_utils():
    import mmpt.utils

    for name in ("ShardedTensor", "set_seed", "open_shard", "get_world_size"):
        assert callable(getattr(mmpt.utils, name))
        assert name in dir(mmpt.utils)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmpt.utils.nothing
