"""Times that are wrong or missing, and frames at a constant rate."""

from fractions import Fraction

import pytest

from mmpt.extraction.timeline import BestStamps, Timeline, shown_frames, slot_of


def placed(stamps, start=0, interval=Fraction(1, 10)):
    timeline = Timeline(Fraction(start), interval)
    times = [timeline.place(None if s is None else Fraction(s), None) for s in stamps]
    return [float(time) for time in times], timeline


@pytest.mark.parametrize(
    ("stamps", "expected", "jumps"),
    [
        ([5, 6, 7], [0, 1, 2], 0),
        ([5, 6, 66], [0, 1, 61], 0),
        ([5, 6, 1000, 1001], [0, 1, 1.1, 2.1], 1),
        ([5, 6, -(10**9), 10**9], [0, 1, 1.1, 1.2], 2),
        ([5, 6, 5.5, 7], [0, 1, 0.5, 2], 0),
        ([None, None, None], [0, 0.1, 0.2], 0),
        ([5, None, 6], [0, 0.1, 1], 0),
        ([10**6, 10**6 + 1], [0, 1], 1),
        ([4.5, 5], [-0.5, 0], 0),
    ],
)
def test_times_begin_at_zero_and_do_not_jump(stamps, expected, jumps):
    times, timeline = placed(stamps, start=5)
    assert times == pytest.approx(expected)
    assert timeline.jumps == jumps
    assert float(timeline.end) == pytest.approx(max(expected) + 0.1)


def test_a_frame_s_own_duration_counts():
    timeline = Timeline(Fraction(0), Fraction(1, 10))
    timeline.place(Fraction(0), Fraction(2))
    assert timeline.end == 2
    assert timeline.place(None, Fraction(0)) == 2
    assert timeline.place(None, Fraction(10**9)) == Fraction(21, 10)
    assert timeline.end == Fraction(22, 10)


@pytest.mark.parametrize(
    ("time", "slot"), [("0", 0), ("1/60", 1), ("1/61", 0), ("-1/60", 0), ("-1/59", -1), ("3/60", 2)]
)
def test_the_nearest_slot_is_taken_the_later_of_two(time, slot):
    assert slot_of(Fraction(time), 30) == slot


@pytest.mark.parametrize(
    ("times", "end", "shown"),
    [
        ([0, 0.1, 0.2], 0.3, [("a", 1), ("b", 1), ("c", 1)]),
        ([0, 0.04, 0.1], 0.2, [("b", 1), ("c", 1)]),
        ([0.3, 0.5], 0.6, [("a", 5), ("b", 1)]),
        ([0, 0.5], 0.54, [("a", 5)]),
        ([0, 0.3, 0.2, 0.5], 0.6, [("a", 3), ("c", 2), ("d", 1)]),
        ([0], 0.01, [("a", 1)]),
        ([], 0, []),
    ],
)
def test_slots_show_the_latest_frame(times, end, shown):
    timeline = Timeline(Fraction(0), Fraction(1, 10))
    timeline.end = Fraction(end)
    frames = zip(map(Fraction, times), "abcd", strict=False)
    assert list(shown_frames(frames, timeline, 10)) == shown


def test_stamps_that_are_out_of_order_are_not_taken():
    stamps = BestStamps()
    pairs = [(1, 2), (4, 3), (3, 4), (5, 5), (2, 6), (None, 7)]
    assert [stamps.pick(*pair) for pair in pairs] == [1, 4, 4, 5, 6, 7]
    good = BestStamps()
    assert [good.pick(*pair) for pair in [(0, -1), (1, 0), (2, None), (3, 3)]] == [0, 1, 2, 3]
    assert good.pick(None, None) is None
