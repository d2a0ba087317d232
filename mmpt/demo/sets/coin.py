"""The COIN part: whole videos, and which step, if any, each of their seconds shows."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline, draw_video_ids, lay_out, render
from mmpt.demo.sets.base import DemoSet, shown_truth, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World

FEATURES = "coin_feature_fps30_512"
SUBSETS = ("training", "testing")
STEPS_SHOWN = 4
"""In a video; more where there are too few videos for every step to be in one."""
BACKGROUND_SHARE = 0.5


def plan_coin(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws the videos of both subsets, in each of which every step is shown."""
    rng = stream(settings.seed, "coin")
    taken: set[str] = set()
    subsets = {}
    for subset in SUBSETS:
        ids = draw_video_ids(settings.coin_videos, rng, taken)
        dealt = _deal(len(world.steps), len(ids), rng)
        subsets[subset] = [
            Timeline(video_id, -1, lay_out(steps, BACKGROUND_SHARE, rng))
            for video_id, steps in zip(ids, dealt, strict=True)
        ]
    return DemoSet(
        texts=[],
        truth={subset: shown_truth(timelines) for subset, timelines in subsets.items()},
        write=partial(_write, world=world, settings=settings, subsets=subsets),
    )


def _deal(steps: int, videos: int, rng: np.random.Generator) -> list[list[int]]:
    """The steps of every video: each step in one at least, none twice in a video."""
    dealt = []
    for own in np.array_split(rng.permutation(steps), videos):
        others = np.setdiff1d(np.arange(steps), own)
        more = min(max(STEPS_SHOWN - len(own), 0), len(others))
        shown = np.concatenate([own, rng.choice(others, size=more, replace=False)])
        dealt.append([int(step) for step in rng.permutation(shown)])
    return dealt


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    subsets: Mapping[str, Sequence[Timeline]],
) -> None:
    folder = out / "coin"
    rng = stream(settings.seed, "coin", "features")
    database = {}
    for subset, timelines in subsets.items():
        write_features(folder / FEATURES, timelines, render(timelines, world, settings, rng))
        database |= {
            timeline.video_id: {
                "subset": subset,
                "duration": float(timeline.seconds),
                "annotation": _segments(timeline, world),
            }
            for timeline in timelines
        }
    write_json(folder / "COIN.json", {"database": database})


def _segments(timeline: Timeline, world: World) -> list[dict[str, Any]]:
    """Label 1 is the world's first step: 0 is background."""
    return [
        {
            "id": str(part.step + 1),
            "segment": [float(part.start), float(part.end)],
            "label": world.steps[part.step].name,
        }
        for part in timeline.shown
    ]
