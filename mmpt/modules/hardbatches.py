"""Batches of videos that resemble each other: pure functions over ids, neighbours and vectors."""

import random
from collections.abc import Callable, Sequence

import numpy as np

from mmpt.errors import DataError

Search = Callable[[Sequence[str], int], list[list[str]]]
"""(video ids, how many) -> of each, the nearest videos, itself first."""


def draw_batches(
    video_ids: Sequence[str],
    size: int,
    candidates: int,
    search: Search,
    rng: random.Random,
    keep_anchor: bool = True,
) -> list[list[str]]:
    """Draws anchors, and a batch from the neighbours of each (VideoCLIP, section 3.3).

    `len(video_ids) // size` anchors are drawn without replacement. A batch is the anchor and
    videos drawn from its nearest; where these are too few, other videos fill it up. No batch holds
    a video twice; a video may be in several batches, or in none.

    Args:
        video_ids: all videos, in an order that is the same whenever the draws shall be.
        size: videos of a batch.
        candidates: neighbours that a batch is drawn from, the anchor included.
        search: finds them.
        rng: the draws' source.
        keep_anchor: the anchor is in its batch for sure; False: it is one of the candidates, and
            may drop out, as published.

    Raises:
        DataError: fewer videos than a batch, or fewer candidates than a batch.
    """
    if len(video_ids) < size:
        raise DataError(f"{len(video_ids)} videos do not fill one batch of {size}")
    if candidates < size:
        raise DataError(f"{candidates} candidates do not fill a batch of {size} videos")
    anchors = rng.sample(list(video_ids), len(video_ids) // size)
    batches = []
    for anchor, near in zip(anchors, search(anchors, candidates), strict=True):
        if keep_anchor:
            others = [video_id for video_id in near if video_id != anchor]
            batch = [anchor, *_drawn(others, size - 1, rng)]
        else:
            batch = _drawn(near, size, rng)
        batches.append(_filled(batch, size, video_ids, rng))
    return batches


def _drawn(near: list[str], size: int, rng: random.Random) -> list[str]:
    return rng.sample(near, size) if len(near) > size else near


def _filled(batch: list[str], size: int, video_ids: Sequence[str], rng: random.Random) -> list[str]:
    """The batch, with other videos where it is short; there are enough of them."""
    batch = list(batch)
    held = set(batch)
    while len(batch) < size:
        video_id = rng.choice(video_ids)
        if video_id not in held:
            held.add(video_id)
            batch.append(video_id)
    return batch


def mates_similarity(vectors: np.ndarray, batches: Sequence[Sequence[int]]) -> float:
    """How hard batches are: the mean cosine of two different videos of one batch.

    Args:
        vectors: [N, width], one a video.
        batches: rows of `vectors`, at least two a batch (batches of one have no mates: NaN).
    """
    total, pairs = 0.0, 0
    for batch in batches:
        rows = vectors[list(batch)].astype(np.float64)
        units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        # of the sum over all pairs, those of a video with itself leave again
        total += np.square(units.sum(axis=0)).sum() - np.square(units).sum()
        pairs += len(batch) * (len(batch) - 1)
    return float(total) / pairs if pairs else float("nan")
