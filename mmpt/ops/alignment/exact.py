"""Textbook DTW and OTAM of all pairs at once; no pair's padding touches another's result."""

import numpy as np

from mmpt.ops.alignment.blocks import Blocks


def exact_dtw_distances(costs: Blocks) -> np.ndarray:
    """Mean cost of a cell on the best path through every row and column of each block.

    Args:
        costs: of P pairs.

    Returns:
        [P], in the dtype of the costs; see `reference.exact_dtw`.
    """
    cells, rows, columns = costs
    _, k_max, pairs = cells.shape
    total = np.empty((k_max, pairs), dtype=cells.dtype)
    steps = np.empty((k_max, pairs), dtype=np.int16)
    result = np.empty(pairs, dtype=cells.dtype)
    for i, row in enumerate(cells):
        upper, upper_steps = total.copy(), steps.copy()
        for j in range(k_max):
            before = [(upper[j], upper_steps[j])] if i else []
            if j:
                before += [(total[j - 1], steps[j - 1])]
            if i and j:
                before += [(upper[j - 1], upper_steps[j - 1])]
            best, count = before[0] if before else (np.zeros_like(row[j]), 0)
            for other, other_count in before[1:]:
                shorter = (other < best) | ((other == best) & (other_count < count))
                count = np.where(shorter, other_count, count)
                best = np.minimum(best, other)
            np.add(best, row[j], out=total[j])
            np.add(count, 1, out=steps[j], casting="unsafe")
        ends = np.flatnonzero(rows == i + 1)
        last = columns[ends] - 1
        result[ends] = total[last, ends] / steps[last, ends]
    return result


def exact_otam_distances(costs: Blocks) -> np.ndarray:
    """DTW with free ends, the mean of both directions; see `reference.exact_otam`.

    Args and result: as `exact_dtw_distances`.
    """
    return (_free_ends(costs) + _free_ends(costs.transposed())) / 2


def _free_ends(costs: Blocks) -> np.ndarray:
    cells, rows, columns = costs
    _, k_max, pairs = cells.shape
    total = np.empty((k_max, pairs), dtype=cells.dtype)
    result = np.empty(pairs, dtype=cells.dtype)
    outside = np.arange(k_max)[:, None] >= columns
    for i, row in enumerate(cells):
        if i == 0:
            total[0] = row[0]
            for j in range(1, k_max):
                np.minimum(total[j - 1], 0, out=total[j])
                total[j] += row[j]
        else:
            above = np.minimum(total[1:], total[:-1])
            total[0] += row[0]
            for j in range(1, k_max):
                np.minimum(above[j - 1], total[j - 1], out=total[j])
                total[j] += row[j]
        ends = np.flatnonzero(rows == i + 1)
        if len(ends):
            final = np.where(outside[:, ends], np.inf, total[:, ends])
            result[ends] = final.min(axis=0) / (i + 1)
    return result
