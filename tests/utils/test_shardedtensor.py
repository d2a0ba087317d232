"""Shards: form on disk, checks, atomic writing, one open map per process."""

import json
import mmap
import os

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

import mmpt.utils.shardedtensor as module
from mmpt.errors import DataError
from mmpt.utils import ShardedTensor, open_shard, verify_shard


def arrays(*lengths, width=2, dtype=np.float16):
    rng = np.random.default_rng(len(lengths))
    return [rng.normal(size=(length, width)).astype(dtype) for length in lengths]


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_a_shard_comes_back(mmap_mode, tmp_path):
    entries = arrays(3, 0, 5, 1)
    ShardedTensor.from_list(entries).save(tmp_path / "train_0")
    shard = ShardedTensor.load(tmp_path / "train_0", mmap_mode=mmap_mode)
    assert len(shard) == 4
    assert shard.lengths().tolist() == [3, 0, 5, 1]
    for index, entry in enumerate(entries):
        np.testing.assert_array_equal(shard[index], entry)
        np.testing.assert_array_equal(shard[index - 4], entry)
    assert [len(entry) for entry in shard] == [3, 0, 5, 1]
    for index in (4, -5):
        with pytest.raises(IndexError):
            shard[index]
    assert isinstance(shard.data, np.memmap) == (mmap_mode == "r")


def test_the_files_are_those_of_the_older_toolkit(tmp_path):
    entries = arrays(3, 2)
    ShardedTensor.from_list(entries).save(tmp_path / "val_0")
    assert sorted(os.listdir(tmp_path)) == ["val_0.json", "val_0_data.npy", "val_0_starts.npy"]
    starts = np.load(tmp_path / "val_0_starts.npy")
    assert (starts.dtype, starts.tolist()) == (np.int64, [0, 3, 5])
    data = np.load(tmp_path / "val_0_data.npy")
    assert data.dtype == np.float16
    np.testing.assert_array_equal(data, np.concatenate(entries))


def test_files_without_sidecar_load(golden_dir):
    folder = golden_dir / "models_data/corpus/feat/feat_how2_s3d_shard_small"
    shard = ShardedTensor.load(folder / "train_0", mmap_mode="r")
    assert (len(shard), shard.data.shape[1], shard.data.dtype) == (8, 512, np.float16)
    assert verify_shard(folder / "train_0") is False


def test_the_sidecar_tells_what_is_there(tmp_path):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    sidecar = json.loads((tmp_path / "s.json").read_text())
    assert {key: sidecar[key] for key in ("videos", "rows", "dtype", "width")} == {
        "videos": 2,
        "rows": 5,
        "dtype": "float16",
        "width": 2,
    }
    assert sidecar["written_by"].startswith("mmpt ")
    assert verify_shard(tmp_path / "s") is True


def test_changed_bytes_are_found(tmp_path):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    data = np.load(tmp_path / "s_data.npy")
    data[0, 0] += 1
    np.save(tmp_path / "s_data.npy", data)
    ShardedTensor.load(tmp_path / "s")
    with pytest.raises(DataError, match=r"s_data\.npy has changed since it was written"):
        verify_shard(tmp_path / "s")


def test_a_sidecar_of_another_shard_is_found(tmp_path):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    sidecar = json.loads((tmp_path / "s.json").read_text())
    (tmp_path / "s.json").write_text(json.dumps({**sidecar, "videos": 3}))
    with pytest.raises(DataError, match=r"s\.json says videos 3, the files have 2"):
        ShardedTensor.load(tmp_path / "s")
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(DataError, match=r"s\.json is damaged"):
        ShardedTensor.load(tmp_path / "s")


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([1, 5], "starts must begin at 0, got 1"),
        ([0, 4], "starts must end at the 5 rows of the data, got 4"),
        ([0, 6], "starts must end at the 5 rows of the data, got 6"),
        ([0, 4, 3, 5], "starts must never decrease, but do after entry 1"),
        ([], "starts must be integers"),
        ([0.0, 5.0], "starts must be integers [n + 1], got float64 (2,)"),
        ([[0, 5]], "starts must be integers [n + 1], got int64 (1, 2)"),
    ],
)
def test_wrong_starts(starts, message, tmp_path):
    data, starts = np.zeros((5, 2), np.float16), np.array(starts)
    with pytest.raises(ValueError) as caught:
        ShardedTensor(data, starts)
    assert message in str(caught.value)
    np.save(tmp_path / "s_data.npy", data)
    np.save(tmp_path / "s_starts.npy", starts)
    with pytest.raises(DataError) as caught:
        ShardedTensor.load(tmp_path / "s")
    assert message in str(caught.value)
    assert f"shard {tmp_path / 's'}:" in str(caught.value)


@pytest.mark.parametrize("part", ["data", "starts"])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_missing_and_truncated_files_are_named(part, mmap_mode, tmp_path):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    path = tmp_path / f"s_{part}.npy"
    whole = path.read_bytes()
    for length in (len(whole) - 1, 60, 7, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            ShardedTensor.load(tmp_path / "s", mmap_mode=mmap_mode)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match=rf"file .*s_{part}\.npy is missing"):
        ShardedTensor.load(tmp_path / "s", mmap_mode=mmap_mode)


def test_pickled_arrays_are_refused(tmp_path):
    ShardedTensor.from_list(arrays(1)).save(tmp_path / "s")
    np.save(tmp_path / "s_data.npy", np.array([None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"s_data\.npy"):
        ShardedTensor.load(tmp_path / "s")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "an empty list"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], "entry 1 has shape (1, 3)"),
        ([np.zeros((1, 2)), np.zeros((1, 2), np.float32)], "dtype float32"),
        ([np.zeros(())], "entry 0 has shape ()"),
    ],
)
def test_entries_that_do_not_fit(entries, message):
    with pytest.raises(DataError) as caught:
        ShardedTensor.from_list(entries)
    assert message in str(caught.value)


@pytest.mark.parametrize("step", range(6))
def test_an_error_at_any_point_of_saving_leaves_a_whole_shard(step, tmp_path, monkeypatch):
    old, new = arrays(3, 2), arrays(4, 4, 4)
    ShardedTensor.from_list(old).save(tmp_path / "s")
    real, calls = os.fsync, []

    def fail_at_step(descriptor):
        # two calls a file: its bytes, then the folder
        calls.append(descriptor)
        if len(calls) - 1 == step:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_at_step)
    with pytest.raises(OSError, match="No space left"):
        ShardedTensor.from_list(new).save(tmp_path / "s")
    monkeypatch.undo()
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    # data is renamed first, starts second: between the two the mix is refused, never read as whole
    try:
        shard = ShardedTensor.load(tmp_path / "s")
    except DataError:
        assert 0 < step < 5
    else:
        expected = old if step == 0 else new
        assert shard.lengths().tolist() == [len(entry) for entry in expected]
        np.testing.assert_array_equal(shard.data, np.concatenate(expected))


# ---- open_shard -------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """Counts how often a shard is really opened."""
    opened = []
    real = ShardedTensor.load.__func__

    def load(cls, prefix, mmap_mode=None):
        opened.append(os.path.basename(prefix))
        return real(cls, prefix, mmap_mode)

    monkeypatch.setattr(ShardedTensor, "load", classmethod(load))
    return opened


def test_a_shard_is_opened_once(tmp_path, counted):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    first = open_shard(tmp_path / "s")
    assert all(open_shard(str(tmp_path / "s")) is first for _ in range(5))
    assert counted == ["s"]
    assert type(first.data) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        first.data[0, 0] = 1


def test_a_rewritten_shard_is_opened_anew(tmp_path):
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    assert len(open_shard(tmp_path / "s")) == 2
    ShardedTensor.from_list(arrays(3, 2, 1)).save(tmp_path / "s")
    assert len(open_shard(tmp_path / "s")) == 3


def test_a_deleted_shard_is_an_error(tmp_path):
    ShardedTensor.from_list(arrays(3)).save(tmp_path / "s")
    open_shard(tmp_path / "s")
    (tmp_path / "s_data.npy").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_shard(tmp_path / "s")


def test_the_least_recently_used_is_closed(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(module, "_MAX_OPEN", 2)
    monkeypatch.setattr(module, "_open_shards", module.OrderedDict())
    for name in "abc":
        ShardedTensor.from_list(arrays(3)).save(tmp_path / name)
    for name in "abacba":
        open_shard(tmp_path / name)
    assert counted == ["a", "b", "c", "b", "a"]
    assert len(module._open_shards) == 2


def test_a_look_at_the_files_may_be_left_out_for_a_while(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    ShardedTensor.from_list(arrays(3, 2)).save(tmp_path / "s")
    first = open_shard(tmp_path / "s", recheck_seconds=5.0)
    ShardedTensor.from_list(arrays(3, 2, 1)).save(tmp_path / "s")
    clock[0] += 4.9
    assert open_shard(tmp_path / "s", recheck_seconds=5.0) is first
    clock[0] += 0.2
    assert len(open_shard(tmp_path / "s", recheck_seconds=5.0)) == 3


# ---- reading ahead ----------------------------------------------------------------------------


class Map(mmap.mmap):
    """A file map that remembers what it was advised."""

    def madvise(self, option, start, length):
        assert option == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        self.advised = [*getattr(self, "advised", []), (start, start + length)]
        super().madvise(option, start, length)


def test_the_kernel_is_told_which_bytes_come_next(tmp_path, monkeypatch):
    # rows of half a page: array i is i + 1 rows
    width = mmap.PAGESIZE // 2
    ShardedTensor.from_list([np.zeros((i + 1, width), np.uint8) for i in range(9)]).save(
        tmp_path / "s"
    )
    monkeypatch.setattr(mmap, "mmap", Map)
    shard = open_shard(tmp_path / "s")
    # 5 and 6 are neighbours; the shard is asked once for both
    assert shard.will_need([6, 1, 5]) == 2
    file_map = module._mapped(shard.data)[0]
    data = (tmp_path / "s_data.npy").stat().st_size - 45 * width
    for (start, stop), (first, last) in zip(file_map.advised, [(1, 1), (5, 6)], strict=True):
        begin = data + shard.starts[first] * width
        assert begin - mmap.PAGESIZE < start <= begin
        assert stop == data + shard.starts[last + 1] * width
    assert file_map[data : data + 4] == b"\0" * 4


def test_reading_ahead_is_a_hint_and_no_more(tmp_path, monkeypatch):
    shard = ShardedTensor.from_list(arrays(3, 0, 2))
    assert shard.will_need([0, 1, 2]) == 0
    shard.save(tmp_path / "s")
    opened = open_shard(tmp_path / "s")
    assert opened.will_need([]) == opened.will_need([1]) == 0
    assert opened.will_need([0, 1, 2]) == 1
    monkeypatch.delattr(mmap, "MADV_WILLNEED")
    assert opened.will_need([0, 1, 2]) == 0


class Rows(Dataset):
    """Entry i of a shard, through the process's own map."""

    def __init__(self, prefix):
        self.prefix = prefix
        open_shard(prefix)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return open_shard(self.prefix)[index].copy()


def test_forked_workers_share_the_map(tmp_path):
    entries = arrays(*range(1, 9))
    ShardedTensor.from_list(entries).save(tmp_path / "s")
    loader = DataLoader(Rows(str(tmp_path / "s")), batch_size=None, num_workers=2)
    for got, entry in zip(loader, entries, strict=True):
        np.testing.assert_array_equal(got.numpy(), entry)
