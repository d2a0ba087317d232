"""Whole videos by paragraphs in the report: recall curves, queries, DTW paths and plans."""

from collections.abc import Sequence

import numpy as np

from mmpt.errors import DataError
from mmpt.evaluators.retrieval import diagonal_ranks
from mmpt.report import drawing
from mmpt.report.drawing import Line
from mmpt.report.grouping import (
    CHANCE,
    KINDS,
    Draw,
    Look,
    best_label,
    best_results,
    heading_of,
)
from mmpt.report.html import Html, join, problem, tag
from mmpt.report.look_queries import query_tables
from mmpt.report.paragraphs import common_scale, picture_of
from mmpt.report.recall import chance_curve, good_median_bad, recall_curve
from mmpt.report.results import Group
from mmpt.report.scores import Paragraphs, read_paragraphs

PROTOCOL_NAMES = {
    "": "caption average",
    "DTW-exact": "DTW (exact)",
    "OTAM-exact": "OTAM (exact)",
    "OT": "transport",
}


def look_at_paragraphs(group: Group, chosen: Sequence[str], draw: Draw) -> Look:
    read, problems = {}, []
    for result in best_results(group):
        try:
            read[result.label] = read_paragraphs(result)
        except DataError as error:
            problems.append(problem(str(error)))
    heading, told = heading_of(group), join(problems)
    if not read:
        return Look({}, Html(heading + told))
    first = next(iter(read.values()))
    count = len(first.videos.ids)
    chance = chance_curve(count)
    curves, queries, pictures = [told], [], []
    places = _chosen_paragraphs(read, group, chosen)
    for label, found in read.items():
        lines = [
            Line(name, recall_curve(diagonal_ranks(found.similar[protocol]), count))
            for protocol, name in PROTOCOL_NAMES.items()
        ]
        caption = (
            f"{label}: share of {count} paragraphs whose own video is among the first k, by four "
            "ways to compare them. Dashed: a random order."
        )
        png = drawing.recall_figure([*lines, Line(CHANCE, chance, is_bound=True)])
        curves.append(draw("recall", png, f"Recall curves, {group.title}, {label}", caption))
        similar = found.similar[""]
        texts = [" / ".join(captions) for captions in found.texts]
        title, ranks = f"{label}, by caption average", diagonal_ranks(similar)
        queries.append(query_tables(title, similar, ranks, texts, found.videos.ids, "paragraph"))
        pictures.append(_paragraph_pictures(label, found, places, draw))
    depths = [k for k in (1, 5, 10) if k <= count]
    bounds = {f"{p}R{k}": float(chance[k - 1]) for p in _prefixes(group) for k in depths}
    return Look(
        {CHANCE: bounds},
        Html(heading + join(curves)),
        Html(heading + join(queries)),
        paragraphs=Html(heading + join(pictures)) if places else Html(),
        videos=frozenset(first.videos.ids),
    )


def _prefixes(group: Group) -> list[str]:
    names = group.results[0].metrics
    return [name.removesuffix("R1") for name in names if name.endswith("R1")]


def _chosen_paragraphs(
    read: dict[str, Paragraphs], group: Group, chosen: Sequence[str]
) -> dict[str, str]:
    """Video -> why it is shown: chosen, or by the margin of exact DTW under the best result."""
    found = read[best_label(group, read)]
    ids = found.videos.ids
    if chosen:
        return {name: "chosen" for name in chosen if name in ids}
    similar = found.similar["DTW-exact"].astype(np.float64)
    others = similar.copy()
    np.fill_diagonal(others, -np.inf)
    margin = np.diagonal(similar) - others.max(axis=1)
    places = good_median_bad(margin)
    return {ids[p]: f"{kind} margin" for p, kind in zip(places, KINDS, strict=False)}


def _paragraph_pictures(label: str, found: Paragraphs, places: dict[str, str], draw: Draw) -> Html:
    scale = common_scale(found.videos)
    ranks = diagonal_ranks(found.similar["DTW-exact"])
    parts = [tag("h4", label)]
    for name, why in places.items():
        if name not in found.videos.ids:
            parts.append(problem(f"{label}: {name} was not among its videos"))
            continue
        number = found.videos.ids.index(name)
        pair = picture_of(found.videos, number, scale, found.background)
        texts = found.texts[number]
        faded = ""
        if found.background:
            faded = (
                f" Clips are windows over the whole video; {len(pair.kept)} of "
                f"{pair.similarity.shape[1]} take part, the others are faded."
            )
        caption = join(
            [
                tag("strong", name),
                f" ({why}): its {len(texts)} captions with its own clips. By exact DTW this video "
                f"has rank {ranks[number] + 1} of {len(ranks)} for its paragraph; mean cost of the "
                f"path {pair.distance:.3f}. In the plan a caption or clip has mass 1; what is "
                f"missing went to the prompt bucket.{faded}",
            ]
        )
        png = drawing.paragraph_figure(pair, texts)
        parts.append(draw("paragraph", png, f"Alignment of {name}, {label}", caption))
    return join(parts)
