"""The captions of some videos -> token ids: what one process is handed at a time."""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmpt.errors import DataError
from mmpt.io.pickles import encode_plain
from mmpt.processors.captionfile import cut_text, parse_captions
from mmpt.utils.bert import load_tokenizer

READ_CHARACTERS = 96
"""A caption is cut to this many characters before it becomes tokens."""
READ_TOKENS = 32
"""And then to this many tokens; shorter ones are padded with -1."""


class TokenRequest(NamedTuple):
    """How captions become tokens.

    Attributes:
        bert_name: folder or hub name.
        use_fast: the tokenizer in Rust, or the slow one in Python.
        source: the caption file, for messages.
        pickled: whether the uncut ids are wanted as well.
    """

    bert_name: str
    use_fast: bool
    source: str
    pickled: bool


class VideoTokens(NamedTuple):
    """One video's captions as they stand in shards.

    Attributes:
        video_id: of the video.
        captions: their number.
        startends: float32 [captions, 2] as bytes.
        caps_ids: int32 [captions, 32] as bytes.
        pickled: {start, end, cap} by `encode_plain`, or None.
        problem: why the entry cannot be used; there is nothing else then.
    """

    video_id: str
    captions: int = 0
    startends: bytes = b""
    caps_ids: bytes = b""
    pickled: bytes | None = None
    problem: str | None = None


def prepare_worker(bert_name: str, use_fast: bool) -> None:
    """Loads the tokenizer of a process that tokenises; its own threads stay out of the way."""
    _end_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    load_tokenizer(bert_name, use_fast)


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes: they wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def tokenise(entries: Sequence[tuple[str, Any]], asked: TokenRequest) -> list[VideoTokens]:
    """Turns the entries of a caption file into token ids; the result is in their order.

    A caption that is no text has no tokens.

    Args:
        entries: (video id, {"start", "end", "text"} or its JSON text).

    Raises:
        DataError: the tokenizer cannot be had.
    """
    parsed = [_parsed(entry, f"{asked.source}: video {video_id}") for video_id, entry in entries]
    usable = (one["text"] for one in parsed if isinstance(one, dict))
    texts = [cut_text(text, READ_CHARACTERS) for captions in usable for text in captions]
    tokenizer = load_tokenizer(asked.bert_name, asked.use_fast)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    done, first = [], 0
    for (video_id, _), one in zip(entries, parsed, strict=True):
        if isinstance(one, str):
            done.append(VideoTokens(video_id, problem=one))
            continue
        last = first + len(one["text"])
        done.append(_video(video_id, one, ids[first:last], asked.pickled))
        first = last
    return done


def token_rows(captions: Sequence[Sequence[int]]) -> np.ndarray:
    """Ids of C captions -> int32 [C, 32], cut or padded with -1."""
    rows = np.full((len(captions), READ_TOKENS), -1, dtype=np.int32)
    for row, ids in zip(rows, captions, strict=True):
        cut = ids[:READ_TOKENS]
        row[: len(cut)] = cut
    return rows


def _parsed(entry: Any, name: str) -> dict[str, list] | str:
    """A checked entry, or why it cannot be used."""
    try:
        parsed = parse_captions(entry, name)
    except DataError as error:
        return str(error)
    if "text" not in parsed:
        return f"{name}: holds token ids (cap) where text is needed"
    if np.abs([parsed["start"], parsed["end"]]).max(initial=0) > np.finfo(np.float32).max:
        return f"{name}: times beyond what float32 holds"
    return parsed


def _video(
    video_id: str, captions: dict[str, list], ids: list[list[int]], pickled: bool
) -> VideoTokens:
    times = {key: captions[key] for key in ("start", "end")}
    startends = np.array([times["start"], times["end"]], dtype=np.float32).T
    return VideoTokens(
        video_id,
        len(ids),
        startends.tobytes(),  # in the order of rows, whatever the memory's is
        token_rows(ids).tobytes(),
        encode_plain({**times, "cap": ids}) if pickled else None,
    )
