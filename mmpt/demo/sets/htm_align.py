"""The HTM-Align part: narrated videos with a note on every sentence, is it seen and when.

The narration is the HowTo100M part's, with more small talk.  What the annotators of HTM-Align did
by eye is read off the truth: a sentence about a step is alignable, and its seconds are those in
which the step is shown, whenever it was said; the others keep the seconds of the narration.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline, draw_video_ids, render, task_timeline
from mmpt.demo.narration import IRRELEVANT, Caption, narrate
from mmpt.demo.sets.base import DemoSet, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World

FOLDER = "how2-align"
IRRELEVANT_SHARE = 0.25
"""More than in training, as the protocol's windows follow the sentences that are not alignable; few
enough that some sentences lie in no window, as in HTM-Align."""


def plan_htm_align(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws the videos, what is said in each, and notes what of it is seen."""
    rng = stream(settings.seed, "htm_align")
    chatty = replace(settings, irrelevant=IRRELEVANT_SHARE)
    timelines = [
        task_timeline(video_id, world, settings, rng)
        for video_id in draw_video_ids(settings.align_videos, rng, set())
    ]
    captions = [narrate(timeline, world, chatty, rng) for timeline in timelines]
    notes = [
        [_note(caption, timeline) for caption in said]
        for timeline, said in zip(timelines, captions, strict=True)
    ]
    return DemoSet(
        texts=[caption.text for said in captions for caption in said],
        truth={
            timeline.video_id: {
                "task": timeline.task,
                "seconds": timeline.seconds,
                "segments": [list(segment) for segment in timeline.segments],
                "sentences": [
                    {"aligned": note[0], "start": note[1], "end": note[2], "step": caption.step}
                    for note, caption in zip(noted, said, strict=True)
                ],
            }
            for timeline, noted, said in zip(timelines, notes, captions, strict=True)
        },
        write=partial(_write, world=world, settings=settings, timelines=timelines, notes=notes),
    )


def _note(caption: Caption, timeline: Timeline) -> list:
    """[aligned, start, end, text]."""
    if caption.kind == IRRELEVANT:
        return [0, caption.start, caption.end, caption.text]
    (segment,) = (part for part in timeline.shown if part.step == caption.step)
    return [1, float(segment.start), float(segment.end), caption.text]


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    timelines: Sequence[Timeline],
    notes: Sequence[list],
) -> None:
    rng = stream(settings.seed, "htm_align", "features")
    folder = out / FOLDER
    write_features(folder, timelines, render(timelines, world, settings, rng))
    annotation = {t.video_id: noted for t, noted in zip(timelines, notes, strict=True)}
    write_json(folder / "htm_align.json", annotation)
