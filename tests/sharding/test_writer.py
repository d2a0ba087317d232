"""A shard written array by array is the one that is written at once."""

import os
import threading

import numpy as np
import pytest

import mmpt.sharding.writer as module
from mmpt.errors import DataError
from mmpt.sharding.writer import write_shard
from mmpt.utils.shardedtensor import ShardedTensor, verify_shard

FILES = ("_data.npy", "_starts.npy", ".json")


def arrays(width=3, dtype=np.float16, lengths=(3, 0, 7, 50, 1)):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(length, width)).astype(dtype) for length in lengths]


def written(prefix):
    return [open(f"{prefix}{end}", "rb").read() for end in FILES]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("expected", [0, 61, 10**9])
@pytest.mark.parametrize("block", [256, 1 << 20])
def test_the_files_are_the_same_byte_for_byte(dtype, width, expected, block, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    entries = arrays(width, dtype)
    ShardedTensor.from_list(entries).save(tmp_path / "at_once")
    with write_shard(tmp_path / "one_by_one", dtype, width, expected) as writer:
        for entry in entries:
            writer.append(entry)
        assert writer.rows == 61
    assert written(tmp_path / "one_by_one") == written(tmp_path / "at_once")
    assert verify_shard(tmp_path / "one_by_one")


def test_an_array_that_is_not_taken_leaves_nothing(tmp_path):
    first, second, third = arrays(lengths=(2, 3, 4))
    with write_shard(tmp_path / "s", np.float16, 3, 9) as writer:
        writer.append(first)
        writer.room(len(second))[:] = second.tobytes()
        writer.append(third)
    ShardedTensor.from_list([first, third]).save(tmp_path / "t")
    assert written(tmp_path / "s") == written(tmp_path / "t")


def test_a_shard_of_nothing_is_refused(tmp_path):
    refused = pytest.raises(DataError, match=r"shard .*s: an empty list of arrays makes no shard")
    with refused, write_shard(tmp_path / "s", np.float16, 3):
        pass
    assert os.listdir(tmp_path) == []


def test_an_error_on_the_way_leaves_the_old_shard(tmp_path, monkeypatch):
    threads = threading.active_count()
    ShardedTensor.from_list(arrays()).save(tmp_path / "s")
    before = written(tmp_path / "s")
    with pytest.raises(KeyboardInterrupt), write_shard(tmp_path / "s", np.float16, 3) as writer:
        writer.append(arrays()[0])
        raise KeyboardInterrupt
    monkeypatch.setattr(module, "BLOCK_BYTES", 256)
    full = pytest.raises(OSError, match="No space left")
    with full, write_shard(tmp_path / "s", np.float16, 3) as writer:
        writer._pipeline.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        for entry in arrays():
            writer.append(entry)
    writer._pipeline.file.close()
    assert threading.active_count() == threads
    assert written(tmp_path / "s") == before
    assert sorted(os.listdir(tmp_path)) == sorted(f"s{end}" for end in FILES)
