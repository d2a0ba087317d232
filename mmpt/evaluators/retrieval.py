"""Text-to-video retrieval: MSR-VTT, YouCook2 clips."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.evaluators.base import Metric, Predictor, check_encoded, check_finite
from mmpt.utils.bert import load_tokenizer

RANKS_AT_ONCE = 1 << 22


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
        return {"outputs": scores, "texts": texts, "video_ids": video_ids}


class RetrievalMetric(Metric):
    """Recall at 1, 5, 10 as fractions, and the median rank counted from 1."""

    metric_names = ("R1", "R5", "R10", "MR")

    def compute_metrics(self, outputs: np.ndarray, **ignored) -> dict[str, float]:
        """Row i's truth is column i.

        Args:
            outputs: scores [queries, candidates], at least as many candidates as queries.

        Raises:
            DataError: not a matrix, fewer candidates than queries, or scores that are not finite.
        """
        ranks = retrieval_ranks(np.asarray(outputs))
        metrics = {f"R{k}": float((ranks < k).mean()) for k in (1, 5, 10)}
        return {**metrics, "MR": float(np.median(ranks) + 1)}


def retrieval_ranks(scores: np.ndarray) -> np.ndarray:
    """The position of column i in row i, best first.

    Of equal scores the later column counts as better, as in the published numbers (which sort
    upwards and reverse) wherever that sort was stable.

    Args:
        scores: [queries, candidates].

    Returns:
        int64 [queries], from 0.
    """
    if scores.ndim != 2 or scores.shape[0] > scores.shape[1] or scores.shape[0] == 0:
        raise DataError(
            f"retrieval: scores are {list(scores.shape)}; needed: [queries, candidates] with a "
            "candidate for every query"
        )
    check_finite(scores, "retrieval")
    queries, candidates = scores.shape
    truth = np.diagonal(scores)[:, None]
    columns = np.arange(candidates)
    ranks = np.empty(queries, dtype=np.int64)
    step = max(1, RANKS_AT_ONCE // candidates)
    for start in range(0, queries, step):
        rows = slice(start, min(start + step, queries))
        block = scores[rows]
        later = columns > np.arange(rows.start, rows.stop)[:, None]
        ranks[rows] = np.count_nonzero(block > truth[rows], axis=1)
        ranks[rows] += np.count_nonzero((block == truth[rows]) & later, axis=1)
    return ranks
