"""Batches of one whole video, cut into overlapping windows (COIN, CrossTask)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError


def window_step(config: Any, task: str) -> int:
    """Seconds from one window to the next.

    Raises:
        ConfigError: `dataset.sliding_window` is not set, or not positive.
    """
    step = setting(config, "dataset.sliding_window")
    if step is None:
        raise ConfigError(
            f"dataset.sliding_window is not set; {task} needs it to know where windows begin"
        )
    if step < 1:
        raise ConfigError(f"dataset.sliding_window: got {step}, at least 1 second is needed")
    return step


def window_starts(windows: int, step: int) -> Tensor:
    """The second at which each window begins, int64 [W]."""
    return step * torch.arange(windows)


def only_video(batch: Mapping[str, Any], task: str) -> Any:
    """The id of the one video of a batch.

    Raises:
        DataError: it holds several.
    """
    if len(batch["video_id"]) != 1:
        raise DataError(
            f"{task}: a batch of {len(batch['video_id'])} videos; they come one at a time: set "
            "fairseq.dataset.batch_size: 1"
        )
    return batch["video_id"][0]
