"""What both forms of the token similarity share: the result, unit vectors, the padding's part."""

from typing import NamedTuple

import torch
from torch import Tensor


class TokenSimilarity(NamedTuple):
    """Caption-clip scores from tokens, before any normalisation; rows captions, columns clips."""

    text_to_video: Tensor
    """[Nt, Nv]: for every word a soft maximum over the clip's frames, averaged over words."""
    video_to_text: Tensor
    """[Nt, Nv]: for every frame a soft maximum over the caption's words, averaged over frames."""


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """float64 for float64, float32 for everything narrower."""
    return torch.promote_types(tensor.dtype, torch.float32)


def unit_vectors(tokens: Tensor) -> Tensor:
    """L2-normalise the last dimension; a zero vector stays zero and keeps a finite gradient.

    Dividing by `max(norm, tiny)` instead would multiply a zero vector's gradient by `1 / tiny`.
    """
    norm = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True)
    return tokens / norm.masked_fill(norm == 0, 1.0)


def mean_over_tokens(total: Tensor, valid: Tensor, other_valid: Tensor, alpha: float, padded: int):
    """Close a direction: add what padding contributes, divide by the number of valid tokens.

    A padded outer position has similarity 0 to every valid inner position, so its soft maximum is
    `alpha * log(number of valid inner positions)`; no exponential is needed for it.

    Args:
        total: [Nt, Nv], sums over the valid outer positions.
        valid: broadcastable to `total`: the number of valid outer positions.
        other_valid: broadcastable to `total`: the number of valid inner positions.
        alpha: the soft maximum's temperature.
        padded: padded length of the outer side, or 0 for no contribution from padding.
    """
    if padded:
        total = total + (padded - valid) * (alpha * other_valid.log())
    return total / valid
