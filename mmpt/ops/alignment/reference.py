"""Alignment of one paragraph with one video, of one task's steps with frames: obvious and slow.

Rows are captions and columns clips, but for the steps; costs are to be small where they fit.
"""

import math

import numpy as np

from mmpt.ops.alignment.assignment import check_assignable


def published_padding(
    cost: np.ndarray, shape: tuple[int, int], zero_columns: bool = False
) -> np.ndarray:
    """A block in the table that all blocks share, as the published evaluation lays it out.

    The block fills the top left corner (what does not fit is cut off), the rest is infinite, and a
    corner at the bottom right is free.  That corner begins at the block's *last row* and behind its
    last column; where the block has as many columns as the table, it takes whole rows.  Which cells
    are meant where a block is larger than the table follows from negative slices.

    Args:
        cost: [n, k].
        shape: rows and columns of the table, without the two extra columns.
        zero_columns: whether a free column is put before and after the block (OTAM).

    Returns:
        [R, C], with zero_columns [R, C + 2].
    """
    rows, columns = shape
    if zero_columns:
        cost = np.pad(cost, ((0, 0), (1, 1)))
        columns += 2
    n, k = cost.shape
    below, behind = rows - n, columns - k
    table = np.full(shape=(rows, columns), fill_value=np.inf, dtype=cost.dtype)
    table[: min(n, rows), : min(k, columns)] = cost[:rows, :columns]
    table[-(below + 1) :, -behind:] = 0
    return table


def published_dtw_table(padded: np.ndarray) -> np.ndarray:
    """Cumulative costs [R, C]: own cost and the least of the diagonal, the left, the upper."""
    total = np.empty_like(padded)
    rows, columns = padded.shape
    total[0] = padded[0].cumsum()
    total[:, 0] = padded[:, 0].cumsum()
    for i in range(1, rows):
        for j in range(1, columns):
            before = min(total[i - 1, j - 1], total[i, j - 1], total[i - 1, j])
            total[i, j] = padded[i, j] + before
    return total


def published_otam_table(padded: np.ndarray) -> np.ndarray:
    """Cumulative costs [R, C + 2] of one direction; the second column subtracts, as published."""
    total = np.zeros_like(padded)
    rows, columns = padded.shape
    last = columns - 1
    total[0, 1:] = padded[0, 1:].cumsum()
    for i in range(1, rows):
        for j in range(1, columns):
            diagonal, upper, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
            if j == 1:
                total[i, j] = padded[i, j] - min(diagonal, upper, left)
            elif j < last:
                total[i, j] = padded[i, j] + min(diagonal, left)
            else:
                total[i, j] = padded[i, j] + min(diagonal, upper, left)
    return total


def published_dtw(cost: np.ndarray, shape: tuple[int, int]) -> float:
    """The published DTW distance of one block in a table of `shape`."""
    return float(published_dtw_table(published_padding(cost, shape))[-1, -1])


def published_otam(cost: np.ndarray, shape: tuple[int, int]) -> float:
    """The published OTAM distance: both directions, both in a table of the same `shape`."""
    forward = published_otam_table(published_padding(cost, shape, zero_columns=True))
    backward = published_otam_table(published_padding(cost.T, shape, zero_columns=True))
    return float(forward[-1, -1] + backward[-1, -1])


def exact_dtw(cost: np.ndarray) -> float:
    """DTW as in textbooks: every row and column is on the path; its mean cost a cell.

    Steps are (1, 1), (1, 0) and (0, 1).  The path is that of least total cost, of equal ones the
    one with the fewest cells.
    """
    path = exact_dtw_path(cost)
    return sum(float(cost[cell]) for cell in path) / len(path)


def exact_dtw_path(cost: np.ndarray) -> list[tuple[int, int]]:
    """The cells (row, column) of the path that `exact_dtw` measures, from (0, 0) to the last."""
    n, k = cost.shape
    best: dict[tuple[int, int], tuple[float, int]] = {}
    before: dict[tuple[int, int], tuple[int, int]] = {}
    for i in range(n):
        for j in range(k):
            steps = [p for p in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p in best]
            total, cells = 0.0, 0
            if steps:
                before[i, j] = min(steps, key=best.__getitem__)
                total, cells = best[before[i, j]]
            best[i, j] = (total + float(cost[i, j]), cells + 1)
    path = [(n - 1, k - 1)]
    while path[-1] in before:
        path.append(before[path[-1]])
    return path[::-1]


def exact_otam(cost: np.ndarray) -> float:
    """DTW with free ends, the mean of both directions.

    In one direction every caption is on the path and clips before its first and behind its last
    one are free (the same as a column of zeros before and after, Cao et al., CVPR 2020); the total
    is divided by the captions.  In the other the two change places.
    """
    return (_free_ends(cost) + _free_ends(cost.T)) / 2


def _free_ends(cost: np.ndarray) -> float:
    n, k = cost.shape
    total = np.full((n, k), np.inf)
    for i in range(n):
        for j in range(k):
            steps = [total[p] for p in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if min(p) >= 0]
            if i == 0:
                steps.append(0.0)
            total[i, j] = cost[i, j] + min(steps)
    return float(total[-1].min()) / n


def ordered_assignment_walk(cost: np.ndarray) -> np.ndarray:
    """`assignment.ordered_assignment` as a walk through states, CrossTask's dynamic programme.

    States are background, step 1, background, step 2, ..., background; frame t is in one of them.
    Background may stay, a step may not; a step follows the background before it or, without a frame
    between, the step before it.  Of equal costs the first tested predecessor is kept: the state
    itself, the one before, the one before that.  The walk ends in the last step or behind it, there
    only where that is cheaper.

    Args, result and errors: as `assignment.ordered_assignment`.
    """
    frames, steps = cost.shape
    check_assignable(frames, steps)
    costs = cost.astype(np.float64).tolist()
    states = 2 * steps + 1
    best = [0.0, costs[0][0]] + [math.inf] * (states - 2)
    came_from: list[list[int]] = []
    for frame in range(1, frames):
        reached, sources = [], []
        for state in range(states):
            source = min(_predecessors(state), key=best.__getitem__)  # the first of equal ones
            own = costs[frame][state // 2] if state % 2 else 0.0
            reached.append(best[source] + own)
            sources.append(source)
        best = reached
        came_from.append(sources)
    state = states - 1 if best[-1] < best[-2] else states - 2
    chosen = [0] * steps
    for frame in range(frames - 1, -1, -1):
        if state % 2:
            chosen[state // 2] = frame
        if frame:
            state = came_from[frame - 1][state]
    return np.array(chosen, dtype=np.int64)


def _predecessors(state: int) -> list[int]:
    """In the order of testing."""
    if state % 2 == 0:
        return [state, state - 1] if state else [0]
    return [state - 1, state - 2] if state > 1 else [0]
