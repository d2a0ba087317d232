"""What the shards of HowTo100M hold, looked at once, before a run begins.

A run of days must not end at one bad video.  What no tool writes is an error; a video that gives no
clip is left out and counted; oddities that real narration has are counted, and used as they are.
All of it is vectorised over a shard and reads the small files alone (the times of the captions, the
positions of everything, the first token of every caption): a second for a hundred thousand videos.
Token ids and features, the large files, are checked as they are read, by the aligners.
"""

import glob
import logging
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmpt.errors import DataError, first_few
from mmpt.utils.distributed import is_master
from mmpt.utils.shardedtensor import ShardedTensor, open_shard
from mmpt.utils.shardids import check_ids

logger = logging.getLogger(__name__)

TEXT_SUFFIXES = (".startends", ".caps_ids")
"""The two shards of a text shard's name: times and token ids."""


class OddTimes(NamedTuple):
    """Captions that real data has, and that the sampler takes as they are: how many of each."""

    captions: int
    """All of them, for comparison."""
    backwards: int
    """End before they begin."""
    unordered: int
    """Begin before the caption before them."""
    late: int
    """Begin after the video's last second."""
    early: int
    """Begin before the video does."""


class ShardReport(NamedTuple):
    """What was found in one shard's videos; all arrays bool [videos]."""

    empty: np.ndarray
    """Without a second or without a caption."""
    outside: np.ndarray
    """With captions, all of which begin after the video's end or end before it begins."""
    wordless: np.ndarray
    """With captions, none of which has a token."""
    odd: OddTimes


def check_shard(
    video_ids: Sequence[str],
    listed: np.ndarray,
    features: str,
    text: str | None,
    width: int,
    source: str,
) -> ShardReport:
    """Looks through one shard.

    Args:
        video_ids: the shard's videos in order, from the meta file.
        listed: bool [videos], True for those that the run uses; no other is looked at.
        features: prefix of the feature shard.
        text: prefix of the text shards, without `TEXT_SUFFIXES`; None where the run has none.
        width: `dataset.vfeat_dim`.
        source: the list of videos, for messages.

    Raises:
        DataError: a file is missing or damaged; another number of videos than the meta file lists;
            rows of another form; times and captions of different numbers; times that are NaN or
            inf.
    """
    seconds = _lengths(features, len(video_ids), "vfeat_dir")
    check_width(open_shard(features), width, features)
    empty = seconds == 0
    if text is None:
        nothing = np.zeros_like(empty)
        return ShardReport(empty, nothing, nothing, OddTimes(0, 0, 0, 0, 0))
    _check_there(text)
    counts = [_lengths(f"{text}{suffix}", len(video_ids), "tfeat_dir") for suffix in TEXT_SUFFIXES]
    times, captions = (open_shard(f"{text}{suffix}") for suffix in TEXT_SUFFIXES)
    _check_rows(times, f"{text}.startends", 2, "fiu", "[captions, 2] seconds")
    _check_rows(captions, f"{text}.caps_ids", None, "iu", "[captions, tokens] integers")
    differ = np.flatnonzero(counts[0] != counts[1])
    if len(differ):
        first = differ[0]
        raise DataError(
            f"shard {text}: {len(differ)} videos have other numbers of times (startends) and "
            f"captions (caps_ids), first {video_ids[first]} ({counts[0][first]} and "
            f"{counts[1][first]}); the two files were not made together"
        )
    damaged, outside, odd = check_times(times.data, counts[0], seconds, listed)
    if len(damaged):
        raise DataError(
            f"shard {text}.startends: NaN or inf in the caption times of {len(damaged)} videos: "
            f"{first_few([video_ids[i] for i in damaged])}; leave them out of {source}, or write "
            "the shard anew"
        )
    wordless = check_words(captions, listed)
    return ShardReport(empty | (counts[0] == 0), outside, wordless, odd)


def check_made_for(video_ids: Sequence[str], features: str, text: str | None) -> None:
    """Refuses shards that were made for other videos than those of the meta file.

    Args:
        video_ids, features, text: as `check_shard`.

    Raises:
        DataError: as `mmpt.utils.shardids.check_ids`.
    """
    check_ids(features, video_ids, "mmpt shard")
    for suffix in TEXT_SUFFIXES if text is not None else ():
        check_ids(f"{text}{suffix}", video_ids, "mmpt tokenise")


def check_times(
    times: np.ndarray, counts: np.ndarray, seconds: np.ndarray, listed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, OddTimes]:
    """Looks through the caption times of a shard.

    Args:
        times: [captions, 2], begin and end in seconds.
        counts: int [videos], captions of each video.
        seconds: int [videos], length of each video.
        listed: bool [videos], which to look at.

    Returns:
        The videos with times that are not finite (indices); bool [videos], those of which every
        caption begins after the end or is over before the beginning; the oddities.
    """
    video = np.repeat(np.arange(len(counts)), counts)
    used = listed[video]
    damaged = np.unique(video[used & ~np.isfinite(times).all(axis=1)])
    begin, end = times[:, 0], times[:, 1]
    late, early = used & (begin >= seconds[video]), used & (begin < 0)
    unseen = late | (early & (end <= 0))
    outside = (np.bincount(video[unseen], minlength=len(counts)) == counts) & (counts > 0)
    unordered = used[1:] & (begin[1:] < begin[:-1]) & (video[1:] == video[:-1])
    kinds = (used, used & (end < begin), unordered, late, early)
    return damaged, outside, OddTimes(*(int(which.sum()) for which in kinds))


def check_words(captions: ShardedTensor, listed: np.ndarray) -> np.ndarray:
    """bool [videos], those with captions and without a single token.

    Args:
        captions: token ids [captions, tokens] a video, -1 after the last one.
        listed: bool [videos], which to look at.
    """
    counts = captions.lengths()
    video = np.repeat(np.arange(len(counts)), counts)
    begun = (captions.data[:, :1] >= 0).any(axis=1)
    wordless = listed & (counts > 0) & (np.bincount(video[begun], minlength=len(counts)) == 0)
    for index in np.flatnonzero(wordless):  # ids behind a -1 are tokens too
        wordless[index] = not (captions[index] >= 0).any()
    return wordless


def check_twice(
    meta: dict[int, list[str]], places: dict[str, tuple[int, int]], features: str, path: str
) -> int:
    """How many ids the meta file lists twice; the last place counts, as in the published code.

    Args:
        meta: number of the shard -> ids.
        places: id -> its last (shard, position).
        features: prefix of the feature shards.
        path: the meta file, for messages.

    Raises:
        DataError: the two have different lengths, so they are two videos under one id.
    """
    twice = [
        (video_id, (shard, position))
        for shard, video_ids in meta.items()
        for position, video_id in enumerate(video_ids)
        if places[video_id] != (shard, position)
    ]
    for video_id, first in twice:
        second = places[video_id]
        lengths = [len(open_shard(f"{features}{shard}")[at]) for shard, at in (first, second)]
        if lengths[0] != lengths[1]:
            raise DataError(
                f"{path}: video {video_id} stands in it twice, with {lengths[0]} seconds (shard "
                f"{first[0]}) and {lengths[1]} (shard {second[0]}); make the shards anew from a "
                "list that names each video once"
            )
    return len(twice)


def check_width(shard: ShardedTensor, width: int, name: str) -> None:
    """Refuses features that are not [rows, width] floats.

    Raises:
        DataError: they are not.
    """
    if shard.data.ndim != 2 or shard.data.shape[1] != width:
        raise DataError(
            f"shard {name}: rows of shape {shard.data.shape[1:]}; dataset.vfeat_dim is {width}"
        )
    if shard.data.dtype.kind != "f":
        raise DataError(
            f"shard {name}: dtype {shard.data.dtype}; allowed: float16, float32, float64"
        )


def report_left_out(count: int, total: int, source: str, why: str) -> None:
    """Says in one line that `count` of `total` videos are left out; nothing where there is none.

    A few are usual; where it is a tenth and more, it is a warning.
    """
    if count and is_master():
        level = logging.WARNING if 10 * count >= total else logging.INFO
        logger.log(level, "%s: %d videos left out: %s (of %d)", source, count, why, total)


def report_odd(reports: Sequence[ShardReport], source: str) -> None:
    """Says in one line which oddities the captions have; nothing where there is none."""
    nothing = OddTimes(0, 0, 0, 0, 0)
    odd = zip(nothing, *(report.odd for report in reports), strict=True)
    captions, *found = (sum(counts) for counts in odd)
    kinds = (
        "end before they begin",
        "begin before the one before",
        "begin after the video's end",
        "begin before the video",
    )
    said = [f"{count} {kind}" for count, kind in zip(found, kinds, strict=True) if count]
    if said and is_master():
        logger.info("%s: of %d captions %s; used as they are", source, captions, ", ".join(said))


def _check_there(text: str) -> None:
    """Says which text shards there are, where those that are asked for are not.

    Raises:
        DataError: there are none of this name.
    """
    ending = f"{TEXT_SUFFIXES[0]}_starts.npy"
    if os.path.exists(f"{text}{ending}"):
        return
    folder, name = os.path.split(text)
    shard = name.rpartition(".")[2]
    there = glob.glob(f"*.{shard}{ending}", root_dir=folder or ".")
    found = sorted(other.removesuffix(f"{shard}{ending}") for other in there)
    raise DataError(
        f"shard {text}: file {text}{ending} is missing; dataset.tfeat_dir begins the names of the "
        "captions' shards, which belong to one dataset.bert_name; "
        f"{folder or '.'} holds {first_few(found) if found else 'no such shards'}"
    )


def _lengths(prefix: str, videos: int, key: str) -> np.ndarray:
    lengths = open_shard(prefix).lengths()
    if len(lengths) != videos:
        raise DataError(
            f"shard {prefix}: {len(lengths)} videos, meta lists {videos}; the shards of "
            f"dataset.{key} were made from another list"
        )
    return lengths


def _check_rows(
    shard: ShardedTensor, name: str, width: int | None, kinds: str, expected: str
) -> None:
    data = shard.data
    if data.ndim != 2 or width not in (None, data.shape[1]) or data.dtype.kind not in kinds:
        raise DataError(
            f"shard {name}: {data.dtype} rows of shape {data.shape[1:]}; expected: {expected}"
        )
