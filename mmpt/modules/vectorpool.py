"""One vector a video, collected over an epoch's worth of encoded batches.

A pool of one process knows the videos that this process encoded. Which pool a run uses decides
what retrieval sees: `VideoVectorPool` this process's share alone, `DistributedVideoVectorPool` the
videos of all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import lookup, setting
from mmpt.errors import DataError
from mmpt.modules.retri import RETRIEVERS, VectorRetriever
from mmpt.utils.distributed import exchange_objects, exchange_rows, is_master


class VectorPool:
    """Base of the pools.

    Args:
        config: a job config. Read: `retriever_cls`, `centroids`, `examples_per_cent_to_train`,
            `db_type`, `nprobe`.

    Attributes:
        video_ids: of the videos collected so far, in the order of arrival.
    """

    def __init__(self, config: Any):
        self.config = config
        self.video_ids: list[str] = []
        self._blocks: list[np.ndarray] = []

    def __call__(self, sample: Mapping[str, Any], clips: int) -> None:
        """Takes the videos of one encoded batch; each pool says how."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.video_ids)

    def add(self, vectors: Tensor, video_ids: Sequence[str]) -> None:
        """Takes vectors [n, width] of n videos."""
        if len(vectors) != len(video_ids):
            raise DataError(f"{len(vectors)} vectors for {len(video_ids)} videos")
        self.video_ids += video_ids
        self._blocks.append(vectors.detach().float().cpu().numpy())

    def vectors(self) -> np.ndarray:
        """[videos, width] float32, in the order of `video_ids`."""
        if not self._blocks:
            return np.zeros((0, 0), dtype=np.float32)
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]

    def merge(self, order: Mapping[str, int]) -> None:
        """Called when all processes have encoded their share.

        Args:
            order: video id -> place in the list of all videos.
        """

    def build_retriever(self, device: torch.device | str = "cpu") -> VectorRetriever:
        """A retriever over the pool's videos.

        Args:
            device: where vectors are compared if faiss is not installed.

        Raises:
            ConfigError: `retriever_cls` or `db_type` is unknown.
            DataError: vectors that are not finite.
        """
        vectors = self.vectors()
        retriever = lookup(
            RETRIEVERS, setting(self.config, "retriever_cls", "VectorRetriever"), "retriever_cls"
        )(
            vectors.shape[1],
            setting(self.config, "centroids", 512),
            setting(self.config, "db_type", "flatl2"),
            setting(self.config, "examples_per_cent_to_train", 48),
            setting(self.config, "nprobe"),
            device,
        )
        retriever.add(vectors, self.video_ids, last=True)
        return retriever


class VideoVectorPool(VectorPool):
    """A video is the mean over its clips of the mean of pooled clip and pooled caption."""

    def __call__(self, sample: Mapping[str, Any], clips: int) -> None:
        """Takes one encoded batch.

        Args:
            sample: `pooled_video` and `pooled_text` [videos * clips, width], the clips of one video
                adjacent; `video_id`, a list of ids, possibly in lists.
            clips: clips of a video.
        """
        pairs = (sample["pooled_video"].float() + sample["pooled_text"].float()) / 2
        videos = pairs.reshape(-1, clips, pairs.shape[-1]).mean(dim=1)
        self.add(videos, plain_ids(sample["video_id"]))


class DistributedVideoVectorPool(VideoVectorPool):
    """As `VideoVectorPool`; the first process then holds the videos of all processes."""

    def merge(self, order: Mapping[str, int]) -> None:
        """Brings all vectors to the first process, in the order of the list; the others' pools are
        empty then."""
        blocks = exchange_rows(torch.from_numpy(self.vectors()))
        ids = [video_id for share in exchange_objects(self.video_ids) for video_id in share]
        if not is_master():
            self.video_ids, self._blocks = [], []
            return
        places = np.array([order[video_id] for video_id in ids])
        sequence = np.argsort(places, kind="stable")
        self.video_ids = [ids[i] for i in sequence]
        self._blocks = [np.concatenate([block.numpy() for block in blocks])[sequence]]


def plain_ids(video_id: Any) -> list[str]:
    """The ids in what a batch holds as `video_id`: ids, lists of them, or tuples that begin so."""
    if isinstance(video_id, tuple):
        return [str(video_id[0])]
    if isinstance(video_id, list):
        return [name for entry in video_id for name in plain_ids(entry)]
    return [str(video_id)]


VECTOR_POOLS = {
    "DistributedVideoVectorPool": DistributedVideoVectorPool,
    "VideoVectorPool": VideoVectorPool,
}
"""By the name that `vectorpool_cls` gives them."""
