"""Numbers over videos and their intervals."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmpt.evaluators.base import Metric, StatisticsMetric
from mmpt.evaluators.statistics import (
    Median,
    PairShare,
    Share,
    bootstrap_interval,
    value,
    video_numbers,
)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def resampled(counts, items, numbers):
    """The items of a draw, written out."""
    return np.concatenate([items[numbers == v] for v, c in enumerate(counts) for _ in range(c)])


def test_a_share_is_pooled_over_videos_and_a_mean_over_groups():
    share = Share(np.array([[1, 0], [3, 1]]), np.array([[2, 0], [4, 5]]))
    assert value(share) == pytest.approx((4 / 6 + 1 / 5) / 2)
    assert share(np.array([[2.0, 0.0]])) == pytest.approx([0.5])  # nothing of the second group
    assert np.isnan(value(Share(np.zeros((2, 1)), np.zeros((2, 1)))))


def test_statistics_of_a_draw_are_those_of_its_items(random):
    numbers = random.integers(0, 6, size=41)
    numbers[:6] = range(6)
    hits, ranks = random.random(41) < 0.4, random.integers(0, 9, size=41)
    share, median = Share.of_items(hits, numbers), Median(ranks, numbers)
    assert value(share) == pytest.approx(hits.mean()) and value(median) == np.median(ranks)
    for counts in random.multinomial(6, np.full(6, 1 / 6), size=30):
        weights = counts[None].astype(float)
        assert share(weights)[0] == pytest.approx(resampled(counts, hits, numbers).mean())
        assert median(weights)[0] == np.median(resampled(counts, ranks, numbers))


def test_the_area_under_the_curve_is_that_of_the_drawn_sentences(random):
    scores = [np.round(random.random(n), 1) for n in (5, 9, 3, 7)]
    flags = [random.random(len(video)) < 0.5 for video in scores]
    pairs = PairShare.of_scores(scores, flags)
    assert value(pairs) == pytest.approx(
        roc_auc_score(np.concatenate(flags), np.concatenate(scores)), abs=1e-12
    )
    counts = (2, 0, 1, 1)
    drawn = [
        np.concatenate([v for v, c in zip(x, counts, strict=True) for _ in range(c)])
        for x in (flags, scores)
    ]
    assert pairs(np.array([counts], float))[0] == pytest.approx(roc_auc_score(*drawn), abs=1e-12)


def test_an_interval_has_the_width_that_theory_says_and_repeats(random):
    hits = random.random(4000) < 0.3
    share = Share.of_items(hits, np.arange(4000))
    low, high = bootstrap_interval(share)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.3 * 0.7 / 4000), rel=0.1)
    assert low < hits.mean() < high
    assert bootstrap_interval(share) == (low, high) != bootstrap_interval(share, seed=1)


def test_items_of_one_video_are_drawn_together(random):
    hits = np.repeat(random.random(50) < 0.5, 20)
    alone = bootstrap_interval(Share.of_items(hits, np.arange(1000)))
    together = bootstrap_interval(Share.of_items(hits, np.repeat(np.arange(50), 20)))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_one_video_has_no_interval():
    assert bootstrap_interval(Share.of_items(np.array([True, False]), np.array([0, 0]))) is None
    assert bootstrap_interval(Share(np.zeros((3, 1)), np.zeros((3, 1)))) is None


def test_videos_are_numbered_as_they_come():
    assert video_numbers(["b", "a", "b", "ab"]).tolist() == [0, 1, 0, 2]


class Halves(StatisticsMetric):
    metric_names = ("half", "none")

    def statistics(self, outputs, **ignored):
        numbers = np.arange(len(outputs))
        return {
            "half": Share.of_items(outputs, numbers),
            "none": Share.of_items(outputs, 0 * numbers),
        }


def test_numbers_are_printed_with_their_intervals(capsys):
    metric = Halves()
    measured = metric.measure(outputs=np.array([1, 0] * 200))
    assert (
        measured.metrics
        == metric.compute_metrics(np.array([1, 0] * 200))
        == {"half": 0.5, "none": 0.5}
    )
    assert set(measured.intervals) == {"half"}
    text = metric.print_computed_metrics(*measured)
    assert text == capsys.readouterr().out.removesuffix("\n")
    half, none = text.split("\n")
    assert half.startswith("  half  0.5000  [0.4") and none == "  none  0.5000"
    assert metric.print_computed_metrics(measured.metrics) == "  half  0.5000\n  none  0.5000"


def test_a_metric_of_ones_own_needs_no_intervals():
    class Own(Metric):
        metric_names = ("loss",)

        def compute_metrics(self, outputs, **ignored):
            return {"loss": float(sum(outputs))}

    assert Own().measure(outputs=[1, 2], targets=[]) == ({"loss": 3.0}, {})
