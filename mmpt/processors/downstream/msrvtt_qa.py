"""MSR-VTT QA: which of five sentences is about the video (multiple choice, 2,990 questions).

The table is tab separated, with the columns `vid_key` (`msr7010` is video `video7010`), `a1` to
`a5`, and `answer`, the number of the right one from 0.

Source: LSMDC's multiple-choice test on MSR-VTT (Yu et al., JSFusion, ECCV 2018).
"""

import re
from typing import Any

import numpy as np
import torch

from mmpt.errors import DataError
from mmpt.processors.downstream.aligner import TextsAligner
from mmpt.processors.downstream.features import require_features
from mmpt.processors.downstream.tables import read_columns
from mmpt.processors.paths import required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor

SECTION = "MSR-VTT QA"
"""The section of DATASET.md about these files."""

ANSWERS = ("a1", "a2", "a3", "a4", "a5")
"""The columns of the answers."""

Question = tuple[str, tuple[list[str], int]]


class MSRVTTQAMetaProcessor(MetaProcessor):
    """The questions in the order of the table: (video id, (five texts, number of the right one)).

    A video may have several questions.

    Attributes:
        data: the questions.

    Raises:
        ConfigError: the path of the split or `dataset.vfeat_dir` is not set.
        DataError: the table is missing or of another form, or videos have no features (the
            benchmark's size is fixed, so none may be left out).
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        path = self._get_split_path(config)
        self.data = read_questions(path)
        folder = required_folder(config, "vfeat_dir", SECTION)
        require_features(folder, [video_id for video_id, _ in self.data], path)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Question:
        return self.data[index]


class MSRVTTQATextProcessor(TextProcessor):
    """Token ids of the five answers."""

    def __call__(self, question: tuple[list[str], int]) -> tuple[list[list[int]], int]:
        """The ids of each text, not cut, and the number of the right one as given."""
        texts, answer = question
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"], answer


class MSRVTTQAAligner(TextsAligner):
    """The first `max_video_len` seconds of a video, once, and its five answers."""

    def __call__(
        self,
        video_id: str,
        video_feature: np.ndarray,
        text_feature: tuple[list[list[int]], int],
    ) -> dict[str, Any]:
        """The item of one question.

        Returns:
            caps int64 and cmasks bool [5, max_len - max_video_len]; vfeats float32
            [max_video_len, width] and vmasks bool [max_video_len]; video_id; answers int64 [1],
            the number of the right caption.
        """
        ids, answer = text_feature
        caps, cmasks = self.build_texts(ids)
        vfeats, vmasks = self._build_video_seq(video_feature)
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "video_id": video_id,
            "answers": torch.tensor([answer]),
        }


def read_questions(path: str) -> list[Question]:
    """The questions of a table.

    Raises:
        DataError: it is no such table; the message names the row.
    """
    rows = read_columns(path, ("vid_key", "answer", *ANSWERS), delimiter="\t")
    return [_question(row, f"{path}: row {number}") for number, row in enumerate(rows)]


def _question(row: tuple[str, ...], where: str) -> Question:
    key, answer, *texts = row
    number = re.fullmatch(r"msr(\d+)", key)
    if number is None:
        raise DataError(f"{where}: vid_key is {key!r}; expected is msr and a number, like msr7010")
    allowed = [str(choice) for choice in range(len(ANSWERS))]
    if answer not in allowed:
        raise DataError(f"{where}: answer is {answer!r}; allowed: {', '.join(allowed)}")
    return f"video{number[1]}", (texts, int(answer))
