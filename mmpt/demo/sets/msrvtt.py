"""The MSR-VTT part: short videos that each show two steps, and sentences about them."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline, lay_out, render
from mmpt.demo.narration import describe
from mmpt.demo.sets.base import DemoSet, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World

FEATURES = "msrvtt_feature_fps30_512"
CAPTIONS_PER_VIDEO = 20
FIRST_TEST_VIDEO = 7010
"""In MSR-VTT the test videos are video7010 to video9999."""
STEPS_SHOWN = 2
"""In every video as many: beside videos of a single step, whose vectors are purer and longer, a dot
product would rank every mixture second."""
STEP_SECONDS = (6, 10)
BACKGROUND_SHARE = 0.1


class ShortVideos(NamedTuple):
    """The fine-tuning and the test videos, and the sentences of each."""

    train: list[Timeline]
    test: list[Timeline]
    captions: dict[str, list[str]]


def plan_msrvtt(world: World, settings: CorpusSettings) -> DemoSet:
    """The fine-tuning and the test videos with their sentences."""
    videos = draw_videos(world, settings)
    return DemoSet(
        texts=[text for texts in videos.captions.values() for text in texts],
        truth={"train": _truth(videos.train), "test": _truth(videos.test)},
        write=partial(_write, world=world, settings=settings, **videos._asdict()),
    )


def draw_videos(world: World, settings: CorpusSettings) -> ShortVideos:
    """Draws fine-tuning videos, and test videos of which no two show the same steps."""
    rng = stream(settings.seed, "msrvtt")
    train = [
        _short_video(f"video{number}", _draw_steps(world, rng), rng)
        for number in range(settings.finetune_videos)
    ]
    test: list[Timeline] = []
    used: set[frozenset[int]] = set()
    while len(test) < settings.test_videos:
        steps = _draw_steps(world, rng)
        if frozenset(steps) not in used:
            used.add(frozenset(steps))
            test.append(_short_video(f"video{FIRST_TEST_VIDEO + len(test)}", steps, rng))
    captions = {
        timeline.video_id: [
            describe([world.steps[part.step] for part in timeline.shown], rng)
            for _ in range(CAPTIONS_PER_VIDEO)
        ]
        for timeline in train + test
    }
    return ShortVideos(train, test, captions)


def _draw_steps(world: World, rng: np.random.Generator) -> list[int]:
    return [int(step) for step in rng.choice(len(world.steps), size=STEPS_SHOWN, replace=False)]


def _short_video(video_id: str, steps: list[int], rng: np.random.Generator) -> Timeline:
    return Timeline(video_id, -1, lay_out(steps, BACKGROUND_SHARE, rng, STEP_SECONDS))


def _truth(timelines: list[Timeline]) -> dict:
    return {
        timeline.video_id: {
            "seconds": timeline.seconds,
            "segments": [list(segment) for segment in timeline.segments],
        }
        for timeline in timelines
    }


def _write(
    out: Path,
    tokenizer: Tokenizer,
    world: World,
    settings: CorpusSettings,
    train: list[Timeline],
    test: list[Timeline],
    captions: dict[str, list[str]],
) -> None:
    folder = out / "msrvtt"
    rng = stream(settings.seed, "msrvtt", "features")
    write_features(folder / FEATURES, train + test, render(train + test, world, settings, rng))
    with open(folder / "MSRVTT_JSFUSION_test.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "vid_key", "video_id", "sentence"])
        for row, timeline in enumerate(test):
            vid_key = timeline.video_id.replace("video", "msr")
            sentence = captions[timeline.video_id][0]
            table.writerow([f"ret{row}", vid_key, timeline.video_id, sentence])
    ids = "".join(f"{timeline.video_id}\n" for timeline in train)
    (folder / "MSRVTT_train.9k.csv").write_text("video_id\n" + ids)
    write_json(folder / "MSRVTT_data.json", _annotations(train, test, captions))


def _annotations(
    train: list[Timeline], test: list[Timeline], captions: dict[str, list[str]]
) -> dict:
    """The public file's form: `sen_id` runs over all sentences, every video has its entry."""
    videos = [
        {"video_id": timeline.video_id, "split": split, "id": int(timeline.video_id[5:])}
        for split, timelines in (("train", train), ("test", test))
        for timeline in timelines
    ]
    pairs = [(video_id, text) for video_id, texts in captions.items() for text in texts]
    sentences = [
        {"caption": text, "video_id": video_id, "sen_id": number}
        for number, (video_id, text) in enumerate(pairs)
    ]
    return {"videos": videos, "sentences": sentences}
