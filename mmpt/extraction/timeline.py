"""When frames are shown: times that can be relied on, and the frames of a constant rate.

Times are fractions of seconds: a frame that lies on the border between two slots must fall to the
same one on every machine.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import floor
from typing import TypeVar

Frame = TypeVar("Frame")

MAX_GAP = 60
"""Seconds from one frame to the next beyond which the time stamps are wrong, not the pause long: a
single wrong stamp could otherwise ask for years of one picture."""
MAX_BACK = 1
"""Seconds that a time may step back; more is a new beginning (recordings that were joined)."""
HALF = Fraction(1, 2)


class Timeline:
    """Turns time stamps into times from 0 on that neither jump nor are missing.

    Args:
        start: the time stamp that is time 0, in seconds.
        interval: seconds from one frame to the next, where stamps do not tell.

    Attributes:
        end: when the last frame ends, in seconds; 0 before the first.
        jumps: how often a time stamp was no continuation of the one before.
        first_jump: time and length in seconds of the first of them.
    """

    def __init__(self, start: Fraction, interval: Fraction):
        self.end = Fraction(0)
        self.jumps = 0
        self.first_jump: tuple[float, float] | None = None
        self._shift = -start
        self._interval = interval
        self._last: Fraction | None = None
        self._step = interval

    def place(self, stamp: Fraction | None, duration: Fraction | None) -> Fraction:
        """The time of the next frame.

        A jump over `MAX_GAP`, or back over `MAX_BACK`, is closed: the frame follows the one before,
        and so do all after it.

        Args:
            stamp: its time stamp in seconds; None where it has none.
            duration: how long it is shown, in seconds; None or 0 where that is not known.
        """
        expected = Fraction(0) if self._last is None else self._last + self._step
        time = expected if stamp is None else stamp + self._shift
        if self._jumped(time):
            self.jumps += 1
            self.first_jump = self.first_jump or (float(expected), float(time - expected))
            self._shift += expected - time
            time = expected
        self._step = duration if duration and 0 < duration <= MAX_GAP else self._interval
        self._last = time
        self.end = max(self.end, time + self._step)
        return time

    def _jumped(self, time: Fraction) -> bool:
        if self._last is None:
            return abs(time) > MAX_GAP
        return not -MAX_BACK <= time - self._last <= MAX_GAP


class BestStamps:
    """Chooses between a frame's time stamp of showing and that of decoding, as FFmpeg does.

    Old containers hold the latter alone, and what is read as the former is then out of order: the
    kind that was out of order less often is taken.
    """

    def __init__(self) -> None:
        self._faults = {"pts": 0, "dts": 0}
        self._last: dict[str, int] = {}

    def pick(self, pts: int | None, dts: int | None) -> int | None:
        """The better of a frame's two stamps; None where it has none."""
        self._look("pts", pts)
        self._look("dts", dts)
        if pts is not None and (dts is None or self._faults["pts"] <= self._faults["dts"]):
            return pts
        return dts

    def _look(self, kind: str, stamp: int | None) -> None:
        if stamp is not None:
            self._faults[kind] += stamp <= self._last.get(kind, stamp - 1)
            self._last[kind] = stamp


def slot_of(time: Fraction, rate: int) -> int:
    """The nearest of the slots of 1/`rate` seconds, the later one of two (FFmpeg's `fps` filter,
    round=near)."""
    return floor(time * rate + HALF)


def shown_frames(
    frames: Iterable[tuple[Fraction, Frame]], timeline: Timeline, rate: int
) -> Iterator[tuple[Frame, int]]:
    """Resamples frames to a constant rate: each that is shown, with the number of slots it fills.

    Slot n shows the latest frame whose slot is n or earlier; slots before the first frame show the
    first.  The last frame is shown until it ends.  At least one slot is filled where there is a
    frame.

    Args:
        frames: times in seconds and frames, in the order of showing.
        timeline: what placed them; its `end` is read after the last one.
        rate: slots a second.
    """
    filled = 0
    waiting: list[Frame] = []
    for time, frame in frames:
        slot = slot_of(time, rate)
        if waiting and slot > filled:
            yield waiting.pop(), slot - filled
            filled = slot
        waiting = [frame]
    left = max(slot_of(timeline.end, rate), 1) - filled
    if waiting and left > 0:
        yield waiting.pop(), left
