"""Files that are either the old ones or the new ones, never half of each.

A file is written under a temporary name in the folder where it shall stand, flushed to the disk,
and renamed into place; the folder is flushed too, so that the new name survives a power cut.  An
error on the way (a full disk, an interruption, an exception of the writer) removes the temporary
file and leaves what was there before.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_LEFT_OVER = re.compile(r"\.(.+)\.\d+-[0-9a-f]+\.tmp")


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`; what the body writes there becomes `path` at its end.

    For writers that want a name.  The temporary name ends in `.tmp`: a writer that adds its own
    suffix to a name (`np.save`) must be given `atomic_write`'s file object instead.

    Raises:
        FileNotFoundError: the body wrote nothing.
        OSError: the disk is full, the folder cannot be written; `path` is then as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync(path.parent)


@contextmanager
def atomic_write(
    path: str | os.PathLike, mode: str = "wb", encoding: str | None = None
) -> Iterator[IO[Any]]:
    """A file open for writing that replaces `path` when the block ends without an error.

    Several files that belong together are written in one `with` statement; they are put in place
    in reverse order, the last one named first.

    Args:
        path: the file to write; missing folders are made.
        mode: `wb` or `w`.
        encoding: of text; UTF-8 where it is not given.

    Raises:
        OSError: as `atomic_path`.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write: mode {mode!r}; allowed: 'wb', 'w'")
    if mode == "w" and encoding is None:
        encoding = "utf-8"
    with atomic_path(path) as temporary, open(temporary, mode, encoding=encoding) as file:
        yield file


def clear_left_overs(folder: str | os.PathLike, own: Callable[[str], bool]) -> int:
    """Removes the temporary files that killed runs left in a folder.

    Nobody else may be writing those files: to be called under a lock.

    Args:
        folder: not looked at where it is not there.
        own: whether a file of this name is one that the caller writes.

    Returns:
        How many there were.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    cleared = 0
    for name in names:
        target = name
        while found := _LEFT_OVER.fullmatch(target):
            target = found[1]
        if target != name and own(target):
            Path(folder, name).unlink(missing_ok=True)
            cleared += 1
    return cleared


def _sync(path: Path) -> None:
    """Flushes a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
