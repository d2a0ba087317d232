"""HowTo100M: lists of videos, and their features and captions read from shards.

One item is one video; how clips are cut out of it is in how2aligner.py (re-exported here, the
published home of the names) and sampling.py.
"""

import logging
import os
from typing import Any

import numpy as np

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle
from mmpt.processors.how2aligner import FixedLenAligner, OverlappedAligner, VariedLenAligner
from mmpt.processors.paths import (
    DISK_SPLITS,
    asked_by,
    config_split,
    read_lines,
    required,
    required_folder,
)
from mmpt.processors.processor import DEFAULT_WIDTH, MetaProcessor
from mmpt.processors.sequences import CaptionTokens
from mmpt.utils.distributed import is_master
from mmpt.utils.shardedtensor import ShardedTensor, open_shard

logger = logging.getLogger(__name__)

__all__ = [
    "FixedLenAligner",
    "How2MetaProcessor",
    "OverlappedAligner",
    "ShardedHow2MetaProcessor",
    "ShardedTextProcessor",
    "ShardedVideoProcessor",
    "VariedLenAligner",
]

SECTION = "HowTo100M"
"""The section of DATASET.md about these files."""

ShardedId = tuple[str, int, int, int]
"""(video id, index in the list or -1, number of the shard, position in the shard)."""


class How2MetaProcessor(MetaProcessor):
    """A list of video ids, one a line.

    Attributes:
        data: the ids.
    """

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        self.data = read_lines(self._get_split_path(config))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.data[index], self.data[index]


class ShardedHow2MetaProcessor(How2MetaProcessor):
    """The videos of a list that stand in the shards of `vfeat_dir`.

    Ids that are in no shard, and videos without a second or without a caption, are left out and
    counted in one line.

    Attributes:
        data: the ids left, in the order of the list.
        video_id_to_shard: id -> (number of the shard, position in the shard).

    Raises:
        ConfigError: a path is not set.
        DataError: a file is missing or damaged, text shards and feature shards were made from
            different lists, or no video is left.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        folder = required_folder(config, "vfeat_dir", SECTION)
        disk_split = DISK_SPLITS[self.split]
        meta = _load_meta(os.path.join(folder, f"{disk_split}_meta.pkl"))
        self.video_id_to_shard = {
            video_id: (shard, position)
            for shard, video_ids in meta.items()
            for position, video_id in enumerate(video_ids)
        }
        listed, listed_count = self._get_split_path(config), len(self.data)
        known = [video_id for video_id in self.data if video_id in self.video_id_to_shard]
        _report(len(self.data) - len(known), listed, f"in no {disk_split} shard of {folder}")
        shards = sorted({self.video_id_to_shard[video_id][0] for video_id in known})
        sizes = {shard: len(meta[shard]) for shard in shards}
        features = os.path.join(folder, f"{disk_split}_")
        width = setting(config, "vfeat_dim", DEFAULT_WIDTH)
        for shard in shards:
            _check_width(open_shard(f"{features}{shard}"), width, f"{features}{shard}")
        empty = _empty_entries(features, "", sizes, "vfeat_dir")
        text_prefix = setting(config, "tfeat_dir")
        if text_prefix is not None:
            for suffix in (".startends", ".caps_ids"):
                empty |= _empty_entries(f"{text_prefix}{disk_split}_", suffix, sizes, "tfeat_dir")
        self.data = [i for i in known if self.video_id_to_shard[i] not in empty]
        _report(len(known) - len(self.data), listed, "without a second or without a caption")
        if not self.data:
            raise DataError(
                f"{listed}: none of its {listed_count} ids is a video with captions in the "
                f"{disk_split} shards of {folder}"
            )

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        video_id = self.data[index]
        meta: ShardedId = (video_id, index, *self.video_id_to_shard[video_id])
        return meta, meta


class ShardedVideoProcessor:
    """Features of a video from the shards of `dataset.vfeat_dir`."""

    def __init__(self, config: Any):
        folder = required_folder(config, "vfeat_dir", SECTION)
        self.prefix = os.path.join(folder, f"{DISK_SPLITS[config_split(config)]}_")
        self.width = setting(config, "vfeat_dim", DEFAULT_WIDTH)

    def __call__(self, meta: ShardedId) -> np.ndarray:
        """[seconds, width] as stored, a read-only view of the mapped shard.

        Raises:
            DataError: the shard is missing, damaged, too short, or of another width.
        """
        _, _, shard, position = meta
        opened = open_shard(f"{self.prefix}{shard}")
        _check_width(opened, self.width, f"{self.prefix}{shard}")
        return _entry(opened, position, f"{self.prefix}{shard}")


class ShardedTextProcessor:
    """Captions of a video from the text shards whose names begin with `dataset.tfeat_dir`."""

    def __init__(self, config: Any):
        self.prefix = f"{required(config, 'tfeat_dir')}{DISK_SPLITS[config_split(config)]}_"

    def __call__(self, meta: ShardedId) -> dict[str, Any]:
        """`start` and `end` (lists of seconds) and `cap`, a sequence of lists of token ids.

        Raises:
            DataError: a shard is missing or damaged, or has no caption for the video.
        """
        _, _, shard, position = meta
        name = f"{self.prefix}{shard}"
        startends = _entry(open_shard(f"{name}.startends"), position, name)
        captions = _entry(open_shard(f"{name}.caps_ids"), position, name)
        if startends.ndim != 2 or startends.shape[1] != 2 or len(startends) != len(captions):
            raise DataError(
                f"shard {name}: startends {startends.shape} do not fit caps_ids {captions.shape}"
            )
        starts, ends = startends.T.tolist()
        return {"start": starts, "end": ends, "cap": CaptionTokens.from_padded(captions)}


def _report(count: int, listed: str, why: str) -> None:
    if count and is_master():
        logger.info("%s: %d videos left out: %s", listed, count, why)


def _load_meta(path: str) -> dict[int, list[str]]:
    """`SPLIT_meta.pkl`: number of the shard -> ids of its videos in order."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; {asked_by('vfeat_dir', SECTION)}")
    meta = load_pickle(path)
    if not isinstance(meta, dict) or not all(isinstance(ids, list) for ids in meta.values()):
        raise DataError(
            f"{path}: expected {{shard number: [video ids]}}, got {type(meta).__name__}"
        )
    return meta


def _empty_entries(
    prefix: str, suffix: str, sizes: dict[int, int], key: str
) -> set[tuple[int, int]]:
    """The (shard, position) of entries of length 0; checks that shards have the meta file's sizes.

    Every shard is opened, so that a missing or truncated one ends the run before it begins, and
    loader workers find the maps open.
    """
    empty = set()
    for shard, size in sizes.items():
        lengths = open_shard(f"{prefix}{shard}{suffix}").lengths()
        if len(lengths) != size:
            raise DataError(
                f"shard {prefix}{shard}{suffix}: {len(lengths)} videos, meta lists {size}; "
                f"the shards of dataset.{key} were made from another list"
            )
        empty.update((shard, int(position)) for position in np.flatnonzero(lengths == 0))
    return empty


def _check_width(shard: ShardedTensor, width: int, name: str) -> None:
    if shard.data.ndim != 2 or shard.data.shape[1] != width:
        raise DataError(
            f"shard {name}: rows of shape {shard.data.shape[1:]}; dataset.vfeat_dim is {width}"
        )


def _entry(shard: ShardedTensor, position: int, name: str) -> np.ndarray:
    if position >= len(shard):
        raise DataError(f"shard {name}: has {len(shard)} videos, position {position} was asked for")
    return shard[position]
