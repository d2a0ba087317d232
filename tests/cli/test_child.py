"""A child's exit status, and the signals on their way to it."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt_cli.child import Outcome, run_child

# counts the signals it gets, writes what a training would save, and ends with status 7
PATIENT = """
import pathlib, signal, sys, time
got = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: got.append(number))
pathlib.Path("ready").write_text("")
deadline = time.monotonic() + 20
while not got and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)
pathlib.Path("got").write_text(" ".join(signal.Signals(n).name for n in got))
sys.exit(7)
"""


def python(code):
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("status", [0, 1, 7])
def test_the_status_is_passed_on(status):
    assert run_child(python(f"raise SystemExit({status})")) == Outcome(status, None)


def test_a_killed_child_is_128_and_the_signal():
    assert run_child(python("import os; os.kill(os.getpid(), 9)")).status == 137


def test_the_child_gets_its_signals_unblocked():
    code = """
import signal, sys
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
sys.exit(len(blocked & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}))
"""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert run_child(python(code)).status == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_no_shell_reads_the_command(capfd):
    assert run_child([sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; ls"]) == (
        0,
        None,
    )
    assert capfd.readouterr().out == "$HOME; ls\n"


EVALUATION = """
task_type: local_predict
dataset: {split: test}
model:
  model_cls: MMFusionSeparate
  video_encoder_cls: MMBertForEncoder
  text_encoder_cls: BertModel
predictor: RetrievalPredictor
metric: RetrievalMetric
"""


@pytest.fixture
def launched(tmp_path):
    """The launcher in a process of its own, two jobs, with a stand-in for predict.py."""
    for name in ("test_a.yaml", "test_b.yaml"):
        (tmp_path / name).write_text(EVALUATION)
    (tmp_path / "mmpt_cli").mkdir()
    (tmp_path / "mmpt_cli/predict.py").write_text(PATIENT)
    processes = []

    def start(files="test_a.yaml,test_b.yaml", **kwargs):
        command = [sys.executable, str(REPOSITORY_ROOT / "locallaunch.py"), files]
        processes.append(
            subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, **kwargs)
        )
        deadline = time.monotonic() + 20
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_once_and_nothing_more_starts(launched, tmp_path, number):
    process = launched()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 7
    assert (tmp_path / "got").read_text() == number.name
    assert f"test_a.yaml: stopped by {number.name}, status 7; 1 more jobs are not started" in err
    assert "test_b.yaml" not in err


def test_ctrl_c_at_the_terminal_reaches_the_child_once(launched, tmp_path):
    ours, theirs = pty.openpty()
    try:
        process = launched(
            stdin=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.write(ours, b"\x03")
        _, err = process.communicate(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 7
    assert (tmp_path / "got").read_text() == "SIGINT"
    assert "test_a.yaml: stopped by SIGINT" in err


def test_a_child_that_a_signal_ends(launched, tmp_path):
    """As an evaluation does, which has nothing to save: 128 and the signal."""
    impatient = PATIENT.replace(
        "for number in (signal.SIGINT, signal.SIGTERM):", "for number in ():"
    )
    (tmp_path / "mmpt_cli/predict.py").write_text(impatient)
    process = launched("test_a.yaml")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "test_a.yaml: stopped by SIGTERM, status 143"
