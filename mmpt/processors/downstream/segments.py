"""Annotated segments: what a start and an end may be, and which seconds they cover."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmpt.errors import DataError, first_few
from mmpt.io.files import no_file

logger = logging.getLogger(__name__)

ROUNDING_SECONDS = 1
"""How far past the last feature a segment may reach unreported: features are whole seconds."""


def check_segment(start: Any, end: Any, where: str) -> tuple[float, float]:
    """The bounds of a segment, in seconds.

    Args:
        start, end: as they stand in the file.
        where: the file and the entry, for the message.

    Raises:
        DataError: not numbers, NaN, or not 0 <= start <= end.
    """
    for name, value in (("start", start), ("end", end)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise DataError(f"{where}: {name} is {value!r}; a number of seconds is expected")
    if not 0 <= start <= end:
        raise DataError(f"{where}: from {start} to {end}; allowed: 0 <= start <= end")
    return float(start), float(end)


def covered_rows(start: float, end: float) -> slice:
    """The seconds that a segment touches: floor(start) to ceil(end), end excluded."""
    return slice(math.floor(start), math.ceil(end))


def report_overruns(
    segments: Mapping[str, Sequence[tuple[float, float]]], folder: str, table: str
) -> None:
    """Logs, in one line, the segments that reach behind the end of their video's features.

    They are used as they are, as published: what lies behind the end has no second.

    Args:
        segments: video -> (start, end) in seconds.
        folder: `dataset.vfeat_dir`; only the head of each file is read.
        table: the annotation file, for the message.
    """
    count, outside, shown = 0, 0, []
    for video_id, spans in segments.items():
        seconds = feature_seconds(os.path.join(folder, f"{video_id}.npy"))
        if seconds is None:
            continue
        over = [span for span in spans if span[1] > seconds + ROUNDING_SECONDS]
        count += len(over)
        outside += sum(start >= seconds for start, _ in over)
        if over:
            last = max(end for _, end in over)
            shown.append(f"{video_id} ({seconds} s, annotated up to {last:g} s)")
    if count:
        logger.warning(
            "%s: %d segments in %d of %d videos end more than %d s behind the features in %s, %d "
            "of them lie wholly behind: %s; features of other videos, or cut short?",
            *(table, count, len(shown), len(segments), ROUNDING_SECONDS, folder, outside),
            first_few(shown),
        )


def feature_seconds(path: str) -> int | None:
    """The number of rows of a feature file; None where it cannot be read, which its reader says."""
    if no_file(path) is not None:
        return None
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return len(features) if isinstance(features, np.ndarray) and features.ndim else None
