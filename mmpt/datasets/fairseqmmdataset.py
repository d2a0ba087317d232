"""fairseq's view of a data set: items that repeat whatever the number of loader workers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset

from mmpt.datasets.mmdataset import MMDataset
from mmpt.utils.seeds import seeded


class FairseqMMDataset(FairseqDataset):
    """An `MMDataset` for fairseq's trainer.

    Item i in epoch e is drawn under Python, numpy and torch seeds made of (seed, e, i): the worker
    that draws it, and what was drawn before, do not matter.  fairseq gives validation epoch 1
    throughout, so every validation sees the same clips and its losses can be compared.

    Args:
        mmdataset: the data set.
        seed: of the run (`--seed`).
    """

    def __init__(self, mmdataset: MMDataset, seed: int = 1):
        super().__init__()
        self.mmdataset = mmdataset
        self.seed = seed
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

    def size(self, index: int) -> int:
        """1: batches are counted in items."""
        return 1

    def num_tokens(self, index: int) -> int:
        """1: batches are counted in items."""
        return 1

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return np.ones(len(indices), dtype=np.int64)
