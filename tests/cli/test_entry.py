"""Mistakes become one line and a status; defects keep their traceback."""

import errno
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import CheckpointError, ConfigError, DataError, LaunchError
from mmpt.io.atomic import atomic_write
from mmpt_cli.entry import run_command, user_line


def raising(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize("error", [ConfigError, DataError, CheckpointError, LaunchError])
def test_a_mistake_is_one_line(error, capsys):
    assert run_command(raising(error("a.yaml: wrong\n  and why")), []) == 1
    assert capsys.readouterr() == ("", "error: a.yaml: wrong and why\n")


@pytest.mark.parametrize("argv", [["--debug", "x"], ["x", "--debug"]])
def test_debug_anywhere_shows_the_traceback(argv, capsys):
    seen = []

    def main(arguments):
        seen.extend(arguments)
        raise DataError("wrong")

    assert run_command(main, argv) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: wrong\n")
    assert seen == ["x"]


def test_debug_reaches_the_commands_it_starts():
    code = "import os; print(os.environ.get('MMPT_DEBUG'))"

    def main(argv):
        seen.append(subprocess.check_output([sys.executable, "-c", code], text=True).strip())

    seen = []
    run_command(main, ["--debug"])
    run_command(main, [])
    assert seen == ["1", "None"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (lambda argv: None, 0),
        (lambda argv: 7, 7),
        (raising(KeyboardInterrupt()), 130),
        (raising(SystemExit(2)), 2),
        (raising(SystemExit()), 0),
        (raising(SystemExit("bad")), 1),
    ],
)
def test_status(outcome, status):
    assert run_command(outcome, []) == status


def test_a_defect_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError("x")), [])


def test_a_file_of_the_system(tmp_path, capsys):
    assert run_command(lambda argv: open(tmp_path / "no").close(), []) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/no: No such file or directory\n"


def test_a_reader_s_word_for_a_file_it_may_not_open(tmp_path, capsys):
    """DataError: truncated; what it comes from: permission."""

    def main(argv):
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "x.npy")
        except OSError as error:
            raise DataError("x.npy: truncated") from error

    assert run_command(main, []) == 1
    denied = "error: x.npy: permission denied: this user may not open it\n"
    assert capsys.readouterr().err == denied
    assert (
        run_command(raising(PermissionError(errno.EACCES, "Permission denied", "x.npy")), []) == 1
    )
    assert capsys.readouterr().err == denied


def test_a_full_disk(capsys):
    assert run_command(raising(OSError(errno.ENOSPC, "No space left on device")), []) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: a file could not be written: No space left on device; free")
    with pytest.raises(OSError, match="bad"):
        run_command(raising(OSError(errno.EBADF, "bad")), [])


def test_sigterm_ends_a_command_and_what_it_had_begun(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def main(argv):
        with atomic_write(tmp_path / "file"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            raise AssertionError("the signal did not come")

    assert run_command(main, []) == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise DataError(f"x.npy: row {index} is not finite") if index >= 0 else IndexError


class Defective(Broken):
    def __getitem__(self, index):
        raise RuntimeError("a defect")


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_an_error_of_a_loader_worker_is_its_last_line(capsys, monkeypatch):
    # a loader that ends in an error waits this long for its worker when it is collected
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)

    def main(argv):
        next(iter(torch.utils.data.DataLoader(Broken(), num_workers=1)))

    assert run_command(main, []) == 1
    assert capsys.readouterr().err == "error: x.npy: row 0 is not finite\n"
    with pytest.raises(RuntimeError, match="a defect"):
        next(iter(torch.utils.data.DataLoader(Defective(), num_workers=1)))
    gc.collect()


def test_an_error_of_a_spawned_process_is_its_last_line():
    text = (
        "\n\n-- Process 1 terminated with the following error:\n"
        "Traceback (most recent call last):\n  File ...\n"
        "mmpt.errors.CheckpointError: x.pt: truncated\n"
    )
    assert user_line(Exception(text)) == "x.pt: truncated"
    assert user_line(Exception(text.replace("mmpt.errors.CheckpointError", "TypeError"))) is None
    cause = "PermissionError: [Errno 13] Permission denied: 'x.pt'\n\nThe above exception was ...\n"
    denied = text.replace("mmpt.errors", f"{cause}mmpt.errors")
    assert user_line(Exception(denied)) == "x.pt: permission denied: this user may not open it"


def test_own_lines_are_shown_until_someone_sets_up_logging():
    code = """
import logging, sys
from mmpt_cli.entry import run_command

def main(argv):
    logging.getLogger("mmpt.x").info("one")
    logging.getLogger("other").info("not ours")
    logging.basicConfig(level=logging.INFO, format="root %(message)s", stream=sys.stderr)
    logging.getLogger("mmpt.x").info("two")
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("mmpt.x").info("three")

run_command(main, [])
run_command(main, [])
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY_ROOT
    )
    assert run.stderr.splitlines() == ["one", "root two"]
