"""Video-paragraph retrieval: YouCook2's full videos, with and without background.

How a paragraph and a video are compared is in `video_paragraph`.
"""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded
from mmpt.evaluators.retrieval import diagonal_ranks, save_named_scores
from mmpt.evaluators.statistics import Share, Statistic
from mmpt.evaluators.video_paragraph import (
    Videos,
    caption_average,
    clips_of_videos,
    exact_alignments,
    published_alignments,
    windows_of_videos,
)
from mmpt.utils.bert import load_tokenizer

logger = logging.getLogger(__name__)

PROTOCOLS = ("", "DTW-", "OTAM-", "DTW-exact-", "OTAM-exact-", "OT-")
"""Beginnings of the names; caption average has none."""
DEPTHS = (1, 5, 10)


class BGRetrievalPredictor(Predictor):
    """Windows over whole videos against the captions of all of them; a batch is one video."""

    items_per_batch = 1

    def __init__(self, config):
        super().__init__(config)
        self.tokenizer = load_tokenizer(
            setting(config, "dataset.bert_name", "bert-base-uncased"),
            setting(config, "dataset.use_fast", True),
        )

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """Encodes the windows and captions of each video once.

        Returns:
            `outputs` float32 [captions, windows]; `texts`, one a caption; `video_ids`,
            `video_lengths` (windows) and `text_lengths` (captions), one a video.

        Raises:
            DataError: no video.
            NonFiniteScores: the model gives NaN or inf.
        """
        texts: list[str] = []
        video_ids: list[str] = []
        pooled_text, pooled_video = [], []
        for batch in batches:
            encoded = model(**batch)
            pooled_text.append(encoded["pooled_text"].float().cpu())
            pooled_video.append(encoded["pooled_video"].float().cpu())
            caps = batch["caps"].reshape(-1, batch["caps"].shape[-1])
            texts += self.tokenizer.batch_decode(caps, skip_special_tokens=True)
            video_ids += batch["video_id"]
        if not video_ids:
            raise DataError("video-paragraph retrieval: the test set is empty")
        for side, what in ((pooled_video, "videos"), (pooled_text, "the captions of videos")):
            finite = [bool(vectors.isfinite().all()) for vectors in side]
            check_encoded(finite, video_ids, f"video-paragraph retrieval: {what}")
        return {
            "outputs": (torch.cat(pooled_text) @ torch.cat(pooled_video).T).numpy(),
            "texts": texts,
            "video_ids": video_ids,
            "video_lengths": [len(vectors) for vectors in pooled_video],
            "text_lengths": [len(vectors) for vectors in pooled_text],
        }

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """As `save_named_scores`."""
        save_named_scores(path, predictions)


class _VideoParagraphMetric(StatisticsMetric):
    """Recall at 1, 5, 10 of a paragraph's own video, by caption average, DTW, OTAM and OT."""

    metric_names = tuple(f"{protocol}R{depth}" for protocol in PROTOCOLS for depth in DEPTHS)
    background = False

    def _recalls(self, videos: Videos) -> dict[str, Statistic]:
        logger.info(
            "video-paragraph retrieval: %d videos, %d captions, %d clips; compare DTW and OTAM "
            "with the paper's, DTW-exact and OTAM-exact are the textbook's",
            len(videos.ids),
            *videos.scores.shape,
        )
        similar = {"": caption_average(videos)}
        similar |= published_alignments(videos, self.background)
        similar |= exact_alignments(videos, self.background)
        own = np.arange(len(videos.ids))
        found = {}
        for protocol in PROTOCOLS:
            # a video that published OTAM cuts off altogether is infinitely far, and last
            ranks = diagonal_ranks(similar[protocol.removesuffix("-")])
            found |= {f"{protocol}R{k}": Share.of_items(ranks < k, own) for k in DEPTHS}
        return found


class FullVideoRetrievalMetric(_VideoParagraphMetric):
    """Background removed: a video is its annotated clips, each with its caption."""

    def statistics(
        self, outputs: np.ndarray, video_ids: Sequence[Hashable], **ignored
    ) -> dict[str, Statistic]:
        """Recalls over the videos.

        Args:
            outputs: scores [clips, clips], rows captions.
            video_ids: the video of each clip.

        Raises:
            DataError: shapes that do not fit, or NaN.
        """
        return self._recalls(clips_of_videos(np.asarray(outputs), video_ids))


class FullVideoBGRetrievalMetric(_VideoParagraphMetric):
    """Background kept: a video is windows over all of it."""

    background = True

    def statistics(
        self,
        outputs: np.ndarray,
        video_ids: Sequence[Hashable],
        video_lengths: Sequence[int],
        text_lengths: Sequence[int],
        **ignored,
    ) -> dict[str, Statistic]:
        """Recalls over the videos.

        Args:
            outputs: scores [captions, windows], video after video on both sides.
            video_ids: V ids in that order, each once or several times in a row.
            video_lengths, text_lengths: V numbers of windows and of captions.

        Raises:
            DataError: shapes that do not fit, a video listed twice, or NaN.
        """
        return self._recalls(
            windows_of_videos(np.asarray(outputs), video_ids, video_lengths, text_lengths)
        )
