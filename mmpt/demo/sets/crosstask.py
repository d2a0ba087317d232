"""The CrossTask part: videos of the world's tasks, and the seconds of each step in them.

All tasks are primary ones.  The related tasks, which CrossTask lists without annotating them, are
listed here as well, with videos that have neither annotation nor features.
"""

import csv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import SKIPPED_STEPS, Timeline, draw_video_ids, lay_out, render
from mmpt.demo.sets.base import DemoSet, shown_truth, write_features
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import Task, World

FOLDER = "crosstask/crosstask_release"
FEATURES = "feat/feat_crosstask_s3d"
FIRST_TASK = 10_000
"""The id of the world's first task; CrossTask's have five digits as well."""
RELATED_TASKS, RELATED_STEPS = 2, 5
BACKGROUND_SHARE = 0.5


class Related(NamedTuple):
    """A task that is listed only, and its only video."""

    task: Task
    video_id: str


def plan_crosstask(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws the videos of every task, each with most of its steps in order."""
    rng = stream(settings.seed, "crosstask")
    taken: set[str] = set()
    timelines = [
        _video(video_id, task, world, rng)
        for task in range(len(world.tasks))
        for video_id in draw_video_ids(settings.crosstask_videos, rng, taken)
    ]
    held_out = timelines[:: settings.crosstask_videos]  # the first of every task
    related = [
        Related(_other_job(number, world, rng), video_id)
        for number, video_id in enumerate(draw_video_ids(RELATED_TASKS, rng, taken))
    ]
    return DemoSet(
        texts=[],
        truth={
            "videos": shown_truth(timelines),
            "held_out": [timeline.video_id for timeline in held_out],
        },
        write=partial(
            _write,
            world=world,
            settings=settings,
            timelines=timelines,
            held_out=held_out,
            related=related,
        ),
    )


def task_id(task: int) -> str:
    """What the files call a task of the world."""
    return str(FIRST_TASK + task)


def _video(video_id: str, task: int, world: World, rng: np.random.Generator) -> Timeline:
    steps = world.tasks[task].steps
    kept = [step for step in steps if rng.random() >= SKIPPED_STEPS] or [steps[0]]
    return Timeline(video_id, task, lay_out(kept, BACKGROUND_SHARE, rng))


def _other_job(number: int, world: World, rng: np.random.Generator) -> Task:
    count = min(RELATED_STEPS, len(world.steps))
    steps = rng.choice(len(world.steps), size=count, replace=False)
    return Task(f"other job {number}", tuple(int(step) for step in steps))


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    timelines: Sequence[Timeline],
    held_out: Sequence[Timeline],
    related: Sequence[Related],
) -> None:
    rng = stream(settings.seed, "crosstask", "features")
    write_features(out / FEATURES, timelines, render(timelines, world, settings, rng))
    folder = out / FOLDER
    (folder / "annotations").mkdir(parents=True)
    primary = dict(enumerate(world.tasks))
    others = {len(primary) + number: entry.task for number, entry in enumerate(related)}
    _write_tasks(folder / "tasks_primary.txt", primary, world)
    _write_tasks(folder / "tasks_related.txt", others, world)
    listed = [(timeline.task, timeline.video_id) for timeline in timelines]
    unseen = [(task, entry.video_id) for task, entry in zip(others, related, strict=True)]
    _write_videos(folder / "videos.csv", [*listed, *unseen])
    _write_videos(folder / "videos_val.csv", [(t.task, t.video_id) for t in held_out])
    for timeline in timelines:
        steps = world.tasks[timeline.task].steps
        name = f"{task_id(timeline.task)}_{timeline.video_id}.csv"
        rows = [
            (steps.index(part.step) + 1, float(part.start), float(part.end))
            for part in timeline.shown
        ]
        _write_rows(folder / "annotations" / name, rows)


def _write_tasks(path: Path, tasks: dict[int, Task], world: World) -> None:
    """A block a task: id, title, address, number of steps, steps, and a blank line."""
    blocks = []
    for number, task in tasks.items():
        names = [world.steps[step].name for step in task.steps]
        lines = [task_id(number), task.name, _address("task", task_id(number))]
        blocks.append("\n".join([*lines, str(len(names)), ",".join(names), "", ""]))
    path.write_text("".join(blocks), encoding="utf-8")


def _write_videos(path: Path, videos: Iterable[tuple[int, str]]) -> None:
    rows = [(task_id(task), video_id, _address("video", video_id)) for task, video_id in videos]
    _write_rows(path, rows)


def _write_rows(path: Path, rows: Iterable[tuple]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _address(kind: str, name: str) -> str:
    """Stands where CrossTask has a web address; nothing is there."""
    return f"https://demo.invalid/{kind}/{name}"
