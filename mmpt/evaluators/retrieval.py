"""Text-to-video retrieval: MSR-VTT, YouCook2 clips."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded, check_finite
from mmpt.evaluators.checks import videos_of
from mmpt.evaluators.statistics import Median, Share, Statistic
from mmpt.io.atomic import atomic_write
from mmpt.utils.bert import load_tokenizer

ROWS_AT_ONCE = 128
"""So many rows are counted in one byte a column: 255 at most."""
NAMES = ("texts", "video_ids", "clips", "text_lengths", "video_lengths")
"""What a predictor returns about the rows and columns of its scores."""


class RetrievalPredictor(Predictor):
    """Encodes every text and every video once; scores are dot products of the pooled vectors."""

    def __init__(self, config):
        super().__init__(config)
        self.tokenizer = load_tokenizer(
            setting(config, "dataset.bert_name", "bert-base-uncased"),
            setting(config, "dataset.use_fast", True),
        )

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict:
        """Returns `outputs` float32 [texts, videos], `texts` and `video_ids` in that order.

        Of a clip (video, start, end), `video_ids` has the video; `clips`, which is there where all
        are clips, has [start, end] in seconds.

        Raises:
            DataError: no video.
            NonFiniteScores: the model gives NaN or inf.
        """
        texts: list[str] = []
        video_ids: list = []
        pooled_text: list[Tensor] = []
        pooled_video: list[Tensor] = []
        for batch in batches:
            encoded = model(**batch)
            pooled_text.append(encoded["pooled_text"].float().cpu())
            pooled_video.append(encoded["pooled_video"].float().cpu())
            texts += self.tokenizer.batch_decode(batch["caps"], skip_special_tokens=True)
            video_ids += batch["video_id"]
        if not video_ids:
            raise DataError("retrieval: the test set is empty")
        text, video = torch.cat(pooled_text), torch.cat(pooled_video)
        check_encoded(video.isfinite().all(dim=1).tolist(), video_ids, "retrieval: videos")
        check_encoded(text.isfinite().all(dim=1).tolist(), map(repr, texts), "retrieval: texts")
        scores = (text @ video.T).numpy()
        check_finite(scores, "retrieval")
        found = {
            "outputs": scores,
            "texts": texts,
            "video_ids": [v[0] if isinstance(v, tuple) else v for v in video_ids],
        }
        if all(isinstance(v, tuple) for v in video_ids):
            found["clips"] = [[int(start), int(end)] for _, start, end in video_ids]
        return found

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """As `save_named_scores`."""
        save_named_scores(path, predictions)


def save_named_scores(path: Path, predictions: Mapping[str, Any]) -> None:
    """Writes the scores, and beside them a JSON file of the same name: what `NAMES` lists."""
    names = {name: predictions[name] for name in NAMES if name in predictions}
    with atomic_write(path.with_suffix(".json")) as handle:
        handle.write((json.dumps(names) + "\n").encode())
    with atomic_write(path) as handle:
        np.save(handle, predictions["outputs"])


class RetrievalMetric(StatisticsMetric):
    """Recall at 1, 5, 10 as fractions, and the median rank counted from 1.

    Text to video, and where there are as many videos as texts, video to text (`V2T-`) too.
    """

    metric_names = ("R1", "R5", "R10", "MR", "V2T-R1", "V2T-R5", "V2T-R10", "V2T-MR")

    def statistics(
        self, outputs: np.ndarray, video_ids: Sequence[Hashable] | None = None, **ignored
    ) -> dict[str, Statistic]:
        """Row i's truth is column i.

        Args:
            outputs: scores [queries, candidates], at least as many candidates as queries.
            video_ids: of the candidates: what belongs to one video is drawn together for the
                intervals; None: all are different.

        Raises:
            DataError: not a matrix, fewer candidates than queries, or scores that are not finite.
        """
        scores = np.asarray(outputs)
        ranks = retrieval_ranks(scores)
        queries, candidates = scores.shape
        videos = videos_of(video_ids, candidates, "retrieval")[:queries]
        measured = _recalls("", ranks, videos)
        if queries == candidates:
            measured |= _recalls("V2T-", column_ranks(scores), videos)
        return measured


def _recalls(prefix: str, ranks: np.ndarray, videos: np.ndarray) -> dict[str, Statistic]:
    measured: dict[str, Statistic] = {
        f"{prefix}R{k}": Share.of_items(ranks < k, videos) for k in (1, 5, 10)
    }
    return {**measured, f"{prefix}MR": Median(ranks + 1, videos)}


def retrieval_ranks(scores: np.ndarray) -> np.ndarray:
    """The position of column i in row i, best first.

    Of equal scores the later column counts as better, as in the published numbers (which sort
    upwards and reverse) wherever that sort was stable.  Nothing is sorted: what is better is
    counted.

    Args:
        scores: [queries, candidates].

    Returns:
        int64 [queries], from 0.

    Raises:
        DataError: not a matrix, fewer candidates than queries, or scores that are not finite.
    """
    if scores.ndim != 2 or scores.shape[0] > scores.shape[1] or scores.shape[0] == 0:
        raise DataError(
            f"retrieval: scores are {list(scores.shape)}; needed: [queries, candidates] with a "
            "candidate for every query"
        )
    if not _surely_finite(scores):
        check_finite(scores, "retrieval")
    return diagonal_ranks(scores)


def diagonal_ranks(scores: np.ndarray) -> np.ndarray:
    """`retrieval_ranks` of what was checked before; infinite scores are first or last."""
    ranks = np.empty(len(scores), dtype=np.int64)
    for query, row in enumerate(scores):
        truth = row[query]
        earlier = np.count_nonzero(row[:query] > truth)
        ranks[query] = earlier + np.count_nonzero(row[query + 1 :] >= truth)
    return ranks


def _surely_finite(scores: np.ndarray) -> bool:
    """Whether the sum of squares is finite: then every part is.  One fast pass; False says nothing,
    as large scores alone make the sum infinite."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.vdot(scores, scores)))


def column_ranks(scores: np.ndarray) -> np.ndarray:
    """`retrieval_ranks` of the transposed matrix, which is read row by row all the same.

    Args:
        scores: [N, N], finite.

    Returns:
        int64 [N]: the position of row j in column j, best first, from 0.
    """
    truth = np.diagonal(scores).copy()
    ranks = np.zeros(len(scores), dtype=np.int64)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        block = scores[start : start + ROWS_AT_ONCE]
        stop = start + len(block)
        better = np.empty(block.shape, dtype=bool)
        # of equal scores the later row is better: all of the block for the columns before it
        np.greater_equal(block[:, :start], truth[:start], out=better[:, :start])
        np.greater(block[:, start:], truth[start:], out=better[:, start:])
        better[:, start:stop] |= np.tril(block[:, start:stop] == truth[start:stop], -1)
        ranks += better.sum(axis=0, dtype=np.uint8)
    return ranks
