"""Feature files -> feature shards: `VIDEO_ID.npy` -> `SPLIT_N` and `SPLIT_meta.pkl`.

The list is cut into pieces of `shard_size` ids; shard N holds the usable videos of piece N, and
depends on no other piece.  Every file is opened once, and one video is in memory.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmpt.errors import DataError, first_few
from mmpt.io.atomic import clear_left_overs
from mmpt.io.pickles import save_pickle
from mmpt.processors.how2checks import TEXT_SUFFIXES
from mmpt.processors.paths import read_lines
from mmpt.sharding.layout import meta_path, shard_numbers, text_prefixes
from mmpt.sharding.npyfile import NO_FILE, USUAL_HEADER, FeatureFile
from mmpt.sharding.records import FOLDER, Record, digest, file_stamp, remove_stale, shard_files
from mmpt.sharding.reports import (
    SKIPPED_FILE,
    Skipped,
    SplitReport,
    extraction_reasons,
)
from mmpt.sharding.writer import ShardWriter, write_shard
from mmpt.utils.shardids import ids_hash, noted_hash

logger = logging.getLogger(__name__)

DTYPES = ("float16", "float32")
"""Of shards."""


@dataclass(frozen=True)
class FeatureSettings:
    """How feature shards are made.

    Attributes:
        vfeat_dir: folder of `VIDEO_ID.npy`.
        target_dir: folder of the shards.
        shard_size: ids of the list a shard.
        width: numbers a second.
        dtype: of the shards, one of `DTYPES`.
    """

    vfeat_dir: Path
    target_dir: Path
    shard_size: int
    width: int
    dtype: str = "float16"


class ShardContent(NamedTuple):
    """What one shard holds."""

    ids: list[str]
    seconds: int
    skipped: list[tuple[str, str]]
    """(id, reason) of the others."""


def shard_split(settings: FeatureSettings, split: str, list_path: Path) -> SplitReport:
    """Makes the shards of one list, and its meta file when all of them are there.

    The meta file is removed before a shard is replaced: a run that is killed leaves none, rather
    than one that tells of other shards.  Shards beyond the last one, of a run with a smaller
    `shard_size` or a longer list, are removed.

    Args:
        split: `train` or `val`.
        list_path: one id a line.

    Raises:
        DataError: the list is missing or empty, or none of its videos has usable features.
    """
    lines = read_list(list_path)
    ids = list(dict.fromkeys(lines))
    settings.target_dir.mkdir(parents=True, exist_ok=True)
    meta, skipped, seconds, kept = {}, [], 0, 0
    starts = range(0, len(ids), settings.shard_size)
    with tqdm(total=len(ids), desc=f"{split} shards", unit="video", disable=None) as bar:
        for shard, first in enumerate(starts):
            content, was_there = _one_shard(
                settings, split, shard, ids[first : first + settings.shard_size], bar
            )
            kept += was_there
            seconds += content.seconds
            skipped += content.skipped
            if content.ids:
                meta[shard] = content.ids
    if not meta:
        raise DataError(
            f"{list_path}: none of its {len(ids)} videos has usable features in "
            f"{settings.vfeat_dir} ({': '.join(skipped[0])})"
        )
    save_pickle(meta_path(settings.target_dir, split), meta)
    removed = remove_stale(settings.target_dir, f"{split}_", range(len(starts)))
    if removed:
        logger.info("%d shards of an earlier run removed: %s", len(removed), first_few(removed))
    _warn_of_token_shards(settings.target_dir, split, meta)
    skipped = [Skipped(split, *each) for each in _explained(settings.vfeat_dir, skipped)]
    videos = sum(map(len, meta.values()))
    twice = len(lines) - len(ids)
    return SplitReport(split, len(ids), twice, len(meta), kept, videos, seconds, skipped)


def clear_feature_left_overs(target_dir: Path, splits: Sequence[str]) -> None:
    """Removes what killed runs were writing; to be called while the folder is locked."""
    own = re.compile(
        rf"(?:{'|'.join(splits)})_(?:meta\.pkl|\d+(?:_data\.npy|_starts\.npy|\.json))"
        rf"|{re.escape(SKIPPED_FILE)}"
    )
    for folder in (target_dir, target_dir / FOLDER):
        clear_left_overs(folder, lambda name: own.fullmatch(name) is not None)


def read_list(path: Path) -> list[str]:
    """The ids of a list.

    Raises:
        DataError: it is missing, empty or no text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; a list of video ids, one a line, is needed")
    return read_lines(str(path))


def feature_path(vfeat_dir: Path, video_id: str) -> str:
    """The file of one video."""
    return f"{vfeat_dir}/{video_id}.npy"


def _one_shard(
    settings: FeatureSettings, split: str, shard: int, ids: list[str], bar: tqdm
) -> tuple[ShardContent, bool]:
    """The shard of some ids, made where it is not there; whether it was."""
    stamps = [file_stamp(feature_path(settings.vfeat_dir, video_id)) for video_id in ids]
    inputs = digest(ids, stamps, settings.width, settings.dtype)
    prefix = f"{split}_{shard}"
    record = Record(settings.target_dir, prefix, inputs, shard_files(prefix))
    told = record.read()
    if told is not None:
        bar.update(len(ids))
        content = ShardContent(told["ids"], told["seconds"], list(map(tuple, told["skipped"])))
        return content, True
    record.forget()
    meta_path(settings.target_dir, split).unlink(missing_ok=True)
    content = _write_shard(settings, prefix, ids, _rows(stamps, settings), bar)
    record.write(content._asdict())
    return content, False


def _explained(vfeat_dir: Path, skipped: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Skipped videos with the extraction's word for why they have no file, where it left one."""
    if all(reason != NO_FILE for _, reason in skipped):
        return skipped
    known = extraction_reasons(vfeat_dir)
    return [
        (video_id, known.get(video_id, reason) if reason == NO_FILE else reason)
        for video_id, reason in skipped
    ]


def _warn_of_token_shards(target_dir: Path, split: str, meta: Mapping[int, list[str]]) -> None:
    """Says where token shards beside the feature shards are of other videos than those."""
    hashes = {shard: ids_hash(ids) for shard, ids in meta.items()}
    for text in text_prefixes(target_dir):
        beginning = f"{text}{split}_"
        numbers = shard_numbers(target_dir, beginning, TEXT_SUFFIXES[0])
        noted = {n: noted_hash(target_dir / f"{beginning}{n}{TEXT_SUFFIXES[0]}") for n in numbers}
        old = [n for n, each in noted.items() if each is not None and each != hashes.get(n)]
        if old:
            logger.warning(
                "%d token shards (%s*) are of other videos than the feature shards are now: mmpt "
                "tokenise must run again",
                len(old),
                target_dir / beginning,
            )


def _rows(stamps: Sequence[list[int] | None], settings: FeatureSettings) -> int:
    """The rows that files of these sizes have if all of them are usable and stored alike."""
    row = settings.width * np.dtype(settings.dtype).itemsize
    return sum(max(0, stamp[0] - USUAL_HEADER) // row for stamp in stamps if stamp is not None)


def _write_shard(
    settings: FeatureSettings, prefix: str, ids: list[str], expected_rows: int, bar: tqdm
) -> ShardContent:
    content = ShardContent([], 0, [])
    target = settings.target_dir / prefix
    dtype = np.dtype(settings.dtype)
    try:
        with write_shard(target, dtype, settings.width, expected_rows) as writer:
            writer.ids = content.ids
            for video_id in ids:
                try:
                    _add_video(writer, feature_path(settings.vfeat_dir, video_id))
                    content.ids.append(video_id)
                except DataError as error:
                    content.skipped.append((video_id, str(error)))
                bar.update()
    except DataError:
        if content.ids:
            raise
        # no video, no shard: one of an earlier run must not stay
        for name in shard_files(prefix):
            (settings.target_dir / name).unlink(missing_ok=True)
    return content._replace(seconds=writer.rows)


def _add_video(writer: ShardWriter, path: str) -> None:
    with FeatureFile(path, writer.width) as features:
        features.read(writer.room(features.rows), writer.dtype)
        writer.take(features.rows)
