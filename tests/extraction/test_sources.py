"""Ids from file names, in folders of any kind."""

import os
from pathlib import Path

import pytest

from mmpt.errors import DataError
from mmpt.extraction.sources import find_videos


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def test_ids_are_names_without_the_last_suffix(folder):
    names = ["a.b.c.mp4", "-dash.MKV", "z/ü n.webm", "z/deep/er/x..mov", "--.mp4"]
    place = folder(*names, "notes.txt", "a.mp4.part", ".hidden.mp4", ".git/c.mp4", "noname")
    found = find_videos([place])
    assert list(found.videos) == ["--", "-dash", "a.b.c", "x.", "ü n"]
    assert found.videos["x."] == place / "z/deep/er/x..mov"
    assert (found.ignored, found.missing, found.closed) == (3, [], [])


def test_the_same_id_twice_names_both_files(folder):
    place = folder("one/a.mp4", "two/a.mkv", "b.mp4")
    with pytest.raises(DataError) as caught:
        find_videos([place])
    assert str(place / "one/a.mp4") in str(caught.value)
    assert str(place / "two/a.mkv") in str(caught.value)
    assert list(find_videos([place], ["b"]).videos) == ["b"]
    assert list(find_videos([place / "one", place / "one"]).videos) == ["a"]


def test_links_are_followed_once(folder):
    place = folder("real/a.mp4")
    (place / "real/loop").symlink_to(place)
    (place / "again").symlink_to(place / "real")
    (place / "real/same.mp4").symlink_to("a.mp4")
    (place / "lost.mp4").symlink_to("nowhere")
    assert list(find_videos([place]).videos) == ["a", "lost", "same"]


def test_a_list_names_what_is_wanted(folder):
    place = folder("a.mp4", "b.mp4", "c.mp4")
    found = find_videos([place], ["c", "a", "gone", "a"])
    assert (list(found.videos), found.missing, found.ids) == (
        ["a", "c"],
        ["gone"],
        ["a", "c", "gone"],
    )


def test_folders_that_do_not_fit(folder):
    place = folder("a.mp4", "x/y.txt")
    for path, message in (
        (place / "nope", "no such folder"),
        (place / "a.mp4", "a file, where a folder is needed"),
        (place / "x", r"no video in there \(1 files of other kinds\); known kinds: \.3g2"),
    ):
        with pytest.raises(DataError, match=message):
            find_videos([path])
    with pytest.raises(DataError, match="no video of the 1 listed"):
        find_videos([place], ["b"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_counted(folder):
    place = folder("a.mp4", "closed/b.mp4")
    (place / "closed").chmod(0)
    found = find_videos([place])
    (place / "closed").chmod(0o755)
    assert found.closed == [str(place / "closed")]


def test_names_that_are_no_text(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.mp4")).touch()
    assert [os.fsencode(name) for name in find_videos([Path(tmp_path)]).videos] == [b"\xff"]
