"""Which annotated videos have features: all of them must, or those without are left out.

A benchmark of fixed size (MSR-VTT, DiDeMo, HTM-Align) allows no gap; of YouCook2, COIN and
CrossTask, whose videos vanish from the web, everybody has a part.
"""

import logging
import os
from collections.abc import Iterable

from mmpt.errors import DataError, first_few

logger = logging.getLogger(__name__)


def require_features(folder: str, video_ids: Iterable[str], table: str) -> None:
    """Checks that every video of a benchmark has a feature file.

    Args:
        folder: `dataset.vfeat_dir`.
        video_ids: the videos of the benchmark; each any number of times.
        table: the annotation file, for the message.

    Raises:
        DataError: how many have none, and the first few.
    """
    names = {video_id: (video_id,) for video_id in video_ids}
    stored_names(folder, names, table)


def stored_names(folder: str, names: dict[str, tuple[str, ...]], table: str) -> dict[str, str]:
    """Under which name the features of each video of a benchmark are stored.

    Args:
        folder: `dataset.vfeat_dir`.
        names: video -> the names that its file may have (without `.npy`), the first found counts.
        table: the annotation file, for the message.

    Raises:
        DataError: how many videos have no file under any name, and the first few.
    """
    present = set(os.listdir(folder))
    found = {
        video_id: name
        for video_id, allowed in names.items()
        for name in reversed(allowed)
        if f"{name}.npy" in present
    }
    missing = sorted(names.keys() - found.keys())
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of the {len(names)} videos of {table} have no feature "
            f"file: {first_few(missing)}; the size of this benchmark is fixed"
        )
    return found


def with_features(folder: str, video_ids: Iterable[str], table: str) -> set[str]:
    """The videos that have a feature file; how many have none is logged, in one line.

    Args:
        folder: `dataset.vfeat_dir`.
        video_ids: the annotated videos; each any number of times.
        table: the annotation file, for the message.

    Raises:
        DataError: none has.
    """
    wanted = set(video_ids)
    files = set(os.listdir(folder))
    present = {video_id for video_id in wanted if f"{video_id}.npy" in files}
    missing = sorted(wanted - present)
    if not present:
        raise DataError(
            f"{folder}: none of the {len(wanted)} videos of {table} has a feature file "
            f"({first_few([f'{video_id}.npy' for video_id in missing])})"
        )
    if missing:
        logger.warning(
            "%s: %d of %d videos have no features in %s and are left out: %s",
            *(table, len(missing), len(wanted), folder, first_few(missing)),
        )
    return present
