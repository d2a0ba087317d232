"""HowTo100M in batches of whole videos: one item of the data set is one training batch.

Which videos share a batch is the meta processor's `cands`, a list of groups of ids that changes
between epochs: random groups, or videos that were retrieved because they resemble each other.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmpt.errors import ConfigError, DataError, first_few
from mmpt.processors.how2aligner import OverlappedAligner, VariedLenAligner
from mmpt.processors.how2processor import (
    ShardedHow2MetaProcessor,
    ShardedId,
    ShardedTextProcessor,
    ShardedVideoProcessor,
)
from mmpt.processors.paths import required
from mmpt.utils.distributed import get_world_size
from mmpt.utils.seeds import mixed_seed


def group_videos(video_ids: Sequence[str], size: int, multiple: int = 1) -> list[list[str]]:
    """Cuts a list of videos into consecutive groups.

    Videos that do not fill a group are left out, and groups that the processes of a run could not
    share evenly; with fewer groups than processes all groups stay.

    Args:
        video_ids: the videos.
        size: videos of a group.
        multiple: the number of processes.  (The published code cuts to a multiple of 8 whatever
            their number, and to nothing below 8 groups.)

    Raises:
        DataError: there are fewer videos than one group needs.
    """
    groups = len(video_ids) // size
    if groups == 0:
        raise DataError(
            f"{len(video_ids)} videos do not fill one batch: dataset.num_video_per_batch asks for "
            f"{size}; list more videos, or lower it"
        )
    return whole_rounds(
        [list(video_ids[i * size : (i + 1) * size]) for i in range(groups)], multiple
    )


def whole_rounds(groups: list[list[str]], processes: int) -> list[list[str]]:
    """Groups that the processes of a run can share evenly: at most `processes - 1` are left out;
    with fewer groups than processes none is."""
    left_over = len(groups) % processes if len(groups) > processes else 0
    return groups[: len(groups) - left_over]


class ShardedHow2VideoRetriMetaProcessor(ShardedHow2MetaProcessor):
    """Groups of `num_video_per_batch` videos.

    Attributes:
        data: all ids of the split.
        cands: the groups, lists of ids; at first consecutive ones.

    Raises:
        ConfigError: `num_video_per_batch` is not set or below 1.
        DataError: fewer videos than one group; as `ShardedHow2MetaProcessor`.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.num_video_per_batch: int = required(config, "num_video_per_batch")
        if self.num_video_per_batch < 1:
            raise ConfigError(
                f"dataset.num_video_per_batch: got {self.num_video_per_batch}; at least 1 is needed"
            )
        self.cands = self._group(self.data)

    def __len__(self) -> int:
        return len(self.cands)

    def __getitem__(self, index: int) -> tuple[list[ShardedId], list[ShardedId]]:
        group = [
            (video_id, -1, *self.video_id_to_shard[video_id]) for video_id in self.cands[index]
        ]
        return group, group

    def random_candidates(self, seed: int | None = None, epoch: int = 0) -> None:
        """Shuffles the videos and cuts them into groups anew.

        Args:
            seed, epoch: the same pair gives the same groups, in every process and after a resume;
                without a seed Python's `random` is asked, as in the published code.
        """
        rng = random if seed is None else random.Random(mixed_seed(seed, epoch))
        shuffled = list(self.data)
        rng.shuffle(shuffled)
        self.cands = self._group(shuffled)

    def set_candidates(self, cands: Sequence[Sequence[str]]) -> None:
        """Installs groups made elsewhere, retrieved ones say.

        Raises:
            DataError: there is no group, a group is empty, or an id is not of this split.
        """
        if not cands or not all(cands):
            raise DataError("set_candidates: at least one group, and no empty group, is needed")
        unknown = [i for group in cands for i in group if i not in self.video_id_to_shard]
        if unknown:
            raise DataError(
                f"set_candidates: {len(unknown)} ids are not of the {self.split} split: "
                f"{first_few(unknown)}"
            )
        self.cands = [list(group) for group in cands]

    def _group(self, video_ids: list[str]) -> list[list[str]]:
        return group_videos(video_ids, self.num_video_per_batch, get_world_size())


class ShardedVideoRetriVideoProcessor(ShardedVideoProcessor):
    """Features of a list of videos; the kernel is told of all of them before the first is read."""

    def __call__(self, metas: list[ShardedId]) -> list[np.ndarray]:
        self.will_need(metas)
        read = super().__call__
        return [read(meta) for meta in metas]


class ShardedVideoRetriTextProcessor(ShardedTextProcessor):
    """Captions of a list of videos; the kernel is told of all of them before the first is read."""

    def __call__(self, metas: list[ShardedId]) -> list[dict[str, Any]]:
        self.will_need(metas)
        read = super().__call__
        return [read(meta) for meta in metas]


class _ListAligner:
    """Makes an aligner of one video one of a list of videos, drawn one after the other."""

    def __call__(
        self,
        video_ids: list[ShardedId],
        video_features: list[np.ndarray],
        text_features: list[dict[str, Any]],
    ) -> dict[str, Any]:
        """As the aligner of one video, with a leading axis of videos; video_id is a list of str.

        Raises:
            DataError: as the aligner of one video.
        """
        return self.align_videos(video_ids, video_features, text_features)


class VideoRetriAligner(_ListAligner, VariedLenAligner):
    """The clips of a list of videos, drawn as `VariedLenAligner` draws them."""


class VideoRetriOverlappedAligner(_ListAligner, OverlappedAligner):
    """The clips of a list of videos, drawn as `OverlappedAligner` draws them."""
