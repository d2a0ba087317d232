"""Moments: which part of a 30-second video does a sentence describe (DiDeMo).

A video is 6 chunks of 5 seconds; a moment is one chunk or a range of them: 21 in all.
"""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded
from mmpt.evaluators.checks import videos_of
from mmpt.evaluators.distinct import EncodedOnce, encode_texts, require_apart
from mmpt.evaluators.statistics import Share, Statistic
from mmpt.io.atomic import atomic_write

CHUNKS, CHUNK_SECONDS = 6, 5
SECONDS = CHUNKS * CHUNK_SECONDS
Moment = tuple[int, int]
"""First and last chunk."""
MOMENTS: tuple[Moment, ...] = (
    *((chunk, chunk) for chunk in range(CHUNKS)),
    *combinations(range(CHUNKS), 2),
)
AGREEING = 3
"""Annotators whose moments count: those that agree best with the prediction."""


class DiDeMoPredictor(Predictor):
    """Moments ranked by the dot product of their mean state and the pooled text.

    Raises:
        ConfigError: `dataset.max_video_len` leaves no room for 30 seconds.
    """

    scores_suffix = ".json"

    def __init__(self, config):
        super().__init__(config)
        slots = setting(config, "dataset.max_video_len", 32)
        if slots < SECONDS:
            raise ConfigError(
                f"dataset.max_video_len: got {slots}; the moments of DiDeMo reach to second "
                f"{SECONDS}, so it must be at least that"
            )

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """The ranked moments of every sentence.

        Returns:
            `outputs`: a list of (first, last) a sentence, best first, without the moments that lie
            behind the video's end; `targets`: the annotated moments of each; `video_ids`.

        Raises:
            ConfigError: the model does not encode video and text apart.
            DataError: no sentence.
            NonFiniteScores: the model gives NaN or inf.
        """
        require_apart(model, "DiDeMo")
        videos, texts = EncodedOnce(), EncodedOnce()
        outputs, targets, video_ids, finite = [], [], [], []
        for batch in batches:
            chunks = videos(batch["video_id"], partial(_encode_chunks, model, batch))
            text = encode_texts(texts, model, batch["caps"], batch["cmasks"])
            finite += (chunks.isfinite().all(dim=(1, 2)) & text.isfinite().all(dim=1)).tolist()
            kept = moments_shown(batch["vmasks"].bool().cpu())
            outputs += map(rank_moments, moment_scores(chunks, text).tolist(), kept.tolist())
            targets += [[tuple(moment) for moment in times] for times in batch["times"]]
            video_ids += batch["video_id"]
        if not outputs:
            raise DataError("DiDeMo: the test set is empty")
        check_encoded(finite, video_ids, "DiDeMo: sentences of videos")
        return {"outputs": outputs, "targets": targets, "video_ids": video_ids}

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes a list of {"video", "moments", "times"}, one a sentence."""
        columns = (predictions[name] for name in ("video_ids", "outputs", "targets"))
        rows = [
            {"video": video_id, "moments": moments, "times": times}
            for video_id, moments, times in zip(*columns, strict=True)
        ]
        with atomic_write(path, "w") as handle:
            json.dump(rows, handle)


def _encode_chunks(model: nn.Module, batch: Mapping[str, Any], rows: Tensor) -> Tensor:
    """The mean states of the chunks of some videos of a batch, [n, 6, hidden]."""
    inputs = (batch[name][rows] for name in ("vfeats", "vmasks", "caps", "cmasks"))
    states = model.forward_video(*inputs, output_hidden_states=True)[:, 1 : 1 + SECONDS]
    return states.cpu().double().unflatten(1, (CHUNKS, CHUNK_SECONDS)).mean(dim=2)


def moment_scores(chunks: Tensor, text: Tensor) -> Tensor:
    """Dot products of every moment's mean state and its text.

    The mean over a moment's seconds, padding slots included as published, is that over its chunks;
    so is its product with a text.  Taken in float64 and rounded, moments of equal chunks have equal
    scores.

    Args:
        chunks: float [n, 6, hidden], mean states; text: float [n, hidden].

    Returns:
        float32 [n, 21], in the order of `MOMENTS`.
    """
    products = (chunks.double() * text.double()[:, None]).sum(dim=2)
    means = [products[:, first : last + 1].mean(dim=1) for first, last in MOMENTS]
    return torch.stack(means, dim=1).float()


def moments_shown(vmasks: Tensor) -> Tensor:
    """Whether a moment holds any second of the video: bool [n, V] -> bool [n, 21]."""
    chunks = vmasks[:, :SECONDS].unflatten(1, (CHUNKS, CHUNK_SECONDS)).any(dim=2)
    return torch.stack([chunks[:, a : b + 1].any(dim=1) for a, b in MOMENTS], dim=1)


def rank_moments(scores: Sequence[float], kept: Sequence[bool]) -> list[Moment]:
    """The kept ones of the 21 moments, best first; of equal ones the longer, then the earlier."""
    ranked = sorted(
        (-score, first - last, first, last)
        for score, (first, last), shown in zip(scores, MOMENTS, kept, strict=True)
        if shown
    )
    return [(first, last) for *_, first, last in ranked]


class DiDeMoMetric(StatisticsMetric):
    """How high the annotated moments are ranked, and how well the first one overlaps them.

    Of a sentence's annotators, those three count that agree best with the prediction.
    """

    metric_names = ("rank1", "rank5", "miou")

    def statistics(
        self,
        outputs: Sequence[Sequence[Moment]],
        targets: Sequence[Sequence[Moment]],
        video_ids: Sequence[Hashable] | None = None,
        **ignored,
    ) -> dict[str, Statistic]:
        """The three numbers over sentences.

        Args:
            outputs: ranked moments (first chunk, last chunk) a sentence.
            targets: annotated moments a sentence.
            video_ids: of each sentence; None: all are different.

        Returns:
            `rank1`, `rank5`: the share of sentences whose annotated moments are at places with a
            mean of at most 1 or 5; without any annotated moment in the list it is a miss.
            `miou`: mean overlap of the first moment with the annotated ones.

        Raises:
            DataError: no sentence, lists of different length, or a sentence without annotation.
        """
        if len(outputs) != len(targets) or len(outputs) == 0:
            raise DataError(f"DiDeMo: {len(outputs)} ranked lists for {len(targets)} sentences")
        bare = [number for number, times in enumerate(targets) if len(times) == 0]
        if bare:
            raise DataError(f"DiDeMo: sentence {bare[0]} has no annotated moment")
        pairs = [
            ([_moment(m) for m in ranked], [_moment(t) for t in times])
            for ranked, times in zip(outputs, targets, strict=True)
        ]
        ranks = np.array([mean_rank(ranked, times) for ranked, times in pairs])
        overlaps = np.array([mean_overlap(ranked, times) for ranked, times in pairs])
        videos = videos_of(video_ids, len(pairs), "DiDeMo")
        return {
            "rank1": Share.of_items(ranks <= 1, videos),
            "rank5": Share.of_items(ranks <= 5, videos),
            "miou": Share.of_items(overlaps, videos),
        }


def _moment(pair: Sequence[int]) -> Moment:
    """As plain numbers, which compare by value whatever they come as."""
    first, last = pair
    return int(first), int(last)


def mean_rank(ranked: Sequence[Moment], times: Sequence[Moment]) -> float:
    """Mean of the three best places, from 1, of the annotated moments; inf where none has one."""
    places = {tuple(moment): place for place, moment in enumerate(ranked, start=1)}
    found = sorted(places[time] for time in times if time in places)[:AGREEING]
    return sum(found) / len(found) if found else float("inf")


def mean_overlap(ranked: Sequence[Moment], times: Sequence[Moment]) -> float:
    """Mean of the three largest overlaps of the first moment with the annotated ones; 0 where the
    list is empty."""
    if not ranked:
        return 0.0
    overlaps = sorted((overlap(ranked[0], time) for time in times), reverse=True)[:AGREEING]
    return sum(overlaps) / len(overlaps)


def overlap(a: Moment, b: Moment) -> float:
    """Chunks that two moments share, of those that both together span."""
    shared = min(a[1], b[1]) - max(a[0], b[0]) + 1
    return max(0, shared) / (max(a[1], b[1]) - min(a[0], b[0]) + 1)
