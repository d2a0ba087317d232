"""Running a command as a child process: no shell, its exit status, its signals."""

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

logger = logging.getLogger(__name__)

_SENT_BY_KERNEL = 0x80  # si_code of a signal that no process sent: Ctrl-C at the terminal


class Outcome(NamedTuple):
    """How a child ended.

    Attributes:
        status: its exit status; 128 + N where signal N ended it.
        stopped_by: the first signal that asked this process to stop meanwhile, or None.
    """

    status: int
    stopped_by: int | None


def run_child(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
    """Starts a command, waits for it and returns how it ended.

    SIGINT, SIGTERM and SIGHUP sent to this process are passed on, and it goes on waiting, so that
    a training can write its checkpoint.  Ctrl-C at the terminal reaches the child by itself (it
    stays in the terminal's process group): passing it on would interrupt it twice.

    Args:
        command: programme and arguments.
        environment: variables to set beside those of this process.
    """
    logger.info("%s", shlex.join(command))
    watched = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
    stopped_by = None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        # the child must not inherit the blocked signals
        child = subprocess.Popen(
            list(command),
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        )
        while child.poll() is None:
            # the timeout covers a SIGCHLD that another thread of this process has taken
            info = signal.sigtimedwait(watched, 1.0)
            if info is None or info.si_signo == signal.SIGCHLD:
                continue
            stopped_by = stopped_by or info.si_signo
            if info.si_signo != signal.SIGINT or info.si_code != _SENT_BY_KERNEL:
                child.send_signal(info.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return Outcome(status, stopped_by)
