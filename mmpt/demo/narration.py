"""What is said: captions with times, the two kinds of noise of instruction videos, and the truth.

* *shifted*: said some seconds before or after what it speaks of is seen;
* *irrelevant*: about nothing that is seen (small talk, or a step of another video).

Besides, some steps are shown in silence and some words say nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmpt.demo import words
from mmpt.demo.footage import Segment, Timeline
from mmpt.demo.settings import CorpusSettings
from mmpt.demo.world import Step, World

ALIGNED, SHIFTED, IRRELEVANT = KINDS = ("aligned", "shifted", "irrelevant")
SHIFT_SECONDS = (4.0, 12.0)
"""Smallest and largest shift of a shifted caption, either way."""
SECONDS_PER_CAPTION = 6
"""A step shown for that long is narrated by one caption; twice as long, by two."""
RECALL_CHANCE = 0.25
"""Chance that an irrelevant caption names a step the video does not show."""


class Caption(NamedTuple):
    """A caption as written to the files, and where it belongs.

    Attributes:
        start, end: seconds in the files.
        text: as spoken.
        kind: aligned, shifted or irrelevant.
        step: what it speaks of; of an irrelevant caption -1.
        true_start, true_end: the seconds it belongs to; of an irrelevant caption -1.
    """

    start: float
    end: float
    text: str
    kind: str
    step: int
    true_start: float
    true_end: float


def narrate(
    timeline: Timeline, world: World, settings: CorpusSettings, rng: np.random.Generator
) -> list[Caption]:
    """The captions of one video, sorted by start; at least one."""
    spoken = [part for part in timeline.shown if rng.random() >= settings.silent]
    spoken = spoken or [timeline.shown[0]]
    captions = []
    for segment in spoken:
        for start, end in _slots(segment, rng):
            text = _say(world.steps[segment.step], settings.filler, rng)
            captions.append(Caption(start, end, text, ALIGNED, segment.step, start, end))
    captions = [
        _shift(caption, timeline.seconds, rng) if rng.random() < settings.shift_noise else caption
        for caption in captions
    ]
    captions += _small_talk(timeline, len(captions), world, settings.irrelevant, rng)
    return sorted(captions)


def describe(steps: Sequence[Step], rng: np.random.Generator) -> str:
    """An annotator's sentence about a short video: every step is named, in order."""
    named = [_pick(words.DESCRIBED, rng).format(**step._asdict()) for step in steps]
    return f"{_pick(words.SUBJECTS, rng)} {' and then '.join(named)}"


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _sentence(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}."


def _slots(segment: Segment, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Times of a step's captions: equal shares of the segment, a random piece of each."""
    count = max(1, (segment.end - segment.start) // SECONDS_PER_CAPTION)
    share = (segment.end - segment.start) / count
    slots = []
    for number in range(count):
        lead, tail = rng.random(2) * 0.25 * share
        first = segment.start + number * share
        slots.append((round(first + lead, 2), round(first + share - tail, 2)))
    return slots


def _say(step: Step, filler: float, rng: np.random.Generator) -> str:
    opener = closer = ""
    if rng.random() < filler:
        opener = _pick(words.OPENERS, rng)
        closer = _pick(words.CLOSERS, rng) if rng.random() < 0.5 else ""
    return _sentence(opener, _pick(words.SAID, rng).format(**step._asdict()), closer)


def _shift(caption: Caption, seconds: int, rng: np.random.Generator) -> Caption:
    """Moves a caption earlier or later; where the video ends it goes the other way."""
    by = rng.uniform(*SHIFT_SECONDS) * (1 if rng.random() < 0.5 else -1)
    if not 0 <= caption.start + by <= caption.end + by <= seconds:
        by = -by
    length = caption.end - caption.start
    start = round(min(max(caption.start + by, 0.0), seconds - length), 2)
    if start == caption.start:  # a video with no room to move in
        return caption
    return caption._replace(start=start, end=round(start + length, 2), kind=SHIFTED)


def _small_talk(
    timeline: Timeline, others: int, world: World, share: float, rng: np.random.Generator
) -> list[Caption]:
    """As many irrelevant captions as make `share` of all, at random times."""
    wanted = others * share / (1 - share)
    count = int(wanted) + int(rng.random() < wanted % 1)
    shown = {segment.step for segment in timeline.shown}
    unseen = [i for i in range(len(world.steps)) if i not in shown]
    captions = []
    for _ in range(count):
        if unseen and rng.random() < RECALL_CHANCE:
            step = world.steps[unseen[int(rng.integers(len(unseen)))]]
            text = _sentence(_pick(words.RECALLED, rng).format(**step._asdict()))
        elif rng.random() < 0.3:  # a run-on caption, longer than the 96 characters that are read
            first, second, third = rng.choice(len(words.CHATTER), size=3, replace=False)
            chatter = words.CHATTER
            text = _sentence(chatter[first], "and", chatter[second], "and", chatter[third])
        else:
            text = _sentence(_pick(words.CHATTER, rng))
        length = rng.uniform(2.0, 5.0)
        start = round(rng.uniform(0.0, max(timeline.seconds - length, 0.0)), 2)
        end = round(min(start + length, timeline.seconds), 2)
        captions.append(Caption(start, end, text, IRRELEVANT, -1, -1.0, -1.0))
    return captions
