"""The report's tables of numbers: the first ones of all results, and all of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmpt.report.counterparts import published_of
from mmpt.report.grouping import Look, heading_of
from mmpt.report.html import Html, breakable, join, paragraph, problem, scrolled, table, tag
from mmpt.report.published import SOURCE
from mmpt.report.results import (
    Group,
    Number,
    Result,
    ResultsFile,
    first_number,
)

FIRST = 4
"""Numbers in the first table, where nothing else is said."""
_COMPARISONS = ("R1", "DTW-R1", "OTAM-R1", "DTW-exact-R1", "OTAM-exact-R1", "OT-R1")
HEADLINES = {
    "FullVideoRetrievalMetric": _COMPARISONS,
    "FullVideoBGRetrievalMetric": _COMPARISONS,
    "CrossTaskMetric": ("recall",),  # the others are of single tasks
}
"""Metric class -> its numbers in the first table; else the first ones."""
PUBLISHED_ROWS = {"norton": "Norton, as published", "videoclip": "VideoCLIP, as published"}
COLUMNS = 6
"""Numbers of one table of all: as many as paper is wide."""
DIGITS = 12
"""Of a checkpoint's SHA-256."""


def overview(groups: Sequence[Group], looks: Sequence[Look], files: Sequence[ResultsFile]) -> Html:
    """The first numbers of every checkpoint, with intervals, bounds and published counterparts."""
    bodies = [_group_body(group, look) for group, look in zip(groups, looks, strict=True)]
    compared = any(published_of(result) for group in groups for result in group.results)
    notes = [
        "In brackets: 95 % intervals, of 1,000 draws of the test videos. They tell how far another "
        "test set of this kind could differ, not how far another training could. Bold: the highest "
        "first number of a test set. “At most” is what equal texts, or the windows of a protocol, "
        "allow; the data may allow less."
    ]
    if compared:
        notes.append(f"Published numbers: {SOURCE}.")
    else:
        notes.append(
            "No published numbers stand here: they belong to the released job files on the whole "
            "published test sets, and none of these results is of that kind."
        )
    notes += [_told_selected(file) for file in files if file.selected_on_test]
    failed = [
        problem(f"{one.get('checkpoint')} was not evaluated: {one.get('error')} ({file.path})")
        for file in files
        for one in file.failed
    ]
    told = [paragraph(note, soft=True) for note in notes]
    return join([scrolled(tag("table", *bodies, class_="fixed")), *failed, *told])


def _told_selected(file: ResultsFile) -> str:
    reason = file.reason or f"the best of {len(file.results)} checkpoints on this test set"
    return (
        f"{Path(file.results[0].job).stem}: the best checkpoint was chosen on the test set itself, "
        f"and its numbers are a little too good ({reason})."
    )


def _group_body(group: Group, look: Look) -> Html:
    names = headline(group)
    width = 1 + max(len(names), 1)
    best = group.best if first_number(group.best) > -math.inf else None
    rows = [
        tag("tr", tag("th", tag("span", breakable(group.title)), colspan=width, class_="title")),
        tag("tr", tag("th", _counted(group)), *(tag("th", n, class_="n") for n in names),
            class_="heads"),
    ]  # fmt: skip
    for result in group.results:
        cells = [_number_cell(result, name) for name in names]
        limit = "" if result.limit is None else f"; the first {result.limit} items alone"
        said = breakable(f" {Path(result.job).stem}{limit}{_twin(result, group)}")
        name = tag("td", breakable(result.label), tag("span", said, class_="soft"), class_="name")
        rows.append(tag("tr", name, *cells, class_="model best" if result is best else "model"))
    for name, values in look.bounds.items():
        rows.append(_values_row(name, values, names, "bound"))
    rows += _published_rows(group, names)
    return tag("tbody", *rows, class_="group")


def headline(group: Group) -> list[str]:
    """The numbers of a group's first table."""
    names = metrics_of(group)
    return [name for name in HEADLINES.get(group.metric, names[:FIRST]) if name in names]


def metrics_of(group: Group) -> list[str]:
    """The names of all numbers of a group."""
    return list(dict.fromkeys(name for result in group.results for name in result.metrics))


def _counted(group: Group) -> str:
    return f"{group.results[0].items} items"


def _twin(result: Result, group: Group) -> str:
    for other in group.results:
        if other is result:
            return ""
        if other.sha256 == result.sha256 and other.job == result.job:
            return f"; the same content as {other.label}"
    return ""


def _number_cell(result: Result, name: str) -> Html:
    if name not in result.metrics:
        return tag("td", "–", class_="n")
    interval = result.intervals.get(name)
    parts: list[object] = [shown(name, result.metrics[name])]
    if interval is not None and not any(map(math.isnan, interval)):
        ends = ", ".join(shown(name, end) for end in interval)
        parts.append(tag("span", f" [{ends}]", class_="soft"))
    return tag("td", *parts, class_="n")


def _values_row(name: str, values: Mapping[str, float], names: Sequence[str], kind: str) -> Html:
    cells = [tag("td", shown(n, values[n]) if n in values else "", class_="n") for n in names]
    return tag("tr", tag("td", name), *cells, class_=kind)


def _published_rows(group: Group, names: Sequence[str]) -> list[Html]:
    rows, seen = [], set()
    for result in group.results:
        stem, numbers = Path(result.job).stem, published_of(result)
        if numbers is None or stem in seen or not numbers.keys() & set(names):
            continue
        seen.add(stem)
        for model, label in PUBLISHED_ROWS.items():
            values = {name: getattr(number, model) for name, number in numbers.items()}
            rows.append(_values_row(f"{label} ({stem})", values, names, "published"))
    return rows


def shown(name: str, value: Number) -> str:
    """A number, or several, a dash for NaN; medians of ranks have one decimal."""
    if isinstance(value, Sequence):
        return ", ".join(shown(name, one) for one in value)
    if math.isnan(value):
        return "–"
    return f"{value:.1f}" if name.endswith("MR") else f"{value:.3f}"


def all_numbers(groups: Sequence[Group]) -> Html:
    """Every number of every group: a row a checkpoint, `COLUMNS` numbers a table."""
    parts = []
    for group in groups:
        parts.append(heading_of(group))
        names = metrics_of(group)
        if not names:
            parts.append(paragraph("This job only predicts."))
        for start in range(0, len(names), COLUMNS):
            parts.append(_numbers_table(group, names[start : start + COLUMNS]))
    return join(parts)


def _numbers_table(group: Group, names: Sequence[str]) -> Html:
    rows = [
        tag(
            "tr",
            tag("td", breakable(result.label), class_="name"),
            *(_number_cell(result, name) for name in names),
        )
        for result in group.results
    ]
    rows += _published_rows(group, names)
    heads = [tag("th", ""), *(tag("th", breakable(name), class_="n") for name in names)]
    head = tag("thead", tag("tr", *heads))
    return scrolled(tag("table", head, tag("tbody", *rows), class_="fixed all"))


def sources(files: Sequence[ResultsFile], problems: Sequence[str] = ()) -> Html:
    """What the page was made from, and which files were left out."""
    heads = ("results file", "job file", "checkpoint", "its SHA-256", "versions")
    rows = []
    for file in files:
        versions = ", ".join(f"{name} {version}" for name, version in file.versions.items())
        for result in file.results:
            digest = result.sha256[:DIGITS]
            rows.append((file.path, result.job, result.checkpoint, digest, versions))
    named = [tuple(tag("td", breakable(cell), class_="hit") for cell in row) for row in rows]
    return join([*(problem(f"left out: {line}") for line in problems), table(heads, named)])
