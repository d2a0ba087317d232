"""Sinkhorn: both forms agree, wherever the fast one's precision switches, and keep invariants."""

import math

import pytest
import torch

from mmpt.ops.sinkhorn import IMPLEMENTATIONS, sinkhorn_potentials

FORMS = ["reference", "fast"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def uniform(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = scores.shape[-2:]
    return torch.tensor(-math.log(rows)), torch.tensor(-math.log(columns))


def plan(scores, potentials):
    return (scores + potentials.row[..., None] + potentials.column[..., None, :]).exp()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (3, 4, 9, 9), (6, 2, 11), (40, 40)])
@pytest.mark.parametrize("span", [0.0, 1.0, 30.0, 100.0, 290.0, 2000.0, 1e7])
def test_fast_equals_the_log_domain_at_any_span(shape, span):
    generator = torch.Generator().manual_seed(len(shape))
    scores = span * torch.rand(shape, generator=generator, dtype=torch.float64) + 3.0
    log_mu = torch.randn(shape[:-1], generator=generator, dtype=torch.float64).log_softmax(-1)
    log_nu = torch.randn(
        shape[:-2] + shape[-1:], generator=generator, dtype=torch.float64
    ).log_softmax(-1)
    found = sinkhorn_potentials(scores, log_mu, log_nu, 20, "fast")
    truth = sinkhorn_potentials(scores, log_mu, log_nu, 20, "reference")
    for mine, theirs in zip(found, truth, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_single(form, dtype):
    scores = (10 * torch.rand(5, 6, 6)).to(dtype)
    found = sinkhorn_potentials(scores, *uniform(scores), 30, form)
    truth = sinkhorn_potentials(scores.double(), *uniform(scores), 30, "reference")
    for mine, theirs in zip(found, truth, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_marginals_and_permutation(form):
    scores = 5 * torch.rand(3, 8, 6, dtype=torch.float64)
    potentials = sinkhorn_potentials(scores, *uniform(scores), 500, form)
    mass = plan(scores, potentials)
    torch.testing.assert_close(mass.sum(-1), torch.full((3, 8), 1 / 8, dtype=torch.float64))
    torch.testing.assert_close(mass.sum(-2), torch.full((3, 6), 1 / 6, dtype=torch.float64))
    rows, columns = torch.randperm(8), torch.randperm(6)
    shuffled = sinkhorn_potentials(scores[:, rows][:, :, columns], *uniform(scores), 500, form)
    torch.testing.assert_close(shuffled.row, potentials.row[:, rows])
    torch.testing.assert_close(shuffled.column, potentials.column[:, columns])


def test_first_iteration_by_hand():
    scores = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=torch.float64)
    found = sinkhorn_potentials(scores, torch.tensor(0.0), torch.tensor(0.0), 1, "reference")
    # rows: sums 4 and 2; columns then: 1/4 + 1/2 and 3/4 + 1/2
    expected = torch.tensor([-math.log(4), -math.log(2)], dtype=torch.float64)
    torch.testing.assert_close(found.row, expected)
    expected = torch.tensor([-math.log(0.75), -math.log(1.25)], dtype=torch.float64)
    torch.testing.assert_close(found.column, expected)


@pytest.mark.parametrize("form", FORMS)
def test_no_gradient_flows(form):
    scores = torch.rand(4, 4, requires_grad=True)
    assert not any(p.requires_grad for p in sinkhorn_potentials(scores, *uniform(scores), 3, form))


def test_errors_name_the_argument():
    scores = torch.rand(4, 4)
    with pytest.raises(ValueError, match=r"implementation: unknown name 'quick'.*fast"):
        sinkhorn_potentials(scores, *uniform(scores), 3, "quick")
    with pytest.raises(ValueError, match="iterations: got 0"):
        sinkhorn_potentials(scores, *uniform(scores), 0)
    with pytest.raises(ValueError, match=r"scores: got shape \(4,\)"):
        sinkhorn_potentials(scores[0], *uniform(scores), 3)
    assert set(IMPLEMENTATIONS) == {"auto", *FORMS}
