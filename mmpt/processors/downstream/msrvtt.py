"""MSR-VTT: retrieval on 1,000 text-video pairs (the JSFusion test set), training on 9,000 videos.

The tables are CSV files with a column `video_id`, test tables with `sentence` too; the captions of
the training videos, twenty each, are in `MSRVTT_data.json`.
"""

import csv
import os
import random
from collections import Counter
from typing import Any

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError, first_few
from mmpt.processors.paths import (
    config_split,
    read_json,
    required_file,
    required_folder,
)
from mmpt.processors.processor import MetaProcessor, TextProcessor

SECTION = "MSR-VTT"
"""The section of DATASET.md about these files."""


class MSRVTTMetaProcessor(MetaProcessor):
    """The rows of a table: (video id, sentence), or (video id, video id) for training.

    For training, `dataset.full_test_path` adds the videos of that table that are not in
    `dataset.jsfusion_path`, and `dataset.dup` repeats the table.

    Attributes:
        data: the pairs.

    Raises:
        ConfigError: a key is missing.
        DataError: a file is missing or no such table, a test table lists a video twice, or videos
            have no features (the benchmark's size is fixed, so none may be left out).
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        path = self._get_split_path(config)
        if self.split == "train":
            videos = read_column(path, "video_id") + _unused_test_videos(config)
            self.data = [(video_id, video_id) for video_id in videos] * setting(config, "dup", 1)
        else:
            videos = read_column(path, "video_id")
            _check_once(videos, path)
            self.data = list(zip(videos, read_column(path, "sentence"), strict=True))
        if setting(config, "vfeat_dir") is not None:
            require_features(required_folder(config, "vfeat_dir", SECTION), videos, path)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.data[index]


class MSRVTTTextProcessor(TextProcessor):
    """Token ids of a sentence; for training, of one of the video's captions, drawn at random.

    Raises:
        ConfigError: `dataset.json_path` is not set for training.
        DataError: the file is missing or of another form.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.captions: dict[str, list[str]] | None = None
        if config_split(config) == "train":
            self.path = required_file(config, "json_path", SECTION)
            self.captions = _read_captions(self.path)

    def __call__(self, text_id: str) -> list[int]:
        """The token ids of a sentence (evaluation) or of a caption of video `text_id` (training).

        Raises:
            DataError: the training video has no caption.
        """
        if self.captions is None:
            return super().__call__(text_id)
        captions = self.captions.get(text_id)
        if not captions:
            raise DataError(f"{self.path}: no caption for video {text_id}")
        return super().__call__(captions[random.randint(0, len(captions) - 1)])


def read_column(path: str, name: str) -> list[str]:
    """One column of a CSV table with a header.

    Raises:
        DataError: the table has no such column, no row, or a row without a value there, with more
            values than columns, with quotes that do not close, or with a NUL.
    """
    values = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            if name not in columns:
                raise DataError(
                    f"{path}: no column {name!r}; it has {', '.join(columns) or 'none'}"
                )
            for number, row in enumerate(reader):
                if None in row:
                    raise DataError(
                        f"{path}: row {number} has more values than the {len(columns)} columns; "
                        "a comma inside a value needs quotes around it"
                    )
                if "\0" in (row[name] or ""):
                    raise DataError(f"{path}: row {number} has a NUL byte in its {name}")
                values.append(row[name])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV table ({error})") from None
    if not values:
        raise DataError(f"{path}: the table has no row")
    if not all(values):
        row = next(row for row, value in enumerate(values) if not value)
        raise DataError(f"{path}: row {row} has no {name}")
    return values


def require_features(folder: str, video_ids: list[str], table: str) -> None:
    """Checks that every video of a benchmark has a feature file.

    Raises:
        DataError: how many have none, and the first few.
    """
    present = set(os.listdir(folder))
    missing = sorted({video_id for video_id in video_ids if f"{video_id}.npy" not in present})
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of the {len(set(video_ids))} videos of {table} have no "
            f"feature file: {first_few(missing)}; the size of this benchmark is fixed"
        )


def _check_once(video_ids: list[str], table: str) -> None:
    """Two rows with one video would be two candidates of which only one counts as right.

    Raises:
        DataError: which videos stand in more than one row.
    """
    twice = [video_id for video_id, rows in Counter(video_ids).items() if rows > 1]
    if twice:
        raise DataError(
            f"{table}: {len(twice)} videos stand in it more than once: {first_few(twice)}; a test "
            "table has one row a video"
        )


def _unused_test_videos(config: Any) -> list[str]:
    """The videos of the full test table that the JSFusion test set does not hold."""
    if setting(config, "full_test_path") is None:
        return []
    if setting(config, "jsfusion_path") is None:
        raise ConfigError(
            "dataset.full_test_path is set without dataset.jsfusion_path: the test videos to keep "
            "out of training are not known"
        )
    held_out = set(read_column(required_file(config, "jsfusion_path", SECTION), "video_id"))
    full = read_column(required_file(config, "full_test_path", SECTION), "video_id")
    return [video_id for video_id in full if video_id not in held_out]


def _read_captions(path: str) -> dict[str, list[str]]:
    """Video id -> captions in the order of the file."""
    captions: dict[str, list[str]] = {}
    try:
        for sentence in read_json(path)["sentences"]:
            captions.setdefault(sentence["video_id"], []).append(sentence["caption"])
    except (KeyError, TypeError):
        raise DataError(
            f'{path}: expected {{"sentences": [{{"video_id": …, "caption": …}}, …]}}'
        ) from None
    return captions
