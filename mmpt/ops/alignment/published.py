"""The published DTW and OTAM of all pairs at once.

What the evaluation of the paper computes, its oddities included (`reference.published_padding` and
the two tables say what they are); recurrences run over the cells of a table, each step on the same
cell of every pair.
"""

import numpy as np

from mmpt.ops.alignment.blocks import Blocks


def published_dtw_distances(costs: Blocks, shape: tuple[int, int]) -> np.ndarray:
    """DTW's distance of every pair, in the dtype of the costs.

    Args:
        costs: of P pairs, scaled as the protocol says.
        shape: rows and columns of the table that all blocks share.

    Returns:
        [P].
    """
    padded = _padded(costs, shape, zero_columns=False)
    total = padded[0].cumsum(axis=0)
    for row in padded[1:]:
        above = np.minimum(total[1:], total[:-1])
        total[0] += row[0]
        for column in range(1, len(row)):
            step = np.minimum(above[column - 1], total[column - 1], out=total[column])
            step += row[column]
    return total[-1].copy()


def published_otam_distances(costs: Blocks, shape: tuple[int, int]) -> np.ndarray:
    """OTAM's distance of every pair: one direction and the other, in tables of one shape.

    Args and result: as `published_dtw_distances`.
    """
    return _otam(costs, shape) + _otam(costs.transposed(), shape)


def _otam(costs: Blocks, shape: tuple[int, int]) -> np.ndarray:
    padded = _padded(costs, shape, zero_columns=True)
    total = padded[0].cumsum(axis=0)
    last = padded.shape[1] - 1
    for row in padded[1:]:
        upper = total.copy()
        step = np.minimum(upper[0], upper[1])
        np.minimum(step, total[0], out=step)
        np.subtract(row[1], step, out=total[1])
        for column in range(2, last):
            step = np.minimum(upper[column - 1], total[column - 1], out=total[column])
            step += row[column]
        step = np.minimum(upper[last - 1], total[last - 1], out=total[last])
        np.minimum(step, upper[last], out=step)
        step += row[last]
    return total[-1].copy()


def _padded(costs: Blocks, shape: tuple[int, int], zero_columns: bool) -> np.ndarray:
    """The tables before the recurrence, [R, C', P].

    C' is the table's width where a block fills it.  Behind the widest block all columns are alike
    (infinite above, free below), and adding the free cells of one more changes no minimum: two of
    them stand for all.
    """
    n_max, k_max, pairs = costs.cells.shape
    rows, columns = shape
    extra = 2 if zero_columns else 0
    width = min(columns, k_max + 2) + extra
    below, behind = rows - costs.rows, columns - costs.columns
    table = np.full((rows, width, pairs), np.inf, dtype=costs.cells.dtype)
    first = extra // 2
    n, k = min(n_max, rows), min(k_max, width - first)
    row, column = np.arange(rows)[:, None], np.arange(width)[:, None]
    table[:n, first : first + k] = costs.cells[:n, :k]
    if zero_columns:
        table[:, 0] = 0
        # the column after the last clip; a block that is cut off has lost it
        after = np.minimum(costs.columns + 1, width)
        ends = column == after
    else:
        after = costs.columns
        ends = np.zeros((width, pairs), dtype=bool)
    outside = column >= after
    table[np.broadcast_to(outside, table.shape)] = np.inf
    table[np.broadcast_to(ends, table.shape)] = 0
    table[np.broadcast_to((row >= costs.rows)[:, None], table.shape)] = np.inf
    free_rows = row >= np.where(below >= 0, costs.rows - 1, -below - 1)
    free_columns = column >= np.where(behind > 0, costs.columns + extra, np.maximum(-behind, 0))
    table[free_rows[:, None] & free_columns] = 0
    return table
