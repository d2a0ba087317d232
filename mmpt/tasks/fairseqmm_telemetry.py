"""What a training tells beside its loss: speed, waiting, memory; its progress; its pictures.

The numbers of the log line and of TensorBoard, means over the updates since the last line:

loss, its parts   means over batches and processes (docs/notation.md)
gnorm, clip       norm of the gradient before clipping; share of updates that were clipped, %
clips_s           clips trained on per second, all processes together
wait              share of the time in which training waited for its loader, mean over processes
mem_gb            memory in GiB: the GPU's peak in the last update, without a GPU what the process
                  (loader workers not counted) has in memory; of the first process
bsz               items per update (pretraining: one item is a batch of videos)
ups, lr           updates per second; learning rate
train_wall, wall  seconds in updates; seconds since the start
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from fairseq.logging import metrics, progress_bar

from mmpt.io.fairseqmm_checkpoints import last_read
from mmpt.io.run_record import note_progress, note_start
from mmpt.tasks.pictures import Pictures

GIB = 1024**3


class LoaderWait:
    """Seconds between two batches, and how many of them were spent waiting for the second."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self.waited = 0.0
        self.passed = 0.0

    def batches(self, iterable) -> Iterator[Any]:
        """Hands through what an iterable gives, with an eye on the clock."""
        iterator = iter(iterable)
        last = self.clock()
        while True:
            asked = self.clock()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            now = self.clock()
            self.waited += now - asked
            self.passed += now - last
            last = now
            yield batch

    def take(self) -> dict[str, float]:
        """`wait_s` and `passed_s` since they were taken last: of an update's batches, the first
        one carries them."""
        taken = {"wait_s": self.waited, "passed_s": self.passed}
        self.waited = self.passed = 0.0
        return taken


class Telemetry:
    """One training's observations.

    Args:
        pictures: what draws the transport; None: nothing does.
    """

    def __init__(self, pictures: Pictures | None = None):
        self.pictures = pictures
        self.wait = LoaderWait()
        self.restored: str | None = None
        """The checkpoint that the model was loaded from."""
        self._begun = False

    def note_restored(self, *_) -> None:
        """Called when the model was loaded from a file."""
        self.restored = last_read()

    def begin_epoch(self, iterable, epoch: int) -> "WatchedBatches":
        """Called when the loop over an epoch's batches is about to start."""
        if not self._begun:
            self._begun = True
            note_start(self.restored, updates_done())
        note_progress(epoch=epoch)
        return WatchedBatches(iterable, self)

    def before_update(self) -> None:
        """Called when the batches of the next update are there."""
        if self.pictures is not None:
            self.pictures.prepare(updates_done() + 1)


class WatchedBatches:
    """An epoch's batches, as a progress bar takes them."""

    def __init__(self, iterable, telemetry: Telemetry):
        self.iterable = iterable
        self.telemetry = telemetry
        self.n = getattr(iterable, "n", 0)

    def __len__(self) -> int:
        return len(self.iterable)

    def __iter__(self) -> Iterator[Any]:
        for batches in self.telemetry.wait.batches(self.iterable):
            self.telemetry.before_update()
            yield batches


_current: Telemetry | None = None


def watch_training(telemetry: Telemetry) -> None:
    """Puts an eye on the training loop that this process runs next.

    The loop gives a task no say, but it asks `progress_bar` for a bar around each epoch's batches;
    those of a training have an epoch and no prefix.
    """
    global _current
    _current = telemetry
    original = progress_bar.progress_bar
    if getattr(original, "watched", False):
        return

    @functools.wraps(original)
    def bar(iterator, *args, epoch=None, prefix=None, **kwargs):
        if _current is not None and epoch is not None and prefix is None:
            iterator = _current.begin_epoch(iterator, epoch)
        return original(iterator, *args, epoch=epoch, prefix=prefix, **kwargs)

    bar.watched = True
    progress_bar.progress_bar = bar


def log_update(totals: dict[str, float]) -> None:
    """Logs speed, waiting and memory of one training update, and notes the progress.

    Args:
        totals: sums over the update's batches and processes.  Nothing is logged for a validation,
            which has no `passed_s`, and for an update all of whose batches were skipped.
    """
    passed = totals.get("passed_s")
    if passed is None or not totals["sample_size"]:
        return
    metrics.log_speed("clips_s", totals["clips"], priority=90, round=1)
    if passed > 0:
        metrics.log_scalar("wait", totals["wait_s"] / passed, weight=passed, priority=95, round=3)
    metrics.log_scalar("mem_gb", memory_gb(), weight=0, priority=1500, round=2)
    note_progress(updates=updates_done(), loss=totals["loss"] / totals["sample_size"])


def updates_done() -> int:
    """The number of updates of the run so far, as its trainer counts them."""
    # not by the aggregator's name: a resumed trainer registers others than the ones it logs to
    for aggregator in metrics.get_active_aggregators():
        meter = aggregator.get("num_updates")
        if meter is not None and meter.val is not None:
            return int(meter.val)
    return 0


def memory_gb() -> float:
    """GiB: the GPU's peak where the training is on one, else what this process has in memory."""
    # the trainer resets CUDA's peak just before it logs, but has logged what the peak left free
    free = metrics.get_meter("train_inner", "gb_free")
    if free is not None and torch.cuda.is_initialized():
        device = torch.cuda.get_device_properties(torch.cuda.current_device())
        return device.total_memory / GIB - float(free.val)
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / GIB
