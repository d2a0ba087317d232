"""Non-finite losses in training: one may be skipped, a row of them ends the run."""

import logging
from typing import Any

import torch
from torch import Tensor

from mmpt.errors import DataError

logger = logging.getLogger(__name__)

IDS_SHOWN = 64


class LossWatch:
    """Counts the batches in a row whose loss is NaN or infinite.

    Args:
        limit: so many in a row are an error.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.in_a_row = 0

    def is_finite(self, loss: Tensor, sample: dict[str, Any], update: int) -> bool:
        """Looks at one batch's loss.

        Args:
            loss: [].
            sample: the batch; its `video_id` (a list, possibly of lists) names it.
            update: number of the update, for the message.

        Raises:
            DataError: this is the last one that is tolerated.
        """
        if bool(torch.isfinite(loss.detach())):
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        ids = video_ids(sample.get("video_id", []))
        shown = ", ".join(ids[:IDS_SHOWN]) + (", ..." if len(ids) > IDS_SHOWN else "")
        what = f"the loss is {loss.item()} in update {update}, videos {shown or 'unknown'}"
        if self.in_a_row >= self.limit:
            raise DataError(
                f"{what}: {self.in_a_row} non-finite losses in a row (non_finite_limit); look at "
                "these videos' features and captions, lower the learning rate or raise "
                "loss.sequence_contrast.scale and loss.alpha_lse; the run goes on from its last "
                "checkpoint, which is from before"
            )
        logger.warning("%s: batch skipped (%d in a row)", what, self.in_a_row)
        return False


def video_ids(value: Any) -> list[str]:
    """All ids in what a batch holds as `video_id`, flat and in order."""
    if isinstance(value, (list, tuple)):
        return [name for entry in value for name in video_ids(entry)]
    return [str(value)]
