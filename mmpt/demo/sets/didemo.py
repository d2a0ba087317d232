"""The DiDeMo part: videos of six chunks of five seconds, and sentences about a moment of each."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import BACKGROUND, Segment, Timeline, draw_video_ids, render
from mmpt.demo.narration import describe
from mmpt.demo.sets.base import DemoSet, shown_truth, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World

FEATURES = "feat/feat_didemo_s3d"
EXTENSION = ".m4v"
CHUNKS, CHUNK_SECONDS = 6, 5
ANNOTATORS = 4
MOMENTS_SHOWN = 2
"""A step each, of a chunk or more, with background between."""
DISSENT = 0.5
"""Chance that the last annotator notes another moment; the others note what is shown."""

Moment = tuple[int, int]


class Description(NamedTuple):
    """A sentence, the chunks of its step, first and last, and what the annotators noted."""

    text: str
    moment: Moment
    times: list[Moment]


def plan_didemo(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws the videos, and a description of every moment that shows a step."""
    rng = stream(settings.seed, "didemo")
    ids = draw_video_ids(settings.didemo_videos, rng, set())
    timelines = [
        Timeline(f"{video_id}{EXTENSION}", -1, _chunks(len(world.steps), rng)) for video_id in ids
    ]
    described = {
        timeline.video_id: [_describe(part, world, rng) for part in timeline.shown]
        for timeline in timelines
    }
    truth = shown_truth(timelines)
    for video_id, descriptions in described.items():
        truth[video_id]["moments"] = [list(told.moment) for told in descriptions]
    return DemoSet(
        texts=[],
        truth=truth,
        write=partial(
            _write, world=world, settings=settings, timelines=timelines, described=described
        ),
    )


def _chunks(steps: int, rng: np.random.Generator) -> tuple[Segment, ...]:
    """Two steps, from and to some of the seven borders of chunks, and background elsewhere."""
    shown = rng.choice(steps, size=MOMENTS_SHOWN, replace=False)
    borders = np.sort(rng.choice(CHUNKS + 1, size=2 * MOMENTS_SHOWN, replace=False))
    seconds = [0, *(int(border) * CHUNK_SECONDS for border in borders), CHUNKS * CHUNK_SECONDS]
    contents = [BACKGROUND, int(shown[0]), BACKGROUND, int(shown[1]), BACKGROUND]
    parts = zip(seconds[:-1], seconds[1:], contents, strict=True)
    return tuple(Segment(*part) for part in parts if part[0] < part[1])


def _describe(part: Segment, world: World, rng: np.random.Generator) -> Description:
    moment = (part.start // CHUNK_SECONDS, part.end // CHUNK_SECONDS - 1)
    times = [moment] * ANNOTATORS
    if rng.random() < DISSENT:
        first, last = np.sort(rng.integers(CHUNKS, size=2))
        times[-1] = (int(first), int(last))
    return Description(describe([world.steps[part.step]], rng), moment, times)


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    timelines: Sequence[Timeline],
    described: Mapping[str, Sequence[Description]],
) -> None:
    rng = stream(settings.seed, "didemo", "features")
    write_features(out / FEATURES, timelines, render(timelines, world, settings, rng))
    pairs = [(video_id, told) for video_id, tellings in described.items() for told in tellings]
    records = [
        {
            "annotation_id": number,
            "video": video_id,
            "num_segments": CHUNKS,
            "description": told.text,
            "times": told.times,
        }
        for number, (video_id, told) in enumerate(pairs)
    ]
    write_json(out / "didemo" / "test_data.json", records)
