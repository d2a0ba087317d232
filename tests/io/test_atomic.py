"""A file is the old one or the new one, whatever happens while it is written."""

import os
import signal
import subprocess
import sys

import pytest

from mmpt.io.atomic import atomic_path, atomic_write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_new_and_replaced_files(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("first\n", "ségond\n"):
        with atomic_write(path, "w") as file:
            file.write(text)
        assert path.read_text(encoding="utf-8") == text
    assert names(path.parent) == ["a.txt"]


def test_the_old_file_stands_until_the_end(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new and longer")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new and longer"


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(error, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_kill_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from mmpt.io.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_the_bytes_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, order = tmp_path / "a.bin", []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor):
        order.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    def replace(source, target):
        order.append(("rename", str(target)))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    with atomic_write(path) as file:
        file.write(b"new")
    assert [step for step, _ in order] == ["sync", "rename", "sync"]
    assert order[0][1].endswith(".tmp")
    assert order[1][1] == str(path)
    assert order[2][1] == str(tmp_path)


def test_a_writer_that_wants_a_name(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"x")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert names(tmp_path) == ["a.bin"]
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "b.bin"):
        pass
    assert names(tmp_path) == ["a.bin"]


def test_rights_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a.bin") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_appending_is_not_atomic(tmp_path):
    with pytest.raises(ValueError, match="mode 'ab'"), atomic_write(tmp_path / "a", "ab"):
        pass
