"""CrossTask: when does each step of a task happen; each task has its own ordered steps.

`videos.csv` (task, video, url) lists the videos, `tasks_primary.txt` the steps of the 18 tasks that
are annotated, `annotations/TASK_VIDEO.csv` (step from 1, start, end) the seconds of each step.
There is no fixed split: training videos are drawn, the others are the test.

Source: Zhukov et al., CVPR 2019.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from mmpt.errors import DataError, first_few
from mmpt.processors.downstream.crosstask_files import (
    Step,
    read_annotation,
    read_tasks,
    read_videos,
)
from mmpt.processors.downstream.features import with_features
from mmpt.processors.downstream.segments import covered_rows, report_overruns
from mmpt.processors.downstream.windows import WindowAligner, cut
from mmpt.processors.paths import required, required_file, required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor, VideoProcessor

SECTION = "CrossTask"
"""The section of DATASET.md about these files."""

SPLIT_SEED = 0
"""Of the generator that draws the training videos."""

logger = logging.getLogger(__name__)


class TaskVideo(NamedTuple):
    """A video of a task.

    Attributes:
        task, vid: their ids.
        steps: the texts of the task's steps, in order.
        n_steps: how many there are.
    """

    task: str
    vid: str
    steps: list[str]
    n_steps: int


class CrossTaskMetaProcessor(MetaProcessor):
    """The videos of a split: item i is (info, info) with info = (task, vid, steps, n_steps).

    Of `dataset.train_csv_path`, the videos of primary tasks that are annotated and have features
    take part, without those of `dataset.val_csv_path`.  `dataset.n_train` of each task are drawn
    for training; the others are the test, and the validation as well.  Related tasks are not
    annotated: their rows are skipped.  Videos left out are counted in the log.

    Raises:
        ConfigError: a path or `dataset.n_train` is not set.
        DataError: a file is missing or of another form, or no task has more than n_train videos.
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        n_train: int = required(config, "n_train")
        steps = read_tasks(required_file(config, "primary_path", SECTION))
        table = required_file(config, "train_csv_path", SECTION)
        held_out = set(read_videos(required_file(config, "val_csv_path", SECTION)))
        folder = required_folder(config, "vfeat_dir", SECTION)
        annotations = required_folder(config, "annotation_path", SECTION)

        listed = [(task, vid) for task, vid in read_videos(table) if task in steps]
        annotated = _annotated(listed, annotations, table)
        present = with_features(folder, [vid for _, vid in annotated], table)
        # the order of tasks decides who is drawn: that of their first video which is there, before
        # the held-out ones go
        videos: dict[str, list[str]] = {task: [] for task, vid in annotated if vid in present}
        videos |= {task: [] for task, _ in listed if task not in videos}
        for task, vid in annotated:
            if vid in present and (task, vid) not in held_out:
                videos[task].append(vid)
        _check_enough(videos, steps, n_train, table)

        train, test = split_videos(videos, n_train)
        chosen = train if self.split == "train" else test
        self.data = [
            TaskVideo(task, vid, steps[task], len(steps[task]))
            for task, vids in chosen.items()
            for vid in vids
        ]
        spans: dict[str, list[tuple[float, float]]] = {}
        for info in self.data:  # a video may belong to several tasks
            annotation = annotation_of(annotations, info)
            spans.setdefault(info.vid, []).extend((step.start, step.end) for step in annotation)
        report_overruns(spans, folder, annotations)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[TaskVideo, TaskVideo]:
        return self.data[index], self.data[index]


class CrossTaskVideoProcessor(VideoProcessor):
    """The features of a task's video."""

    def __call__(self, info: TaskVideo) -> np.ndarray:
        """The features of the whole video, [seconds, width].

        Raises:
            DataError: as `VideoProcessor`.
        """
        _, vid, _, _ = info
        return super().__call__(vid)


class CrossTaskTextProcessor(TextProcessor):
    """Token ids of the steps of a video's task."""

    def __call__(self, info: TaskVideo) -> list[list[int]]:
        """The ids of each step, not cut."""
        _, _, steps, _ = info
        return self.tokenizer(steps, add_special_tokens=False)["input_ids"]


class CrossTaskAligner(WindowAligner):
    """A whole video in windows, the steps of its task, and which of them each second shows.

    Raises:
        ConfigError: `dataset.annotation_path` is not set, or as `WindowAligner`.
        DataError: it is no folder.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.annotation_path = required_folder(config, "annotation_path", SECTION)

    def __call__(
        self, video_id: TaskVideo, video_feature: np.ndarray, text_feature: list[list[int]]
    ) -> dict[str, Any]:
        """The item of one video with L seconds, W windows and K steps.

        Returns:
            caps int64 and cmasks bool [K, max_len - max_video_len]; vfeats float32 [W,
            max_video_len, width] and vmasks bool [W, max_video_len]; targets float32 [sum of window
            lengths, K], 1 where a second shows a step, window after window without padding;
            video_id; task; video_len, which is L; video_targets uint8 [L, K].

        Raises:
            DataError: the annotation is missing or of another form.
        """
        info = TaskVideo(*video_id)
        windows, vfeats, vmasks = self._windows(video_feature)
        caps, cmasks = self.build_texts(text_feature)
        shown = mark_steps(
            annotation_of(self.annotation_path, info), len(video_feature), len(text_feature)
        )
        targets = torch.from_numpy(cut(shown, windows, self.max_video_len, padding=0))
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "targets": targets[vmasks].float(),
            "video_id": info.vid,
            "task": info.task,
            "video_len": len(video_feature),
            "video_targets": torch.from_numpy(shown),
        }


def split_videos(
    videos: Mapping[str, Sequence[str]], n_train: int
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Draws the training videos of each task, as published: numpy's legacy generator, seed 0.

    Of a task with no more than `n_train` videos nothing is drawn: all of them are for training.

    Args:
        videos: task -> its videos; the order of both decides what is drawn.
        n_train: videos to draw of each task.

    Returns:
        Training and test videos by task: the drawn ones as drawn, the others in their order.
    """
    generator = np.random.RandomState(SPLIT_SEED)
    train, test = {}, {}
    for task, vids in videos.items():
        few = len(vids) <= n_train
        train[task] = list(vids) if few else generator.choice(vids, n_train, False).tolist()
        drawn = set(train[task])
        test[task] = [vid for vid in vids if vid not in drawn]
    return train, test


def annotation_of(folder: str, info: TaskVideo) -> list[Step]:
    """The annotated steps of a video."""
    return read_annotation(os.path.join(folder, f"{info.task}_{info.vid}.csv"), info.n_steps)


def mark_steps(annotation: Sequence[Step], seconds: int, n_steps: int) -> np.ndarray:
    """Which second shows which step: uint8 [seconds, n_steps], 1 where it does."""
    shown = np.zeros((seconds, n_steps), dtype=np.uint8)
    for step in annotation:
        shown[covered_rows(step.start, step.end), step.number] = 1
    return shown


def _annotated(listed: list[tuple[str, str]], folder: str, table: str) -> list[tuple[str, str]]:
    """The videos that have an annotation; how many have none is logged, in one line."""
    files = set(os.listdir(folder))
    annotated = [(task, vid) for task, vid in listed if f"{task}_{vid}.csv" in files]
    if not annotated:
        raise DataError(
            f"{folder}: no annotation (TASK_VIDEO.csv) for any of the {len(listed)} videos of "
            f"primary tasks in {table}"
        )
    lacking = [vid for task, vid in listed if f"{task}_{vid}.csv" not in files]
    if lacking:
        logger.warning(
            "%s: %d of %d videos of primary tasks have no annotation in %s and are left out: %s",
            *(table, len(lacking), len(listed), folder, first_few(lacking)),
        )
    return annotated


def _check_enough(
    videos: Mapping[str, Sequence[str]], steps: Mapping[str, Any], n_train: int, table: str
) -> None:
    """Refuses a split without a test; warns of tasks without, and of those that have no video."""
    few = [f"{task} ({len(vids)})" for task, vids in videos.items() if len(vids) <= n_train]
    told = (
        f"{table}: dataset.n_train {n_train} leaves nothing to test of {len(few)} of {len(videos)} "
        f"tasks: {first_few(few)} videos with features and annotation, besides those of "
        "dataset.val_csv_path"
    )
    if len(few) == len(videos):
        raise DataError(f"{told}; get more features, or lower dataset.n_train")
    if few:
        logger.warning("%s; all of these are for training", told)
    unknown = [task for task in steps if task not in videos]
    if unknown:
        logger.warning(
            "%s: %d of %d primary tasks have no video in it: %s",
            *(table, len(unknown), len(steps), first_few(unknown)),
        )
