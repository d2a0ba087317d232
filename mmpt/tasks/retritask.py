"""Pretraining on batches of whole videos, regrouped every epoch."""

import logging
from typing import Any

from torch import Tensor

from mmpt.config.access import setting
from mmpt.config.ready import NO_RETRIEVAL
from mmpt.errors import ConfigError
from mmpt.tasks.task import Task, flatten_leading

logger = logging.getLogger(__name__)


class VideoRetriTask(Task):
    """One item of the data is a batch: `num_video_per_batch` videos x `clip_per_video` clips."""

    def refuse_retrieval(self, last_epoch: float) -> None:
        """Retrieved batches (hard negatives) begin at `retri_epoch`; null is never.

        Raises:
            ConfigError: a run up to `last_epoch` comes that far, which this version cannot serve.
        """
        first = setting(self.config, "retri_epoch")
        if first is not None and last_epoch >= first:
            raise ConfigError(NO_RETRIEVAL.format(first))

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Regroups the training videos; the same (seed, epoch) gives every rank the same groups."""
        self.refuse_retrieval(epoch)
        meta = self.train_data.meta_processor
        meta.random_candidates(seed, epoch)
        logger.info("epoch %d: %d random groups of videos", epoch, len(meta))

    def reshape_subsample(self, sample: dict[str, Any]) -> dict[str, Any]:
        """[1, videos, clips, ...] -> [videos * clips, ...], clips of one video adjacent."""
        flat = {}
        for key, value in sample.items():
            if isinstance(value, Tensor) and value.dim() > 1:
                value = value.squeeze(0) if value.size(0) == 1 else flatten_leading(value)
                if setting(self.config, "dataset.clip_per_video", 1) > 1:
                    value = flatten_leading(value)
            flat[key] = value
        return flat
