"""Which videos there are: folders walked, ids from file names, lists, splits."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmpt.errors import DataError, first_few

_KINDS = """
3g2 3gp asf avi divx f4v flv h264 m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogg ogm ogv rm rmvb
ts vob webm wmv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
"""Of the files that are taken for videos, in lower case."""


class Sources(NamedTuple):
    """What was found.

    Attributes:
        videos: id -> file, sorted by id.
        missing: ids that a list names and no file has, sorted.
        ignored: files that are no videos by their suffix.
        closed: folders that could not be read.
    """

    videos: dict[str, Path]
    missing: list[str]
    ignored: int
    closed: list[str]

    @property
    def ids(self) -> list[str]:
        """All of them, with a file or without, sorted."""
        return sorted([*self.videos, *self.missing])


def find_videos(folders: Sequence[Path], listed: Sequence[str] | None = None) -> Sources:
    """Looks for videos in folders and all folders below them.

    The id of a video is its file name without the last suffix.  Links are followed, each folder is
    walked once; what begins with a dot is left out (it is rubbish of copying programs or a
    file half copied).

    Args:
        folders: where to look.
        listed: only these ids; None: all.

    Raises:
        DataError: a folder is not there, there is no video at all, or two files have the same id.
    """
    found: dict[str, Path] = {}
    seen: set[tuple[int, int]] = set()
    ignored, closed = 0, []
    wanted = None if listed is None else set(listed)
    for folder in folders:
        if not folder.is_dir():
            kind = "a file, where a folder is needed" if folder.is_file() else "no such folder"
            raise DataError(f"{folder}: {kind} (--vdir)")
        for path in _walk(folder, seen, closed):
            if path.suffix.lower() not in VIDEO_SUFFIXES:
                ignored += 1
            elif wanted is None or path.stem in wanted:
                _add(found, path)
    if not found:
        which = "" if wanted is None else f" of the {len(wanted)} listed"
        raise DataError(
            f"{first_few([str(folder) for folder in folders])}: no video{which} in there "
            f"({ignored} files of other kinds); known kinds: {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    missing = sorted((wanted or set()) - found.keys())
    return Sources({name: found[name] for name in sorted(found)}, missing, ignored, closed)


def _walk(folder: Path, seen: set[tuple[int, int]], closed: list[str]):
    """All files below a folder by name; a folder that was seen before (links) is left out."""
    for place, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda error: closed.append(str(error.filename))
    ):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def _add(found: dict[str, Path], path: Path) -> None:
    """
    Raises:
        DataError: another file has the same id.
    """
    other = found.setdefault(path.stem, path)
    if other is not path and os.path.realpath(other) != os.path.realpath(path):
        raise DataError(
            f"two videos have the id {path.stem!r}: {other} and {path}; an id has one feature "
            "file: rename one of them, or leave it out with --list or --vdir"
        )
