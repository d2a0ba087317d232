"""fairseq's view of a data set: items that repeat whatever the number of loader workers."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import DataError
from mmpt.utils.distributed import get_world_size
from mmpt.utils.seeds import mixed_seed, seeded


class FairseqMMDataset(FairseqDataset):
    """An `MMDataset` for fairseq's trainer.

    Item i in epoch e is drawn under Python, numpy and torch seeds made of (seed, e, i): the worker
    that draws it, and what was drawn before, do not matter.  fairseq gives validation epoch 1
    throughout, so every validation sees the same clips and its losses can be compared.

    Args:
        mmdataset: the data set.
        seed: of the run (`--seed`).
        whole_rounds: an epoch has as many batches as all processes can share evenly; which ones
            it leaves out (fewer than there are processes), each epoch draws anew. Otherwise
            fairseq gives some processes a batch that does not count at the end, which must not be
            where processes contrast each other's batches.
    """

    def __init__(self, mmdataset: MMDataset, seed: int = 1, whole_rounds: bool = False):
        super().__init__()
        self.mmdataset = mmdataset
        self.seed = seed
        self.whole_rounds = whole_rounds
        self.epoch = 1
        self.split = getattr(mmdataset, "split", "train")

    def set_epoch(self, epoch: int) -> None:
        """Called by fairseq before an epoch's iterator is made."""
        self.epoch = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """False for training: workers kept alive would go on with the epoch they started in."""
        return self.split != "train"

    def __getitem__(self, index: int) -> dict[str, Any]:
        with seeded(self.seed, self.epoch, int(index)):
            return self.mmdataset[int(index)]

    def __len__(self) -> int:
        return len(self.mmdataset)

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return self.mmdataset.collater(samples)

    def ordered_indices(self) -> np.ndarray:
        """0 to n - 1; fairseq's iterator shuffles the batches."""
        return np.arange(len(self), dtype=np.int64)

    def batch_by_size(self, indices: np.ndarray, *args, **kwargs) -> list:
        """Lists of items, one a batch.

        Raises:
            DataError: `whole_rounds`, and fewer batches than processes.
        """
        batches = list(super().batch_by_size(indices, *args, **kwargs))
        processes = get_world_size()
        if not self.whole_rounds or len(batches) % processes == 0:
            return batches
        if len(batches) < processes:
            raise DataError(
                f"{len(batches)} batches an epoch for {processes} processes, which contrast each "
                "other's (loss.gather_negatives): use fewer processes, smaller batches or more data"
            )
        rng = random.Random(mixed_seed(self.seed, self.epoch))
        left_out = set(rng.sample(range(len(batches)), len(batches) % processes))
        return [batch for number, batch in enumerate(batches) if number not in left_out]

    def size(self, index: int) -> int:
        """1: batches are counted in items."""
        return 1

    def num_tokens(self, index: int) -> int:
        """1: batches are counted in items."""
        return 1

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return np.ones(len(indices), dtype=np.int64)
