"""Captions of HowTo100M in one file, tokenised as they are read: no text shards are needed.

Three forms are met, all of them a dict by video id:

    .json                     {"start": [s...], "end": [s...], "text": [str...]}
    .pkl                      a JSON string of the same (`raw_caption.pkl`, `sentencified_*.pkl`)
    .BERTNAME.pkl             {"start": ..., "end": ..., "cap": [[token ids]...]}

Shards are the faster form: they need no tokenizer and no memory.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle
from mmpt.processors.paths import read_json, required_file
from mmpt.processors.processor import TextProcessor
from mmpt.processors.sequences import CaptionTokens

MAX_KEPT = 4096
"""So many videos are kept tokenised."""

SECTION = "HowTo100M"
"""The section of DATASET.md about these files."""

_opened: tuple[tuple, dict[str, Any]] | None = None


class PKLJSONStrTextProcessor(TextProcessor):
    """Captions of a video from the file in `dataset.caption_pkl_path`, tokenised when asked for.

    A caption that is no string has no tokens.  Token ids are not cut to 32, as those of the text
    shards are.

    Args:
        config: the `dataset` section.
        max_clip_text_len: the characters that a caption is cut to before it is tokenised; 96 is
            published.

    Raises:
        ConfigError: `caption_pkl_path` or `bert_name` is not set.
        DataError: the file is missing, damaged or of another form.
    """

    def __init__(self, config: Any, max_clip_text_len: int = 96):
        super().__init__(config)
        self.max_clip_text_len = max_clip_text_len
        self.path = required_file(config, "caption_pkl_path", SECTION)
        self.data = read_caption_file(self.path)
        self._kept: dict[str, dict[str, Any]] = {}

    def __call__(self, video_id: str) -> dict[str, Any]:
        """`start` and `end` (lists of seconds) and `cap`, a sequence of lists of token ids.

        Raises:
            DataError: the file has no such video, or its entry is damaged.
        """
        if video_id in self._kept:
            return self._kept[video_id]
        if video_id not in self.data:
            raise DataError(f"{self.path}: no captions of video {video_id}")
        name = f"{self.path}: video {video_id}"
        caption = parse_captions(self.data[video_id], name)
        if "cap" in caption:
            tokens = caption["cap"]
        else:
            tokens = self._tokenise(caption["text"])
        read = {
            "start": caption["start"],
            "end": caption["end"],
            "cap": CaptionTokens.from_lists(tokens),
        }
        if len(self._kept) < MAX_KEPT:
            self._kept[video_id] = read
        return read

    def _tokenise(self, texts: list[Any]) -> list[list[int]]:
        cut = [cut_text(text, self.max_clip_text_len) for text in texts]
        return self.tokenizer(cut, add_special_tokens=False)["input_ids"] if cut else []


def read_caption_file(path: str) -> dict[str, Any]:
    """The dict by video id of a caption file; the last file read is kept, as it may be large.

    Raises:
        DataError: the file is damaged, or no dict.
    """
    global _opened
    stat = os.stat(path)
    stamp = (os.path.abspath(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if _opened is None or _opened[0] != stamp:
        content = read_json(path) if path.endswith(".json") else load_pickle(path)
        if not isinstance(content, dict):
            raise DataError(
                f"{path}: expected a dict of captions by video id, got {type(content).__name__}"
            )
        _opened = (stamp, content)
    return _opened[1]


def cut_text(text: Any, longest: int) -> str:
    """The first characters of a caption as tokenizers take it; nothing of what is no text."""
    whole = text[:longest] if isinstance(text, str) else ""
    # halves of surrogate pairs are no characters, and no tokenizer takes them
    return whole.encode("utf-8", "replace").decode("utf-8")


def parse_captions(entry: Any, name: str) -> dict[str, list]:
    """One video's captions, checked.

    Args:
        entry: a JSON string or the dict itself.
        name: file and video, for messages.

    Returns:
        `start`, `end`, and `text` or `cap`: lists of equal length; times are finite floats.

    Raises:
        DataError: it has another form.
    """
    if isinstance(entry, str):
        try:
            entry = json.loads(entry)
        except ValueError as error:  # of integers of thousands of digits too
            raise DataError(f"{name}: not a JSON string ({error})") from None
    texts = "cap" if isinstance(entry, Mapping) and "cap" in entry else "text"
    keys = ("start", "end", texts)
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(k), list) for k in keys):
        raise DataError(f"{name}: expected lists start, end and text (or cap)")
    counts = [len(entry[key]) for key in keys]
    if len(set(counts)) > 1:
        raise DataError(f"{name}: {counts[0]} starts, {counts[1]} ends and {counts[2]} captions")
    try:
        times = np.array([entry["start"], entry["end"]], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        times = None
    if times is None or times.ndim != 2:
        raise DataError(f"{name}: start and end must be numbers of seconds")
    bad = np.flatnonzero(~np.isfinite(times).all(axis=0))
    if len(bad):
        raise DataError(f"{name}: the times of caption {bad[0]} are NaN or inf")
    starts, ends = times.tolist()
    return {"start": starts, "end": ends, texts: entry[texts]}


def has_captions(entry: Any) -> bool:
    """Whether a video has a caption; a long JSON string is believed to hold one, unread."""
    if isinstance(entry, str):
        if len(entry) > 100:
            return True
        try:
            entry = json.loads(entry)
        except json.JSONDecodeError:
            return True  # reading it says what is wrong
    return bool(entry.get("start")) if isinstance(entry, Mapping) else entry is not None
