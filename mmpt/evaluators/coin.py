"""Segmentation of whole videos: which step of COIN does each second show, if any."""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded, device_of, to_device
from mmpt.evaluators.checks import labels
from mmpt.evaluators.distinct import require_apart
from mmpt.evaluators.statistics import Share, Statistic, video_numbers
from mmpt.evaluators.windows import only_video, window_starts, window_step
from mmpt.io.atomic import atomic_write
from mmpt.ops.window_merge import merge_windows

logger = logging.getLogger(__name__)

BACKGROUND = 0
"""The label of seconds that show no step."""


class COINPredictor(Predictor):
    """The largest logit of every second, averaged over the windows that show it.

    A batch is one video.

    Raises:
        ConfigError: `dataset.sliding_window` is not set.
    """

    items_per_batch = 1
    scores_suffix = ".npz"

    def __init__(self, config):
        super().__init__(config)
        self.step = window_step(config, "COIN")

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """The labels of all seconds, video after video.

        Returns:
            `outputs` and `targets` int64 [seconds of all videos]; `video_ids` and `video_lengths`
            (seconds) of the videos.

        Raises:
            DataError: no video, or several in one batch.
            NonFiniteScores: the model gives NaN or inf.
        """
        outputs, targets, video_ids, finite = [], [], [], []
        for batch in batches:
            video_ids.append(only_video(batch, "COIN"))
            scores = self.second_scores(model, batch)
            finite.append(bool(scores.isfinite().all()))
            outputs.append(self.decide(scores).cpu().numpy())
            targets.append(batch["video_targets"][0].cpu().numpy())
        if not video_ids:
            raise DataError("COIN: the test set is empty")
        check_encoded(finite, video_ids, "COIN: videos")
        predicted = np.concatenate(outputs)
        logger.info(
            "COIN: %.1f %% of %d seconds of %d videos are predicted as background",
            100 * (predicted == BACKGROUND).mean(),
            len(predicted),
            len(video_ids),
        )
        return {
            "outputs": predicted,
            "targets": np.concatenate(targets),
            "video_ids": video_ids,
            "video_lengths": [len(video) for video in outputs],
        }

    def second_scores(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """One video's scores float32 [L, C], averaged over its windows."""
        scores = self.window_scores(model, batch).float()
        starts = window_starts(len(scores), self.step)
        return merge_windows(scores, batch["vmasks"][0].bool(), starts, int(batch["video_len"][0]))

    def window_scores(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """What is averaged, [W, V, C]; column 0 is background."""
        return model(**batch)["logits"]

    def decide(self, scores: Tensor) -> Tensor:
        """The labels int64 [L] of scores [L, C]."""
        return scores.argmax(dim=1)

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes what `predict` returns; `video_lengths` says where each video ends."""
        with atomic_write(path) as handle:
            np.savez(handle, **{name: np.asarray(value) for name, value in predictions.items()})


class LabelTexts(NamedTuple):
    """The steps as a model sees them.

    Attributes:
        vectors: float32 [C, hidden], the pooled text of each name.
        threshold: the largest product of two different ones: what no second has to exceed to be
            background.
    """

    vectors: Tensor
    threshold: float


class COINZSPredictor(COINPredictor):
    """Without training: the step whose name is most similar to a second, or background.

    Similar means the dot product of the second's state and the pooled name, averaged over windows;
    a second is background where no name exceeds the largest product of two different names.
    """

    def predict_loop(
        self, model: nn.Module, dataloader: Iterable, output_file: str | None = "merged"
    ) -> dict[str, Any]:
        """As `Predictor.predict_loop`; the names are those of the loader's data set.

        Raises:
            ConfigError: the model does not encode video and text apart.
            DataError: the data set has no names of steps, or fewer than two.
            NonFiniteScores: the model gives NaN or inf.
        """
        require_apart(model, "COIN without training")
        meta = getattr(getattr(dataloader, "dataset", None), "meta_processor", None)
        if not hasattr(meta, "meta_text_labels"):
            raise DataError(
                f"COIN: {type(meta).__name__} has no names of steps (meta_text_labels); use "
                "dataset.meta_processor: COINActionSegmentationMetaProcessor"
            )
        inputs = to_device(meta.meta_text_labels(setting(self.config, "dataset")), device_of(model))
        model.eval()
        with torch.inference_mode():
            self.labels = encode_labels(model, inputs["caps"], inputs["cmasks"])
        logger.info(
            "COIN: a second is background unless the similarity with one of %d steps exceeds %.4f",
            len(self.labels.vectors),
            self.labels.threshold,
        )
        return super().predict_loop(model, dataloader, output_file)

    def window_scores(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Similarities [W, V, C] of every second with every name."""
        inputs = (batch[name][0] for name in ("vfeats", "vmasks", "caps", "cmasks"))
        states = model.forward_video(*inputs, output_hidden_states=True)
        return states[:, 1:-1].float() @ self.labels.vectors.T

    def decide(self, scores: Tensor) -> Tensor:
        """The best step's label (from 1) where it exceeds the threshold, else background."""
        return decide_steps(scores, self.labels.threshold)


def encode_labels(model: nn.Module, caps: Tensor, cmasks: Tensor) -> LabelTexts:
    """The names of the steps, encoded.

    Args:
        caps: int64 [C, T]; cmasks: bool [C, T].

    Raises:
        DataError: fewer than two names.
        NonFiniteScores: the model gives NaN or inf.
    """
    if len(caps) < 2:
        raise DataError(f"COIN: {len(caps)} names of steps; the threshold needs at least 2")
    vectors = model.forward_text(caps, cmasks)[0].float()
    names = [f"step {number}" for number in range(1, 1 + len(vectors))]
    check_encoded(vectors.isfinite().all(dim=1).tolist(), names, "COIN: names of steps")
    products = vectors @ vectors.T
    products.fill_diagonal_(-torch.inf)
    return LabelTexts(vectors, products.max().item())


def decide_steps(scores: Tensor, threshold: float) -> Tensor:
    """int64 [L]: 1 + the best column of scores [L, C] where it exceeds the threshold, else 0."""
    best, step = scores.max(dim=1)
    return torch.where(best > threshold, 1 + step, BACKGROUND)


class COINActionSegmentationMetric(StatisticsMetric):
    """Accuracy over seconds: of all, of those that show a step, and the mean over labels."""

    metric_names = ("frame_acc", "foreground_acc", "class_acc")

    def statistics(
        self,
        outputs: Sequence[int],
        targets: Sequence[int],
        video_lengths: Sequence[int] | None = None,
        video_ids: Sequence[Hashable] | None = None,
        **ignored,
    ) -> dict[str, Statistic]:
        """The three accuracies; what a prediction of background alone would get is logged.

        Args:
            outputs, targets: labels of all seconds, video after video; 0 is background.
            video_lengths: seconds of each video; None: all are one video's.
            video_ids: of each video; None: all are different.

        Returns:
            `frame_acc`; `foreground_acc`, over the seconds whose target is not background, absent
            where there are none; `class_acc`, the mean over the labels that are targets.

        Raises:
            DataError: shapes that do not fit.
        """
        found, truth = labels(outputs, targets, "COIN")
        videos = _videos(video_lengths, video_ids, len(truth))
        right = found == truth
        shown = truth != BACKGROUND
        classes, label = np.unique(truth, return_inverse=True)
        logger.info(
            "COIN: %d seconds, %d labels among the targets; background alone would be right in "
            "%.4f of all seconds, and in %.4f in the mean over labels",
            len(truth),
            len(classes),
            1 - shown.mean(),
            (classes == BACKGROUND).mean(),
        )
        measured: dict[str, Statistic] = {"frame_acc": Share.of_items(right, videos)}
        if shown.any():
            measured["foreground_acc"] = Share(
                np.bincount(videos, right & shown)[:, None], np.bincount(videos, shown)[:, None]
            )
        else:
            logger.warning("COIN: all targets are background; foreground_acc is left out")
        measured["class_acc"] = _by_label(right, label, videos, len(classes))
        return measured


def _by_label(right: np.ndarray, label: np.ndarray, videos: np.ndarray, classes: int) -> Share:
    cells = videos * classes + label
    size = (int(videos.max()) + 1) * classes
    hits = np.bincount(cells, right, minlength=size)
    totals = np.bincount(cells, minlength=size)
    return Share(hits.reshape(-1, classes), totals.reshape(-1, classes))


def _videos(
    lengths: Sequence[int] | None, video_ids: Sequence[Hashable] | None, seconds: int
) -> np.ndarray:
    """The video of each second, int64 [seconds]."""
    if lengths is None:
        return np.zeros(seconds, dtype=np.int64)
    if sum(lengths) != seconds:
        raise DataError(f"COIN: videos of {sum(lengths)} seconds together for {seconds} targets")
    if video_ids is None:
        numbers = np.arange(len(lengths))
    elif len(video_ids) == len(lengths):
        numbers = video_numbers(video_ids)
    else:
        raise DataError(f"COIN: {len(video_ids)} video ids for {len(lengths)} video lengths")
    return np.repeat(numbers, lengths)
