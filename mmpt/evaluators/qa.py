"""Multiple choice: which of five sentences belongs to the video (MSR-VTT)."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.errors import DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded, check_finite
from mmpt.evaluators.checks import labels, videos_of
from mmpt.evaluators.distinct import EncodedOnce, encode_texts, require_apart
from mmpt.evaluators.statistics import Share, Statistic
from mmpt.io.atomic import atomic_write


class QAPredictor(Predictor):
    """The sentence with the largest dot product of its pooled vector with the video's."""

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """Returns `outputs` and `targets` int64 [N], `scores` float32 [N, 5] and `video_ids`.

        Raises:
            ConfigError: the model does not encode video and text apart.
            DataError: no question.
            NonFiniteScores: the model gives NaN or inf.
        """
        require_apart(model, "multiple choice")
        videos, texts = EncodedOnce(), EncodedOnce()
        scores, targets, video_ids = [], [], []
        for batch in batches:
            caps, cmasks = batch["caps"], batch["cmasks"]  # [B, 5, T]
            video = videos(batch["video_id"], partial(_encode_videos, model, batch))
            text = encode_texts(texts, model, caps.flatten(0, 1), cmasks.flatten(0, 1))
            scores.append(torch.einsum("nd,nad->na", video, text.unflatten(0, caps.shape[:2])))
            targets.append(batch["answers"].cpu().flatten())
            video_ids += batch["video_id"]
        if not scores:
            raise DataError("multiple choice: the test set is empty")
        finite = [bool(vector.isfinite().all()) for vector in videos.vectors.values()]
        check_encoded(finite, videos.vectors, "multiple choice: videos")
        matrix = torch.cat(scores).numpy()
        check_finite(matrix, "multiple choice")
        return {
            "outputs": matrix.argmax(axis=1),
            "targets": torch.cat(targets).numpy(),
            "scores": matrix,
            "video_ids": video_ids,
        }

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes the scores of the answers, [N, 5]."""
        with atomic_write(path) as handle:
            np.save(handle, predictions["scores"])


def _encode_videos(model: nn.Module, batch: Mapping[str, Any], rows: Tensor) -> Tensor:
    """Pooled videos [n, hidden] of some rows of a batch."""
    caps, cmasks = batch["caps"][rows, 0], batch["cmasks"][rows, 0]
    return model.forward_video(batch["vfeats"][rows], batch["vmasks"][rows], caps, cmasks)[0]


class QAMetric(StatisticsMetric):
    """The share of questions that are answered rightly."""

    metric_names = ("acc",)

    def statistics(
        self,
        outputs: Sequence[int],
        targets: Sequence[int],
        video_ids: Sequence[Hashable] | None = None,
        **ignored,
    ) -> dict[str, Statistic]:
        """`acc` of answers [N] against the right ones [N].

        Raises:
            DataError: shapes that do not fit.
        """
        found, truth = labels(outputs, targets, "multiple choice")
        videos = videos_of(video_ids, len(found), "multiple choice")
        return {"acc": Share.of_items(found == truth, videos)}
