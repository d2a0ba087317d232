"""Ordered assignment: the fast form against the walk through states, ties and edges included."""

import itertools

import numpy as np
import pytest

from mmpt.ops.alignment import ordered_assignment
from mmpt.ops.alignment.reference import ordered_assignment_walk


def total(cost, chosen):
    return cost[chosen, np.arange(len(chosen))].sum()


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (5, 5), (6, 2), (9, 4), (40, 7), (200, 11)])
def test_fast_equals_plain(frames, steps):
    rng = np.random.default_rng(frames)
    for _ in range(20):
        cost = rng.standard_normal((frames, steps))
        assert np.array_equal(ordered_assignment(cost), ordered_assignment_walk(cost))


@pytest.mark.parametrize("frames", [2, 3, 5, 8])
def test_ties_are_settled_alike(frames):
    """Few different costs: almost every choice is one of several that cost the same."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = int(rng.integers(1, frames + 1))
        cost = rng.integers(0, 2, (frames, steps)).astype(np.float32)
        assert np.array_equal(ordered_assignment(cost), ordered_assignment_walk(cost))


def test_the_last_step_prefers_the_last_frame_and_the_others_the_first():
    assert ordered_assignment(np.zeros((6, 3))).tolist() == [0, 1, 5]
    cost = np.zeros((6, 2))
    cost[5, 1] = 1
    assert ordered_assignment(cost).tolist() == [0, 1]


def test_nothing_is_cheaper():
    cost = np.random.default_rng(1).standard_normal((8, 3))
    cheapest = min(total(cost, list(c)) for c in itertools.combinations(range(8), 3))
    chosen = ordered_assignment(cost)
    assert total(cost, chosen) == pytest.approx(cheapest) and (np.diff(chosen) > 0).all()


def test_forbidden_frames_are_not_taken():
    cost = np.full((7, 2), np.inf)
    cost[[2, 4], [0, 1]] = 3
    for form in (ordered_assignment, ordered_assignment_walk):
        assert form(cost).tolist() == [2, 4]


@pytest.mark.parametrize("form", [ordered_assignment, ordered_assignment_walk])
@pytest.mark.parametrize("shape", [(3, 4), (3, 0), (0, 1)])
def test_what_cannot_be_assigned(form, shape):
    with pytest.raises(ValueError, match=rf"^{shape[1]} steps in {shape[0]} frames"):
        form(np.zeros(shape))
