"""One training at a time in a run folder, however the one before it ended."""

import json
import os
import signal
import time

import pytest

from mmpt.errors import LaunchError
from mmpt.io.runlock import LOCK_FILE, hold_run_folder, lock_owner, refuse_if_held


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path / "run"` until it is killed; yields its pid."""
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            hold_run_folder(tmp_path / "run")
            os.write(say, b"held")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(say)
    assert os.read(ready, 4) == b"held"
    yield pid
    os.close(ready)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_second_process_is_refused_by_name(tmp_path, holder):
    folder = tmp_path / "run"
    owner = lock_owner(folder)
    assert owner.pid == holder and owner.host == os.uname().nodename
    for attempt in (hold_run_folder, refuse_if_held):
        with pytest.raises(LaunchError, match=f"run is in use by process {holder} on .* since 2"):
            attempt(folder)
    assert lock_owner(folder).pid == holder, "asking gave the lock away"


def test_a_killed_owner_leaves_the_folder_free(tmp_path):
    folder = tmp_path / "run"
    pid = os.fork()
    if pid == 0:
        hold_run_folder(folder)
        child = os.fork()  # a loader's worker, which outlives its parent for a while
        time.sleep(2) if child == 0 else os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)
    assert json.loads((folder / LOCK_FILE).read_text())["pid"] == pid
    assert lock_owner(folder) is None
    refuse_if_held(folder)
    second = os.fork()
    if second == 0:
        hold_run_folder(folder)
        hold_run_folder(folder)  # again is fine
        os._exit(0 if lock_owner(folder).pid == os.getpid() else 1)
    assert os.waitpid(second, 0)[1] == 0


def test_no_folder_and_a_damaged_lock_file(tmp_path):
    assert lock_owner(tmp_path / "nowhere") is None
    refuse_if_held(tmp_path / "nowhere")
    (tmp_path / LOCK_FILE).write_text("{half")
    assert lock_owner(tmp_path) is None
