"""Text-to-video retrieval in the report: recall curves, easy and hard queries."""

from collections.abc import Sequence

import numpy as np

from mmpt.errors import DataError
from mmpt.report import drawing
from mmpt.report.drawing import Line
from mmpt.report.grouping import AT_MOST, CHANCE, Draw, Look, drawn_results, heading_of
from mmpt.report.html import Html, join, paragraph, problem, table, tag
from mmpt.report.recall import (
    HITS,
    Query,
    best_curve,
    chance_curve,
    easiest_and_hardest,
    recall_curve,
)
from mmpt.report.results import Group, Result
from mmpt.report.scores import Queries, read_queries

LISTED = 5
"""Queries in either list."""
LONGEST = 150
"""Characters of a query or a hit."""


def look_at_queries(group: Group, chosen: Sequence[str], draw: Draw) -> Look:
    results, left_out = drawn_results(group)
    lines, lists, problems, bounds = [], [], [], {}
    for result in results:
        try:
            queries = read_queries(result)
        except DataError as error:
            problems.append(problem(str(error)))
            continue
        candidates = queries.scores.shape[1]
        lines.append(Line(result.label, recall_curve(queries.ranks, candidates)))
        if not bounds:
            bounds = {CHANCE: chance_curve(candidates)}
            if queries.texts is not None:
                bounds[AT_MOST] = best_curve(queries.texts, candidates)
        if result.is_best:
            lists.append(_listed_queries(queries, result))
    curves = join(problems)
    if lines:
        caption = (
            f"Share of {group.results[0].items} queries whose own video is among the first k. "
            "Dashed: a random order."
        )
        if AT_MOST in bounds:
            caption += " Dotted: no model gets above, since equal texts share one list of videos."
        bound_lines = [Line(name, values, is_bound=True) for name, values in bounds.items()]
        png = drawing.recall_figure([*lines, *bound_lines])
        curves += draw("recall", png, f"Recall curves, {group.title}", caption + left_out)
    at = {
        name: {f"R{k}": float(values[k - 1]) for k in (1, 5, 10) if k <= len(values)}
        for name, values in bounds.items()
    }
    if CHANCE in at:
        at[CHANCE]["MR"] = (candidates + 1) / 2
    return Look(
        at,
        Html(heading_of(group) + curves),
        Html(heading_of(group) + join(lists)) if lists else Html(),
    )


def _listed_queries(queries: Queries, result: Result) -> Html:
    if queries.texts is None or queries.candidates is None:
        return problem(
            f"{result.label}: no names beside {result.scores}; an earlier version wrote none: "
            "evaluate anew to see queries"
        )
    return query_tables(
        result.label, queries.scores, queries.ranks, queries.texts, queries.candidates, "text"
    )


def query_tables(
    label: str,
    scores: np.ndarray,
    ranks: np.ndarray,
    texts: Sequence[str],
    names: Sequence[str],
    what: str,
) -> Html:
    easy, hard = easiest_and_hardest(scores, ranks, LISTED)
    heads = (what, "rank", "margin", "first hit", "second", "third")
    parts = [tag("h4", label)]
    for title, found in (("Easiest", easy), ("Hardest", hard)):
        rows = [_query_row(query, texts, names) for query in found]
        parts += [paragraph(tag("strong", title)), table(heads, rows)]
    return join(parts)


def _query_row(query: Query, texts: Sequence[str], names: Sequence[str]) -> list[Html]:
    cells = [
        tag("td", cut(texts[query.number]), class_="query"),
        tag("td", query.rank, class_="n"),
        tag("td", f"{query.margin:+.2f}", class_="n"),
    ]
    for place, score in query.hits:
        right = place == query.number
        own = cut(texts[place]) if place < len(texts) else ""
        said = [tag("strong", names[place]), f" ({score:.2f}) ", "✓ its own" if right else own]
        cells.append(tag("td", *said, class_="hit right" if right else "hit"))
    return cells + [tag("td", "", class_="hit")] * (HITS - len(query.hits))


def cut(text: str, most: int = LONGEST) -> str:
    """A text of no more than so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
