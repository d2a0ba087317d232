"""The rules of drawing clips, with the draws laid down one by one."""

import random

import numpy as np
import pytest

from mmpt.processors.sampling import (
    ClipSpan,
    draw_centre_second,
    grow_text_span,
    grow_video_span,
    text_seconds,
)

RIGHT, LEFT, KEEP = 0.9, 0.1, 0.5


class Draws:
    """A random source that gives prepared values and fails when asked for more."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        return self.values.pop(0)

    def randint(self, low, high):
        value = self.values.pop(0)
        assert low <= value <= high
        return value


def grow(lengths, centre, budget, draws, keep_prob=1.0, seconds=2.0):
    starts = [seconds * i for i in range(len(lengths))]
    ends = [start + seconds for start in starts]
    span = grow_text_span(lengths, starts, ends, centre, budget, keep_prob, rng=draws)
    assert draws.values == []
    assert span.start == starts[span.captions[0]]
    assert span.end == ends[span.captions[-1]]
    return span.captions


def test_a_long_centre_caption_draws_nothing():
    assert grow([3, 9, 3], 1, 9, Draws()) == (1,)


def test_text_grows_to_both_sides_and_may_overshoot():
    draws = Draws(RIGHT, KEEP, LEFT, KEEP, LEFT, KEEP)
    assert grow([4, 4, 4, 4, 4], 2, 13, draws) == (0, 1, 2, 3)


def test_at_an_end_only_the_other_side_is_possible():
    assert grow([4, 4, 4], 0, 12, Draws(LEFT, KEEP, LEFT, KEEP)) == (0, 1, 2)
    assert grow([4, 4, 4], 2, 12, Draws(RIGHT, KEEP, RIGHT, KEEP)) == (0, 1, 2)


def test_a_draw_of_exactly_one_half_goes_left():
    assert grow([4, 4, 4], 1, 8, Draws(0.5, KEEP)) == (0, 1)


def test_text_stops_at_256_seconds():
    draws = Draws(RIGHT, KEEP, RIGHT, KEEP)
    assert grow([1] * 9, 3, 99, draws, seconds=100.0) == (3, 4, 5)


def test_empty_captions_do_not_stop_the_growth():
    assert grow([0, 0, 5], 0, 5, Draws(RIGHT, KEEP, RIGHT, KEEP)) == (0, 1, 2)


def test_keep_prob_skips_a_neighbour_but_never_the_last_one():
    skip = 0.9
    assert grow([4] * 5, 1, 8, Draws(RIGHT, skip), keep_prob=0.8) == (1, 3)
    assert grow([4] * 5, 3, 8, Draws(LEFT, skip), keep_prob=0.8) == (1, 3)
    assert grow([4] * 3, 1, 8, Draws(RIGHT, skip), keep_prob=0.8) == (1, 2)
    assert grow([4] * 3, 1, 8, Draws(LEFT, skip), keep_prob=0.8) == (0, 1)
    assert grow([4] * 5, 1, 8, Draws(RIGHT, 0.7), keep_prob=0.8) == (1, 2)


def test_centre_second_is_moved_into_the_video():
    assert draw_centre_second(1.2, 4.1, 10, Draws(5)) == 5
    assert draw_centre_second(8.0, 13.5, 10, Draws(13)) == 9
    assert draw_centre_second(3.0, 3.0, 10, Draws()) == 3
    # ends before it starts: the middle, without a draw
    assert draw_centre_second(7.0, 4.0, 10, Draws()) == 5


def test_video_grows_one_second_at_a_time():
    assert grow_video_span(5, 3, 10, Draws(RIGHT, LEFT, RIGHT)) == (4, 7)
    # the centre itself need not be inside
    assert grow_video_span(5, 2, 10, Draws(LEFT, LEFT)) == (3, 5)
    assert grow_video_span(0, 3, 10, Draws()) == (0, 3)
    assert grow_video_span(9, 3, 10, Draws(RIGHT)) == (7, 10)
    assert grow_video_span(1, 16, 4, Draws(LEFT)) == (0, 4)


@pytest.mark.parametrize(
    ("start", "end", "video_len", "expected"),
    [
        (1.5, 4.2, 10, (1, 5)),
        (8.0, 14.0, 10, (8, 10)),
        (12.0, 14.0, 10, (10, 10)),
        (0.0, 0.0, 10, (0, 0)),
    ],
)
def test_seconds_of_a_text(start, end, video_len, expected):
    assert text_seconds(start, end, video_len) == expected


def test_lengths_of_clips_are_uniform_between_the_limits():
    rng = random.Random(0)
    lengths = [
        np.diff(grow_video_span(rng.randint(0, 99), rng.randint(3, 16), 100, rng))[0]
        for _ in range(14_000)
    ]
    counts = np.bincount(lengths, minlength=17)
    assert counts[:3].sum() == 0
    # 1,000 expected each: five standard deviations are about 150
    assert np.abs(counts[3:17] - 1000).max() < 160


def test_clips_sort_by_text_first():
    spans = [
        ClipSpan(2, 0, 3, 9, (2,)),
        ClipSpan(1, 5, 4, 7, (1, 2, 3)),
        ClipSpan(1, 5, 3, 8, (1,)),
    ]
    assert [span[:4] for span in sorted(spans, key=ClipSpan.order)] == [
        (1, 5, 3, 8),
        (1, 5, 4, 7),
        (2, 0, 3, 9),
    ]
