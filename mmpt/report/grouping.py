"""What the parts of the report on one group of results have in common."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mmpt.report import drawing
from mmpt.report.html import Html, breakable, tag
from mmpt.report.results import Group, Result, first_number

KINDS = ("best", "middle", "worst")
"""The videos that are drawn where none was chosen."""

CHANCE, AT_MOST = "chance", "at most"
"""Names of bounds."""

Draw = Callable[[str, bytes, str, object], Html]
"""Takes the kind of a picture, its PNG, what it shows and its caption; gives the figure."""


class Look(NamedTuple):
    """The parts of the page that one group fills.

    Attributes:
        bounds: name (`CHANCE`, `AT_MOST`) -> metric -> value.
        curves, queries, alignments, paragraphs: of the sections of these names.
        videos: those that pictures can be asked of.
    """

    bounds: dict[str, dict[str, float]]
    curves: Html = Html()
    queries: Html = Html()
    alignments: Html = Html()
    paragraphs: Html = Html()
    videos: frozenset[str] = frozenset()


def drawn_results(group: Group) -> tuple[list[Result], str]:
    """The results whose curves are drawn, and what to say where others are left out."""
    most = drawing.MOST_LINES
    if len(group.results) <= most:
        return group.results, ""
    order = sorted(group.results, key=first_number, reverse=True)[:most]
    shown = [result for result in group.results if result in order]
    return shown, f" Of {len(group.results)} checkpoints the {most} best are drawn."


def best_results(group: Group) -> list[Result]:
    """The best result of every results file."""
    return [result for result in group.results if result.is_best]


def best_label(group: Group, labels: Iterable[str]) -> str:
    """Of the labels of some of the best results, that of the highest first number; of equal ones
    the later."""
    values = {result.label: first_number(result) for result in best_results(group)}
    return max(reversed(list(labels)), key=values.__getitem__)


def heading_of(group: Group) -> Html:
    return tag("h3", breakable(group.title))
