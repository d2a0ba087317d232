"""Being asked to stop."""

import os
import signal
import time

import pytest

from mmpt.utils import signals
from mmpt.utils.signals import StopRequest


def in_a_child(body) -> int:
    """The exit status of a forked process that runs `body`, -N where signal N ended it."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = body()
        except SystemExit as stop:
            status = stop.code
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_at_once_before_there_is_anything_to_lose():
    def body():
        with StopRequest():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return 1

    assert in_a_child(body) == 143


@pytest.mark.parametrize(("pause", "status"), [(0.0, 3), (0.02, 130)])
def test_the_first_is_noted_a_second_one_later_ends_it(monkeypatch, pause, status):
    monkeypatch.setattr(signals, "SAME_REQUEST_SECONDS", 0.01)

    def body():
        with StopRequest() as stop:
            stop.defer()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop and stop.name == "SIGINT" and stop.exit_status == 130
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGINT)
            return 3

    assert in_a_child(body) == status


def test_a_signal_after_another_process_has_asked_is_the_first_here():
    """Each process of a run gets its own, and some later than the update that all leave after."""

    def body():
        with StopRequest() as stop:
            stop.defer()
            stop.signal_number = signal.SIGTERM
            os.kill(os.getpid(), signal.SIGTERM)
            return 3

    assert in_a_child(body) == 3


def test_ignored_signals_stay_ignored_and_handlers_come_back():
    def body():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = signal.getsignal(signal.SIGTERM)
        with StopRequest() as stop:
            stop.defer()
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != before
        return 3 if signal.getsignal(signal.SIGTERM) == before else 4

    assert in_a_child(body) == 3


def test_a_worker_outlives_a_signal_to_the_group_but_not_one_to_itself(monkeypatch):
    def body(both):
        with StopRequest() as stop:
            stop.defer()
            ready, say = os.pipe()
            worker = os.fork()
            if worker == 0:
                os.write(say, b"x")
                time.sleep(1.5)
                os._exit(5)
            os.read(ready, 1)
            os.kill(worker, signal.SIGINT)
            if both:
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(worker, signal.SIGTERM)
            return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])

    assert in_a_child(lambda: body(both=False)) == 0
    assert in_a_child(lambda: body(both=True)) == 5
