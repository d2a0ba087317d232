"""The merge of overlapping windows in one scatter."""

import torch
from torch import Tensor


def merge_windows(scores: Tensor, valid: Tensor, starts: Tensor, length: int) -> Tensor:
    """Every second's mean over the windows that show it.

    Args:
        scores: float [W, V, C], on any device.
        valid: bool [W, V], the slots that hold a second.
        starts: int64 [W], the second that a window's first slot shows.
        length: L, seconds of the video.

    Returns:
        float [L, C]; half precision is summed, and comes back, in float32.

    Raises:
        ValueError: a second that no window shows, or a slot behind the end.
    """
    return merge_frames(scores[valid], frame_seconds(valid, starts), length)


def frame_seconds(valid: Tensor, starts: Tensor) -> Tensor:
    """The second that each valid slot shows, window after window: int64 [M].

    Args:
        valid, starts: as `merge_windows`.
    """
    slots = torch.arange(valid.size(1), device=valid.device)
    return (starts.to(valid.device)[:, None] + slots)[valid]


def merge_frames(scores: Tensor, seconds: Tensor, length: int) -> Tensor:
    """Every second's mean over the frames that show it.

    Args:
        scores: float [M, C], the valid frames alone.
        seconds: int64 [M], as `frame_seconds` gives it.
        length: L.

    Returns and raises: as `merge_windows`.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    coverage = torch.bincount(seconds, minlength=length)
    if len(coverage) > length:
        raise ValueError(f"windows reach second {len(coverage) - 1} of a video of {length} seconds")
    if not bool(coverage.all()):
        missing = int((coverage == 0).sum())
        raise ValueError(f"windows leave out {missing} of the {length} seconds of a video")
    total = scores.new_zeros(length, scores.size(1)).index_add_(0, seconds, scores)
    return total / coverage[:, None]
