"""What stands at a path."""

import os
import socket

from mmpt.io.files import no_file


def test_regular_files_and_nothing_are_no_obstacle(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "link", "dangling", "nothing", "file/below", "nul\0"):
        assert no_file(f"{tmp_path}/{name}") is None


def test_what_else_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.mkdir("folder")
    os.symlink("pipe", "link")
    assert no_file(tmp_path) == "a folder"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        found = {name: no_file(name) for name in ("pipe", "folder", "link", "socket", os.devnull)}
    assert found == {
        "pipe": "a pipe",
        "folder": "a folder",
        "link": "a pipe",
        "socket": "a socket",
        os.devnull: "a device",
    }
