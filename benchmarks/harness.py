"""Times and peak memory of several implementations of one operation, measured in one run.

Implementations are called in turns, so that whatever else the machine does falls on all of them.
Every result is one row of one CSV form, whatever the operation; a ratio compares with the baseline
of the same run.
"""

import csv
import datetime
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20

Build = Callable[[], Callable[[], object]]
"""Makes the inputs and returns what is measured; picklable, since a child process calls it too."""


class Row(NamedTuple):
    """One implementation on one input: a line of the CSV file."""

    utc: str
    operation: str
    case: str
    implementation: str
    baseline: str
    device: str
    threads: int
    torch: str
    repeats: int
    seconds_median: float
    seconds_min: float
    time_ratio: float
    """Shortest time over the baseline's shortest: what other work disturbs least."""
    peak_mib: float | None
    """Peak above what the inputs take."""
    memory_ratio: float | None


def compare(
    operation: str,
    case: str,
    builds: dict[str, Build],
    baseline: str,
    device: str = "cpu",
    repeats: int = 5,
    memory: bool = True,
) -> list[Row]:
    """Measure all implementations of an operation on one input.

    Args:
        operation: what is computed.
        case: shape, dtype and whatever else describes the input.
        builds: implementation -> Build.
        baseline: the implementation that ratios refer to.
        device: `cpu` or `cuda`.
        repeats: timed calls of each implementation, after one that is not timed.
        memory: measure peak memory as well (on the CPU in a fresh process for each).
    """
    peaks = {name: _peak(build, device) if memory else None for name, build in builds.items()}
    times = _times(builds, device, repeats)
    best = {name: min(seconds) for name, seconds in times.items()}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return [
        Row(
            utc=now,
            operation=operation,
            case=case,
            implementation=name,
            baseline=baseline,
            device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            repeats=repeats,
            seconds_median=round(statistics.median(times[name]), 6),
            seconds_min=round(best[name], 6),
            time_ratio=round(best[name] / best[baseline], 4),
            peak_mib=None if peaks[name] is None else round(peaks[name] / MIB, 1),
            memory_ratio=_ratio(peaks[name], peaks[baseline]),
        )
        for name in builds
    ]


def report(rows: list[Row], output: Path) -> None:
    """Print rows for reading and append them to a CSV file (header written once)."""
    for row in rows:
        peak = "" if row.peak_mib is None else f"{row.peak_mib:10.1f} MiB (x {row.memory_ratio})"
        print(
            f"{row.operation:18s} {row.case:34s} {row.implementation:10s} "
            f"{1e3 * row.seconds_min:10.1f} ms (x {row.time_ratio:.2f}) {peak}",
            flush=True,
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    new = not output.exists()
    with output.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(Row._fields)
        writer.writerows(rows)


def _times(builds: dict[str, Build], device: str, repeats: int) -> dict[str, list[float]]:
    calls = {name: build() for name, build in builds.items()}
    times = {name: [] for name in builds}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _ratio(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else round(value / of, 4)


def _peak(build: Build, device: str) -> float:
    """Bytes that one call needs on top of its inputs."""
    if device == "cuda":
        call = build()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure_peak, args=(build, torch.get_num_threads(), sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError("the measuring process ended early (out of memory?)") from None
    finally:
        child.join()


def _measure_peak(build: Build, threads: int, sender) -> None:
    torch.set_num_threads(threads)
    call = build()
    # libraries allocate their own buffers on first use
    warm = torch.ones(64, 64, requires_grad=True)
    (warm @ warm).exp().sum().backward()
    # getrusage's maximum survives exec and so holds the parent's size; this one is the process's
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    sender.send(_status("VmHWM") - before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: peak memory needs Linux")
