"""The newest whole checkpoint of a folder, whatever a kill or a full disk has left there."""

import resource

import pytest
import torch

from mmpt.errors import CheckpointError
from mmpt.io.fairseqmm_checkpoints import copy_whole, save_whole
from mmpt.io.resume import newest_whole, remove_leftovers


def state(updates: int) -> dict:
    return {
        "model": {"mmmodel.w": torch.full((2000,), float(updates))},
        "optimizer_history": [{"num_updates": updates}],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }


@pytest.fixture
def run(tmp_path):
    """Checkpoints of 3, 5 and 7 updates, the last one under two names."""
    for updates in (3, 5, 7):
        save_whole(state(updates), str(tmp_path / f"checkpoint_1_{updates}.pt"))
    copy_whole(str(tmp_path / "checkpoint_1_7.pt"), str(tmp_path / "checkpoint_last.pt"))
    return tmp_path


def replace(path, content: bytes) -> None:
    """As a killed writer of another program would have left it (names share their bytes)."""
    path.unlink()
    path.write_bytes(content)


def test_the_last_one_where_all_are_whole(run):
    torch.save({"model": {"w": torch.zeros(1)}}, run / "checkpoint_weights.pt")
    (run / ".checkpoint_last.pt.1-ab.tmp").write_bytes(b"half")
    found = newest_whole(run)
    assert (found.path.name, found.updates, found.broken) == ("checkpoint_last.pt", 7, [])
    remove_leftovers(run)
    assert not list(run.glob(".*"))
    assert len(list(run.glob("*.pt"))) == 5


@pytest.mark.parametrize("damage", ["truncated", "empty", "zeros inside", "other bytes inside"])
def test_broken_files_are_named_and_passed_over(run, damage):
    whole = (run / "checkpoint_last.pt").read_bytes()
    middle = whole.index(torch.full((8,), 7.0).numpy().tobytes()) + 1000
    content = {
        "truncated": whole[:-200],
        "empty": b"",
        "zeros inside": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "other bytes inside": whole[:middle] + b"\x01" + whole[middle + 1 :],
    }[damage]
    replace(run / "checkpoint_last.pt", content)
    found = newest_whole(run)
    assert (found.path.name, found.updates) == ("checkpoint_1_7.pt", 7)
    replace(run / "checkpoint_1_7.pt", content)
    found = newest_whole(run)
    assert (found.path.name, found.updates) == ("checkpoint_1_5.pt", 5)
    assert len(found.broken) == 2
    for name in ("checkpoint_last.pt", "checkpoint_1_7.pt"):
        assert any(name in line for line in found.broken)


def test_a_numbered_one_may_be_newer_than_the_last(run):
    save_whole(state(9), str(run / "checkpoint2.pt"))
    assert newest_whole(run).path.name == "checkpoint2.pt"


def test_a_checkpoint_put_there_counts_only_where_the_run_has_none(tmp_path):
    put_there = tmp_path / "checkpoint_pre.pt"
    save_whole(state(900), str(put_there))
    assert newest_whole(tmp_path, put_there).path == put_there
    save_whole(state(3), str(tmp_path / "checkpoint1.pt"))
    assert newest_whole(tmp_path, put_there).updates == 3
    assert newest_whole(tmp_path).updates == 900
    save_whole({**state(5), "optimizer_history": [{"num_updates": "x"}]}, str(put_there))
    assert newest_whole(tmp_path).updates == 3


def test_old_form_without_checksums(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    torch.save(state(4), path, _use_new_zipfile_serialization=False)
    assert newest_whole(tmp_path).updates == 4
    replace(path, path.read_bytes()[:-300])
    found = newest_whole(tmp_path)
    assert found.path is None and str(path) in found.broken[0]
    assert newest_whole(tmp_path / "nowhere") == (None, 0, [])


def test_no_room_for_a_checkpoint(run):
    path = run / "checkpoint_last.pt"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"checkpoint_last.pt cannot be written \(File"):
            save_whole(state(8), str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert not list(run.glob("*.tmp")) and not list(run.glob(".*"))
    missing = run / "no" / "file.pt"
    with pytest.raises(CheckpointError, match=r"file.pt cannot be written \(No such file"):
        copy_whole(str(run / "gone.pt"), str(missing))
