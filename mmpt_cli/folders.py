"""The folders that a command writes to: tried before hours of work, taken back if nothing came.

The launcher makes a run's folder before it starts the training.  Where the training then refuses
its data or its checkpoint, a folder with a `config.yaml` alone would look like a run, and the next
try like its continuation.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmpt.errors import LaunchError
from mmpt.io.run_record import RECORD_FILE
from mmpt.io.runlock import LOCK_FILE

NOTHING_BEGAN = {"config.yaml", LOCK_FILE, RECORD_FILE}
"""What is written before the first update of a training."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Of an `OSError` met while writing: the disk or a quota is full, or it is read-only by now."""


class NewFolder:
    """A folder to be written to, and which folders of its path are not there yet."""

    def __init__(self, path: str):
        self.path = Path(os.path.abspath(path))
        self.missing = [p for p in (self.path, *self.path.parents) if not p.exists()]

    def remove_if_unused(self) -> None:
        """Removes what was made since, where nothing began in it.

        A folder that was there before is left alone, and so is one that holds anything that a
        training or an evaluation writes.
        """
        if self.path not in self.missing or not self.path.is_dir():
            return
        names = os.listdir(self.path)
        if not set(names) <= NOTHING_BEGAN:
            return
        for name in names:
            (self.path / name).unlink()
        with suppress(OSError):  # a parent in which something else stands by now
            for folder in self.missing:
                folder.rmdir()


def why_not_writable(folder: str) -> str | None:
    """The reason why nothing can be written in a folder, or None; leaves nothing behind.

    It is made for the trial: permissions alone do not tell (of a full disk, or of `/proc`).
    """
    new = NewFolder(folder)
    try:
        _try(folder)
    except OSError as error:
        return error.strerror
    finally:
        new.remove_if_unused()
    return None


def _try(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def results_folder(folder: str) -> Iterator[None]:
    """Makes a folder, tries it, and names it when the disk is full inside the block.

    Where the block ends in an error, a folder that was made for it and is empty goes again.

    Raises:
        LaunchError: nothing can be written there.
    """
    new = NewFolder(folder)
    try:
        _try(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield
    except OSError as error:
        new.remove_if_unused()
        if error.errno in DISK_ERRORS:
            raise _cannot_write(folder, error) from error
        raise
    except BaseException:
        new.remove_if_unused()
        raise


def _cannot_write(folder: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"{folder}: results cannot be written there ({error.strerror}); free it, or name another "
        "folder with --out or eval.save_path"
    )
