"""One run at a time: a locked file, whose lock goes with its process however that ends."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

from mmpt.errors import LaunchError


def lock_file(path: Path, in_use: str) -> IO[str]:
    """Locks a file, which is made where it is not there, until it is closed.

    Args:
        path: the file; one process must not lock it twice.
        in_use: what to say where another process has it.

    Raises:
        LaunchError: another process has locked it.
        OSError: the file cannot be made.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")  # noqa: SIM115 the caller closes it
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # a file system without locks: two runs at once are possible there, only unguarded
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
                return lock
            lock.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise LaunchError(f"{in_use}; wait for it, or stop it") from None
            raise
        if _is_still(lock, path):
            return lock
        lock.close()  # the one that had it has removed it in the meantime


def _is_still(lock: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False
