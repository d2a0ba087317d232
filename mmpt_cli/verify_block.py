"""What `mmpt verify-release` compares, and the block that it writes into a document."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.errors import LaunchError
from mmpt.io.atomic import atomic_write

EQUAL, WITHIN, OUTSIDE, NOT_MEASURED = "equal", "within", "outside", "not measured"
OTHER_SET = "other test set"
GOOD = (EQUAL, WITHIN)
"""Verdicts of a number that was reproduced."""
OUR_DECIMALS = 4
LEGEND = (
    "*equal*: the same to the last digit given; *within*: on the whole test set, the given number "
    "lies in our 95 % interval (bootstrap over the videos of the test set); *outside*: it does "
    "not; *other test set*: it has more or fewer items than the published one, so nothing is "
    "reproduced, however wide the interval; *not measured*: the evaluation did not give this "
    "number."
)


class Row(NamedTuple):
    """One number.

    Attributes:
        model: whose checkpoint; job: the job file's stem; items: that were evaluated.
        given: to be reproduced; None where nobody published one.
        ours: what came out; None where the evaluation did not give it.
    """

    model: str
    job: str
    items: int
    metric: str
    given: float | None
    ours: float | None
    interval: tuple[float, float] | None
    verdict: str
    whole: int | None = None
    """Items of the whole test set; None: not known."""

    @property
    def compared(self) -> bool:
        """Whether there are two numbers."""
        return self.given is not None and self.ours is not None


class Marks(NamedTuple):
    """The lines between which the block stands."""

    begin: str
    end: str


RELEASE = Marks("<!-- verify-release: begin -->", "<!-- verify-release: end -->")
REHEARSAL = Marks(
    "<!-- verify-release rehearsal: begin -->", "<!-- verify-release rehearsal: end -->"
)
"""Others, so that a rehearsal never stands where results do."""


def verdict(
    given: float, ours: float | None, interval: Sequence[float] | None, rounding: float
) -> str:
    """Whether a number was reproduced.

    Args:
        given: the number to be reproduced, a fraction.
        ours: what came out, or None.
        interval: its ends, or None.
        rounding: how far `given` may be off by its own rounding: half its last digit.
    """
    if ours is None:
        return NOT_MEASURED
    tiny = 1e-9
    if abs(ours - given) <= rounding + tiny:
        return EQUAL
    low, high = interval if interval is not None else (ours, ours)
    inside = low - rounding - tiny <= given <= high + rounding + tiny
    return WITHIN if inside else OUTSIDE


def rows_of(
    model: str,
    job: str,
    result: Mapping[str, Any],
    shown: Iterable[str],
    given: Mapping[str, float],
    rounding: float,
    whole: int | None = None,
) -> list[Row]:
    """The rows of one evaluation.

    Args:
        result: an entry of `results` of a results file.
        shown: the metrics that have a row.
        given: metric -> number to be reproduced; those without one have no verdict.
        rounding: as for `verdict`.
        whole: items of the whole test set, without which nothing is reproduced; None: any number.
    """
    metrics, intervals, items = result["metrics"], result["intervals"], result["items"]
    rows = []
    for metric in shown:
        number, ours = given.get(metric), metrics.get(metric)
        ends = intervals.get(metric)
        said = "" if number is None else verdict(number, ours, ends, rounding)
        if said and said != NOT_MEASURED and whole not in (None, items):
            said = OTHER_SET
        interval = None if ends is None else (ends[0], ends[1])
        rows.append(Row(model, job, items, metric, number, ours, interval, said, whole))
    return rows


def table(rows: Sequence[Row], given: str, decimals: int) -> str:
    """The rows as text that is Markdown as well.

    Args:
        given: the head of the column of numbers to be reproduced.
        decimals: of these numbers.
    """
    heads = ["model", "job", "items", "metric", given, "ours", "95 % interval", "verdict"]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in rows:
        ends = "" if row.interval is None else "{:.4f} to {:.4f}".format(*row.interval)
        items = f"{row.items:,}"
        if row.whole not in (None, row.items):
            items += f" (published: {row.whole:,})"
        cells = [row.model, row.job, items, row.metric, _shown(row.given, decimals)]
        cells += [_shown(row.ours, OUR_DECIMALS), ends, row.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(number: float | None, decimals: int) -> str:
    return "" if number is None else f"{number:.{decimals}f}"


def block(marks: Marks, paragraphs: Sequence[str]) -> str:
    """The text of a block, marks included."""
    return "\n\n".join([marks.begin, *paragraphs, marks.end]) + "\n"


def check_target(path: Path, marks: Marks) -> None:
    """Refuses a document that has no place for a block, before hours of work.

    Raises:
        LaunchError: the file is not there, or does not hold both marks once and in order.
    """
    _parts(path, marks)


def write_block(path: Path, marks: Marks, text: str) -> None:
    """Puts a block in the place of the one between the marks; raises as `check_target`."""
    before, after = _parts(path, marks)
    with atomic_write(path, "w") as file:
        file.write(before + text + after)


def _parts(path: Path, marks: Marks) -> tuple[str, str]:
    """What stands before the first mark, and behind the line of the second."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise LaunchError(f"--write {path}: cannot be read ({reason})") from error
    if text.count(marks.begin) != 1 or text.count(marks.end) != 1:
        raise LaunchError(
            f"--write {path}: it must hold the lines {marks.begin!r} and {marks.end!r} once each; "
            "put them where the block shall stand"
        )
    before, _, rest = text.partition(marks.begin)
    _, found, after = rest.partition(marks.end)
    if not found:
        raise LaunchError(f"--write {path}: {marks.end!r} stands before {marks.begin!r}")
    return before, after.removeprefix("\n")
