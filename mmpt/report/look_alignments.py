"""HTM-Align in the report: heat maps of sentences and seconds."""

from collections.abc import Sequence

from mmpt.errors import DataError
from mmpt.evaluators.htm_align import Alignment
from mmpt.evaluators.htm_protocol import hits, reach
from mmpt.report import drawing
from mmpt.report.grouping import (
    AT_MOST,
    CHANCE,
    KINDS,
    Draw,
    Look,
    best_label,
    best_results,
    heading_of,
)
from mmpt.report.html import Html, join, paragraph, problem, tag
from mmpt.report.recall import good_median_bad
from mmpt.report.results import Group
from mmpt.report.scores import read_alignments


def look_at_alignments(group: Group, chosen: Sequence[str], draw: Draw) -> Look:
    read: dict[str, dict[str, Alignment]] = {}
    problems = []
    for result in best_results(group):
        try:
            read[result.label] = read_alignments(result)
        except DataError as error:
            problems.append(problem(str(error)))
    heading, told = heading_of(group), join(problems)
    if not read:
        return Look({}, alignments=Html(heading + told))
    first = next(iter(read.values())).values()
    bounds = reach([v.coverage > 0 for v in first], [v.sentences for v in first])
    best = best_label(group, read)
    places = _chosen_alignments(read[best], chosen)
    explained = paragraph(
        "Sentences in the order in which they are said, seconds of the video; colour is their "
        "cosine, grey is what no window of the protocol held. White frames are annotated spans of "
        "alignable sentences; a white dot is a best second inside, a red cross one outside. Grey "
        "italics: not alignable. Over all videos the windows allow a recall of "
        f"{bounds.best['Recall']:.3f} at best, and a random scorer gets "
        f"{bounds.chance['Recall']:.3f}."
    )
    pictures = []
    for name, why in places.items():
        for label, videos in read.items():
            if name not in videos:
                pictures.append(problem(f"{label}: {name} was not among its videos"))
                continue
            png = drawing.alignment_figure(videos[name])
            caption = join([tag("strong", name), f" ({why}), {label}: {_told(videos[name])}"])
            pictures.append(draw("alignment", png, f"Alignment of {name}, {label}", caption))
    return Look(
        {CHANCE: bounds.chance, AT_MOST: bounds.best},
        alignments=Html(heading + told + explained + join(pictures)) if places else Html(),
        videos=frozenset(read[best]),
    )


def _chosen_alignments(videos: dict[str, Alignment], chosen: Sequence[str]) -> dict[str, str]:
    """Video -> why it is shown: chosen, or by its recall (of equal ones, by its sentences)."""
    if chosen:
        return {name: "chosen" for name in chosen if name in videos}
    found = {name: hits(v.similarity, v.sentences) for name, v in videos.items()}
    some = {name: right for name, right in found.items() if len(right)}
    names = sorted(some, key=lambda name: (-some[name].mean(), -len(some[name]), name))
    places = good_median_bad([-place for place in range(len(names))])
    return {names[p]: f"{kind} recall" for p, kind in zip(places, KINDS, strict=False)}


def _told(video: Alignment) -> str:
    right = hits(video.similarity, video.sentences)
    more = len(video.texts) - drawing.MOST_ROWS
    left_out = f"; the last {more} sentences are not drawn" if more > 0 else ""
    others = len(video.texts) - len(right)
    return f"{right.sum()} of {len(right)} alignable sentences found, {others} others{left_out}."
