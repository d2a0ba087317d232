"""The report's tables of numbers: the first ones of all results, and all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmpt.report.grouping import Look, heading_of, labels_of
from mmpt.report.html import Html, breakable, join, paragraph, problem, scrolled, table, tag
from mmpt.report.published import SOURCE, Published
from mmpt.report.results import Group, Number, Result, ResultsFile, published_of

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
    selected = [file for file in files if file.selected_on_test]
    if selected:
        named = [f"{Path(f.results[0].job).stem} (of {len(f.results)})" for f in selected]
        notes.append(
            "Several checkpoints were evaluated on one test set, and the best of them is the best "
            f"on that set itself: its numbers are a little too good. This holds for "
            f"{', '.join(named)}."
        )
    failed = [
        problem(f"{one.get('checkpoint')} was not evaluated: {one.get('error')} ({file.path})")
        for file in files
        for one in file.failed
    ]
    told = [paragraph(note, soft=True) for note in notes]
    return join([scrolled(tag("table", *bodies, class_="fixed")), *failed, *told])


def _group_body(group: Group, look: Look) -> Html:
    names = headline(group)
    width = 1 + max(len(names), 1)
    best = group.best if group.results[0].metrics else None
    rows = [
        tag("tr", tag("th", tag("span", breakable(group.title)), colspan=width, class_="title")),
        tag("tr", tag("th", _counted(group)), *(tag("th", n, class_="n") for n in names),
            class_="heads"),
    ]  # fmt: skip
    for result, label in zip(group.results, labels_of(group.results), strict=True):
        cells = [_number_cell(result, name) for name in names]
        said = breakable(f" {Path(result.job).stem}{_twin(result, group)}")
        name = tag("td", breakable(label), tag("span", said, class_="soft"), class_="name")
        rows.append(tag("tr", name, *cells, class_="model best" if result is best else "model"))
    for name, values in look.bounds.items():
        rows.append(_values_row(name, values, names, "bound"))
    rows += _published_rows(group, names)
    return tag("tbody", *rows, class_="group")


def headline(group: Group) -> list[str]:
    """The numbers of a group's first table."""
    names = list(group.results[0].metrics)
    return [name for name in HEADLINES.get(group.metric, names[:FIRST]) if name in names]


def _counted(group: Group) -> str:
    return f"{group.results[0].items} items"


def _twin(result: Result, group: Group) -> str:
    for other in group.results:
        if other is result:
            return ""
        if other.sha256 == result.sha256 and other.job == result.job:
            return f"; the same content as {other.name}"
    return ""


def _number_cell(result: Result, name: str) -> Html:
    if name not in result.metrics:
        return tag("td", "–", class_="n")
    interval = result.intervals.get(name)
    parts: list[object] = [shown(name, result.metrics[name])]
    if interval is not None:
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
        if numbers is None or stem in seen:
            continue
        seen.add(stem)
        for model, label in PUBLISHED_ROWS.items():
            values = {name: getattr(number, model) for name, number in numbers.items()}
            rows.append(_values_row(f"{label} ({stem})", values, names, "published"))
    return rows


def shown(name: str, value: Number) -> str:
    """A number, or several; medians of ranks have one decimal."""
    if isinstance(value, Sequence):
        return ", ".join(shown(name, one) for one in value)
    return f"{value:.1f}" if name.endswith("MR") else f"{value:.3f}"


def all_numbers(groups: Sequence[Group]) -> Html:
    """Every number of every group: a row a number, a column a checkpoint."""
    parts = []
    for group in groups:
        parts.append(heading_of(group))
        names = list(dict.fromkeys(name for result in group.results for name in result.metrics))
        if not names:
            parts.append(paragraph("This job only predicts."))
            continue
        published = _published_columns(group)
        heads = ["", *map(breakable, [*labels_of(group.results), *published])]
        rows = [
            [
                tag("td", name),
                *(_number_cell(result, name) for result in group.results),
                *(_published_cell(numbers, name) for numbers in published.values()),
            ]
            for name in names
        ]
        parts.append(table(heads, rows, numbers=len(heads) - 1, fixed=True))
    return join(parts)


def _published_columns(group: Group) -> dict[str, dict[str, float]]:
    columns = {}
    for result in group.results:
        numbers: Mapping[str, Published] = published_of(result) or {}
        for model, label in PUBLISHED_ROWS.items() if numbers else ():
            values = {name: getattr(number, model) for name, number in numbers.items()}
            columns[f"{label} ({Path(result.job).stem})"] = values
    return columns


def _published_cell(numbers: Mapping[str, float], name: str) -> Html:
    return tag("td", shown(name, numbers[name]) if name in numbers else "", class_="n")


def sources(files: Sequence[ResultsFile]) -> Html:
    """What the page was made from."""
    heads = ("results file", "job file", "checkpoint", "its SHA-256", "versions")
    rows = []
    for file in files:
        versions = ", ".join(f"{name} {version}" for name, version in file.versions.items())
        for result in file.results:
            digest = result.sha256[:DIGITS]
            rows.append((file.path, result.job, result.checkpoint, digest, versions))
    named = [tuple(tag("td", breakable(cell), class_="hit") for cell in row) for row in rows]
    return table(heads, named)
