"""Ordered assignment as a walk through states, cell by cell: obvious and slow."""

import math

import numpy as np

from mmpt.ops.alignment.assignment import check_assignable


def ordered_assignment(cost: np.ndarray) -> np.ndarray:
    """The same as `assignment.ordered_assignment`, by the dynamic programme of CrossTask.

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
