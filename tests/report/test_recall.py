"""Recall curves and their bounds, easy and hard queries: against numbers by hand."""

import numpy as np
import pytest

from mmpt.evaluators.retrieval import retrieval_ranks
from mmpt.report.recall import (
    best_curve,
    chance_curve,
    easiest_and_hardest,
    good_median_bad,
    recall_curve,
)


def test_recall_at_every_depth():
    assert recall_curve(np.array([0, 0, 2, 3]), 4).tolist() == [0.5, 0.5, 0.75, 1.0]
    assert recall_curve(np.array([0, 5]), 10, deepest=3).tolist() == [0.5, 0.5, 0.5]
    assert len(recall_curve(np.arange(300), 300)) == 100


def test_bounds_of_a_recall_curve():
    assert chance_curve(4).tolist() == [0.25, 0.5, 0.75, 1.0]
    # three equal texts: one of them can be first, two among the first two
    assert best_curve(["a", "a", "a", "b"], 4).tolist() == [0.5, 0.75, 1.0, 1.0]


def test_no_scores_go_above_the_bound_of_equal_texts():
    texts = ["a", "b", "a", "c", "b", "a"]
    random = np.random.default_rng(0)
    rows = {text: random.normal(size=6) for text in "abc"}
    for text, row in rows.items():  # as a perfect model would: all of the text's own first
        row[[place for place, other in enumerate(texts) if other == text]] += 100
    ranks = retrieval_ranks(np.stack([rows[text] for text in texts]))
    assert recall_curve(ranks, 6).tolist() == best_curve(texts, 6).tolist()


def test_easiest_are_far_ahead_and_hardest_far_behind():
    scores = np.array([[5.0, 1, 0, 0], [9, 2, 1, 0], [0, 1, 4, 3], [0, 1, 4, 3]])
    ranks = retrieval_ranks(scores)
    easy, hard = easiest_and_hardest(scores, ranks, 2)
    assert [(q.number, q.rank, q.margin) for q in easy] == [(0, 1, 4.0), (2, 1, 1.0)]
    assert [(q.number, q.rank, q.margin) for q in hard] == [(1, 2, -7.0), (3, 2, -1.0)]
    assert hard[0].hits == [(0, 9.0), (1, 2.0), (2, 1.0)]


def test_hits_of_equal_scores_are_in_the_order_of_the_ranks():
    scores = np.zeros((3, 3))
    easy, hard = easiest_and_hardest(scores, retrieval_ranks(scores), 5)
    assert [place for place, _ in easy[0].hits] == [2, 1, 0]
    assert (easy[0].number, hard[0].number) == (2, 0)


@pytest.mark.parametrize("size", [1, 2])
def test_tiny_test_sets_have_queries_too(size):
    scores = np.eye(size)
    easy, _ = easiest_and_hardest(scores, retrieval_ranks(scores), 5)
    assert easy[0].rank == 1


def test_good_median_bad():
    assert good_median_bad([0.1, 0.9, 0.5, 0.4, 0.7]) == [1, 2, 0]
    assert good_median_bad([1.0]) == [0]
