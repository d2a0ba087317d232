"""Video-paragraph retrieval as pure functions: how well a paragraph fits a video, for all pairs.

A paragraph is the captions of a video in their order, a video its clips in theirs: its annotated
segments, or, with background, windows over all of it.  Scores are similarities, [captions, clips]
over all videos; results are [paragraphs, videos], larger is better.

DTW and OTAM come in two protocols.  `published` is what the paper's tables were made with; its
padding wipes the last caption where a video has the most clips of all, one column of OTAM
subtracts, and lengths bias the distances.  `exact` is the textbook's.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mmpt.errors import DataError, first_few
from mmpt.evaluators.base import check_finite
from mmpt.ops.alignment import (
    Blocks,
    exact_dtw_distances,
    exact_otam_distances,
    published_dtw_distances,
    published_otam_distances,
)
from mmpt.ot.transport import bucket_transport

KEPT_CLIPS = 1.3
"""With background: so many clips a caption are kept of a video, the ones that fit best."""
BACKGROUND_COST = 3.0
"""With background: published DTW's cost of a clip of similarity 0."""
EPSILON = 0.1
ITERATIONS = 50
BUCKET_QUANTILE = 0.3
"""Transport: regulariser, iterations, and where the bucket's value lies among the captions' best
scores within their own videos."""
PAIRS_AT_ONCE = 1 << 14
"""So many pairs' tables stay in the processor's cache."""


class Videos(NamedTuple):
    """The scores of V videos, in the order of their ids.

    Attributes:
        scores: float [captions, clips]; those of a video are neighbours, in their order.
        ids: V of them.
        captions, clips: int [V], how many each video has.
    """

    scores: np.ndarray
    ids: list
    captions: np.ndarray
    clips: np.ndarray


def clips_of_videos(scores: np.ndarray, video_ids: Sequence[Hashable]) -> Videos:
    """Videos of annotated clips, each with its caption; clips need not be neighbours.

    Args:
        scores: [N, N].
        video_ids: N, of the clip and the caption in that place.

    Raises:
        DataError: shapes that do not fit, or NaN.
    """
    if scores.ndim != 2 or scores.shape != (len(video_ids), len(video_ids)) or not len(video_ids):
        raise DataError(
            f"video-paragraph retrieval: scores {list(scores.shape)} for {len(video_ids)} clips; "
            "needed: one row and one column for each"
        )
    scores = _checked(scores)
    ids, numbers = np.unique([str(video_id) for video_id in video_ids], return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        scores = scores[np.ix_(order, order)]
    counts = np.bincount(numbers)
    return Videos(scores, ids.tolist(), counts, counts)


def windows_of_videos(
    scores: np.ndarray,
    video_ids: Sequence[Hashable],
    video_lengths: Sequence[int],
    text_lengths: Sequence[int],
) -> Videos:
    """Videos of windows, background included.

    Args:
        scores: [captions, windows]; video after video on both sides.
        video_ids: V ids in that order; or more, with every id as often as one likes in a row.
        video_lengths, text_lengths: V numbers of windows and of captions.

    Raises:
        DataError: shapes that do not fit, a video twice or without windows or captions, or NaN.
    """
    names = [str(name) for name in video_ids]
    ids = [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]
    clips, captions = np.asarray(video_lengths), np.asarray(text_lengths)
    told = {"video_ids": len(ids), "video_lengths": len(clips), "text_lengths": len(captions)}
    if len(set(told.values())) > 1 or not ids:
        raise DataError(f"video-paragraph retrieval: lists of different lengths or empty: {told}")
    twice = [name for name, places in Counter(ids).items() if places > 1]
    if twice:
        raise DataError(f"video-paragraph retrieval: videos listed twice: {first_few(twice)}")
    empty = [name for name, k, n in zip(ids, clips, captions, strict=True) if k < 1 or n < 1]
    if empty:
        raise DataError(
            f"video-paragraph retrieval: {len(empty)} videos have no window or no caption: "
            f"{first_few(empty)}"
        )
    if scores.shape != (captions.sum(), clips.sum()):
        raise DataError(
            f"video-paragraph retrieval: scores {list(scores.shape)} for {captions.sum()} captions "
            f"and {clips.sum()} windows"
        )
    scores = _checked(scores)
    order = np.argsort(np.array(ids), kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        rows, columns = (_in_order(_ranges(counts), order) for counts in (captions, clips))
        scores = scores[np.ix_(rows, columns)]
    return Videos(scores, [ids[place] for place in order], captions[order], clips[order])


def _checked(scores: np.ndarray) -> np.ndarray:
    """Scores in single precision at least.

    Raises:
        DataError: NaN or inf among them.
    """
    check_finite(scores, "video-paragraph retrieval")
    return scores.astype(np.promote_types(scores.dtype, np.float32), copy=False)


def caption_average(videos: Videos) -> np.ndarray:
    """The mean over a paragraph's captions of their best clip in a video, [V, V]."""
    best = np.maximum.reduceat(videos.scores, _starts(videos.clips), axis=1)
    total = np.add.reduceat(best, _starts(videos.captions), axis=0)
    return total / videos.captions[:, None].astype(total.dtype)


def published_alignments(videos: Videos, background: bool) -> dict[str, np.ndarray]:
    """The negated distances `DTW` and `OTAM` of the published protocol, [V, V] each.

    Args:
        videos: V videos.
        background: whether the clips are windows over everything: then only the best-fitting ones
            of each pair take part, and the scaling is another.
    """
    most = int(videos.captions.max()), int(videos.clips.max())
    result = _empty(videos, ("DTW", "OTAM"))
    for rows, pairs in _pair_blocks(videos, background):
        similar, n, k = pairs
        if background:
            dtw_cost, dtw_scale = BACKGROUND_COST - similar, most[0] * most[1] / (n * k)
            otam_scale = max(most) / np.maximum(n, k)
        else:
            dtw_cost, dtw_scale = -similar, most[1] ** 2 / (n * k)
            otam_scale = dtw_scale
        dtw = pairs._replace(cells=dtw_cost * _like(similar, dtw_scale))
        otam = pairs._replace(cells=-similar * _like(similar, otam_scale))
        _put(result["DTW"], rows, -published_dtw_distances(dtw, most))
        _put(result["OTAM"], rows, -published_otam_distances(otam, most))
    return result


def exact_alignments(videos: Videos, background: bool) -> dict[str, np.ndarray]:
    """The negated distances `DTW-exact` and `OTAM-exact`, and the similarity `OT`, [V, V] each.

    Scores are scaled to 0..1 over the whole matrix, and a cost is 1 less that.  `OT` transports
    captions to clips with a bucket for both, and is the similarity of what was transported.

    Args:
        videos, background: as `published_alignments`.
    """
    low, high = videos.scores.min(), videos.scores.max()
    span = high - low if high > low else np.ones_like(high)
    bucket = np.quantile((_own_best(videos) - low) / span, BUCKET_QUANTILE)
    result = _empty(videos, ("DTW-exact", "OTAM-exact", "OT"))
    for rows, pairs in _pair_blocks(videos, background):
        similar = (pairs.cells - low) / span
        cost = pairs._replace(cells=1 - similar)
        _put(result["DTW-exact"], rows, -exact_dtw_distances(cost))
        _put(result["OTAM-exact"], rows, -exact_otam_distances(cost))
        _put(result["OT"], rows, transported_similarity(pairs._replace(cells=similar), bucket))
    return result


def transported_similarity(pairs: Blocks, bucket: float) -> np.ndarray:
    """Similarity of the mass that goes from captions to clips and not to the bucket, [P].

    Args:
        pairs: similarities of P pairs, in 0..1.
        bucket: similarity of everything with the bucket.
    """
    result = np.empty(pairs.cells.shape[2], dtype=pairs.cells.dtype)
    sizes, members = np.unique(np.stack([pairs.rows, pairs.columns]), axis=1, return_inverse=True)
    for number, (n, k) in enumerate(sizes.T):
        chosen = np.flatnonzero(members.ravel() == number)
        blocks = torch.from_numpy(pairs.cells[:n, :k, chosen]).permute(2, 0, 1).contiguous()
        value = torch.tensor(bucket, dtype=blocks.dtype)
        found = bucket_transport(blocks, value, EPSILON, ITERATIONS)
        score = (found.rescaled * blocks).sum(dim=(1, 2)) / min(n, k)
        result[chosen] = score.numpy()
    return result


def _own_best(videos: Videos) -> np.ndarray:
    """Every caption's best score within its own video, [captions]."""
    starts = _starts(videos.clips)
    own = zip(_ranges(videos.captions), starts, starts + videos.clips, strict=True)
    return np.concatenate([videos.scores[rows, low:high].max(axis=1) for rows, low, high in own])


def _pair_blocks(videos: Videos, background: bool) -> Iterator[tuple[np.ndarray, Blocks]]:
    """The scores of some paragraphs with all videos, and which paragraphs these are.

    Paragraphs of similar length come together, so that tables hold little that does not count.
    """
    step = max(1, PAIRS_AT_ONCE // len(videos.ids))
    by_length = np.argsort(videos.captions, kind="stable")
    for start in range(0, len(by_length), step):
        paragraphs = by_length[start : start + step]
        if background:
            columns, kept = _kept_clips(videos, paragraphs)
        else:
            columns = _padded_ranges(videos.clips)[None]
            kept = np.broadcast_to(videos.clips, (len(paragraphs), len(videos.ids)))
        captions = _padded_ranges(videos.captions)[paragraphs]
        captions = captions[:, : videos.captions[paragraphs].max()]
        # [captions, clips, paragraphs, videos]
        cells = videos.scores[captions.T[:, None, :, None], columns.transpose(2, 0, 1)[None]]
        count = np.repeat(videos.captions[paragraphs], len(videos.ids))
        yield paragraphs, Blocks(cells.reshape(*cells.shape[:2], -1), count, kept.ravel())


def _kept_clips(videos: Videos, paragraphs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clips of each video that fit some caption of a paragraph best, in their order.

    Returns:
        Columns [paragraphs, V, most], the first `kept` of a pair count; kept [paragraphs, V].
    """
    places = _padded_ranges(videos.clips)
    there = np.arange(places.shape[1]) < videos.clips[:, None]
    starts = _starts(videos.captions)
    kept = np.minimum(
        (KEPT_CLIPS * videos.captions[paragraphs]).astype(np.int64)[:, None], videos.clips
    )
    columns = np.zeros((len(paragraphs), len(videos.ids), kept.max()), dtype=np.int64)
    for row, paragraph in enumerate(paragraphs):
        own = slice(starts[paragraph], starts[paragraph] + videos.captions[paragraph])
        best = np.where(there, videos.scores[own].max(axis=0)[places], -np.inf)
        chosen = _largest(best, kept[row])
        videos_of, clips_of = np.nonzero(chosen)
        slot = (chosen.cumsum(axis=1) - 1)[videos_of, clips_of]
        columns[row, videos_of, slot] = places[videos_of, clips_of]
    return columns, kept


def _largest(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which entries are among the `counts[row]` largest of their row; of equal ones the first.

    Args:
        values: [R, C].
        counts: int [R], from 1 to C.

    Returns:
        bool [R, C].
    """
    ranked = np.sort(values, axis=1)
    least = ranked[np.arange(len(values)), values.shape[1] - counts][:, None]
    above = values > least
    missing = counts[:, None] - above.sum(axis=1, keepdims=True)
    level = values == least
    return above | (level & (level.cumsum(axis=1) <= missing))


def _starts(counts: np.ndarray) -> np.ndarray:
    return counts.cumsum() - counts


def _ranges(counts: np.ndarray) -> list[np.ndarray]:
    """The places of each video's entries, one array a video."""
    return np.split(np.arange(counts.sum()), counts.cumsum()[:-1])


def _in_order(ranges: list[np.ndarray], order: np.ndarray) -> np.ndarray:
    return np.concatenate([ranges[place] for place in order])


def _padded_ranges(counts: np.ndarray) -> np.ndarray:
    """[V, most]: the places of each video's entries, its last one repeated."""
    within = np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    return _starts(counts)[:, None] + within


def _like(cells: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A factor a pair, rounded to the precision of the scores as the published code does."""
    return np.asarray(scale).astype(cells.dtype)


def _empty(videos: Videos, names: Sequence[str]) -> dict[str, np.ndarray]:
    shape = (len(videos.ids), len(videos.ids))
    return {name: np.empty(shape, dtype=videos.scores.dtype) for name in names}


def _put(matrix: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    matrix[rows] = values.reshape(len(rows), -1)
