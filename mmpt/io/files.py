"""What stands at a path, and what is in it: only regular files are read.

Opening a pipe waits for somebody to write into it, for ever; a folder and a device fail in the
reader's own terms.
"""

import hashlib
import os
import stat

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def sha256_of(path: str | os.PathLike) -> str:
    """The hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def no_file(path: str | os.PathLike) -> str | None:
    """What stands where a file should be: `a folder`, `a pipe`, `a socket` or `a device`.

    Links are followed.

    Returns:
        None for a regular file, and where nothing is: opening it says so.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # a ValueError is about NUL in the name
        return None
    return KINDS.get(stat.S_IFMT(mode))
