"""Contrast over all processes: the numbers and gradients of one process on the joined batch."""

import numpy as np
import pytest
import torch

from mmpt.losses import MMContraLoss, SequenceContrastLoss
from mmpt.losses.gathering import gather_of_all, own_rows

from ..ranks import run_ranks
from .test_norton_options import FEATURES, batch, job

GATHER = {"gather_negatives": True}


def share(sample: dict, rows: slice) -> dict:
    """Some rows of a batch, as leaves of their own."""
    cut = {name: value[rows].detach().clone() for name, value in sample.items()}
    return {n: v.requires_grad_() if v.is_floating_point() else v for n, v in cut.items()}


def as_numbers(parts: dict) -> dict:
    return {name: part.double().item() for name, part in parts.items()}


def gradients_of(loss, sample: dict, ranks: int = 1) -> dict:
    """Of the features and of the loss's own parameters, as a trainer averages them over ranks."""
    leaves = {name: sample[name] for name in FEATURES} | dict(loss.named_parameters())
    return {n: x.grad.double().numpy() / ranks for n, x in leaves.items() if x.grad is not None}


def gathered(rank, sizes, settings, dtype, seed, kind):
    """One rank's loss, its parts, and what a trainer's mean over ranks makes of its gradients."""
    whole = batch(sum(sizes), dtype=getattr(torch, dtype), seed=seed)
    first = sum(sizes[:rank])
    own = share(whole, slice(first, first + sizes[rank]))
    loss = kind(job({**GATHER, **settings}))
    total, parts = loss.compute(**own)
    total.backward()
    return total.item(), as_numbers(parts), gradients_of(loss, own, len(sizes))


def alone(sizes, settings, dtype, seed, kind):
    whole = batch(sum(sizes), dtype=getattr(torch, dtype), seed=seed)
    loss = kind(job(settings))
    total, parts = loss.compute(**whole)
    total.backward()
    return total.item(), as_numbers(parts), gradients_of(loss, whole)


@pytest.mark.parametrize(
    ("sizes", "settings", "kind"),
    [
        ((16, 16), {}, MMContraLoss),
        ((8, 16, 24), {}, MMContraLoss),
        ((16, 8), {"sequence_contrast.learn_temperature": True}, MMContraLoss),
        ((8, 8), {"sequence_contrast.prompt_ratio": None}, MMContraLoss),
        ((8, 8), {"implementation": "reference"}, MMContraLoss),
        ((24, 8), {"sequence_contrast.sequence_contrast_weight": None}, MMContraLoss),
        ((8, 8, 8), {"sinkhorn_iterations": None, "beta": None}, MMContraLoss),
        ((16, 8), {"sequence_contrast.exclude_padding": True}, SequenceContrastLoss),
    ],
)  # fmt: skip
def test_equals_one_process_on_the_joined_batch(sizes, settings, kind):
    total, parts, gradients = alone(sizes, settings, "float64", 3, kind)
    ranks = run_ranks(len(sizes), gathered, sizes, settings, "float64", 3, kind)
    for rank_total, rank_parts, _ in ranks:
        assert rank_total == pytest.approx(total, rel=1e-12)
        assert rank_parts == pytest.approx(parts, rel=1e-9)
    for name, expected in gradients.items():
        # a parameter of the loss is the same everywhere: the trainer adds up what ranks hold of it
        got = [rank_gradients[name] for _, _, rank_gradients in ranks]
        joined = np.concatenate(got) if name in FEATURES else sum(got)
        np.testing.assert_allclose(joined, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_half_precision(dtype):
    sizes = (16, 8)
    total, _, gradients = alone(sizes, {}, dtype, 5, MMContraLoss)
    ranks = run_ranks(len(sizes), gathered, sizes, {}, dtype, 5, MMContraLoss)
    close = {"rel": 1e-6} if dtype == "float32" else {"rel": 1e-4}
    for rank_total, _, _ in ranks:
        assert rank_total == pytest.approx(total, **close)
    unit = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 3e-3}[dtype]
    finest = 2e-7  # two steps between float16's smallest numbers, where gradients of tokens are
    for name in FEATURES:
        joined = np.concatenate([rank_gradients[name] for _, _, rank_gradients in ranks])
        allowed = unit * np.abs(gradients[name]).max() + finest
        np.testing.assert_allclose(joined, gradients[name], rtol=0, atol=allowed)


def test_validation_contrasts_the_own_batch():
    """Its numbers then do not depend on how many processes there are."""
    sizes = (8, 16)
    expected = []
    for rank in range(2):
        whole = batch(24)
        first = sum(sizes[:rank])
        own = share(whole, slice(first, first + sizes[rank]))
        expected.append(MMContraLoss(job()).eval().compute(**own).total.item())
    assert run_ranks(2, _validated, sizes) == pytest.approx(expected)


def _validated(rank, sizes):
    whole = batch(24)
    first = sum(sizes[:rank])
    own = share(whole, slice(first, first + sizes[rank]))
    return MMContraLoss(job(GATHER)).eval().compute(**own).total.item()


def test_a_process_alone_gathers_nothing():
    rows = torch.zeros(3, 2)
    assert gather_of_all(rows) is own_rows
    sample = batch()
    gathered, own = (MMContraLoss(job(keys)).compute(**sample).total for keys in (GATHER, {}))
    assert torch.equal(gathered, own)


def test_rows_and_truth_values():
    assert run_ranks(3, _gather_kinds) == [True] * 3


def _gather_kinds(rank):
    counts = [2, 0, 3]
    gather = gather_of_all(torch.zeros(counts[rank], 1))
    masks = gather(torch.full((counts[rank], 2), rank % 2 == 0))
    numbers = gather(torch.full((counts[rank],), rank, requires_grad=False))
    return masks.dtype == torch.bool and bool(masks.all()) and numbers.tolist() == [0, 0, 2, 2, 2]
