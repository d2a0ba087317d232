"""DTW and OTAM: the stored tables, and all pairs at once against one pair at a time."""

from itertools import product

import numpy as np
import pytest

from mmpt.ops.alignment import (
    exact_dtw_distances,
    exact_otam_distances,
    published_dtw_distances,
    published_otam_distances,
    stack_blocks,
)
from mmpt.ops.alignment.reference import (
    exact_dtw,
    exact_otam,
    published_dtw,
    published_dtw_table,
    published_otam,
    published_otam_table,
    published_padding,
)

TABLES = 14


def blocks(count=60, most=(6, 7), seed=0, dtype=np.float64, low=-1.0):
    random = np.random.default_rng(seed)
    shapes = random.integers(1, np.array(most) + 1, size=(count, 2))
    return [random.uniform(low, 1.0, size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("case", range(TABLES))
def test_padding_and_cumulative_tables_equal_the_stored_ones(golden, case):
    stored = golden("losses_metrics/align_tables.npz")
    cost, shape = stored[f"in_d_{case}"], tuple(stored["settings"]["targets"][case])
    forms = [("otam", True, published_otam_table)]
    if f"out_dtw_pad_{case}" in stored:
        forms.append(("dtw", False, published_dtw_table))
    for name, zero_columns, table in forms:
        padded = published_padding(cost, shape, zero_columns)
        np.testing.assert_array_equal(padded, stored[f"out_{name}_pad_{case}"])
        np.testing.assert_allclose(table(padded), stored[f"out_{name}_cum_{case}"], rtol=1e-12)


def test_all_stored_tables_are_looked_at(golden):
    assert len(golden("losses_metrics/align_tables.npz")["settings"]["targets"]) == TABLES


@pytest.mark.parametrize("shape", [*product((6, 9), (7, 8, 9, 10, 13)), (1, 7), (6, 20)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_published_dtw_of_all_pairs_is_that_of_each(shape, dtype):
    pairs = blocks(dtype=dtype, most=(min(6, shape[0]), 7))
    expected = [published_dtw(pair, shape) for pair in pairs]
    found = published_dtw_distances(stack_blocks(pairs), shape)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [*product((3, 6, 7, 9), (3, 5, 6, 7, 8, 9, 10, 15)), (6, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_published_otam_of_all_pairs_is_that_of_each_even_cut_off(shape, dtype):
    pairs = blocks(dtype=dtype)
    expected = [published_otam(pair, shape) for pair in pairs]
    found = published_otam_distances(stack_blocks(pairs), shape)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.array(expected, dtype), rtol=1e-6)


def test_published_otam_where_all_blocks_fill_the_table():
    pairs = [np.random.default_rng(seed).normal(size=(5, 5)) for seed in range(20)]
    expected = [published_otam(pair, (5, 5)) for pair in pairs]
    np.testing.assert_allclose(published_otam_distances(stack_blocks(pairs), (5, 5)), expected)


@pytest.mark.parametrize(
    ("fast", "plain"), [(exact_dtw_distances, exact_dtw), (exact_otam_distances, exact_otam)]
)
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_exact_distances_of_all_pairs_are_those_of_each(fast, plain, low):
    pairs = blocks(low=low)
    expected = [plain(pair) for pair in pairs]
    np.testing.assert_allclose(fast(stack_blocks(pairs)), expected, rtol=1e-12)
    alone = [fast(stack_blocks([pair]))[0] for pair in pairs]
    np.testing.assert_array_equal(fast(stack_blocks(pairs)), alone)


def paths(n, k, start=((0, 0),)):
    """Every monotone path to (n - 1, k - 1)."""
    for cell in start:
        if cell == (n - 1, k - 1):
            yield [cell]
            continue
        i, j = cell
        steps = [(i + 1, j + 1), (i + 1, j), (i, j + 1)]
        for rest in paths(n, k, [s for s in steps if s[0] < n and s[1] < k]):
            yield [cell, *rest]


def test_exact_dtw_is_the_least_of_all_paths():
    for pair in blocks(count=25, most=(4, 4), low=0.0):
        best = min(paths(*pair.shape), key=lambda path: sum(pair[cell] for cell in path))
        assert exact_dtw(pair) == pytest.approx(np.mean([pair[cell] for cell in best]))


def test_exact_otam_skips_clips_at_the_ends_for_free():
    for pair in blocks(count=25, most=(4, 5), low=0.0):
        one_way = []
        for cost in (pair, pair.T):
            n, k = cost.shape
            cut = [cost[:, i:j] for i in range(k) for j in range(i + 1, k + 1)]
            totals = [min(sum(c[x] for x in path) for path in paths(*c.shape)) for c in cut]
            one_way.append(min(totals) / n)
        assert exact_otam(pair) == pytest.approx(np.mean(one_way))


def test_of_equal_paths_the_shorter_one_counts():
    cost = np.array([[0.5, 0.0], [0.0, 0.5]])
    assert exact_dtw(cost) == 0.5  # a total of 1 over two cells, and not over three
    assert exact_dtw_distances(stack_blocks([cost])).tolist() == [0.5]
