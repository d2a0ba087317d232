"""Ordered assignment: each step of a task gets one frame of its own, in the order of the steps.

Source: CrossTask (Zhukov et al., CVPR 2019), whose evaluation labels the frames of a video so.
"""

import numpy as np


def ordered_assignment(cost: np.ndarray) -> np.ndarray:
    """The cheapest frames for the steps, one after the other; all other frames are free.

    Step k's cheapest place among the first t frames is a running minimum over its cost plus that
    of the steps before it, so that the work is one pass over all frames for each step.  Where
    several choices cost the same, each step takes the earliest frame that it can, counted back from
    the last step; only the last step prefers the last frame of all to an equally cheap one before.

    Args:
        cost: float [L, K], of step k at frame t; inf forbids.

    Returns:
        int64 [K], the frames, ascending.

    Raises:
        ValueError: no step, or more steps than frames.
    """
    frames, steps = cost.shape
    check_assignable(frames, steps)
    total = cost[:, 0].astype(np.float64)
    totals = [total]
    for step in range(1, steps):
        before = np.minimum.accumulate(total[:-1])
        total = np.concatenate([[np.inf], before + cost[1:, step]])
        totals.append(total)
    chosen = np.empty(steps, dtype=np.int64)
    chosen[-1] = frames - 1 if total[-1] <= total.min() else total.argmin()
    for step in range(steps - 2, -1, -1):
        # a step needs as many frames before it as there are steps before it
        chosen[step] = step + totals[step][step : chosen[step + 1]].argmin()
    return chosen


def check_assignable(frames: int, steps: int) -> None:
    """Refuses what has no ordered assignment.

    Raises:
        ValueError: no step, or more steps than frames.
    """
    if not 1 <= steps <= frames:
        raise ValueError(
            f"{steps} steps in {frames} frames: each step takes a frame of its own, so 1 to "
            f"{frames} steps are possible"
        )
