"""DiDeMo: which moment of a video does a description tell about; 4,021 descriptions in the test.

The file is a list of `{"video": "NAME.EXTENSION", "description", "times": [[first, last], ...]}`:
a moment an annotator, its first and last chunk of 5 seconds, counted from 0 to 5.

Source: Hendricks et al., ICCV 2017.
"""

import os
import reprlib
from typing import Any

import numpy as np

from mmpt.errors import ConfigError, DataError
from mmpt.processors.downstream.aligner import DSAligner
from mmpt.processors.downstream.features import stored_names
from mmpt.processors.paths import read_json, required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor

SECTION = "DiDeMo"
"""The section of DATASET.md about these files."""

CHUNKS = 6
"""Chunks of 5 seconds of a video; what comes later was not annotated."""

Times = list[tuple[int, int]]


class DiDeMoMetaProcessor(MetaProcessor):
    """The descriptions in the order of the file: (video, (description, times)).

    The features of `NAME.m4v` are either `NAME.m4v.npy` or `NAME.npy`; an item's video is called
    as its features are.

    Attributes:
        data: the items.

    Raises:
        ConfigError: another split than `test`, or a path is not set.
        DataError: the file is missing or of another form, or videos have no features (the
            benchmark's size is fixed, so none may be left out).
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        if self.split != "test":
            raise ConfigError(
                f"dataset.split: got {self.split!r}; DiDeMo is for evaluation only, set it to test"
            )
        path = self._get_split_path(config)
        records = read_records(path)
        names = {video: (video, os.path.splitext(video)[0]) for video, _, _ in records}
        stored = stored_names(required_folder(config, "vfeat_dir", SECTION), names, path)
        self.data = [(stored[video], (text, times)) for video, text, times in records]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[str, tuple[str, Times]]:
        return self.data[index]


class DiDeMoTextProcessor(TextProcessor):
    """Token ids of a description; its moments are handed on."""

    def __call__(self, text: tuple[str, Times]) -> tuple[list[int], Times]:
        """The ids, not cut, and the times as given."""
        description, times = text
        return super().__call__(description), times


class DiDeMoAligner(DSAligner):
    """A description, the first `max_video_len` seconds of its video, and the annotated moments."""

    def __call__(
        self, video_id: str, video_feature: np.ndarray, text_feature: tuple[list[int], Times]
    ) -> dict[str, Any]:
        """The item of `DSAligner`, and times: (first, last) chunk, an annotator each."""
        ids, times = text_feature
        return {**super().__call__(video_id, video_feature, ids), "times": times}


def read_records(path: str) -> list[tuple[str, str, Times]]:
    """(video, description, times) of every record, in the order of the file.

    Raises:
        DataError: the file is no such annotation; the message names the record.
    """
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise DataError(f'{path}: expected [{{"video": …, "description": …, "times": […]}}, …]')
    return [_record(entry, f"{path}: record {number}") for number, entry in enumerate(content)]


def _record(entry: Any, where: str) -> tuple[str, str, Times]:
    if not isinstance(entry, dict):
        raise DataError(
            f'{where}: expected {{"video": …, "description": …, "times": […]}}, got '
            f"{reprlib.repr(entry)}"
        )
    for key in ("video", "description"):
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: {key} is {value!r}; a text is expected")
    times = entry.get("times")
    if not isinstance(times, list) or not times:
        raise DataError(
            f"{where}: times is {reprlib.repr(times)}; at least one [first, last] is expected"
        )
    return entry["video"], entry["description"], [_moment(moment, where) for moment in times]


def _moment(moment: Any, where: str) -> tuple[int, int]:
    pair = isinstance(moment, list) and len(moment) == 2
    whole = pair and all(isinstance(x, int) and not isinstance(x, bool) for x in moment)
    if not whole or not 0 <= moment[0] <= moment[1] < CHUNKS:
        raise DataError(
            f"{where}: a moment is {reprlib.repr(moment)}; allowed is [first, last] with "
            f"0 <= first <= last <= {CHUNKS - 1}, chunks of 5 seconds"
        )
    return moment[0], moment[1]
