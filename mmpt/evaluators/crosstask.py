"""Localisation of a task's steps in whole videos (CrossTask)."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmpt.errors import DataError, first_few
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded
from mmpt.evaluators.distinct import EncodedOnce, encode_texts
from mmpt.evaluators.statistics import Share, Statistic, video_numbers
from mmpt.evaluators.windows import only_video, window_starts, window_step
from mmpt.io.atomic import atomic_write
from mmpt.ops.alignment import ordered_assignment
from mmpt.ops.window_merge import frame_seconds, merge_frames

logger = logging.getLogger(__name__)

StepTables = Mapping[str, Mapping[str, np.ndarray]]
"""Task -> video -> [L, K], 1 where a second shows a step."""


class CrossTaskPredictor(Predictor):
    """Each step of a video's task gets one second, in order, where the model finds it likeliest.

    Scores are averaged over the windows that show a second and made probabilities of the steps;
    `ordered_assignment` takes the likeliest seconds.  A batch is one video.

    Raises:
        ConfigError: `dataset.sliding_window` is not set.
    """

    items_per_batch = 1
    scores_suffix = ".npz"

    def __init__(self, config):
        super().__init__(config)
        self.step = window_step(config, "CrossTask")

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """The steps of all videos.

        Returns:
            `outputs` and `targets`: task -> video -> uint8 [L, K], 1 where a second shows a step.

        Raises:
            DataError: no video, several in one batch, or one with fewer seconds than steps.
            NonFiniteScores: the model gives NaN or inf.
        """
        outputs: dict[str, dict[str, np.ndarray]] = {}
        targets: dict[str, dict[str, np.ndarray]] = {}
        logits_of = partial(frame_logits, model, EncodedOnce())
        video_ids, finite = [], []
        for batch in batches:
            video_id, task = only_video(batch, "CrossTask"), batch["task"][0]
            logits = logits_of(batch)
            video_ids.append(f"{task}/{video_id}")
            finite.append(bool(logits.isfinite().all()))
            if not finite[-1]:
                continue
            valid = batch["vmasks"][0].bool()
            seconds = frame_seconds(valid, window_starts(len(valid), self.step))
            merged = merge_frames(logits, seconds, int(batch["video_len"][0]))
            outputs.setdefault(task, {})[video_id] = assign_steps(merged, video_ids[-1])
            truth = batch["video_targets"][0].cpu().numpy()
            targets.setdefault(task, {})[video_id] = truth.astype(np.uint8)
        if not video_ids:
            raise DataError("CrossTask: the test set is empty")
        check_encoded(finite, video_ids, "CrossTask: videos")
        return {"outputs": outputs, "targets": targets}

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes the arrays [L, K] as `outputs/TASK/VIDEO` and `targets/TASK/VIDEO`."""
        arrays = {
            f"{kind}/{task}/{video_id}": table
            for kind in ("outputs", "targets")
            for task, videos in predictions[kind].items()
            for video_id, table in videos.items()
        }
        with atomic_write(path) as handle:
            np.savez(handle, **arrays)


def frame_logits(model: nn.Module, texts: EncodedOnce, batch: Mapping[str, Any]) -> Tensor:
    """Scores [valid frames of all windows, K]; a model that can gets every step's text once."""
    if not hasattr(model, "localize"):
        return model(**batch)["logits"]
    text = encode_texts(texts, model, batch["caps"][0], batch["cmasks"][0])
    return model.localize(batch["vfeats"], batch["vmasks"], text)


def assign_steps(scores: Tensor, name: str) -> np.ndarray:
    """The likeliest seconds of the steps, in order.

    Args:
        scores: float [L, K].
        name: of the video, for the message.

    Returns:
        uint8 [L, K] with one 1 a step.

    Raises:
        DataError: fewer seconds than steps.
    """
    length, steps = scores.shape
    if length < steps:
        raise DataError(
            f"CrossTask: video {name} has {length} seconds for {steps} steps, each of which takes "
            "a second of its own"
        )
    cost = -scores.log_softmax(dim=1)
    table = np.zeros((length, steps), dtype=np.uint8)
    table[ordered_assignment(cost.double().cpu().numpy()), np.arange(steps)] = 1
    return table


class CrossTaskMetric(StatisticsMetric):
    """The share of annotated steps found: a step counts once a video, however long it is."""

    metric_names = ("recall",)

    def statistics(
        self, outputs: StepTables, targets: StepTables, **ignored
    ) -> dict[str, Statistic]:
        """The mean over tasks, and each task's share under its id.

        Videos that occur in both count, tasks that occur in the predictions alone do not.  A task
        without any prediction has found none of its steps.  One whose videos show no step is left
        out, with a warning.

        Args:
            outputs, targets: task -> video -> [L, K] of 0 and 1.

        Returns:
            `recall`, then one number a task, in the order of the targets.

        Raises:
            DataError: no task has a step, or shapes that do not fit.
        """
        rows = []
        for column, (task, truth) in enumerate(targets.items()):
            found = outputs.get(task, {})
            if not found.keys() & truth.keys():
                logger.warning("CrossTask: no prediction for task %s", task)
                found = {video_id: np.zeros_like(table) for video_id, table in truth.items()}
            for video_id, table in truth.items():
                if video_id in found:
                    name = f"{task}/{video_id}"
                    rows.append((video_id, column, *_steps(found[video_id], table, name)))
        return _recalls(list(targets), rows)


def _steps(found: np.ndarray, truth: np.ndarray, name: str) -> tuple[float, int]:
    """How many steps of a video are found, and how many it shows."""
    found, truth = np.asarray(found), np.asarray(truth)
    if found.shape != truth.shape or truth.ndim != 2:
        raise DataError(
            f"CrossTask: video {name}: predictions {list(found.shape)} for targets "
            f"{list(truth.shape)}; needed: [seconds, steps] of both"
        )
    return float((found * truth).sum()), int(truth.any(axis=0).sum())


def _recalls(tasks: list[str], rows: list[tuple]) -> dict[str, Statistic]:
    """Of rows (video, place of the task, steps found, steps shown)."""
    videos = video_numbers([row[0] for row in rows])
    hits = np.zeros((len(set(videos)), len(tasks)))
    totals = np.zeros_like(hits)
    for video, (_, column, found, shown) in zip(videos, rows, strict=True):
        hits[video, column] += found
        totals[video, column] += shown
    there = totals.sum(axis=0) > 0
    if not there.any():
        raise DataError(f"CrossTask: none of {len(tasks)} tasks has an annotated step")
    left_out = [task for task, known in zip(tasks, there, strict=True) if not known]
    if left_out:
        logger.warning(
            "CrossTask: %d of %d tasks have no annotated step and are left out of the mean: %s",
            len(left_out),
            len(tasks),
            first_few(left_out),
        )
    single = {
        task: Share(hits[:, [column]], totals[:, [column]])
        for column, task in enumerate(tasks)
        if there[column]
    }
    return {"recall": Share(hits, totals), **single}
