"""Log-domain Sinkhorn, written as the recurrence itself."""

from typing import NamedTuple

import torch
from torch import Tensor


class Potentials(NamedTuple):
    """The two dual variables of entropic transport; the plan is `exp(scores + row + column)`."""

    row: Tensor
    """[*, R]"""
    column: Tensor
    """[*, C]"""


@torch.no_grad()
def sinkhorn_log_domain(
    scores: Tensor, log_mu: Tensor, log_nu: Tensor, iterations: int
) -> Potentials:
    """Alternate the two half-steps with log-sum-exp, rows first.

    Safe for scores of any size, since every sum subtracts its own maximum.

    Args:
        scores: [*, R, C], similarities divided by the regulariser (the larger, the cheaper).
        log_mu: [*, R], logarithm of the row marginals.
        log_nu: [*, C], logarithm of the column marginals.
        iterations: how many times both half-steps are done.

    Returns:
        Potentials in the dtype of `scores`. The last half-step is the columns', so the plan's
        column sums are `exp(log_nu)` to rounding, its row sums `exp(log_mu)` in the limit.
    """
    row, column = torch.zeros_like(log_mu), torch.zeros_like(log_nu)
    for _ in range(iterations):
        row = log_mu - torch.logsumexp(scores + column.unsqueeze(-2), dim=-1)
        column = log_nu - torch.logsumexp(scores + row.unsqueeze(-1), dim=-2)
    return Potentials(row, column)
