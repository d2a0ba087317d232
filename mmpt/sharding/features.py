"""Feature files -> feature shards: `VIDEO_ID.npy` -> `SPLIT_N` and `SPLIT_meta.pkl`.

The list is cut into pieces of `shard_size` ids; shard N holds the usable videos of piece N, and
depends on no other piece.  Every file is opened once, and one video is in memory.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmpt.errors import DataError, first_few
from mmpt.io.atomic import atomic_write
from mmpt.io.pickles import save_pickle
from mmpt.processors.paths import read_lines
from mmpt.processors.processor import DEFAULT_WIDTH
from mmpt.sharding.layout import meta_path
from mmpt.sharding.npyfile import USUAL_HEADER, FeatureFile
from mmpt.sharding.records import Record, digest, file_stamp, shard_files
from mmpt.sharding.writer import ShardWriter, write_shard

logger = logging.getLogger(__name__)

SKIPPED_FILE = "skipped.jsonl"
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


class Skipped(NamedTuple):
    """A listed video that is in no shard: a line of `skipped.jsonl`."""

    split: str
    id: str
    reason: str


class SplitReport(NamedTuple):
    """What came of one list."""

    split: str
    listed: int
    """Ids, each once."""
    twice: int
    """Lines whose id was listed before."""
    shards: int
    kept: int
    """Shards that were there already."""
    videos: int
    seconds: int
    skipped: list[Skipped]


class ShardContent(NamedTuple):
    """What one shard holds."""

    ids: list[str]
    seconds: int
    skipped: list[tuple[str, str]]
    """(id, reason) of the others."""


def shard_split(settings: FeatureSettings, split: str, list_path: Path) -> SplitReport:
    """Makes the shards of one list, and its meta file when all of them are there.

    The meta file is removed before a shard is replaced: a run that is killed leaves none, rather
    than one that tells of other shards.

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
    with tqdm(total=len(ids), desc=f"{split} shards", unit="video", disable=None) as bar:
        for shard, first in enumerate(range(0, len(ids), settings.shard_size)):
            content, was_there = _one_shard(
                settings, split, shard, ids[first : first + settings.shard_size], bar
            )
            kept += was_there
            seconds += content.seconds
            skipped += [Skipped(split, *each) for each in content.skipped]
            if content.ids:
                meta[shard] = content.ids
    if not meta:
        raise DataError(
            f"{list_path}: none of its {len(ids)} videos has usable features in "
            f"{settings.vfeat_dir} ({skipped[0].id}: {skipped[0].reason})"
        )
    save_pickle(meta_path(settings.target_dir, split), meta)
    videos = sum(map(len, meta.values()))
    twice = len(lines) - len(ids)
    return SplitReport(split, len(ids), twice, len(meta), kept, videos, seconds, skipped)


def read_list(path: Path) -> list[str]:
    """The ids of a list.

    Raises:
        DataError: it is missing, empty or no text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; a list of video ids, one a line, is needed")
    return read_lines(str(path))


def first_width(vfeat_dir: Path, ids: Iterable[str]) -> tuple[int, str]:
    """The width of the first video that can be opened, and its id.

    Raises:
        DataError: none can.
    """
    problem = "no id is listed"
    for video_id in ids:
        try:
            with FeatureFile(feature_path(vfeat_dir, video_id)) as features:
                return features.width, video_id
        except DataError as error:
            problem = f"{video_id}: {error}"
    raise DataError(f"{vfeat_dir}: no listed video has usable features (the last one, {problem})")


def feature_path(vfeat_dir: Path, video_id: str) -> str:
    """The file of one video."""
    return f"{vfeat_dir}/{video_id}.npy"


def write_skipped(target_dir: Path, reports: Sequence[SplitReport]) -> Path:
    """Writes `skipped.jsonl`: {"split", "id", "reason"} a line, empty where nothing was skipped.

    Lines of splits that this run is not about stay.
    """
    path = target_dir / SKIPPED_FILE
    renewed = {report.split for report in reports}
    skipped = [each for each in read_skipped(target_dir) if each.split not in renewed]
    with atomic_write(path, "w") as file:
        for each in [*skipped, *_all_skipped(reports)]:
            file.write(json.dumps(each._asdict(), ensure_ascii=False) + "\n")
    return path


def read_skipped(target_dir: Path) -> list[Skipped]:
    """The lines of `skipped.jsonl`; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    path = target_dir / SKIPPED_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Skipped(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a list of skipped videos ({error}); remove it") from None


def report_skipped(settings: FeatureSettings, reports: Sequence[SplitReport]) -> None:
    """Says how many videos were skipped and why, and what to set for another width."""
    skipped = list(_all_skipped(reports))
    if skipped:
        ids = first_few([each.id for each in skipped])
        logger.warning(
            "%d videos skipped: %s; reasons in %s",
            len(skipped),
            ids,
            settings.target_dir / SKIPPED_FILE,
        )
    odd = sum(each.reason.startswith("width") for each in skipped)
    if odd:
        logger.warning(
            "%d of them have another width than %d; --vfeat_dim says which is right",
            odd,
            settings.width,
        )
    if settings.width != DEFAULT_WIDTH:
        logger.info(
            "width %d: set dataset.vfeat_dim: %d in the job files", settings.width, settings.width
        )


def _all_skipped(reports: Sequence[SplitReport]) -> Iterator[Skipped]:
    return (skipped for report in reports for skipped in report.skipped)


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
