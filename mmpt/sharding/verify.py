"""Lists, feature shards and token shards of pretraining, compared with each other.

Every byte is read where a shard has a sidecar with hashes.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmpt.errors import DataError, first_few
from mmpt.processors.how2checks import TEXT_SUFFIXES, ShardReport, check_shard
from mmpt.sharding.features import read_list
from mmpt.sharding.layout import meta_path, read_meta, shard_numbers
from mmpt.sharding.reports import SKIPPED_FILE, read_skipped
from mmpt.utils.shardedtensor import ShardedTensor, open_shard, verify_shard
from mmpt.utils.shardids import check_ids

HOUR = 3600


class Row(NamedTuple):
    """A line of the table."""

    name: str
    cells: dict[str, str]
    """By split."""
    problem: bool


@dataclass
class SplitFindings:
    """What was found of one split; numbers that are not there yet are None.

    Attributes:
        problems: what is wrong, by the row that it belongs to, one line each.
        cells: what the rows say.
    """

    split: str
    cells: dict[str, str] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def wrong(self, row: str, line: str) -> None:
        self.problems.setdefault(row, []).append(line)


ROWS = (
    "ids listed",
    "in shards",
    "missing, reason known",
    "missing, reason unknown",
    "in shards, not listed",
    "feature shards",
    "hours",
    "width, dtype",
    "feature hashes",
    "ids of feature shards",
    "token shards",
    "token hashes",
    "ids of token shards",
    "captions",
    "videos without captions",
    "captions outside video",
    "videos all outside",
    "shards not in meta",
)
"""The table's lines."""


def verify_split(folder: Path, split: str, list_path: Path, text: str | None) -> SplitFindings:
    """Looks through everything that belongs to one list.

    Args:
        folder: of the feature shards.
        split: `train` or `val`.
        list_path: the ids.
        text: how the names of the token shards begin, as `dataset.tfeat_dir`; None: there are
            none yet.
    """
    found = SplitFindings(split)
    listed = _told(found, "ids listed", lambda: list(dict.fromkeys(read_list(list_path))))
    meta = _told(found, "in shards", lambda: read_meta(folder, split))
    if listed is not None:
        found.cells["ids listed"] = f"{len(listed):,}"
    if meta is None:
        return found
    skipped = _told(found, "missing, reason known", lambda: read_skipped(folder)) or []
    reasons = {each.id for each in skipped if each.split == split}
    _compare_ids(found, listed or [], meta, reasons)
    _features(found, folder, meta)
    if text is not None:
        _text(found, folder, meta, text)
    _not_in_meta(found, folder, meta, text)
    return found


def table(findings: list[SplitFindings]) -> list[Row]:
    """The rows of all splits."""
    return [
        Row(
            name,
            {found.split: found.cells.get(name, "-") for found in findings},
            any(name in found.problems for found in findings),
        )
        for name in ROWS
    ]


def _told(found: SplitFindings, row: str, read: Callable):
    """What a function reads; None, and a problem of that row, where it cannot."""
    try:
        return read()
    except DataError as error:
        found.wrong(row, str(error))
        return None


def _compare_ids(
    found: SplitFindings, listed: list[str], meta: Mapping[int, list[str]], skipped: set[str]
) -> None:
    placed = [video_id for ids in meta.values() for video_id in ids]
    in_shards, in_list = set(placed), set(listed)
    missing = [video_id for video_id in listed if video_id not in in_shards]
    unexplained = [video_id for video_id in missing if video_id not in skipped]
    unlisted = [video_id for video_id in placed if video_id not in in_list] if listed else []
    found.cells["in shards"] = f"{len(in_shards):,}"
    found.cells["missing, reason known"] = f"{len(missing) - len(unexplained):,}"
    found.cells["missing, reason unknown"] = f"{len(unexplained):,}"
    found.cells["in shards, not listed"] = f"{len(unlisted):,}"
    if unexplained:
        found.wrong(
            "missing, reason unknown",
            f"{len(unexplained)} listed ids are neither in a shard nor in {SKIPPED_FILE}: "
            f"{first_few(unexplained)}",
        )
    if unlisted:
        found.wrong(
            "in shards, not listed",
            f"{len(unlisted)} ids of the shards are not in the list: {first_few(unlisted)}",
        )
    if len(placed) > len(in_shards):
        found.wrong("in shards", f"the meta file lists {len(placed) - len(in_shards)} ids twice")


def _features(found: SplitFindings, folder: Path, meta: Mapping[int, list[str]]) -> None:
    videos = seconds = 0
    forms = set()
    prefixes = {shard: str(folder / f"{found.split}_{shard}") for shard in sorted(meta)}
    for shard, prefix in prefixes.items():
        opened = _told(found, "feature shards", lambda at=prefix: open_shard(at))
        if opened is None:
            continue
        videos += len(opened)
        seconds += len(opened.data)
        forms.add(_form(opened))
        if len(opened) != len(meta[shard]):
            found.wrong(
                "feature shards",
                f"shard {prefix}: {len(opened)} videos, {meta_path(folder, found.split).name} "
                f"lists {len(meta[shard])}",
            )
        empty = int((opened.lengths() == 0).sum())
        if empty:
            found.wrong("hours", f"shard {prefix}: {empty} videos without a second")
    found.cells["feature shards"] = f"{len(prefixes):,} ({videos:,} videos)"
    found.cells["hours"] = f"{seconds / HOUR:,.2f}"
    found.cells["width, dtype"] = "; ".join(sorted(forms)) or "-"
    if len(forms) > 1:
        found.wrong("width, dtype", f"shards of different forms: {'; '.join(sorted(forms))}")
    _hashes(found, "feature hashes", list(prefixes.values()))
    _ids(found, "ids of feature shards", {p: meta[n] for n, p in prefixes.items()}, "mmpt shard")


def _form(shard: ShardedTensor) -> str:
    shape = shard.data.shape[1:]
    width = shape[0] if len(shape) == 1 else shape
    return f"{width}, {shard.data.dtype}"


def _hashes(found: SplitFindings, row: str, prefixes: list[str]) -> None:
    """Compares shards with their sidecars; a shard without one is no problem, and is counted."""
    agree = without = 0
    for prefix in tqdm(prefixes, desc=f"{found.split} {row}", unit="shard", disable=None):
        try:
            told = verify_shard(prefix)
            agree += told
            without += not told
        except DataError as error:
            found.wrong(row, str(error))
    text = f"{agree:,} of {len(prefixes):,} agree"
    found.cells[row] = f"{text}, {without:,} have none" if without else text


def _ids(found: SplitFindings, row: str, ids_of: Mapping[str, list[str]], command: str) -> None:
    """Compares the ids that shards were made for with those of the meta file, in order."""
    checked = 0
    for prefix, ids in ids_of.items():
        # a shard of other videos has been checked as well
        told = _told(found, row, lambda at=prefix, of=ids: check_ids(at, of, command))
        checked += told is not False
    found.cells[row] = f"{checked:,} of {len(ids_of):,} checked"


def _not_in_meta(
    found: SplitFindings, folder: Path, meta: Mapping[int, list[str]], text: str | None
) -> None:
    """Shards of numbers that the meta file does not have: of an earlier run."""
    beginnings = [(f"{folder}/{found.split}_", "")]
    if text is not None:
        beginnings += [(f"{text}{found.split}_", end) for end in TEXT_SUFFIXES]
    stale = []
    for beginning, end in beginnings:
        path = Path(beginning)
        if path.parent.is_dir():
            numbers = shard_numbers(path.parent, path.name, end)
            stale += [f"{path.name}{number}{end}" for number in numbers if number not in meta]
    found.cells["shards not in meta"] = f"{len(stale):,}"
    if stale:
        name = meta_path(folder, found.split).name
        found.wrong(
            "shards not in meta",
            f"{len(stale)} shards that {name} does not list: {first_few(stale)}; of an earlier "
            "run: remove them",
        )


def _text(found: SplitFindings, folder: Path, meta: Mapping[int, list[str]], text: str) -> None:
    videos = captions = without = outside = all_outside = whole = 0
    for shard, ids in sorted(meta.items()):
        prefix = str(folder / f"{found.split}_{shard}")
        text_prefix = f"{text}{found.split}_{shard}"
        try:
            report = _check(ids, prefix, text_prefix)
            counts = open_shard(f"{text_prefix}{TEXT_SUFFIXES[0]}").lengths()
        except DataError as error:
            found.wrong("token shards", str(error))
            continue
        whole += 1
        videos += len(counts)
        captions += int(counts.sum())
        without += int((counts == 0).sum())
        outside += report.odd.late + report.odd.early
        all_outside += int(report.outside.sum())
    found.cells["token shards"] = f"{whole:,} of {len(meta):,} fit"
    found.cells["captions"] = f"{captions:,}"
    found.cells["videos without captions"] = f"{without:,}"
    found.cells["captions outside video"] = f"{outside:,}"
    found.cells["videos all outside"] = f"{all_outside:,}"
    if whole and not captions:
        found.wrong("captions", f"{text}{found.split}_*: no video has a caption")
    with_captions = videos - without
    if 2 * all_outside > with_captions:
        found.wrong(
            "videos all outside",
            f"{all_outside} of {with_captions} videos have no caption within their seconds, and "
            "training leaves them out; are the captions of other videos?",
        )
    prefixes = {
        f"{text}{found.split}_{shard}{end}": meta[shard]
        for shard in sorted(meta)
        for end in TEXT_SUFFIXES
    }
    there = {
        prefix: ids for prefix, ids in prefixes.items() if os.path.exists(f"{prefix}_data.npy")
    }
    _hashes(found, "token hashes", list(there))
    _ids(found, "ids of token shards", there, "mmpt tokenise")


def _check(ids: list[str], features: str, text: str) -> ShardReport:
    """The look that every training takes before it begins."""
    shape = open_shard(features).data.shape
    width = shape[1] if len(shape) == 2 else 0
    return check_shard(ids, np.ones(len(ids), dtype=bool), features, text, width, "the list")
