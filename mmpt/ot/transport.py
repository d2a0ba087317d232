"""Entropic transport between the captions of a paragraph and the clips of a video, in batches."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mmpt.ops.sinkhorn import sinkhorn_potentials


class Marginals(NamedTuple):
    """Logarithms of how much mass every row and column has to give or take."""

    log_rows: Tensor
    """[n], or [n + 1] with the bucket's row last."""
    log_columns: Tensor
    """[k], or [k + 1] with the bucket's column last."""
    log_scale: float
    """What to add to the plan's logarithm so that mass is counted in captions and clips."""


class Transport(NamedTuple):
    """The solution for every pair; the bucket's row and column are already dropped. No gradient."""

    plan: Tensor
    """[*, n, k]; with a bucket, a caption or clip has mass 1."""
    mass: Tensor
    """[*], sum of each plan."""
    rescaled: Tensor
    """[*, n, k], each plan with its mass made min(n, k)."""
    bucket_share: Tensor
    """[*], share of the mass of captions and clips that went to the bucket; 0 without one."""


def pair_marginals(n: int, k: int, bucket: bool) -> Marginals:
    """Uniform marginals of n captions and k clips, with or without a bucket.

    With a bucket every caption and clip has mass 1; the bucket's row can feed all k clips and its
    column can take all n captions, so that nothing has to match. Without one both sides have total
    mass (n + k) / 2, evenly spread. Logarithms are normalised by n + k; with n = k = L this is the
    paper's `-log(2L)`, and `log(L) - log(2L)` for the bucket.
    """
    norm = math.log(n + k)
    if bucket:
        rows = [-norm] * n + [math.log(k) - norm]
        columns = [-norm] * k + [math.log(n) - norm]
    else:
        rows, columns = [-math.log(2 * n)] * n, [-math.log(2 * k)] * k
    as_logs = (torch.tensor(side, dtype=torch.float64) for side in (rows, columns))
    return Marginals(*as_logs, log_scale=norm)


@torch.no_grad()
def bucket_transport(
    blocks: Tensor,
    bucket_value: Tensor | None,
    epsilon: float,
    iterations: int,
    implementation: str = "auto",
) -> Transport:
    """Transport of every caption-clip block, with a bucket for what should stay unmatched.

    A row and a column filled with the bucket's value (corner included) are appended to each block,
    and dropped from the plan (paper, alignable prompt bucket).

    Args:
        blocks: [*, n, k], similarities; rows captions, columns clips.
        bucket_value: similarity with the bucket, broadcastable to [*]; None: no bucket, balanced
            transport of the blocks alone.
        epsilon: entropic regulariser, in units of the similarities.
        iterations: Sinkhorn iterations, at least 1.
        implementation: of the Sinkhorn, see `mmpt.ops.sinkhorn`.

    Returns:
        Transport in float32 (float64 for float64 blocks).
    """
    blocks = blocks.detach().to(torch.promote_types(blocks.dtype, torch.float32))
    n, k = blocks.shape[-2:]
    scores = blocks if bucket_value is None else _with_bucket(blocks, bucket_value.to(blocks))
    scores = scores / epsilon
    marginals = pair_marginals(n, k, bucket=bucket_value is not None)
    row, column = sinkhorn_potentials(
        scores, marginals.log_rows, marginals.log_columns, iterations, implementation
    )
    log_plan = scores + row.unsqueeze(-1) + column.unsqueeze(-2) + marginals.log_scale
    log_plan = log_plan[..., :n, :k]
    plan = log_plan.exp()
    mass = plan.sum(dim=(-2, -1))
    # in the log domain, since a dear block and a small epsilon can bring the mass itself to 0
    log_mass = log_plan.logsumexp(dim=(-2, -1), keepdim=True)
    rescaled = (log_plan - log_mass).exp_() * min(n, k)
    share = torch.zeros_like(mass) if bucket_value is None else 1 - 2 * mass / (n + k)
    return Transport(plan, mass, rescaled, share)


def _with_bucket(blocks: Tensor, value: Tensor) -> Tensor:
    n, k = blocks.shape[-2:]
    value = value.expand(blocks.shape[:-2])[..., None, None]
    scores = value.expand(*blocks.shape[:-2], n + 1, k + 1).clone()
    scores[..., :n, :k] = blocks
    return scores
