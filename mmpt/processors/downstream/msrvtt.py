"""MSR-VTT: retrieval on 1,000 text-video pairs (the JSFusion test set), training on 9,000 videos.

The tables are CSV files with a column `video_id`, test tables with `sentence` too; the captions of
the training videos, twenty each, are in `MSRVTT_data.json`.
"""

import random
from typing import Any

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.processors.downstream.features import require_features
from mmpt.processors.downstream.tables import check_once, read_columns
from mmpt.processors.paths import config_split, read_json, required_file, required_folder
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
            videos = _videos(path) + _unused_test_videos(config)
            self.data = [(video_id, video_id) for video_id in videos] * setting(config, "dup", 1)
        else:
            self.data = read_columns(path, ("video_id", "sentence"))
            videos = [video_id for video_id, _ in self.data]
            # two rows with one video would be two candidates of which only one counts as right
            check_once(videos, path, "videos", "a test table has one row a video")
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


def _videos(path: str) -> list[str]:
    return [video_id for (video_id,) in read_columns(path, ("video_id",))]


def _unused_test_videos(config: Any) -> list[str]:
    """The videos of the full test table that the JSFusion test set does not hold."""
    if setting(config, "full_test_path") is None:
        return []
    if setting(config, "jsfusion_path") is None:
        raise ConfigError(
            "dataset.full_test_path is set without dataset.jsfusion_path: the test videos to keep "
            "out of training are not known"
        )
    held_out = set(_videos(required_file(config, "jsfusion_path", SECTION)))
    full = _videos(required_file(config, "full_test_path", SECTION))
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
