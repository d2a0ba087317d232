"""One training at a time in a run folder.

`RUN/run.lock` is locked by the process that writes the run's checkpoints and names it (JSON: host,
pid, when).  The lock itself is the kernel's (POSIX record lock): it goes with its process however
that ends, kill -9 included, is not inherited by loader workers, and works on network file systems.
The file stays behind; what counts is whether it is locked.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple

from mmpt.errors import LaunchError

logger = logging.getLogger(__name__)

LOCK_FILE = "run.lock"

_FLOCK = "hhqqi"
"""Linux's struct flock: type, whence, start, length, process."""

_held: dict[str, int] = {}
"""Folders that this process has locked -> descriptor.  Closing any descriptor of a file gives up a
POSIX lock on it, so this process must never open such a file a second time."""


class Owner(NamedTuple):
    """Who holds a run folder; fields that the lock file does not tell are None."""

    host: str | None
    pid: int | None
    since: float | None
    """Seconds since the epoch."""

    def __str__(self) -> str:
        since = "" if self.since is None else time.strftime(
            " since %Y-%m-%d %H:%M:%S", time.localtime(self.since)
        )  # fmt: skip
        return f"process {self.pid or '?'} on {self.host or '?'}{since}"


def hold_run_folder(folder: str | os.PathLike) -> None:
    """Locks a run folder until this process ends; the folder is made if it is not there.

    Calling it again in the same process does nothing.

    Raises:
        LaunchError: another process holds it; the message names that process.
    """
    path = _lock_path(folder)
    if path in _held:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = _read_owner(descriptor)
        os.close(descriptor)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _in_use(folder, owner) from None
        # a file system without locks: training there is possible, only unguarded
        logger.warning(
            "%s cannot be locked (%s): nothing keeps a second run out of it", path, error.strerror
        )
        return
    _held[path] = descriptor
    owner = Owner(socket.gethostname(), os.getpid(), time.time())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner._asdict()).encode(), 0)


def refuse_if_held(folder: str | os.PathLike) -> None:
    """For a look before anything is written or started.

    Raises:
        LaunchError: another process holds the folder.
    """
    owner = lock_owner(folder)
    if owner is not None and _lock_path(folder) not in _held:
        raise _in_use(folder, owner)


def lock_owner(folder: str | os.PathLike) -> Owner | None:
    """Who trains in a folder now; None where nobody does, or where there is no lock file."""
    path = _lock_path(folder)
    if path in _held:
        return _read_owner(_held[path])
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # no folder, no lock file; or no permission, which whoever writes there meets
    try:
        return _read_owner(descriptor) if _is_locked(descriptor) else None
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Asks the kernel without taking the lock: a probe must not keep a run from starting."""
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def _lock_path(folder: str | os.PathLike) -> str:
    return os.path.join(os.path.realpath(folder), LOCK_FILE)


def _read_owner(descriptor: int) -> Owner:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
        return Owner(content.get("host"), content.get("pid"), content.get("since"))
    except (OSError, ValueError, AttributeError):
        return Owner(None, None, None)  # locked this instant, its name not written yet


def _in_use(folder: str | os.PathLike, owner: Owner) -> LaunchError:
    return LaunchError(
        f"run folder {Path(folder)} is in use by {owner}: two runs in one folder would overwrite "
        "each other's checkpoints; wait for it, stop it, or set another "
        "fairseq.checkpoint.save_dir"
    )
