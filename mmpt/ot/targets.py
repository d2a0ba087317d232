"""Soft targets for clip-caption contrast: which other captions suit a clip as well."""

import math

import torch
from torch import Tensor

from mmpt.ops.sinkhorn import sinkhorn_potentials


@torch.no_grad()
def clip_caption_targets(
    similarity: Tensor, iterations: int, implementation: str = "auto"
) -> Tensor:
    """Transport between the clips and the captions of a batch, as a matrix of targets.

    Uniform marginals, regulariser 1 (paper, faulty negative exploitation).

    Args:
        similarity: [N, N], raw dot products of pooled features; rows clips, columns captions.
        iterations: Sinkhorn iterations, at least 1.
        implementation: of the Sinkhorn, see `mmpt.ops.sinkhorn`.

    Returns:
        [N, N] without gradient, float32 (float64 for float64 input). Columns sum to 1, rows to 1
        in the limit of many iterations.
    """
    log_marginal = torch.tensor(-math.log(2 * similarity.shape[0]), dtype=torch.float64)
    row, _ = sinkhorn_potentials(similarity, log_marginal, log_marginal, iterations, implementation)
    # the columns' half-step comes last, so adding their potential is a softmax over rows; as such
    # it stays a distribution where huge similarities would round `similarity + row + column`
    return (similarity.to(row) + row[:, None]).softmax(dim=0)
