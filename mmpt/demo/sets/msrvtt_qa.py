"""The questions about the MSR-VTT part's test videos: which of five sentences is about a video."""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline
from mmpt.demo.sets.base import DemoSet
from mmpt.demo.sets.msrvtt import ShortVideos, draw_videos
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World

ANSWERS = 5


class Question(NamedTuple):
    """A video, whose sentences the answers are, and which of them is its own."""

    video_id: str
    answer: int
    about: list[str]
    texts: list[str]


def plan_msrvtt_qa(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws one question a test video.

    The wrong answers are other test videos' sentences, of those that show one of its steps first:
    any others would be told apart without training for it.
    """
    rng = stream(settings.seed, "msrvtt_qa")
    videos = draw_videos(world, settings)  # the same draws as those of the MSR-VTT part
    questions = [_ask(timeline, videos, rng) for timeline in videos.test]
    return DemoSet(
        texts=[],
        truth={
            question.video_id: {"answer": question.answer, "about": question.about}
            for question in questions
        },
        write=partial(_write, questions=questions),
    )


def _ask(timeline: Timeline, videos: ShortVideos, rng: np.random.Generator) -> Question:
    # a test set of one video borrows from the fine-tuning videos, one of up to four repeats some
    others = [other for other in videos.test if other is not timeline] or videos.train
    own = {part.step for part in timeline.shown}
    drawn = [others[i] for i in rng.permutation(len(others))]
    drawn.sort(key=lambda other: own.isdisjoint(part.step for part in other.shown))
    about = [drawn[i % len(drawn)].video_id for i in range(ANSWERS - 1)]
    answer = int(rng.integers(ANSWERS))
    about.insert(answer, timeline.video_id)
    texts = [videos.captions[video_id] for video_id in about]
    return Question(
        timeline.video_id, answer, about, [said[int(rng.integers(len(said)))] for said in texts]
    )


def _write(out: Path, tokenizer: Tokenizer, questions: Sequence[Question]) -> None:
    path = out / "msrvtt" / "MSR_MC_test.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["key", "vid_key", *(f"a{n + 1}" for n in range(ANSWERS)), "answer"])
        for row, question in enumerate(questions):
            vid_key = question.video_id.replace("video", "msr")
            table.writerow([f"ret{row}", vid_key, *question.texts, question.answer])
