"""`mmpt runs [DIR]`: the runs below a folder, how far they are and how they ended.

States: `running` (a process holds the folder), `finished`, `stopped` (was asked to: the same
command goes on), `failed` (with the error), `killed` (it began and no process is left), `unknown`
(its record cannot be read), `-` (a checkpoint or a config without a record: downloaded, or not
trained by this version).  Reads small files only: no checkpoint is
opened, neither torch nor fairseq is imported.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmpt.errors import DataError
from mmpt.io.run_record import RECORD_FILE, read_record, read_status
from mmpt.io.runlock import lock_owner

DEPTH = 8
"""Folders below each other that are looked into."""
NOT_RUNS = re.compile(r"\..*|__pycache__")
"""Folders that are not looked into."""
TRACES = re.compile(r"checkpoint.*\.pt|config\.yaml")
COLUMNS = ("state", "updates", "epoch", "loss", "last checkpoint", "run")
LONGEST_NOTE = 120
"""Characters of a note in the table; `--json` has all of it."""
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass
class Run:
    """One run folder, as `--json` shows it; what is not known is None."""

    path: str
    state: str
    updates: int | None = None
    max_update: int | None = None
    epoch: int | None = None
    max_epoch: int | None = None
    loss: float | str | None = None
    """Of the last update; `nan` and `inf` are text."""
    valid_loss: float | str | None = None
    checkpoint: str | None = None
    checkpoint_age_s: float | None = None
    started: str | None = None
    host: str | None = None
    pid: int | None = None
    starts: int | None = None
    note: str | None = None
    """Why it failed or stopped, what cannot be read, or that there is no record."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mmpt runs", description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default="runs", help="where to look (default: runs)")
    parser.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    return parser


def main(argv: list[str]) -> int:
    """Prints one line a run; returns the exit status.

    Raises:
        DataError: there is no such folder.
    """
    args = build_parser().parse_args(argv)
    top = Path(args.folder)
    if top.exists() and not top.is_dir():
        raise DataError(f"{top}: a file; mmpt runs DIR lists the runs below DIR")
    if not top.is_dir():
        raise DataError(f"{top}: no such folder; mmpt runs DIR lists the runs below DIR")
    runs = [describe(folder) for folder in find_runs(top)]
    if args.json:
        print(json.dumps([asdict(run) for run in runs], indent=2))
    elif not runs:
        print(f"no runs below {top}")
    else:
        print(table(runs))
    return 0


def find_runs(top: Path) -> Iterator[Path]:
    """The folders at and below `top` that hold a run, or traces of one, sorted by path."""
    for name, folders, files in os.walk(top):
        depth = len(Path(name).relative_to(top).parts)
        # a run may hold others: fine-tunings lie below the pretraining that they start from
        folders[:] = sorted(f for f in folders if depth < DEPTH and not NOT_RUNS.fullmatch(f))
        if RECORD_FILE in files or any(TRACES.fullmatch(file) for file in files):
            yield Path(name)


def describe(folder: Path) -> Run:
    """What a folder tells; what cannot be read is named in `note`."""
    run = Run(str(folder), "unknown")
    run.checkpoint, run.checkpoint_age_s = last_checkpoint(folder)
    if not (folder / RECORD_FILE).exists():
        run.state, run.note = "-", "no record"
        return run
    try:
        record = read_record(folder)
        _add_start(run, folder, record["starts"])
        _add_progress(run, read_status(folder))
    except DataError as error:
        run.note = str(error)
    except OSError as error:
        run.note = f"{error.filename}: {error.strerror}"
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        run.note = f"{folder / RECORD_FILE}: not as this version writes it ({error!r})"
    return run


def _add_start(run: Run, folder: Path, starts: list[dict[str, Any]]) -> None:
    last = starts[-1]
    run.starts = len(starts)
    run.started, run.host, run.pid = last.get("time"), last.get("host"), last.get("pid")
    run.max_update, run.max_epoch = last.get("max_update"), last.get("max_epoch")
    run.updates = last.get("updates")
    owner, end = lock_owner(folder), last.get("end")
    if owner is not None and (end is None or owner.pid != run.pid):
        run.state, run.host, run.pid = "running", owner.host, owner.pid
    elif end is not None:
        run.state, run.note = str(end["state"]), end.get("reason")
    else:
        run.state = "killed"


def _add_progress(run: Run, status: dict[str, Any]) -> None:
    run.updates = status.get("updates", run.updates)
    run.epoch = status.get("epoch")
    run.loss, run.valid_loss = status.get("loss"), status.get("valid_loss")


def last_checkpoint(folder: Path) -> tuple[str | None, float | None]:
    """Name and age in seconds of the newest checkpoint file."""
    newest: tuple[float, bool, str] | None = None
    for path in folder.glob("checkpoint*.pt"):
        try:
            written = path.stat().st_mtime
        except OSError:
            continue  # removed meanwhile
        # one state may have several names: the one that a run goes on from is shown
        entry = (written, path.name == "checkpoint_last.pt", path.name)
        newest = entry if newest is None else max(newest, entry)
    if newest is None:
        return None, None
    return newest[2], round(max(0.0, time.time() - newest[0]), 1)


def table(runs: list[Run]) -> str:
    """The runs as lines of aligned columns, a heading first."""
    rows = [COLUMNS, *(_row(run) for run in runs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(f"{part:<{w}}" for part, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def _row(run: Run) -> tuple[str, ...]:
    checkpoint = "-"
    if run.checkpoint is not None:
        checkpoint = f"{run.checkpoint}, {_ago(run.checkpoint_age_s)} old"
    loss = f"{run.loss:.4f}" if isinstance(run.loss, float) else str(run.loss or "-")
    where = run.path if run.note is None else f"{run.path}  ({_short(run.note)})"
    return (
        run.state,
        _of(run.updates, run.max_update),
        _of(run.epoch, run.max_epoch),
        loss,
        checkpoint,
        where,
    )


def _short(note: str) -> str:
    line = " ".join(note.split())
    return line if len(line) <= LONGEST_NOTE else f"{line[: LONGEST_NOTE - 1]}…"


def _of(done: int | None, limit: int | None) -> str:
    shown = "-" if done is None else str(done)
    return shown if limit is None else f"{shown}/{limit}"


def _ago(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"
