"""Recall at every depth, its bounds, and which queries are easy or hard, as pure functions."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DEEPEST = 100
"""The last depth of a recall curve."""
HITS = 3
"""So many candidates are shown of a query."""


def recall_curve(ranks: np.ndarray, candidates: int, deepest: int = DEEPEST) -> np.ndarray:
    """The share of queries whose right candidate is among the first k, for k = 1, 2, ...

    Args:
        ranks: int [N], from 0.
        candidates: how many there are.
        deepest: the last k; no more than there are candidates.

    Returns:
        float [min(deepest, candidates)].
    """
    counts = np.bincount(np.minimum(ranks, candidates), minlength=candidates + 1)
    return (counts.cumsum() / len(ranks))[: min(deepest, candidates)]


def chance_curve(candidates: int, deepest: int = DEEPEST) -> np.ndarray:
    """The recall curve that is expected of a random order."""
    return np.arange(1, min(deepest, candidates) + 1) / candidates


def best_curve(texts: Sequence[str], candidates: int, deepest: int = DEEPEST) -> np.ndarray:
    """An upper bound of the recall curve: of queries with one and the same text, no more than k can
    have their own candidate among the first k.

    Args:
        texts: N queries.
        candidates, deepest: as in `recall_curve`.
    """
    counts = np.array(list(Counter(texts).values()))
    depths = np.arange(1, min(deepest, candidates) + 1)
    return np.minimum(counts[None, :], depths[:, None]).sum(axis=1) / len(texts)


class Query(NamedTuple):
    """One query and what it found.

    Attributes:
        number: of the query, and of its right candidate.
        rank: place of the right one, from 1.
        margin: its score, less that of the best other one.
        hits: the first candidates, (number, score).
    """

    number: int
    rank: int
    margin: float
    hits: list[tuple[int, float]]


def easiest_and_hardest(
    scores: np.ndarray, ranks: np.ndarray, count: int
) -> tuple[list[Query], list[Query]]:
    """The queries that are answered with the largest margin, and those farthest from it.

    Easy is a right candidate that is far above the best other one; hard is a high rank, of equal
    ranks the smaller margin.  No query is in both lists.

    Args:
        scores: [N, M]; the right candidate of query i is i.
        ranks: int [N], from 0.
        count: of either list, at most.
    """
    own = np.diagonal(scores).astype(np.float64)
    others = scores.astype(np.float64)
    np.fill_diagonal(others, -np.inf)
    margin = own - others.max(axis=1) if scores.shape[1] > 1 else np.zeros(len(own))
    count = min(count, len(own) // 2 or 1)
    order = np.lexsort((-margin, ranks))  # easiest first
    easy = [_query(scores, ranks, margin, number) for number in order[:count]]
    hard = [_query(scores, ranks, margin, number) for number in order[count:][::-1][:count]]
    return easy, hard


def _query(scores: np.ndarray, ranks: np.ndarray, margin: np.ndarray, number: int) -> Query:
    row = scores[number]
    # of equal scores the later candidate is better, as in the ranks
    first = np.lexsort((-np.arange(len(row)), -row))[:HITS]
    hits = [(int(place), float(row[place])) for place in first]
    return Query(int(number), int(ranks[number]) + 1, float(margin[number]), hits)


def good_median_bad(values: Sequence[float]) -> list[int]:
    """The places of the best, the middle and the worst value; of equal ones the first."""
    order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")
    return list(dict.fromkeys(int(order[p]) for p in (0, len(order) // 2, len(order) - 1)))
