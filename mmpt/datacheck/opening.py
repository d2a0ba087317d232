"""Opening what is there: every feature file, every byte of every shard, every checkpoint.

One function a kind of file, so that several processes can share the work.
"""

import contextlib
import logging
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmpt.errors import USER_ERRORS, DataError, LaunchError, first_few
from mmpt.io.files import no_file

ROWS_AT_ONCE = 1 << 16
"""Rows of a shard that are looked at together: 64 MiB of half-precision features."""
FILES_AT_ONCE = 16
"""What a process is handed together."""


class Opening(NamedTuple):
    """A file, or the files of a shard, to be opened.

    Attributes:
        kind: a key of `OPENERS`.
        place: of features the folder, of a shard its prefix, of a checkpoint the file.
        name: of features the video; else empty.
        limit: width of a feature; of the shard of token ids, how many ids the tokenizer knows.
    """

    kind: str
    place: str
    name: str = ""
    limit: int = 0


class Opened(NamedTuple):
    """What came of it: what is broken, in one line, and what could not be told."""

    problem: str | None = None
    note: str | None = None


def open_features(asked: Opening) -> str | None:
    """Reads the features of a video as a job reads them; raises DataError."""
    from mmpt.processors import VideoProcessor

    VideoProcessor({"vfeat_dir": asked.place, "vfeat_dim": asked.limit})(asked.name)
    return None


def open_feature_shard(asked: Opening) -> str | None:
    """Compares a shard with its hashes and looks for NaN; raises DataError."""
    return _open_shard(
        asked, lambda rows: np.isfinite(rows).all(axis=1), "with NaN or inf in their features"
    )


def open_token_shard(asked: Opening) -> str | None:
    """Compares a shard with its hashes and looks for ids of another tokenizer; raises DataError."""
    words = asked.limit or np.inf  # 0: not known
    return _open_shard(
        asked,
        lambda rows: ((rows >= -1) & (rows < words)).all(axis=1),
        f"with token ids that the tokenizer of {asked.limit} words does not know",
    )


def open_time_shard(asked: Opening) -> str | None:
    """Compares a shard with its hashes; its times are looked at before every run."""
    return _open_shard(asked, lambda rows: np.ones(len(rows), dtype=bool), "")


def problem_of_checkpoint(file: str) -> str | None:
    """What can be told of a checkpoint by its two ends: it is no file, or cut short."""
    other = no_file(file)
    if other is not None:
        return f"{other}, where a file is needed"
    try:
        with open(file, "rb") as handle:
            old = handle.read(1) == b"\x80"  # written before torch 1.6
        whole = old or zipfile.is_zipfile(file)
    except OSError as error:
        return f"{error.strerror}"
    return None if whole else f"{os.path.getsize(file):,} bytes: truncated, or no checkpoint"


@contextlib.contextmanager
def _unsaid(name: str) -> Iterator[None]:
    """A logger that says warnings and errors alone."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def open_checkpoint(asked: Opening) -> str | None:
    """Reads a checkpoint's weights; raises CheckpointError."""
    from mmpt.errors import CheckpointError
    from mmpt.io.checkpoints import model_state, read_checkpoint

    with _unsaid("mmpt.io.checkpoints"):  # what is dropped is said when a model is loaded
        state = model_state(read_checkpoint(asked.place), asked.place)
    bad = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if bad:
        raise CheckpointError(
            f"checkpoint {asked.place}: {len(bad)} of {len(state)} tensors hold NaN or inf, first "
            f"{bad[0]}"
        )
    return None


OPENERS: dict[str, Callable[[Opening], str | None]] = {
    "features": open_features,
    "feature shard": open_feature_shard,
    "token shard": open_token_shard,
    "time shard": open_time_shard,
    "checkpoint": open_checkpoint,
}
"""Kind -> what opens one; returns a note or None, raises where it is broken."""


def open_one(asked: Opening) -> Opened:
    """Opens one thing; what is wrong with it comes back as a line, whatever its reader raised."""
    try:
        return Opened(note=OPENERS[asked.kind](asked))
    except Exception as error:
        named = f"{asked.name}.npy" if asked.kind == "features" else ""
        return Opened(line_of(error, os.path.join(asked.place, named) if named else asked.place))


def line_of(error: Exception, place: str) -> str:
    """What a reader raised over a broken file, in one line that names the file.

    numpy and torch end in nearly any exception there; ours name their file.

    Args:
        place: the file, or the prefix of a shard.
    """
    text = " ".join(str(error).split())
    if isinstance(error, USER_ERRORS):
        return text
    if isinstance(error, OSError):
        return f"{error.filename or place}: {error.strerror or text or type(error).__name__}"
    return f"{place}: {type(error).__name__}" + (f": {text}" if text else "")


def open_all(asked: Sequence[Opening], processes: int = 1) -> Iterator[tuple[Opening, Opened]]:
    """Opens everything, with a bar, in any order that suits the disk.

    Args:
        asked: what to open.
        processes: how many share the work; with 1 this process does it.

    Raises:
        LaunchError: one of the processes was killed.
    """
    with tqdm(total=len(asked), desc="opening", unit="file") as bar:
        for pair in _opened(asked, min(processes, len(asked))):
            bar.update()
            yield pair


def _opened(asked: Sequence[Opening], processes: int) -> Iterator[tuple[Opening, Opened]]:
    if processes < 2:
        for one in asked:
            yield one, open_one(one)
        return
    # not forked: torch and the tokenizer have threads by now
    start = multiprocessing.get_context("spawn")
    at_once = max(1, min(FILES_AT_ONCE, len(asked) // processes))
    try:
        with ProcessPoolExecutor(processes, mp_context=start) as pool:
            yield from zip(asked, pool.map(open_one, asked, chunksize=at_once), strict=True)
    except BrokenProcessPool:
        raise LaunchError(
            f"--jobs {processes}: a process that opened files was killed (out of memory?); take "
            "fewer"
        ) from None


def _open_shard(asked: Opening, good: Callable[[np.ndarray], np.ndarray], what: str) -> str | None:
    """Hashes, then rows: DataError where one is not as it should be, a note without hashes."""
    from mmpt.utils.shardedtensor import ShardedTensor, verify_shard

    hashed = verify_shard(asked.place)
    shard = ShardedTensor.load(asked.place, mmap_mode="r")
    bad: set[int] = set()
    for start in range(0, len(shard.data), ROWS_AT_ONCE):
        rows = np.asarray(shard.data[start : start + ROWS_AT_ONCE])
        wrong = start + np.flatnonzero(~good(rows.reshape(len(rows), -1)))
        bad |= set((np.searchsorted(shard.starts, wrong, side="right") - 1).tolist())
    if bad:
        raise DataError(
            f"shard {asked.place}: {len(bad)} of {len(shard)} videos {what}, positions "
            f"{first_few(sorted(bad))}"
        )
    return None if hashed else "no sidecar (.json): its hash cannot be compared"
