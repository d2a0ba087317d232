"""Entropic optimal transport: Sinkhorn's potentials for a batch of score matrices.

No gradient flows through these functions: in this method a transport plan is a target or a weight,
never something to differentiate.
"""

import torch
from torch import Tensor

from .reference import Potentials, sinkhorn_log_domain
from .scaling import sinkhorn_fast

IMPLEMENTATIONS = {
    "auto": sinkhorn_fast,
    "reference": sinkhorn_log_domain,
    "fast": sinkhorn_fast,
}

__all__ = ["IMPLEMENTATIONS", "Potentials", "sinkhorn_potentials"]


@torch.no_grad()
def sinkhorn_potentials(
    scores: Tensor,
    log_mu: Tensor,
    log_nu: Tensor,
    iterations: int,
    implementation: str = "auto",
) -> Potentials:
    """Sinkhorn's dual potentials after a fixed number of iterations.

    Starting from zero, each iteration sets `row = log_mu - logsumexp_columns(scores + column)` and
    then `column = log_nu - logsumexp_rows(scores + row)` (Cuturi 2013, in the log domain).

    Args:
        scores: [*, R, C], similarities divided by the regulariser; half precision is computed in
            float32.
        log_mu: [*, R], or any shape that broadcasts to it: logarithm of the row marginals.
        log_nu: [*, C], likewise for the columns.
        iterations: at least 1.
        implementation: `auto`, `reference` or `fast`.

    Returns:
        Potentials in float32 (float64 for float64 scores), without gradient; the plan is
        `exp(scores + row[..., None] + column[..., None, :])`.

    Raises:
        ValueError: unknown implementation, fewer than 1 iteration, shapes that do not fit.
    """
    if implementation not in IMPLEMENTATIONS:
        known = ", ".join(sorted(IMPLEMENTATIONS))
        raise ValueError(f"implementation: unknown name {implementation!r}; known names: {known}")
    if iterations < 1:
        raise ValueError(f"iterations: got {iterations}, at least 1 is needed")
    if scores.ndim < 2:
        raise ValueError(f"scores: got shape {tuple(scores.shape)}, [*, R, C] is needed")
    scores = scores.detach().to(torch.promote_types(scores.dtype, torch.float32))
    log_mu = log_mu.detach().to(scores).expand(scores.shape[:-1])
    log_nu = log_nu.detach().to(scores).expand(*scores.shape[:-2], scores.shape[-1])
    return IMPLEMENTATIONS[implementation](scores, log_mu, log_nu, iterations)
