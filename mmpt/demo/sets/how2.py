"""The HowTo100M part: id lists, captions, feature shards and token shards."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline, draw_video_ids, render, task_timeline
from mmpt.demo.narration import Caption, narrate
from mmpt.demo.sets.base import DemoSet, write_features, write_json
from mmpt.demo.settings import CorpusSettings, stream
from mmpt.demo.world import World
from mmpt.io.pickles import save_pickle
from mmpt.utils.shardedtensor import ShardedTensor

CAPTIONS = "sentencified_htm_1200k"
SHARDS = "feat/feat_how2_s3d_shard_small"
VIDEOS = "feat/feat_how2_s3d"

READ_CHARACTERS = 96
"""A caption is cut to this many characters before it becomes tokens."""
READ_TOKENS = 32
"""And then to this many tokens; shorter ones are padded with -1."""


class Split(NamedTuple):
    """The videos of `train` or `val` and what is said in each."""

    name: str
    timelines: list[Timeline]
    captions: list[list[Caption]]


def plan_how2(world: World, settings: CorpusSettings) -> DemoSet:
    """Draws the training and validation videos and their narration."""
    taken: set[str] = set()
    splits = []
    for name, count in (("train", settings.videos), ("val", settings.val_videos)):
        rng = stream(settings.seed, "how2", name)
        ids = draw_video_ids(count, rng, taken)
        timelines = [task_timeline(video_id, world, settings, rng) for video_id in ids]
        captions = [narrate(timeline, world, settings, rng) for timeline in timelines]
        splits.append(Split(name, timelines, captions))
    return DemoSet(
        texts=[c.text for split in splits for video in split.captions for c in video],
        truth={split.name: _truth(split) for split in splits},
        write=partial(_write, world=world, settings=settings, splits=splits),
    )


def _truth(split: Split) -> dict:
    return {
        timeline.video_id: {
            "task": timeline.task,
            "seconds": timeline.seconds,
            "segments": [list(segment) for segment in timeline.segments],
            "captions": [caption._asdict() for caption in captions],
        }
        for timeline, captions in zip(split.timelines, split.captions, strict=True)
    }


def _write(
    out: Path, tokenizer: Tokenizer, world: World, settings: CorpusSettings, splits: list[Split]
) -> None:
    captions, tokens = {}, {}
    for split in splits:
        for timeline, said in zip(split.timelines, split.captions, strict=True):
            times = {"start": [c.start for c in said], "end": [c.end for c in said]}
            captions[timeline.video_id] = {**times, "text": [c.text for c in said]}
            tokens[timeline.video_id] = {**times, "cap": caption_ids(said, tokenizer)}
    write_json(out / "how2" / f"{CAPTIONS}.json", captions)
    as_text = {video_id: json.dumps(entry) for video_id, entry in captions.items()}
    save_pickle(out / "how2" / f"{CAPTIONS}.pkl", as_text)
    save_pickle(out / "how2" / f"{CAPTIONS}.{settings.bert_name}.pkl", tokens)
    for split in splits:
        ids = "".join(f"{timeline.video_id}\n" for timeline in split.timelines)
        (out / "how2" / f"how2_s3d_{split.name}.lst").write_text(ids)
        _write_shards(out, split, tokens, world, settings)


def caption_ids(captions: Sequence[Caption], tokenizer: Tokenizer) -> list[list[int]]:
    """The token ids of every caption, without special tokens, uncut in number."""
    texts = [caption.text[:READ_CHARACTERS] for caption in captions]
    return [encoded.ids for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]


def token_rows(captions: list[list[int]]) -> np.ndarray:
    """Ids of C captions -> int32 [C, 32], cut or padded with -1."""
    rows = np.full((len(captions), READ_TOKENS), -1, dtype=np.int32)
    for row, ids in zip(rows, captions, strict=True):
        row[: len(ids)] = ids[:READ_TOKENS]
    return rows


def _write_shards(
    out: Path, split: Split, tokens: dict, world: World, settings: CorpusSettings
) -> None:
    rng = stream(settings.seed, "how2", split.name, "features")
    folder = out / SHARDS
    folder.mkdir(parents=True, exist_ok=True)
    meta = {}
    for shard, first in enumerate(range(0, len(split.timelines), settings.shard_size)):
        timelines = split.timelines[first : first + settings.shard_size]
        entries = [tokens[timeline.video_id] for timeline in timelines]
        features = render(timelines, world, settings, rng)
        part = f"{split.name}_{shard}"
        text_prefix = f"{CAPTIONS}.{settings.bert_name}.{part}"
        contents = {
            part: features,
            f"{text_prefix}.startends": [
                np.stack([entry["start"], entry["end"]], axis=1).astype(np.float32)
                for entry in entries
            ],
            f"{text_prefix}.caps_ids": [token_rows(entry["cap"]) for entry in entries],
        }
        for prefix, arrays in contents.items():
            ShardedTensor.from_list(arrays).save(str(folder / prefix))
        if settings.per_video_features:
            write_features(out / VIDEOS, timelines, features)
        meta[shard] = [timeline.video_id for timeline in timelines]
    save_pickle(folder / f"{split.name}_meta.pkl", meta)
