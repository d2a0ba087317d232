"""The merge of overlapping windows, window by window: obvious and slow."""

import torch
from torch import Tensor


def merge_windows_loop(scores: Tensor, valid: Tensor, starts: Tensor, length: int) -> Tensor:
    """Every second's mean over the windows that show it.

    Args:
        scores: float [W, V, C].
        valid: bool [W, V]; the valid slots of a window come first.
        starts: int64 [W], the second that a window's first slot shows.
        length: L, seconds of the video; every one is in some window.

    Returns:
        [L, C] in the dtype of `scores`.
    """
    total = scores.new_zeros(length, scores.size(-1))
    coverage = scores.new_zeros(length, 1)
    for window, mask, start in zip(scores, valid, starts.tolist(), strict=True):
        seconds = slice(start, start + int(mask.sum()))
        total[seconds] += window[mask]
        coverage[seconds] += 1
    return total / torch.where(coverage > 0, coverage, torch.nan)
