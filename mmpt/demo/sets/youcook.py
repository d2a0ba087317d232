"""The YouCook2 part: long videos of a task, some of whose steps are clips with a sentence.

Clips of several videos show the same step, as recipes share theirs, and no model tells their
sentences apart: the recall of single clips stays below 1, that of whole videos does not.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline, draw_video_ids, lay_out, render
from mmpt.demo.narration import describe
from mmpt.demo.sets.base import DemoSet, shown_truth, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World
from mmpt.io.pickles import save_pickle

FEATURES = "youcook_validation_feature_fps30_512"
CLIPS = (3, 8)
"""Fewest and most clips of a video; a task of fewer steps has fewer."""
BACKGROUND_SHARE = 0.4


def plan_youcook(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws videos and the sentences of their clips; tasks take turns."""
    rng = stream(settings.seed, "youcook")
    ids = draw_video_ids(settings.youcook_videos, rng, set())
    timelines = [
        _video(video_id, number % len(world.tasks), world, rng)
        for number, video_id in enumerate(ids)
    ]
    sentences = [
        [describe([world.steps[part.step]], rng) for part in timeline.shown]
        for timeline in timelines
    ]
    return DemoSet(
        texts=[],
        truth=shown_truth(timelines),
        write=partial(
            _write, world=world, settings=settings, timelines=timelines, sentences=sentences
        ),
    )


def _video(video_id: str, task: int, world: World, rng: np.random.Generator) -> Timeline:
    steps = world.tasks[task].steps
    fewest, most = CLIPS
    count = min(int(rng.integers(fewest, most + 1)), len(steps))
    places = np.sort(rng.choice(len(steps), size=count, replace=False))
    return Timeline(video_id, task, lay_out([steps[i] for i in places], BACKGROUND_SHARE, rng))


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    timelines: Sequence[Timeline],
    sentences: Sequence[list[str]],
) -> None:
    folder = out / "youcook"
    rng = stream(settings.seed, "youcook", "features")
    write_features(folder / FEATURES, timelines, render(timelines, world, settings, rng))
    videos = {
        timeline.video_id: _annotation(timeline, said)
        for timeline, said in zip(timelines, sentences, strict=True)
    }
    write_json(folder / "youcookii_annotations_trainval.json", {"database": videos})
    listed = [
        {"id": f"{timeline.video_id}_{number}", "caption": world.steps[part.step].name}
        for timeline in timelines
        for number, part in enumerate(timeline.shown)
    ]
    save_pickle(folder / "youcook_val.pkl", listed)


def _annotation(timeline: Timeline, sentences: list[str]) -> dict[str, Any]:
    clips = [
        {"id": number, "segment": [part.start, part.end], "sentence": sentence}
        for number, (part, sentence) in enumerate(zip(timeline.shown, sentences, strict=True))
    ]
    return {
        "subset": "validation",
        "recipe_type": str(timeline.task),
        "duration": timeline.seconds,
        "annotations": clips,
    }
