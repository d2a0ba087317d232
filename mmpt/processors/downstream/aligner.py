"""The aligner of data sets with one text a video."""

from typing import Any

import numpy as np

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
