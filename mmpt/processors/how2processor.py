"""HowTo100M: lists of videos, and their features and captions read from shards.

One item is one video; how clips are cut out of it is in how2aligner.py (re-exported here, the
published home of the names) and sampling.py.
"""

import itertools
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle
from mmpt.processors.captionfile import (
    PKLJSONStrTextProcessor,
    has_captions,
    read_caption_file,
)
from mmpt.processors.how2aligner import (
    FixedLenAligner,
    OverlappedAligner,
    StartClipAligner,
    VariedLenAligner,
)
from mmpt.processors.how2checks import (
    TEXT_SUFFIXES,
    ShardReport,
    check_made_for,
    check_shard,
    check_twice,
    check_width,
    report_left_out,
    report_odd,
)
from mmpt.processors.paths import (
    DISK_SPLITS,
    asked_by,
    config_split,
    read_lines,
    required,
    required_file,
    required_folder,
)
from mmpt.processors.processor import DEFAULT_WIDTH, MetaProcessor
from mmpt.processors.samplers import TextClipSamplingProcessor, VideoClipSamplingProcessor
from mmpt.processors.sequences import CaptionTokens
from mmpt.utils.distributed import is_master
from mmpt.utils.shardedtensor import ShardedTensor, open_shard

logger = logging.getLogger(__name__)

__all__ = [
    "FixedLenAligner",
    "How2MetaProcessor",
    "OverlappedAligner",
    "PKLJSONStrTextProcessor",
    "ShardedHow2MetaProcessor",
    "ShardedTextProcessor",
    "ShardedVideoProcessor",
    "StartClipAligner",
    "TextClipSamplingProcessor",
    "VariedLenAligner",
    "VideoClipSamplingProcessor",
]

SECTION = "HowTo100M"
"""The section of DATASET.md about these files."""

ShardedId = tuple[str, int, int, int]
"""(video id, index in the list or -1, number of the shard, position in the shard)."""

RECHECK_SECONDS = 10.0
"""How long a shard is used without a look whether its files have changed."""


class How2MetaProcessor(MetaProcessor):
    """A list of video ids, one a line.

    An id that is listed twice counts once.  Where `dataset.vfeat_dir` is set, ids without
    `VIDEO_ID.npy` in it are left out and counted; where `dataset.caption_pkl_path` is, ids without
    a caption.

    Attributes:
        data: the ids, in the order of the list.
        path: the list.

    Raises:
        ConfigError: the path of the split is not set.
        DataError: a file or folder is missing or damaged, or no video is left.
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        self.path = self._get_split_path(config)
        listed = read_lines(self.path)
        self.data = list(dict.fromkeys(listed))
        if len(listed) > len(self.data) and is_master():
            logger.info(
                "%s: %d lines left out: their ids were listed before",
                self.path,
                len(listed) - len(self.data),
            )
        count = len(self.data)
        looked = self._keep_readable(config)
        if not self.data:
            raise DataError(f"{self.path}: none of its {count} ids is a video with {looked}")

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.data[index], self.data[index]

    def _keep_readable(self, config: Any) -> str:
        """Leaves out the ids without data; says what was looked for."""
        looked = []
        if setting(config, "vfeat_dir") is not None:
            folder = required_folder(config, "vfeat_dir", SECTION)
            looked.append(f"features in {folder}")
            present = set(os.listdir(folder))
            self._keep([f"{i}.npy" in present for i in self.data], f"no {looked[-1]}")
        if setting(config, "caption_pkl_path") is not None:
            captions = read_caption_file(required_file(config, "caption_pkl_path", SECTION))
            looked.append(f"captions in {setting(config, 'caption_pkl_path')}")
            self._keep([has_captions(captions.get(i)) for i in self.data], f"no {looked[-1]}")
        return " and ".join(looked)

    def _keep(self, kept: Sequence[bool], why: str) -> None:
        report_left_out(len(kept) - sum(kept), len(kept), self.path, why)
        self.data = list(itertools.compress(self.data, kept))


class ShardedHow2MetaProcessor(How2MetaProcessor):
    """The videos of a list that stand in the shards of `vfeat_dir`.

    Left out and counted, one line each: ids that are in no shard; videos without a second or
    without a caption; videos of which every caption lies outside; videos whose captions are all
    empty.  What else is looked at before a run begins stands in how2checks.py.

    Attributes:
        data: the ids left, in the order of the list.
        video_id_to_shard: id -> (number of the shard, position in the shard).

    Raises:
        ConfigError: a path is not set.
        DataError: a file is missing or damaged, text shards and feature shards were made from
            different lists, or no video is left.
    """

    def _keep_readable(self, config: Any) -> str:
        folder = required_folder(config, "vfeat_dir", SECTION)
        disk_split = DISK_SPLITS[self.split]
        meta_path = os.path.join(folder, f"{disk_split}_meta.pkl")
        features = os.path.join(folder, f"{disk_split}_")
        meta = _load_meta(meta_path)
        places = {
            video_id: (shard, position)
            for shard, video_ids in meta.items()
            for position, video_id in enumerate(video_ids)
        }
        self._keep([i in places for i in self.data], f"in no {disk_split} shard of {folder}")
        if len(places) < sum(map(len, meta.values())):
            twice = check_twice(meta, places, features, meta_path)
            if is_master():
                logger.info("%s: lists %d videos twice, with equal lengths", meta_path, twice)

        self.video_id_to_shard = places
        reports = self._check_shards(config, meta, features)
        report_odd(list(reports.values()), self.path)
        for found, why in (
            ("empty", "without a second or without a caption"),
            ("outside", "all captions lie outside the video (not in seconds? another's?)"),
            ("wordless", "all captions are without a token"),
        ):
            found_in = {shard: getattr(report, found) for shard, report in reports.items()}
            self._keep([not found_in[places[i][0]][places[i][1]] for i in self.data], why)
        return f"captions in the {disk_split} shards of {folder}"

    def _check_shards(
        self, config: Any, meta: dict[int, list[str]], features: str
    ) -> dict[int, ShardReport]:
        """Looks through every shard that is used.

        A missing or damaged one ends the run before it begins, and the loader's workers find the
        maps open.
        """
        listed: dict[int, np.ndarray] = {}
        for video_id in self.data:
            shard, position = self.video_id_to_shard[video_id]
            if shard not in listed:
                listed[shard] = np.zeros(len(meta[shard]), dtype=bool)
            listed[shard][position] = True
        text = setting(config, "tfeat_dir")
        width = setting(config, "vfeat_dim", DEFAULT_WIDTH)
        reports = {}
        for shard in sorted(listed):
            of_text = None if text is None else f"{text}{DISK_SPLITS[self.split]}_{shard}"
            places = (f"{features}{shard}", of_text)
            check_made_for(meta[shard], *places)
            reports[shard] = check_shard(meta[shard], listed[shard], *places, width, self.path)
        return reports

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        video_id = self.data[index]
        meta: ShardedId = (video_id, index, *self.video_id_to_shard[video_id])
        return meta, meta


class ShardedVideoProcessor:
    """Features of a video from the shards of `dataset.vfeat_dir`."""

    def __init__(self, config: Any):
        folder = required_folder(config, "vfeat_dir", SECTION)
        disk_split = DISK_SPLITS[config_split(config)]
        self.prefix = os.path.join(os.path.abspath(folder), f"{disk_split}_")
        self.width = setting(config, "vfeat_dim", DEFAULT_WIDTH)

    def __call__(self, meta: ShardedId) -> np.ndarray:
        """[seconds, width] as stored, a read-only view of the mapped shard.

        Raises:
            DataError: the shard is missing, damaged, too short, or of another width.
        """
        _, _, shard, position = meta
        name = f"{self.prefix}{shard}"
        opened = open_shard(name, RECHECK_SECONDS)
        check_width(opened, self.width, name)
        return _entry(opened, position, name)

    def will_need(self, metas: Sequence[ShardedId]) -> None:
        """Asks the kernel to read the features of these videos ahead."""
        _will_need(metas, self.prefix, ("",))


class ShardedTextProcessor:
    """Captions of a video from the text shards whose names begin with `dataset.tfeat_dir`."""

    def __init__(self, config: Any):
        prefix = f"{required(config, 'tfeat_dir')}{DISK_SPLITS[config_split(config)]}_"
        self.prefix = os.path.abspath(prefix)

    def __call__(self, meta: ShardedId) -> dict[str, Any]:
        """`start` and `end` (lists of seconds) and `cap`, a sequence of lists of token ids.

        Raises:
            DataError: a shard is missing or damaged, or has no caption for the video.
        """
        _, _, shard, position = meta
        name = f"{self.prefix}{shard}"
        startends = _entry(open_shard(f"{name}.startends", RECHECK_SECONDS), position, name)
        captions = _entry(open_shard(f"{name}.caps_ids", RECHECK_SECONDS), position, name)
        if startends.ndim != 2 or startends.shape[1] != 2 or len(startends) != len(captions):
            raise DataError(
                f"shard {name}: startends {startends.shape} do not fit caps_ids {captions.shape}"
            )
        starts, ends = startends.T.tolist()
        return {"start": starts, "end": ends, "cap": CaptionTokens.from_padded(captions)}

    def will_need(self, metas: Sequence[ShardedId]) -> None:
        """Asks the kernel to read the captions of these videos ahead."""
        _will_need(metas, self.prefix, TEXT_SUFFIXES)


def _load_meta(path: str) -> dict[int, list[str]]:
    """`SPLIT_meta.pkl`: number of the shard -> ids of its videos in order."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; {asked_by('vfeat_dir', SECTION)}")
    meta = load_pickle(path)
    expected = f"{path}: expected {{shard number: [video ids]}}"
    if not isinstance(meta, dict):
        raise DataError(f"{expected}, got {type(meta).__name__}")
    for shard, ids in meta.items():
        if not isinstance(shard, int) or not isinstance(ids, list):
            raise DataError(f"{expected}, got an entry {shard!r}: {type(ids).__name__}")
        if not all(isinstance(video_id, str) for video_id in ids):
            raise DataError(f"{expected}, got ids that are no text in shard {shard}")
    return meta


def _will_need(metas: Sequence[ShardedId], prefix: str, suffixes: Sequence[str]) -> None:
    positions: dict[int, list[int]] = {}
    for _, _, shard, position in metas:
        positions.setdefault(shard, []).append(position)
    for shard, wanted in positions.items():
        for suffix in suffixes:
            opened = open_shard(f"{prefix}{shard}{suffix}", RECHECK_SECONDS)
            # reading says what is wrong with the others
            opened.will_need(position for position in wanted if position < len(opened))


def _entry(shard: ShardedTensor, position: int, name: str) -> np.ndarray:
    if position >= len(shard):
        raise DataError(f"shard {name}: has {len(shard)} videos, position {position} was asked for")
    return shard[position]
