"""What is drawn and listed of one group of results: curves, queries, alignments.

What cannot be shown is said in its place, in one line, and the rest goes on.
"""

from collections.abc import Sequence

from mmpt.report.grouping import CHANCE, Draw, Look
from mmpt.report.look_alignments import look_at_alignments
from mmpt.report.look_paragraphs import look_at_paragraphs
from mmpt.report.look_queries import look_at_queries
from mmpt.report.results import Group
from mmpt.report.scores import ALIGNMENT, PARAGRAPHS, RETRIEVAL

ANSWERS = 5
"""Of a question of the multiple choice."""
LOOKS = {
    RETRIEVAL: look_at_queries,
    ALIGNMENT: look_at_alignments,
    **dict.fromkeys(PARAGRAPHS, look_at_paragraphs),
}
"""Metric class -> what looks at its scores."""


def look_at(group: Group, chosen: Sequence[str], draw: Draw) -> Look:
    """Reads the scores of a group's results and draws them.

    Args:
        group: of one metric.
        chosen: ids of the videos to draw; empty: a good, a middle and a bad one.
        draw: takes a picture.
    """
    if group.metric in LOOKS:
        return LOOKS[group.metric](group, chosen, draw)
    return Look({CHANCE: {"acc": 1 / ANSWERS}} if group.metric == "QAMetric" else {})
