"""One paragraph and its own video: the path of exact DTW and the transport plan, for a picture.

The same computation as `video_paragraph.exact_alignments` does for all pairs, of one pair.
"""

from typing import NamedTuple

import numpy as np
import torch

from mmpt.evaluators.video_paragraph import (
    BUCKET_QUANTILE,
    EPSILON,
    ITERATIONS,
    KEPT_CLIPS,
    Videos,
)
from mmpt.ops.alignment.reference import exact_dtw_path
from mmpt.ot.transport import bucket_transport


class PairPicture(NamedTuple):
    """A paragraph of n captions and a video of k clips.

    Attributes:
        similarity: float [n, k], scaled to 0..1 over all pairs.
        kept: int, the clips that take part in DTW and transport, in their order.
        path: the cells (caption, clip) of the DTW path.
        distance: mean cost of its cells.
        plan: float [n, k], the mass between caption and clip; each has mass 1, and what is missing
            went to the prompt bucket.
        bucket_share: share of all mass that went there.
    """

    similarity: np.ndarray
    kept: np.ndarray
    path: list[tuple[int, int]]
    distance: float
    plan: np.ndarray
    bucket_share: float


class Scale(NamedTuple):
    """What all pairs share: the ends of the scores, and the bucket's value on the scale 0..1."""

    low: float
    span: float
    bucket: float


def common_scale(videos: Videos) -> Scale:
    """The scaling of scores to 0..1, and the bucket's value on it."""
    low, high = videos.scores.min(), videos.scores.max()
    span = high - low if high > low else np.ones_like(high)
    own = [own_scores(videos, number).max(axis=1) for number in range(len(videos.ids))]
    bucket = np.quantile((np.concatenate(own) - low) / span, BUCKET_QUANTILE)
    return Scale(low, span, bucket)


def own_scores(videos: Videos, number: int) -> np.ndarray:
    """The scores of a video's captions with its own clips, [n, k]."""
    row, column = (counts[:number].sum() for counts in (videos.captions, videos.clips))
    return videos.scores[
        row : row + videos.captions[number], column : column + videos.clips[number]
    ]


def picture_of(videos: Videos, number: int, scale: Scale, background: bool) -> PairPicture:
    """What DTW and transport make of one video and its own paragraph.

    Args:
        videos: the scores of all.
        number: of the video.
        scale: as `common_scale` gives it.
        background: whether clips are windows over everything: then only those take part that fit
            some caption best, 1.3 a caption.
    """
    block = own_scores(videos, number)
    n, k = block.shape
    kept = np.arange(k)
    if background:
        order = np.argsort(-block.max(axis=0), kind="stable")
        kept = np.sort(order[: int(KEPT_CLIPS * n)])
    similarity = (block - scale.low) / scale.span
    cost = 1 - similarity[:, kept]
    path = exact_dtw_path(cost)
    distance = float(np.mean([cost[cell] for cell in path]))
    blocks = torch.from_numpy(np.ascontiguousarray(similarity[:, kept]))[None]
    value = torch.tensor(scale.bucket, dtype=blocks.dtype)
    found = bucket_transport(blocks, value, EPSILON, ITERATIONS)
    plan = np.zeros((n, k))
    plan[:, kept] = found.plan[0].numpy()
    return PairPicture(
        similarity,
        kept,
        [(caption, int(kept[clip])) for caption, clip in path],
        distance,
        plan,
        float(found.bucket_share[0]),
    )
