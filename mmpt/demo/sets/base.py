"""What the writers of the demo's data sets have in common."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mmpt.demo.footage import Timeline


class DemoSet(NamedTuple):
    """A planned data set.

    Attributes:
        texts: what the tokenizer learns its words from; empty where the words are other sets'.
        truth: what truth.json says about it.
        write: writes its files below a folder.
    """

    texts: list[str]
    truth: dict[str, Any]
    write: Callable[[Path, Tokenizer], None]


def shown_truth(timelines: Sequence[Timeline]) -> dict[str, dict[str, Any]]:
    """Video -> its task (-1: none), its seconds and what they show."""
    return {
        timeline.video_id: {
            "task": timeline.task,
            "seconds": timeline.seconds,
            "segments": [list(segment) for segment in timeline.segments],
        }
        for timeline in timelines
    }


def write_json(path: Path, content: Any) -> None:
    """Compact JSON, one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def write_features(
    folder: Path, timelines: Sequence[Timeline], features: Sequence[np.ndarray]
) -> None:
    """`FOLDER/VIDEO_ID.npy` for every video: float16 [seconds, 512]."""
    folder.mkdir(parents=True, exist_ok=True)
    for timeline, rows in zip(timelines, features, strict=True):
        np.save(folder / f"{timeline.video_id}.npy", rows)
