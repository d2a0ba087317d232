"""Folders that are made, tried, and taken back where nothing came of them."""

import errno

import pytest

from mmpt.errors import DataError, LaunchError
from mmpt_cli.folders import NewFolder, results_folder, why_not_writable


@pytest.mark.parametrize("names", [(), ("config.yaml",), ("config.yaml", "run.lock")])
def test_what_was_made_for_nothing_goes_with_its_parents(tmp_path, names):
    folder = NewFolder(str(tmp_path / "a/b/c"))
    (tmp_path / "a/b/c").mkdir(parents=True)
    for name in names:
        (tmp_path / "a/b/c" / name).touch()
    folder.remove_if_unused()
    assert list(tmp_path.iterdir()) == []
    folder.remove_if_unused()


def test_what_a_training_wrote_is_kept(tmp_path):
    folder = NewFolder(str(tmp_path / "a"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.yaml").touch()
    (tmp_path / "a/checkpoint1.pt").touch()
    folder.remove_if_unused()
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_parents_with_something_else_in_them_stay(tmp_path):
    folder = NewFolder(str(tmp_path / "a/b"))
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/other").touch()
    folder.remove_if_unused()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["other"]


def test_a_folder_that_was_there_is_left_alone(tmp_path):
    with pytest.raises(DataError), results_folder(str(tmp_path)):
        raise DataError("x")
    assert tmp_path.is_dir()
    with results_folder(str(tmp_path / "new")):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_a_disk_that_fills_up_names_the_folder(tmp_path):
    with (
        pytest.raises(LaunchError, match=r"new: results cannot be written there \(No space"),
        results_folder(str(tmp_path / "new")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="of the data"), results_folder(str(tmp_path / "new")):
        raise OSError(errno.EIO, "of the data")


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    assert why_not_writable(str(tmp_path / "a/b")) is None
    assert why_not_writable(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert why_not_writable(str(tmp_path / "file")) == "File exists"
    assert why_not_writable(str(tmp_path / "file/a")) == "Not a directory"
    assert why_not_writable("/proc/nothing") is not None
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
