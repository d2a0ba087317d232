"""Whole videos as overlapping windows: COIN, CrossTask, YouCook2 with background.

Windows begin at 0, `step`, 2 `step`, ... ; the first that reaches the end of the video is the last,
and the only one that may be shorter than `size`.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmpt.errors import ConfigError
from mmpt.processors.downstream.aligner import TextsAligner
from mmpt.processors.paths import required
from mmpt.processors.sequences import write_clips


class Windows(NamedTuple):
    """W windows of a video.

    Attributes:
        starts, ends: int64 [W], seconds; the end is excluded.
    """

    starts: np.ndarray
    ends: np.ndarray


def cover(seconds: int, step: int, size: int) -> Windows:
    """The windows of a video of so many seconds (at least 1); see the head of the module."""
    count = 1 + max(0, -(-(seconds - size) // step))
    starts = np.arange(count, dtype=np.int64) * step
    return Windows(starts, np.minimum(starts + size, seconds))


def cut(rows: np.ndarray, windows: Windows, slots: int, padding: int) -> np.ndarray:
    """What belongs to each second, window by window.

    Args:
        rows: [seconds, ...].
        windows: W windows of those seconds.
        slots: seconds of a window with its padding.
        padding: what stands behind the end of a window.

    Returns:
        [W, slots, ...] of the type of `rows`.
    """
    place = windows.starts[:, None] + np.arange(slots)
    inside = place < windows.ends[:, None]
    chosen = rows[np.minimum(place, len(rows) - 1)]
    chosen[~inside] = padding
    return chosen


class WindowAligner(TextsAligner):
    """Cuts a whole video into windows of `sliding_window_size` seconds, `sliding_window` apart.

    Raises:
        ConfigError: `dataset.sliding_window` or `dataset.sliding_window_size` is not set, or they
            leave seconds out (1 <= sliding_window <= sliding_window_size <= max_video_len).
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.step: int = required(config, "sliding_window")
        self.size: int = required(config, "sliding_window_size")
        if not 1 <= self.step <= self.size <= self.max_video_len:
            raise ConfigError(
                f"dataset.sliding_window {self.step}, sliding_window_size {self.size}: allowed are "
                f"1 <= sliding_window <= sliding_window_size <= max_video_len = "
                f"{self.max_video_len}"
            )

    def _windows(self, features: np.ndarray) -> tuple[Windows, Tensor, Tensor]:
        """The W windows of a video; vfeats float32 [W, V, width] and vmasks bool [W, V]."""
        features = np.asarray(features)
        windows = cover(len(features), self.step, self.size)
        shape = (len(windows.starts), self.max_video_len)
        vfeats = np.empty((*shape, features.shape[1]), dtype=np.float32)
        vmasks = np.empty(shape, dtype=bool)
        write_clips(features, windows.starts, windows.ends, vfeats, vmasks)
        return windows, torch.from_numpy(vfeats), torch.from_numpy(vmasks)

    def _no_text(self, count: int) -> tuple[Tensor, Tensor]:
        """The caption of a window without a text, `count` times: caps int64, cmasks bool [W, 4].

        [CLS] [SEP] [PAD] [SEP], of which [SEP] alone is no padding: as published, frames do not
        attend to [CLS].
        """
        ids = (self.cls_token_id, self.sep_token_id, self.pad_token_id, self.sep_token_id)
        mask = (False, True, False, True)
        return torch.tensor([ids] * count), torch.tensor([mask] * count)
