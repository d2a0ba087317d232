"""The options of the commands that evaluate: `--checkpoint`, `--out`, `--device`, `--limit`."""

import argparse
from pathlib import Path
from typing import Any

from mmpt.errors import DataError

WHOLE_VIDEOS = ("FullVideoRetrievalMetric",)
"""Metrics of whole videos whose items are clips: a limit keeps no video in part."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that evaluates."""
    for option, form, text in (
        ("--checkpoint", given_path, "evaluate this file alone, not those of the job"),
        ("--out", given_path, "folder for the results (default: eval.save_path)"),
        ("--device", str, "cuda, cuda:1, cpu (default: cuda where there is one)"),
        ("--limit", positive, "evaluate the first LIMIT items alone: a try, no number to compare"),
    ):
        parser.add_argument(option, type=form, help=text)


def given_path(text: str) -> Path:
    """A path of the command line; an empty one, of a shell variable without a value, is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name; give one, or leave the option out")
    return Path(text)


def positive(text: str) -> int:
    """A number of items of the command line."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


class FirstItems:
    """The first items of a data set, as a loader takes them.

    Args:
        data: an `MMDataset`.
        limit: so many at most.
        metric: the name of the metric; for one of whole videos (`WHOLE_VIDEOS`) the clips of a
            video that the limit cuts are left out.

    Attributes:
        total: the items of `data`.

    Raises:
        DataError: no whole video is within the limit.
    """

    def __init__(self, data: Any, limit: int, metric: str | None = None):
        self.data = data
        self.meta_processor = data.meta_processor
        self.collater = data.collater
        self.total = len(data)
        self.indices = list(range(min(limit, self.total)))
        if metric in WHOLE_VIDEOS:
            videos = [video_of(self.meta_processor[index]) for index in range(self.total)]
            cut = set(videos[limit:])
            self.indices = [index for index in self.indices if videos[index] not in cut]
            if not self.indices:
                raise DataError(
                    f"--limit {limit}: no video has all of its clips among the first {limit} of "
                    f"{self.total} items; take a larger one"
                )

        self.left_out = min(limit, self.total) - len(self.indices)

    def __str__(self) -> str:
        cut = f"; {self.left_out} left out, of videos that the limit cuts" if self.left_out else ""
        return f"{len(self)} of {self.total} items{cut}"

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.data[self.indices[index]]


def video_of(entry: tuple) -> str:
    """The video of what a meta processor lists: a clip is (video, start, end)."""
    video = entry[0]
    return video[0] if isinstance(video, tuple) else video
