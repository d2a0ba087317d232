"""Numbers over videos, and how sure they are: what a metric measures, kept video by video.

A statistic is a function of how often each video counts.  Once each gives the number itself; drawn
with replacement it gives the number of another test set of the same size, and many such draws give
an interval (the bootstrap of Efron 1979, with videos as the unit: clips, sentences and seconds of
one video are not independent).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

SAMPLES = 1000
LEVEL = 0.95
SEED = 0
DRAWN_AT_ONCE = 100


class Statistic(Protocol):
    """A number that can be had for any weights of the videos."""

    @property
    def videos(self) -> int:
        """How many videos it is over."""

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """The number for each of B ways to count V videos: [B, V] -> float64 [B]."""


class Share(NamedTuple):
    """What was right of all there was: the mean over groups of a share, each pooled over videos.

    Accuracies and recalls are one group; a mean over classes or tasks has a group for each, and
    leaves out those of which there is nothing.
    """

    hits: np.ndarray
    """[V, G], how much was right in a video."""
    totals: np.ndarray
    """[V, G], how much there was."""

    @property
    def videos(self) -> int:
        return len(self.hits)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        totals = counts @ self.totals.astype(np.float64)
        there = totals > 0
        shares = (counts @ self.hits.astype(np.float64)) / np.where(there, totals, 1)
        groups = there.sum(axis=1)
        mean = shares.sum(axis=1, where=there) / np.maximum(groups, 1)
        return np.where(groups > 0, mean, np.nan)

    @classmethod
    def of_items(cls, hits: np.ndarray, videos: np.ndarray) -> "Share":
        """One group; what is right of each item (bool or a fraction), [N], and its video, int [N]
        from 0, as `video_numbers` gives it."""
        count = int(videos.max()) + 1 if len(videos) else 0
        totals = np.bincount(videos, minlength=count)
        return cls(
            np.bincount(videos, np.asarray(hits, np.float64), count)[:, None], totals[:, None]
        )


class Median(NamedTuple):
    """The median of a value that each item has."""

    values: np.ndarray
    """[N]."""
    numbers: np.ndarray
    """int [N], the video of each item, from 0."""

    @property
    def videos(self) -> int:
        return int(self.numbers.max()) + 1

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        order = np.argsort(self.values, kind="stable")
        ranked = self.values[order]
        reached = counts[:, self.numbers[order]].cumsum(axis=1)
        half = reached[:, -1:] / 2
        last = len(ranked) - 1
        low = np.minimum((reached < half).sum(axis=1), last)
        high = np.minimum((reached <= half).sum(axis=1), last)
        return (ranked[low] + ranked[high]) / 2


class PairShare(NamedTuple):
    """A share of pairs, one item of each kind, as the area under a ROC curve is."""

    wins: np.ndarray
    """[V, V], pairs won by the positives of one video against the negatives of another."""
    positives: np.ndarray
    """[V]."""
    negatives: np.ndarray
    """[V]."""

    @property
    def videos(self) -> int:
        return len(self.wins)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        wins = np.einsum("bv,vw,bw->b", counts, self.wins, counts, optimize=True)
        pairs = (counts @ self.positives) * (counts @ self.negatives)
        return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)

    @classmethod
    def of_scores(cls, scores: Sequence[np.ndarray], positive: Sequence[np.ndarray]) -> "PairShare":
        """The area under the ROC curve; a tie is half a win.

        Args:
            scores: float [n] a video.
            positive: bool [n] a video.
        """
        kinds = np.concatenate(positive)
        every = np.concatenate(scores)
        owner = np.repeat(np.arange(len(scores)), [len(video) for video in scores])
        wins = np.zeros((len(scores), len(scores)))
        # the negatives of each video are sorted once; every positive then counts what is below it
        for column, (video, flags) in enumerate(zip(scores, positive, strict=True)):
            others = np.sort(video[~flags])
            below = np.searchsorted(others, every[kinds], side="left")
            upto = np.searchsorted(others, every[kinds], side="right")
            won = np.bincount(owner[kinds], (below + upto) / 2, minlength=len(scores))
            wins[:, column] = won
        positives = np.array([flags.sum() for flags in positive], dtype=np.float64)
        negatives = np.array([(~flags).sum() for flags in positive], dtype=np.float64)
        return cls(wins, positives, negatives)


def video_numbers(video_ids: Sequence[Hashable]) -> np.ndarray:
    """int64 [N], the place of each item's video in the order of first appearance."""
    places: dict[Hashable, int] = {}
    numbers = (places.setdefault(video_id, len(places)) for video_id in video_ids)
    return np.fromiter(numbers, dtype=np.int64, count=len(video_ids))


def value(statistic: Statistic) -> float:
    """The number itself: every video counts once."""
    return float(statistic(np.ones((1, statistic.videos)))[0])


def bootstrap_interval(
    statistic: Statistic, samples: int = SAMPLES, level: float = LEVEL, seed: int = SEED
) -> tuple[float, float] | None:
    """Percentiles of the number over draws of as many videos, with replacement.

    Args:
        statistic: what is drawn for.
        samples: draws.
        level: how many of them lie within the interval.
        seed: of the draws; equal seeds and numbers of videos draw equal videos, so that two
            results on one test set can be compared.

    Returns:
        The two ends; None for a single video, or where the number is not defined.
    """
    videos = statistic.videos
    if videos < 2:
        return None
    random = np.random.default_rng(seed)
    drawn = []
    for start in range(0, samples, DRAWN_AT_ONCE):
        rows = min(DRAWN_AT_ONCE, samples - start)
        counts = random.multinomial(videos, np.full(videos, 1 / videos), size=rows)
        drawn.append(statistic(counts.astype(np.float64)))
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
