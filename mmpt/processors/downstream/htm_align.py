"""HTM-Align: 80 videos whose narrations were annotated with what is seen, and when.

The file is `{VIDEO_ID: [[aligned, start, end, text], ...]}`: a sentence a row, in the order it is
spoken; `aligned` is 1 where what it says can be seen, and then `start` and `end` are the annotated
seconds of it; otherwise (0) they are the seconds of the narration itself.

Source: Temporal Alignment Networks (Han et al., CVPR 2022), whose annotation this is.
"""

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from mmpt.errors import DataError
from mmpt.processors.downstream.aligner import TextsAligner
from mmpt.processors.downstream.features import require_features
from mmpt.processors.downstream.segments import ROUNDING_SECONDS, check_segment
from mmpt.processors.paths import read_json, required_file, required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor

SECTION = "HTM-Align"
"""The section of DATASET.md about these files."""


class Sentence(NamedTuple):
    """One annotated sentence; see the head of the module."""

    aligned: bool
    start: float
    end: float
    text: str


class HTMAlignMetaProcessor(MetaProcessor):
    """The annotated videos, sorted by id: item i is (video id, its sentences).

    Raises:
        ConfigError: `dataset.anno_path` or `dataset.vfeat_dir` is not set.
        DataError: the annotation is missing or of another form, or videos of it have no features
            (the benchmark's size is fixed, so none may be left out).
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        path = required_file(config, "anno_path", SECTION)
        self.annotation = read_annotation(path)
        self.data = sorted(self.annotation)
        require_features(required_folder(config, "vfeat_dir", SECTION), self.data, path)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[str, list[Sentence]]:
        video_id = self.data[index]
        return video_id, self.annotation[video_id]


class HTMAlignTextProcessor(TextProcessor):
    """The sentences of a video and the token ids of each."""

    def __call__(self, sentences: list[Sentence]) -> dict[str, Any]:
        """`cap`: a list of ids a sentence, not cut; `sentences`: as given."""
        ids = self.tokenizer([s.text for s in sentences], add_special_tokens=False)["input_ids"]
        return {"cap": ids, "sentences": sentences}


class HTMAlignAligner(TextsAligner):
    """A whole video and all of its sentences; windows are cut by who evaluates."""

    def __call__(
        self, video_id: str, video_feature: np.ndarray, text_feature: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The item of one video with n sentences and L seconds.

        Returns:
            caps int64 and cmasks bool [n, max_len - max_video_len]; vfeats float32 [L, width];
            sentences float64 [n, 3] (aligned, start, end); texts; video_id.

        Raises:
            DataError: sentences lie behind the end of the video.
        """
        sentences = text_feature["sentences"]
        _check_inside(sentences, len(video_feature))
        caps, cmasks = self.build_texts(text_feature["cap"])
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": torch.from_numpy(np.asarray(video_feature, dtype=np.float32)),
            "sentences": np.array([s[:3] for s in sentences], dtype=np.float64),
            "texts": [s.text for s in sentences],
            "video_id": video_id,
        }


def read_annotation(path: str) -> dict[str, list[Sentence]]:
    """The sentences of every video, in the order of the file.

    Raises:
        DataError: the file is no such annotation; the message names the video and the sentence.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: expected {{VIDEO_ID: [[aligned, start, end, text], …], …}}")
    return {video_id: _sentences(rows, f"{path}: {video_id}") for video_id, rows in content.items()}


def _sentences(rows: Any, where: str) -> list[Sentence]:
    if not isinstance(rows, list) or not rows:
        raise DataError(
            f"{where}: a list of at least one [aligned, start, end, text] is expected, got "
            f"{reprlib.repr(rows)}"
        )
    return [_sentence(row, f"{where}, sentence {number}") for number, row in enumerate(rows)]


def _sentence(row: Any, where: str) -> Sentence:
    if not isinstance(row, list) or len(row) != 4:
        raise DataError(f"{where}: expected [aligned, start, end, text], got {reprlib.repr(row)}")
    aligned, start, end, text = row
    if aligned not in (0, 1):
        raise DataError(f"{where}: aligned is {aligned!r}; allowed: 0, 1")
    start, end = check_segment(start, end, where)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: the text is {text!r}; words are expected")
    return Sentence(bool(aligned), start, end, text)


def _check_inside(sentences: list[Sentence], seconds: int) -> None:
    behind = [i for i, s in enumerate(sentences) if s.start > seconds + ROUNDING_SECONDS]
    if behind:
        raise DataError(
            f"{len(behind)} of {len(sentences)} sentences begin behind the end of the features "
            f"({seconds} seconds), first sentence {behind[0]} at {sentences[behind[0]].start} s: "
            "features of another video, or cut short?"
        )
