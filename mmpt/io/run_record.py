"""What a run folder tells about its run: how it was started, on what data, how far it came.

`run.json` has one entry a start (command, host, versions, commit, the checkpoint it went on from,
how it ended) and the fingerprint of the data.  `status.json` is the progress of the last start.
A process has one record, that of the run it trains; where none was begun (evaluation, all ranks but
the first) the functions here do nothing.
"""

import importlib.metadata
import json
import logging
import math
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mmpt import __version__
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt.io.fingerprint import changes, data_fingerprint

logger = logging.getLogger(__name__)

LAUNCHED_BY = "MMPT_LAUNCHED_BY"
"""Environment variable in which the launcher hands its own command down."""

RECORD_FILE = "run.json"
STATUS_FILE = "status.json"
FORM = 1
END_STATES = ("finished", "stopped", "failed")
STATUS_SECONDS = 5.0
"""The progress on the disk is at most so old."""
GIT_SECONDS = 5.0
PACKAGES = ("torch", "ve-fairseq", "fairseq", "transformers", "tokenizers", "numpy", "omegaconf",
            "triton", "tensorboardX")  # fmt: skip


class RunRecord:
    """The two files of one run folder, kept by the process that trains there."""

    def __init__(self, folder: Path, content: dict[str, Any]):
        self.folder = folder
        self.content = content
        self.status: dict[str, Any] = {}
        self._pid = os.getpid()
        self._written = -math.inf
        self._complained = False

    @property
    def start(self) -> dict[str, Any]:
        """The entry of this process's own start."""
        return self.content["starts"][-1]

    @property
    def is_ours(self) -> bool:
        """False in a forked loader worker."""
        return self._pid == os.getpid()

    def write(self) -> None:
        """Writes `run.json`."""
        with atomic_write(self.folder / RECORD_FILE, "w") as file:
            json.dump(self.content, file, indent=2)
            file.write("\n")

    def write_status(self, at_once: bool = False) -> None:
        """Writes `status.json`, not more often than every few seconds.

        It is renamed into place but not flushed to the disk: what a power cut takes of it is a few
        seconds of numbers that are in the log as well.
        """
        now = time.monotonic()
        if not at_once and now - self._written < STATUS_SECONDS:
            return
        self._written = now
        self.status["time"] = _now()
        temporary = self.folder / f".{STATUS_FILE}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.status, file, indent=2)
        os.replace(temporary, self.folder / STATUS_FILE)

    def complain(self, error: OSError) -> None:
        """A record that cannot be written is no reason to lose the run: one line, once."""
        if not self._complained:
            self._complained = True
            logger.warning(
                "%s: the run's record cannot be written (%s)", self.folder, error.strerror
            )


_current: RunRecord | None = None


def begin_run(
    folder: str | os.PathLike,
    *,
    job: str,
    dataset: Mapping[str, Any],
    max_update: int | None = None,
    max_epoch: int | None = None,
    processes: int = 1,
    device: str = "cpu",
    validates_on_test: Mapping[str, str] | None = None,
) -> None:
    """Adds this start to the record of a run folder; one line where the data is other than before.

    Args:
        folder: the run's folder; its resolved config is in `config.yaml`.
        job: the job file.
        dataset: its section `dataset`.
        max_update, max_epoch: where the run ends; None or 0: not limited.
        processes: how many train together.
        device: name of the device that this process trains on.
        validates_on_test: `test_set` and `why` where its best checkpoint is chosen on a test set.

    Raises:
        OSError: the folder cannot be written.
    """
    global _current
    folder = Path(folder)
    starts, before = _earlier(folder)
    data = data_fingerprint(dataset)
    if before is not None:
        changed = changes(before, data)
        if changed:
            logger.warning("the data differs from this run's earlier start: %s", "; ".join(changed))
    start = {
        "time": _now(),
        "command": shlex.join(sys.orig_argv),
        "launched_by": os.environ.get(LAUNCHED_BY),
        "directory": os.getcwd(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "processes": processes,
        "device": device,
        "versions": versions(),
        "git": git_state(REPOSITORY_ROOT),
        "data": data["hash"],
        "max_update": max_update or None,
        "max_epoch": max_epoch or None,
        "validates_on_test": validates_on_test and dict(validates_on_test),
        "checkpoint": None,
        "updates": None,
        "end": None,
    }
    content = {"form": FORM, "job": job, "config": "config.yaml", "data": data}
    record = RunRecord(folder, {**content, "starts": [*starts, start]})
    record.status = _read_status(folder)
    record.write()
    _current = record


def note_start(checkpoint: str | None, updates: int) -> None:
    """Notes what this start goes on from: a checkpoint file (None: from scratch), its updates."""
    record = _current
    if record is None or not record.is_ours:
        return
    record.start.update(checkpoint=checkpoint, updates=updates)
    try:
        record.write()
    except OSError as error:
        record.complain(error)


def note_progress(at_once: bool = False, **values: Any) -> None:
    """Notes how far the run is; cheap enough for every update.

    Args:
        at_once: write it now, not within the next seconds.
        values: `updates`, `epoch`, `loss`, `valid_loss`: plain numbers.
    """
    record = _current
    if record is None or not record.is_ours:
        return
    record.status.update({name: _for_json(value) for name, value in values.items()})
    try:
        record.write_status(at_once)
    except OSError as error:
        record.complain(error)


def end_run(state: str, reason: str | None = None) -> None:
    """Notes how this start ended, and closes the record; without a record it does nothing.

    Args:
        state: `finished`, `stopped` (asked to) or `failed`.
        reason: one line, for instance the signal or the error.
    """
    global _current
    if state not in END_STATES:
        raise ValueError(f"end_run: state {state!r}; allowed: {', '.join(END_STATES)}")
    record = _current
    if record is None or not record.is_ours:
        return
    _current = None
    record.start["end"] = {"state": state, "reason": reason, "time": _now()}
    try:
        if record.status:
            record.write_status(at_once=True)
        record.write()
    except OSError as error:
        record.complain(error)


def read_record(folder: str | os.PathLike) -> dict[str, Any]:
    """The content of a folder's `run.json`.

    Raises:
        DataError: it is missing, damaged, or of another form.
    """
    path = Path(folder) / RECORD_FILE
    content = _read_json(path)
    starts = content.get("starts") if isinstance(content, dict) else None
    if not (isinstance(starts, list) and starts and all(isinstance(s, dict) for s in starts)):
        raise DataError(f"{path}: no record of a run (it has no list starts)")
    if content.get("form") != FORM:
        raise DataError(f"{path}: form {content.get('form')!r}; this version reads form {FORM}")
    return content


def read_status(folder: str | os.PathLike) -> dict[str, Any]:
    """The content of a folder's `status.json`; empty where there was no update yet.

    Raises:
        DataError: it is damaged.
    """
    path = Path(folder) / STATUS_FILE
    if not path.exists():
        return {}
    content = _read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: not the status of a run")
    return content


def versions() -> dict[str, str]:
    """The versions that a run's numbers depend on; packages that are not installed are left out."""
    found = {"mmpt": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """`commit` and `dirty` (tracked files were changed) of a checkout; None for anything else."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _earlier(folder: Path) -> tuple[list[dict], dict | None]:
    """The starts so far and the data of the last one."""
    if not (folder / RECORD_FILE).exists():
        return [], None
    try:
        content = read_record(folder)
    except DataError as error:
        logger.warning("%s; a new record is begun", error)
        return [], None
    data = content.get("data")
    return content["starts"], data if isinstance(data, dict) else None


def _read_status(folder: Path) -> dict[str, Any]:
    try:
        return read_status(folder)
    except DataError as error:
        logger.warning("%s; a new one is begun", error)
        return {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error


def _for_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are written as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
