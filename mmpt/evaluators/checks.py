"""What the metrics ask of what they are given."""

from collections.abc import Hashable, Sequence

import numpy as np

from mmpt.errors import DataError
from mmpt.evaluators.statistics import video_numbers


def labels(outputs: Sequence[int], targets: Sequence[int], what: str) -> tuple[np.ndarray, ...]:
    """Predicted and true labels as arrays [N].

    Raises:
        DataError: other shapes, different lengths, or nothing at all.
    """
    found, truth = np.asarray(outputs), np.asarray(targets)
    if found.ndim != 1 or found.shape != truth.shape or len(found) == 0:
        raise DataError(
            f"{what}: predictions {list(found.shape)} for targets {list(truth.shape)}; needed: one "
            "label for each of at least one item, [N] and [N]"
        )
    return found, truth


def videos_of(video_ids: Sequence[Hashable] | None, items: int, what: str) -> np.ndarray:
    """The number of each item's video, int64 [items]; without ids, each item is one of its own.

    Raises:
        DataError: as many ids as there are not items.
    """
    if video_ids is None:
        return np.arange(items)
    if len(video_ids) != items:
        raise DataError(f"{what}: {len(video_ids)} video ids for {items} items")
    return video_numbers(video_ids)
