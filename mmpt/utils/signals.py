"""Being asked to stop: at once before there is anything to lose, after the update otherwise."""

import mmap
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torch.utils.data._utils import signal_handling

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAME_REQUEST_SECONDS = 1.0
"""A launcher passes on what the terminal sends as well: within this time it is one request."""

WORKER_GRACE_SECONDS = 30
"""How long a loader's worker serves on after a SIGTERM that its trainer has got as well."""

ASKED, RELEASED = 1, 2
"""What workers see: their trainer was asked to stop; it needs no more data."""


class Stopped(Exception):
    """Raised where a stop that was asked for can be made at once, all being saved."""


class StopRequest:
    """SIGTERM, SIGINT and SIGHUP as a request that the training loop looks at.

    Until `defer` is called, a signal ends the process with its exit status (128 + number).  Then
    the first one is only noted, a second one, a second later, ends the process at once.  Signals
    that were ignored stay ignored (`nohup`).

    Loader workers are forked with these handlers.  Ctrl-C and batch systems signal every process,
    which must not take the data away from the update that is being finished: workers ignore SIGINT,
    and outlive a SIGTERM for a while if their trainer has got one too.
    """

    def __init__(self):
        self.signal_number = 0
        """The first signal, 0 while there was none.  Set it where another process was asked."""
        self._deferred = False
        self._noted_at: float | None = None
        self._pid = 0
        self._seen_by_workers: mmap.mmap | None = None
        self._before: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal_number != 0

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, 0 where there was none."""
        return 128 + self.signal_number if self else 0

    @property
    def name(self) -> str:
        """The signal's name, SIGTERM say."""
        return signal.Signals(self.signal_number).name if self else ""

    def defer(self) -> None:
        """From now on there are updates to lose."""
        self._deferred = True

    def __enter__(self) -> "StopRequest":
        self._pid = os.getpid()
        self._seen_by_workers = mmap.mmap(-1, 1)  # shared with forked processes
        self._by_torch = signal_handling._set_worker_signal_handlers
        signal_handling._set_worker_signal_handlers = self._set_worker_handlers
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._seen_by_workers[0] = RELEASED
        signal_handling._set_worker_signal_handlers = self._by_torch

    @contextmanager
    def of_children(self) -> Iterator[None]:
        """Inside, signals are noted and passed on to the processes that this one has spawned."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            children = multiprocessing.active_children()
            self.signal_number = self.signal_number or number
            if not children:
                raise SystemExit(128 + number)
            for child in children:
                os.kill(child.pid, number)

        before = {number: signal.signal(number, pass_on) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            self._handle_in_worker(number)
            return
        self._seen_by_workers[0] = ASKED
        if not self._deferred:
            self.signal_number = number
            raise SystemExit(128 + number)
        if self._noted_at is None:
            self.signal_number = self.signal_number or number
            self._noted_at = time.monotonic()
            # from here on a worker that ends is no reason to raise in the middle of a save
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _say(f"{self.name}: finishing this update and writing a checkpoint")
        elif time.monotonic() - self._noted_at > SAME_REQUEST_SECONDS:
            _say(f"{signal.Signals(number).name} again: leaving at once")
            os._exit(128 + number)

    def _set_worker_handlers(self) -> None:
        """torch's handlers in a new worker, but for its SIGTERM, which ends it at once."""
        self._by_torch()
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle_in_worker(self, number: int) -> None:
        if number != signal.SIGTERM:
            return

        def after_a_moment(*_) -> None:
            if self._seen_by_workers[0] != ASKED:
                os._exit(0)  # meant for this worker alone: its loader wants it to end
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(WORKER_GRACE_SECONDS)

        if self._seen_by_workers[0] == RELEASED:
            os._exit(0)
        # the trainer may get its own signal a moment later
        signal.signal(signal.SIGALRM, after_a_moment)
        signal.alarm(1)


def _say(text: str) -> None:
    # in a signal handler, printing and logging may meet themselves
    os.write(2, f"{text}\n".encode())
