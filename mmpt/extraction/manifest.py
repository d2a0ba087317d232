"""What was extracted, from what and how: `manifest.jsonl` and `failed.jsonl` beside the features.

One JSON object a line.  Lines are appended while a run goes on, so that a killed run loses at most
the one that was being written; at its end the files are written anew, sorted by id.  They hold no
times of writing: the same videos and settings give the same bytes, however often a run was
stopped.  Runs of parts (`--split 2/8`) keep `manifest.2-of-8.jsonl` and `failed.2-of-8.jsonl`.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt.io.files import sha256_of
from mmpt.utils.split import Split

_NAME = re.compile(r"(manifest|failed)(\.\d+-of-\d+)?\.jsonl")


class Settings(NamedTuple):
    """What features depend on besides the video; fields are those of a line of the manifest.

    Attributes:
        network: its name in the registry.
        weights: SHA-256 of the file, after `random SEED ` where they are random; None for a
            network without weights.
        rate: frames a second.
        picture: edge of the frames in pixels.
        width: of a vector.
        l2_normalize: whether vectors have length 1.
        dtype: in which the network computed.
        stored: dtype of the file.
    """

    network: str
    weights: str | None
    rate: int
    picture: int
    width: int
    l2_normalize: bool
    dtype: str
    stored: str


class Entry(NamedTuple):
    """A video with features: a line of the manifest.

    Attributes:
        id: of the video.
        source: its file.
        size, mtime: of that file, bytes and whole seconds since the epoch.
        seconds: rows of the feature file.
        duration: seconds until the last frame ends.
        fps: frames a second as the video tells it, if it does.
        decoder: codec, PyAV's and libavcodec's versions.
        damage: what was wrong with the video, None if nothing was.
        bytes, sha256: of the feature file.
        network ... stored: see `Settings`.
    """

    id: str
    source: str
    size: int
    mtime: int
    seconds: int
    duration: float
    fps: float | None
    decoder: str
    damage: str | None
    bytes: int
    sha256: str
    network: str
    weights: str | None
    rate: int
    picture: int
    width: int
    l2_normalize: bool
    dtype: str
    stored: str

    @property
    def settings(self) -> Settings:
        return Settings(*(getattr(self, name) for name in Settings._fields))


class Failure(NamedTuple):
    """A video without features: a line of `failed.jsonl`; `source` None: no file has the id."""

    id: str
    source: str | None
    reason: str


Line = TypeVar("Line", Entry, Failure)
FORMS: dict[str, type] = {"manifest": Entry, "failed": Failure}


def part_file(kind: str, split: Split | None) -> str:
    """The name of the file of a run: `kind` is manifest or failed."""
    part = "" if split is None else f".{split.number}-of-{split.of}"
    return f"{kind}{part}.jsonl"


def part_files(folder: Path, kind: str) -> list[Path]:
    """The files of all runs in a folder, the unsplit one first."""
    names = [name for name in os.listdir(folder) if (m := _NAME.fullmatch(name)) and m[1] == kind]
    return [folder / name for name in sorted(names, key=lambda name: (name.count("."), name))]


def read_lines(path: Path, form: type[Line]) -> dict[str, Line]:
    """The lines of a file by id, the last one of each; none where there is no file.

    A last line that is torn, because its writer was killed, is left out.

    Raises:
        DataError: another line is damaged, or of another form.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            entry = form(**{k: _shared(v) for k, v in json.loads(line).items()})
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise DataError(
                f"{path}: line {number} is damaged or of another form "
                f"({' '.join(str(error).split())}); take it out, and its video is done again"
            ) from None
        found[entry.id] = entry
    return found


def _shared(value: object) -> object:
    """Most texts of a manifest are on every line: one copy in memory is enough."""
    return sys.intern(value) if isinstance(value, str) else value


def write_lines(path: Path, entries: Iterable[Line]) -> None:
    """Writes a file anew, sorted by id, atomically; without entries it is removed.

    Raises:
        OSError: the disk is full, the folder cannot be written.
    """
    content = b"".join(_line(entry) for entry in sorted(entries))
    if content:
        with atomic_write(path) as file:
            file.write(content)
    else:
        path.unlink(missing_ok=True)


def _line(entry: Line) -> bytes:
    return (json.dumps(entry._asdict()) + "\n").encode()


class Record:
    """The manifest and the failures of one run, kept up to date while it goes on.

    Args:
        folder: of the features.
        split: the part that the run does, None for all.

    Raises:
        DataError: one of the files is damaged.
    """

    def __init__(self, folder: Path, split: Split | None = None):
        self._paths = {kind: folder / part_file(kind, split) for kind in FORMS}
        self._lines = {kind: read_lines(self._paths[kind], form) for kind, form in FORMS.items()}
        self._whole: dict[str, bool] = {}

    def done(self, entry: Entry) -> None:
        """Notes a video whose features are in place."""
        self._append("manifest", entry)
        self._lines["failed"].pop(entry.id, None)

    def failed(self, failure: Failure) -> None:
        """Notes a video that gives no features."""
        self._append("failed", failure)
        self._lines["manifest"].pop(failure.id, None)

    def finish(self, settled: Iterable[str] = ()) -> None:
        """Writes both files anew.

        Args:
            settled: ids that have features by now: they are no failures.
        """
        for name in settled:
            self._lines["failed"].pop(name, None)
        for kind, path in self._paths.items():
            write_lines(path, self._lines[kind].values())

    def _append(self, kind: str, entry: Entry | Failure) -> None:
        path = self._paths[kind]
        if kind not in self._whole:
            # a torn last line of a killed run would swallow the next one
            write_lines(path, self._lines[kind].values())
            self._whole[kind] = True
        self._lines[kind][entry.id] = entry
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, _line(entry))
            if kind == "manifest":  # a failure is met again
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def true_entries(folder: Path, wanted: Mapping[str, object] | None = None) -> dict[str, Entry]:
    """The entries of all runs in a folder, one an id.

    Where runs with other settings left several of one id, the one that has the feature file's
    SHA-256 is true; where none has it, the id is left out.

    Args:
        folder: of the features.
        wanted: only these ids; None: all.

    Raises:
        DataError: a manifest is damaged.
    """
    versions: dict[str, set[Entry]] = {}
    for path in part_files(folder, "manifest"):
        for name, entry in read_lines(path, Entry).items():
            if wanted is None or name in wanted:
                versions.setdefault(name, set()).add(entry)
    found = {}
    for name, entries in versions.items():
        digest = digest_of(feature_file(folder, name)) if len(entries) > 1 else None
        true = [e for e in entries if digest is None or e.sha256 == digest]
        if true:
            found[name] = max(true, key=lambda entry: (entry.mtime, repr(entry)))
    return found


def feature_file(folder: Path, name: str) -> Path:
    """Where the features of a video are."""
    return folder / f"{name}.npy"


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    try:
        return sha256_of(path)
    except FileNotFoundError:
        return None
