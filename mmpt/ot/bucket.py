"""The alignable prompt bucket: the similarity below which a pair had better stay unmatched."""

from typing import NamedTuple

from torch import Tensor


class PromptBucket(NamedTuple):
    value: Tensor
    """[], the similarity of everything with the bucket; without gradient."""
    rank: int
    """The value is the rank-th smallest similarity of a clip with its own caption (from 1)."""


def prompt_bucket_value(diagonal: Tensor, ratio: float) -> PromptBucket:
    """The k-th smallest similarity of matched pairs, with `k = int(ratio * N)`.

    The product is truncated as a float (`int(0.29 * 100)` is 28), as published, and k is kept
    within 1 and N.

    Args:
        diagonal: [N], similarity of every clip with its own caption.
        ratio: share of the pairs that lie at or below the bucket's value, 0 to 1.
    """
    count = diagonal.shape[0]
    rank = min(max(int(ratio * count), 1), count)
    return PromptBucket(diagonal.detach().kthvalue(rank).values, rank)
