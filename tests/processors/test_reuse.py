"""Memory is lent again only when nothing refers to it any more."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch

from mmpt.processors import OverlappedAligner
from mmpt.processors.reuse import ReusedMemory

SHAPE = (4, 3)


def address(array):
    return array.__array_interface__["data"][0]


def holders(array):
    """Everything that may outlive the array itself."""
    tensor = torch.from_numpy(array[1:])
    return {
        "view": array.reshape(-1)[2:5],
        "view of a view": array[1:].T[1:],
        "tensor": tensor,
        "tensor's view": tensor[0].unsqueeze(0),
        "tensor's storage": tensor.untyped_storage(),
        "tensor as numpy": tensor[1:].numpy(),
    }


@pytest.mark.parametrize("kind", list(holders(np.zeros(SHAPE))))
def test_memory_in_use_is_not_lent(kind):
    pool = ReusedMemory()
    array = pool.empty(SHAPE, np.float32)
    where = address(array)
    held = holders(array)[kind]
    del array
    others = [pool.empty(SHAPE, np.float32) for _ in range(3)]
    assert where not in map(address, others)
    del held
    assert address(pool.empty(SHAPE, np.float32)) == where


def test_another_shape_or_type_is_other_memory():
    pool = ReusedMemory()
    for shape, dtype in ((SHAPE, np.float32), ((4, 4), np.float32), (SHAPE, np.int64)):
        array = pool.empty(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        array[...] = 1


def test_only_so_much_is_kept():
    pool = ReusedMemory(keep=2)
    arrays = [pool.empty(SHAPE, np.float32) for _ in range(5)]
    arrays.clear()
    assert len(pool._free) == 2


@pytest.mark.parametrize("again", [copy.deepcopy, lambda pool: pickle.loads(pickle.dumps(pool))])
def test_a_copy_begins_with_nothing(again):
    pool = ReusedMemory(keep=3)
    pool.empty(SHAPE, np.float32)
    assert (len(pool._free), len(again(pool)._free), again(pool).keep) == (1, 0, 3)


def test_threads_never_share_memory():
    pool, wrong = ReusedMemory(keep=4), []

    def draw(value):
        for _ in range(300):
            array = pool.empty((64,), np.int64)
            array[...] = value
            if not (array == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=draw, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_item_stays_as_it_is_when_the_next_is_drawn(tinybert):
    config = {
        "bert_name": str(tinybert),
        "max_video_len": 4,
        "max_len": 12,
        "clip_per_video": 3,
        "sampled_min_len": 2,
        "sampled_max_len": 4,
        "sampled_video_min_len": 1,
        "sampled_video_max_len": 4,
    }
    aligner = OverlappedAligner(config)
    captions = {"start": [0.0], "end": [6.0], "cap": [[10, 11]]}
    items, copies = [], []
    for value in range(6):
        item = aligner("v", np.full((6, 2), value, np.float16), captions)
        items.append(item["vfeats"])
        copies.append(item["vfeats"].clone())
    for item, expected in zip(items, copies, strict=True):
        torch.testing.assert_close(item, expected)
