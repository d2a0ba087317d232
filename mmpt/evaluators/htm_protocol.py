"""HTM-Align's protocol as pure functions: windows, their average, and what can be reached.

A video of L seconds has n sentences, given as float64 [n, 3]: aligned (1: what it says is seen),
start, end in seconds.  Similarities are [n, L]; a cell that no window touched is `UNTOUCHED`.

Source: the evaluation of Temporal Alignment Networks (Han et al., CVPR 2022) as Norton runs it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WINDOW = 32
"""Seconds that the model sees at once."""
STEP = 8
"""Seconds from one window to the next."""
TAIL = 16
"""No window starts within the last so many seconds."""
BEFORE, AFTER = 32, 64
"""A window's texts are those spoken from so many seconds before its start to so many after it."""
EDGE_WINDOWS = 4
"""Windows at either end of a video that take the texts up to its first, or its last, as well."""
UNTOUCHED = -6e4


class Window(NamedTuple):
    """Seconds [start, end) and texts [first, last) that are compared."""

    start: int
    end: int
    first: int
    last: int


def evaluated_windows(sentences: np.ndarray, seconds: int) -> list[Window]:
    """The windows of a video that are looked at, and the texts that take part in each.

    Only sentences that are *not* alignable choose: their times are the narration's own, so nothing
    of the annotation leaks.  A window with none of them near is left out before its place at an end
    of the video counts; where a short video's window is at both ends, the beginning wins.
    """
    middles = np.where(sentences[:, 0] == 1, np.nan, (sentences[:, 1] + sentences[:, 2]) / 2)
    starts = range(0, seconds - TAIL, STEP)
    windows = []
    for index, start in enumerate(starts):
        near = np.flatnonzero((middles >= start - BEFORE) & (middles <= start + AFTER))
        if len(near) == 0:
            continue
        first, last = int(near[0]), int(near[-1]) + 1
        if index < EDGE_WINDOWS:
            first = 0
        elif index >= len(starts) - EDGE_WINDOWS:
            last = len(sentences)
        windows.append(Window(start, min(start + WINDOW, seconds), first, last))
    return windows


def merge_windows(
    scores: Sequence[np.ndarray], windows: Sequence[Window], texts: int, seconds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Averages the scores of overlapping windows.

    Args:
        scores: one array [n, >= length of the window] for every window.
        windows: as `evaluated_windows` gives them.
        texts, seconds: n and L.

    Returns:
        similarity float32 [n, L] and coverage int16 [n, L], how many windows touched a cell.
    """
    total = np.zeros((texts, seconds))
    coverage = np.zeros((texts, seconds), dtype=np.int16)
    for block, (start, end, first, last) in zip(scores, windows, strict=True):
        total[first:last, start:end] += block[first:last, : end - start]
        coverage[first:last, start:end] += 1
    mean = total / np.maximum(coverage, 1)
    return np.where(coverage > 0, mean, UNTOUCHED).astype(np.float32), coverage


def hits(similarity: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Whether each alignable sentence is found: bool [alignable].

    Its best second, the first of equal ones, must lie from floor(start) to ceil(end), both
    included.
    """
    alignable = sentences[:, 0] == 1
    best = similarity[alignable].argmax(axis=1)
    low, high = _accepted(sentences[alignable])
    return (low <= best) & (best <= high)


class Reach(NamedTuple):
    """What the protocol allows on an annotation, by the metric's names.

    Attributes:
        best: of a scorer that knows the annotation.
        chance: expected of one that gives every cell a number of its own at random.
    """

    best: dict[str, float]
    chance: dict[str, float]


def reach(touched: Sequence[np.ndarray], sentences: Sequence[np.ndarray]) -> Reach:
    """Bounds of Recall and AUC; windows and texts left out put them below 1.

    A sentence that no window touched counts as found where second 0 is right, and scores below
    every touched one.

    Args:
        touched: bool [n, L] a video, the cells that some window touched.
        sentences: float64 [n, 3] a video; both kinds of sentences must occur.
    """
    best, chance, cells, flags = [], [], [], []
    for cover, video in zip(touched, sentences, strict=True):
        low, high = _accepted(video)
        second = np.arange(cover.shape[1])
        right = (second >= low[:, None]) & (second <= high[:, None])
        count = cover.sum(axis=1)
        without = (count == 0) & (low == 0)
        alignable = video[:, 0] == 1
        best.append(((cover & right).any(axis=1) | without)[alignable])
        share = (cover & right).sum(axis=1) / np.maximum(count, 1)
        chance.append(np.where(count == 0, without, share)[alignable])
        cells.append(count)
        flags.append(alignable)
    count, flag = np.concatenate(cells), np.concatenate(flags)
    return Reach(
        {"Recall": _mean(best), "AUC": _auc_of_counts(count[flag] > 0, count[~flag], best=True)},
        {"Recall": _mean(chance), "AUC": _auc_of_counts(count[flag], count[~flag], best=False)},
    )


def _accepted(sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last second that count as right, [n] each."""
    return np.floor(sentences[:, 1]), np.ceil(sentences[:, 2])


def _mean(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())


def _auc_of_counts(positive: np.ndarray, negative: np.ndarray, best: bool) -> float:
    """Probability that a positive's score is above a negative's, ties half.

    Of two maxima over a and b independent draws the first is larger with probability a / (a + b);
    a perfect scorer's only losses are the positives that no window touched.
    """
    p, n = positive[:, None].astype(float), negative[None, :].astype(float)
    both = p + n
    wins = (p > 0).astype(float) if best else p / np.where(both > 0, both, 1)
    return float(np.where(both > 0, wins, 0.5).mean())
