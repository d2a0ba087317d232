"""The transport problems: marginals, bucket, non-square blocks, extremes."""

import math

import pytest
import torch

from mmpt.ot import bucket_transport, clip_caption_targets, pair_marginals, prompt_bucket_value

MANY = 3000


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_marginals_of_square_blocks_are_the_published_ones():
    length = 8
    marginals = pair_marginals(length, length, bucket=True)
    norm = -math.log(2 * length)
    expected = torch.tensor([norm] * length + [math.log(length) + norm], dtype=torch.float64)
    torch.testing.assert_close(marginals.log_rows, expected)
    torch.testing.assert_close(marginals.log_columns, expected)
    assert marginals.log_scale == pytest.approx(-norm)
    plain = pair_marginals(length, length, bucket=False)
    torch.testing.assert_close(plain.log_rows, expected[:length])
    torch.testing.assert_close(plain.log_columns, expected[:length])


@pytest.mark.parametrize(("n", "k"), [(8, 8), (3, 5), (6, 2), (1, 4)])
@pytest.mark.parametrize("bucket", [True, False])
def test_both_sides_have_the_same_mass(n, k, bucket):
    marginals = pair_marginals(n, k, bucket)
    rows, columns = marginals.log_rows.exp().sum(), marginals.log_columns.exp().sum()
    torch.testing.assert_close(rows, columns)
    assert len(marginals.log_rows) == n + bucket


@pytest.mark.parametrize(("n", "k"), [(8, 8), (3, 5), (6, 2)])
@pytest.mark.parametrize("implementation", ["reference", "fast"])
def test_bucket_takes_what_does_not_match(n, k, implementation):
    blocks = torch.rand(4, 3, n, k, dtype=torch.float64)
    value = torch.rand(4, 1, dtype=torch.float64)  # a bucket of its own for every paragraph
    found = bucket_transport(blocks, value, 0.1, MANY, implementation)
    assert found.plan.shape == blocks.shape
    assert (found.plan.sum(-1) <= 1 + 1e-6).all() and (found.plan.sum(-2) <= 1 + 1e-9).all()
    torch.testing.assert_close(found.mass, found.plan.sum((-2, -1)))
    torch.testing.assert_close(
        found.rescaled.sum((-2, -1)), torch.full_like(found.mass, float(min(n, k)))
    )
    torch.testing.assert_close(found.bucket_share, 1 - 2 * found.mass / (n + k))
    alone = bucket_transport(blocks[2, 1], value[2, 0], 0.1, MANY, implementation)
    torch.testing.assert_close(found.plan[2, 1], alone.plan)
    dearer = bucket_transport(blocks, value + 1, 0.1, MANY, implementation)
    assert (dearer.bucket_share > found.bucket_share).all()


@pytest.mark.parametrize(("n", "k"), [(8, 8), (3, 5)])
def test_without_a_bucket_the_transport_is_balanced(n, k):
    blocks = torch.rand(2, n, k, dtype=torch.float64)
    found = bucket_transport(blocks, None, 0.2, MANY)
    half = (n + k) / 2
    torch.testing.assert_close(
        found.plan.sum(-1), torch.full((2, n), half / n, dtype=torch.float64)
    )
    torch.testing.assert_close(
        found.plan.sum(-2), torch.full((2, k), half / k, dtype=torch.float64)
    )
    assert (found.bucket_share == 0).all()


def test_transposed_problem_has_the_transposed_solution():
    blocks, value = torch.rand(5, 3, 6, dtype=torch.float64), torch.tensor(0.4)
    found = bucket_transport(blocks, value, 0.1, MANY)
    turned = bucket_transport(blocks.mT, value, 0.1, MANY)
    torch.testing.assert_close(turned.rescaled, found.rescaled.mT)


@pytest.mark.parametrize("implementation", ["reference", "fast"])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_extremes_stay_finite(implementation, level):
    blocks = torch.full((2, 2, 8, 8), level)
    found = bucket_transport(blocks, torch.tensor(1.0 - level), 0.01, 50, implementation)
    assert all(value.isfinite().all() for value in found)
    torch.testing.assert_close(found.rescaled, torch.full_like(blocks, 1 / 8))


def test_scores_sharpen_the_plan_towards_the_matching():
    blocks = torch.eye(6) * 0.5 + 0.25
    plan = bucket_transport(blocks, torch.tensor(0.5), 0.02, 200).rescaled
    torch.testing.assert_close(plan, torch.eye(6), rtol=0, atol=1e-4)


def test_gradient_stops():
    blocks = torch.rand(1, 4, 4, requires_grad=True)
    found = bucket_transport(blocks, torch.tensor(0.5, requires_grad=True), 0.1, 5)
    assert not any(value.requires_grad for value in found)
    assert not clip_caption_targets(blocks[0], 5).requires_grad
    assert not prompt_bucket_value(blocks[0].diagonal(), 0.5).value.requires_grad


@pytest.mark.parametrize("implementation", ["reference", "fast"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, 1e9])
def test_targets_are_distributions(implementation, scale):
    similarity = scale * torch.randn(12, 12, generator=torch.Generator().manual_seed(1))
    targets = clip_caption_targets(similarity, 50, implementation)
    torch.testing.assert_close(targets.sum(0), torch.ones(12))
    if scale <= 1:
        torch.testing.assert_close(targets.sum(1), torch.ones(12), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("count", "ratio", "rank"),
    [(100, 0.29, 28), (10, 0.3, 3), (3, 0.3, 1), (16, 0.05, 1), (5, 0.0, 1), (5, 1.0, 5)],
)
def test_bucket_rank(count, ratio, rank):
    diagonal = torch.randperm(count).float()
    found = prompt_bucket_value(diagonal, ratio)
    assert found.rank == rank
    assert found.value == rank - 1
