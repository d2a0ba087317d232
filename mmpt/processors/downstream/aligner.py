"""The aligner of data sets with one text a video, and what those with several texts share."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.processors.processor import Aligner


class DSAligner(Aligner):
    """A text and the first `max_video_len` seconds of its video; nothing is drawn."""

    def __call__(
        self, video_id: Any, video_feature: np.ndarray, text_feature: list[int]
    ) -> dict[str, Any]:
        """The item of one pair.

        Returns:
            caps int64 and cmasks bool [max_len - max_video_len]; vfeats float32
            [max_video_len, width] and vmasks bool [max_video_len]; video_id as given.
        """
        caps, cmasks = self._build_text_seq(text_feature)
        vfeats, vmasks = self._build_video_seq(video_feature)
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "video_id": video_id,
        }


class TextsAligner(Aligner):
    """An aligner of several texts a video."""

    def build_texts(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """K texts as sequences: caps int64 and cmasks bool, both [K, max_len - max_video_len].

        Args:
            ids: the token ids of each text, without special tokens; cut where they do not fit.
        """
        built = [self._build_text_seq(text) for text in ids]
        return torch.stack([caps for caps, _ in built]), torch.stack([mask for _, mask in built])
