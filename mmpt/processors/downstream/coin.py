"""COIN: which of 778 actions happens in each second of an instructional video, or none.

The file is `database -> VIDEO_ID -> {"subset": "training" or "testing", "annotation": [{"id": "1",
"segment": [start, end], "label": name}, ...]}`; ids are labels from 1, and 0 is background.

Source: Tang et al., CVPR 2019.
"""

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError, first_few
from mmpt.processors.downstream.aligner import TextsAligner
from mmpt.processors.downstream.features import with_features
from mmpt.processors.downstream.segments import check_segment, covered_rows, report_overruns
from mmpt.processors.downstream.windows import WindowAligner, cut
from mmpt.processors.paths import read_json, required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor

SECTION = "COIN"
"""The section of DATASET.md about these files."""

SUBSETS = {"train": "training", "valid": "testing", "test": "testing"}
"""Split -> how the file calls it; there is no third part."""

BACKGROUND, NOT_A_SECOND = 0, -100
"""Targets of seconds without an action, and of padding (which the loss leaves out)."""

MODEL_LABELS = 779
"""Labels of the classifier where `dataset.num_labels` is not set."""


class Segment(NamedTuple):
    """One annotated action: seconds, the label's id, and its name."""

    start: float
    end: float
    label: int
    name: str


class COINActionSegmentationMetaProcessor(MetaProcessor):
    """The videos of the split's subset that have features, in the order of the file.

    Item i is (video id, `{"start": [...], "end": [...], "label": [...]}`), seconds and label ids,
    one entry a segment.  Videos without features are left out, and counted in the log.

    Attributes:
        text_labels: the names of labels 1, 2, ..., from the testing videos.

    Raises:
        ConfigError: a path is not set, or `dataset.num_labels` is too small to train these labels.
        DataError: the file is missing or of another form, its labels have gaps, or no video of the
            subset has features.
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        path = self._get_split_path(config)
        subsets = read_annotation(path)
        self.text_labels = label_names(subsets["testing"], path)
        if self.split != "test":
            _check_classifier(config, len(self.text_labels), path)
        videos = subsets[SUBSETS[self.split]]
        _check_labels(videos, len(self.text_labels), path)
        folder = required_folder(config, "vfeat_dir", SECTION)
        present = with_features(folder, videos, path)
        videos = {video_id: videos[video_id] for video_id in videos if video_id in present}
        spans = {name: [(s.start, s.end) for s in segments] for name, segments in videos.items()}
        report_overruns(spans, folder, path)
        self.data = [(video_id, _columns(segments)) for video_id, segments in videos.items()]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[str, dict[str, list]]:
        return self.data[index]

    def meta_text_labels(self, config: Any) -> dict[str, Tensor]:
        """The names of labels 1..N as text sequences, for zero-shot segmentation.

        Args:
            config: the `dataset` section: tokenizer and lengths.

        Returns:
            caps int64 and cmasks bool, both [N, max_len - max_video_len].
        """
        text = TextProcessor(config)
        caps, cmasks = TextsAligner(config).build_texts([text(name) for name in self.text_labels])
        return {"caps": caps, "cmasks": cmasks}


class COINActionSegmentationTextProcessor(TextProcessor):
    """Hands the annotation on: labels are no text of a video."""

    def __call__(self, annotation: dict[str, list]) -> dict[str, list]:
        """The annotation as given."""
        return annotation


class COINActionSegmentationAligner(WindowAligner):
    """A whole video in windows, and the label of every second."""

    def __call__(
        self, video_id: str, video_feature: np.ndarray, text_feature: Mapping[str, list]
    ) -> dict[str, Any]:
        """The item of one video with L seconds and W windows.

        Returns:
            caps int64 and cmasks bool [W, 4], a caption without words; vfeats float32 [W,
            max_video_len, width] and vmasks bool [W, max_video_len]; targets int64 [W,
            max_video_len], -100 on padding; video_id; video_len, which is L; video_targets int64
            [L].
        """
        windows, vfeats, vmasks = self._windows(video_feature)
        caps, cmasks = self._no_text(len(vfeats))
        labels = label_seconds(text_feature, len(video_feature))
        targets = cut(labels, windows, self.max_video_len, padding=NOT_A_SECOND)
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "targets": torch.from_numpy(targets),
            "video_id": video_id,
            "video_len": len(video_feature),
            "video_targets": torch.from_numpy(labels),
        }


def label_seconds(segments: Mapping[str, list], seconds: int) -> np.ndarray:
    """The label of each second, int64 [seconds]; a later segment overwrites an earlier one."""
    labels = np.full(seconds, BACKGROUND, dtype=np.int64)
    for start, end, label in zip(*(segments[k] for k in ("start", "end", "label")), strict=True):
        labels[covered_rows(start, end)] = label
    return labels


def read_annotation(path: str) -> dict[str, dict[str, list[Segment]]]:
    """Subset (`training`, `testing`) -> video -> its segments, each in the order of the file.

    Raises:
        DataError: the file is no such annotation; the message names the video and the segment.
    """
    content = read_json(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise DataError(
            f'{path}: expected {{"database": {{VIDEO_ID: {{"subset": …, "annotation": […]}}, …}}}}'
        )
    subsets: dict[str, dict[str, list[Segment]]] = {"training": {}, "testing": {}}
    for video_id, video in database.items():
        where = f"{path}: {video_id}"
        if not isinstance(video, dict) or not isinstance(video.get("annotation"), list):
            raise DataError(
                f'{where}: expected {{"subset": …, "annotation": […]}}, got {reprlib.repr(video)}'
            )
        subset = video.get("subset")
        if subset not in subsets:
            raise DataError(f"{where}: subset is {subset!r}; allowed: {', '.join(subsets)}")
        subsets[subset][video_id] = [
            _segment(entry, f"{where}, segment {number}")
            for number, entry in enumerate(video["annotation"])
        ]
    return subsets


def _segment(entry: Any, where: str) -> Segment:
    bounds = entry.get("segment") if isinstance(entry, dict) else None
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise DataError(
            f'{where}: expected {{"id": …, "segment": [start, end], "label": …}}, got '
            f"{reprlib.repr(entry)}"
        )
    start, end = check_segment(*bounds, where)
    label, name = str(entry.get("id")), entry.get("label")
    if not (label.isascii() and label.isdigit() and int(label) > 0):
        raise DataError(f"{where}: id is {entry.get('id')!r}; a whole number from 1 is expected")
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{where}: label is {name!r}; the name of the action is expected")
    return Segment(start, end, int(label), name)


def label_names(videos: Mapping[str, list[Segment]], path: str) -> list[str]:
    """The names of labels 1..N of some videos.

    Raises:
        DataError: there are none, an id has two names, or ids are left out.
    """
    names: dict[int, str] = {}
    for video_id, segments in videos.items():
        for segment in segments:
            known = names.setdefault(segment.label, segment.name)
            if known != segment.name:
                raise DataError(
                    f"{path}: {video_id}: label {segment.label} is {segment.name!r}, and {known!r} "
                    "in an earlier video"
                )
    if not names:
        raise DataError(
            f"{path}: no labels: there is no video of subset 'testing' with segments, and the "
            "names of the labels are theirs"
        )
    gaps = sorted(set(range(1, max(names) + 1)) - names.keys())
    if gaps:
        raise DataError(
            f"{path}: the label ids of the testing videos must run from 1 without gaps; of 1 to "
            f"{max(names)}, {len(gaps)} are missing: {first_few(gaps)}"
        )
    return [names[label] for label in sorted(names)]


def _check_labels(videos: Mapping[str, list[Segment]], labels: int, path: str) -> None:
    """Raises DataError where training videos have labels that no testing video has."""
    unknown = {s.label for segments in videos.values() for s in segments if s.label > labels}
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} labels of training videos occur in no testing video, whose "
            f"labels are 1 to {labels}: {first_few(sorted(unknown))}"
        )


def _check_classifier(config: Any, labels: int, path: str) -> None:
    room = setting(config, "num_labels", MODEL_LABELS)
    if room <= labels:
        raise ConfigError(
            f"dataset.num_labels: got {room}; {path} has labels 1 to {labels}, and 0 is "
            f"background: at least {labels + 1} are needed"
        )


def _columns(segments: list[Segment]) -> dict[str, list]:
    return {
        "start": [segment.start for segment in segments],
        "end": [segment.end for segment in segments],
        "label": [segment.label for segment in segments],
    }
