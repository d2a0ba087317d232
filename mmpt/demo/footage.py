"""What is seen: timelines of steps with background between, and their feature rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmpt.demo.settings import FEATURE_WIDTH, CorpusSettings
from mmpt.demo.world import World, unit_rows

BACKGROUND = -1
STEP_SECONDS = (6, 14)
"""Shortest and longest showing of a step."""
SKIPPED_STEPS = 0.15
"""Chance that a video leaves one of its task's steps out."""

_ID_LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))


class Segment(NamedTuple):
    """Seconds [start, end) that show one step, or background (`step` -1)."""

    start: int
    end: int
    step: int


class Timeline(NamedTuple):
    """One video: the task it follows (-1: none) and gapless segments from second 0 on."""

    video_id: str
    task: int
    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> int:
        return self.segments[-1].end

    @property
    def shown(self) -> tuple[Segment, ...]:
        """The segments that show a step."""
        return tuple(part for part in self.segments if part.step != BACKGROUND)


def draw_video_ids(count: int, rng: np.random.Generator, taken: set[str]) -> list[str]:
    """`count` new ids of 11 letters as HowTo100M's; they are added to `taken`."""
    ids: list[str] = []
    while len(ids) < count:
        video_id = "".join(_ID_LETTERS[rng.integers(len(_ID_LETTERS), size=11)])
        if video_id not in taken:
            taken.add(video_id)
            ids.append(video_id)
    return ids


def task_timeline(
    video_id: str, world: World, settings: CorpusSettings, rng: np.random.Generator
) -> Timeline:
    """A video that follows a task: most of its steps in order, background before and between."""
    task = int(rng.integers(len(world.tasks)))
    steps = [s for s in world.tasks[task].steps if rng.random() >= SKIPPED_STEPS]
    steps = steps or [world.tasks[task].steps[0]]
    return Timeline(video_id, task, lay_out(steps, settings.background_share, rng))


def lay_out(
    steps: Sequence[int],
    background_share: float,
    rng: np.random.Generator,
    step_seconds: tuple[int, int] = STEP_SECONDS,
) -> tuple[Segment, ...]:
    """Segments for these steps, with gaps that take about `background_share` of the time.

    Args:
        steps: in the order they are shown in.
        background_share: 0 to 0.8.
        rng: source of draws.
        step_seconds: shortest and longest showing of a step.
    """
    shortest, longest = step_seconds
    mean_step = (shortest + longest) / 2
    # a gap stands before every step, so a step and its gap last mean_step / (1 - share)
    mean_gap = mean_step * background_share / (1 - background_share)
    segments: list[Segment] = []
    now = 0
    for step in steps:
        gap = int(rng.integers(0, round(2 * mean_gap) + 1))
        if gap:
            segments.append(Segment(now, now + gap, BACKGROUND))
            now += gap
        length = int(rng.integers(shortest, longest + 1))
        segments.append(Segment(now, now + length, step))
        now += length
    return tuple(segments)


def render(
    timelines: Sequence[Timeline], world: World, settings: CorpusSettings, rng: np.random.Generator
) -> list[np.ndarray]:
    """The feature rows of many videos at once.

    A row is the direction of what is seen, plus what the video's seconds have in common, plus
    noise of its own, divided by its length.

    Returns:
        for every video float16 [seconds, 512], rows of length 1 up to rounding.
    """
    table = np.concatenate([world.step_directions, world.background_directions])
    seen: list[np.ndarray] = []
    for timeline in timelines:
        for start, end, step in timeline.segments:
            if step == BACKGROUND:
                step = len(world.steps) + int(rng.integers(len(world.background_directions)))
            seen.append(np.full(end - start, step))
    lengths = [timeline.seconds for timeline in timelines]
    # a standard normal vector of this width is about sqrt(width) long
    unit = np.float32(1 / np.sqrt(FEATURE_WIDTH))
    style = rng.standard_normal((len(lengths), FEATURE_WIDTH), dtype=np.float32)
    rows = rng.standard_normal((sum(lengths), FEATURE_WIDTH), dtype=np.float32)
    rows *= np.float32(settings.feature_noise) * unit
    rows += table[np.concatenate(seen)]
    rows += np.repeat(style * (np.float32(settings.video_noise) * unit), lengths, axis=0)
    return np.split(unit_rows(rows).astype(np.float16), np.cumsum(lengths)[:-1])
