"""A data set put together from a meta processor, a video and a text processor, and an aligner."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmpt.config.access import lookup, setting
from mmpt.errors import USER_ERRORS, DataError
from mmpt.processors import ROLES
from mmpt.utils.seeds import set_seed


class MMDataset(Dataset):
    """Item i: what the meta processor lists, read by the two processors, cut by the aligner.

    Args:
        meta_processor: has `len`, `[i] -> (video_id, text_id)` and `split`.
        video_processor: video_id -> features.
        text_processor: text_id -> token ids.
        align_processor: (video_id, features, ids) -> dict of tensors.

    Attributes:
        split: `train`, `valid` or `test`.
    """

    def __init__(
        self,
        meta_processor: Any,
        video_processor: Callable,
        text_processor: Callable,
        align_processor: Callable,
    ):
        self.split = getattr(meta_processor, "split", "train")
        self.meta_processor = meta_processor
        self.video_processor = video_processor
        self.text_processor = text_processor
        self.align_processor = align_processor

    @classmethod
    def from_config(cls, config: Any) -> "MMDataset":
        """The data set that a `dataset` section describes; its `split` picks the files.

        Raises:
            ConfigError: a processor is not named, unknown, or its settings are wrong.
            DataError: a file or folder is missing or broken.
        """
        return cls(
            *(
                lookup(known, setting(config, role), f"dataset.{role}")(config)
                for role, known in ROLES.items()
            )
        )

    def __len__(self) -> int:
        return len(self.meta_processor)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Item `index`: the aligner's dict, and `idx`.

        In a test split all generators are seeded with the index first, so that evaluation repeats.

        Raises:
            IndexError: there is no such item.
            DataError, ConfigError, …: as the processors; the message names the video.
            RuntimeError: any other error of a processor; the message names the video.
        """
        if self.split == "test":
            set_seed(index)
        video_id, text_id = self.meta_processor[index]
        try:
            item = self.align_processor(
                video_id, self.video_processor(video_id), self.text_processor(text_id)
            )
        except Exception as error:
            where = f"{self.split} item {index} (video {_names(video_id)})"
            if isinstance(error, USER_ERRORS):
                raise type(error)(f"{where}: {error}") from error
            raise RuntimeError(f"{where}: {type(error).__name__}: {error}") from error
        item["idx"] = index
        return item

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch of items.

        Returns:
            Per key: tensors stacked along a new first axis, numbers as one tensor, anything else
            (ids) as a list with one entry per item.  Keys whose value is None are left out.

        Raises:
            DataError: tensors of one key differ in shape.
        """
        if not samples:
            return {}
        batch = {}
        for key, first in samples[0].items():
            if first is None:
                continue
            values = [sample[key] for sample in samples]
            if isinstance(first, Tensor):
                batch[key] = _stack(key, values)
            elif isinstance(first, (bool, int, float)):
                batch[key] = torch.tensor(values)
            else:
                batch[key] = values
        return batch


def _stack(key: str, tensors: list[Tensor]) -> Tensor:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise DataError(
            f"items of one batch differ in the shape of {key}: {sorted(shapes)}; "
            "use batch size 1 for items of varying length"
        )
    if len(tensors) == 1:
        # a training batch is one item of tens of megabytes: a view will do
        return tensors[0].unsqueeze(0)
    return torch.stack(tensors)


def _names(video_id: Any) -> str:
    """The id or ids in what a meta processor gives, at most three."""
    if isinstance(video_id, list):
        shown = ", ".join(_names(entry) for entry in video_id[:3])
        return f"{shown}, …" if len(video_id) > 3 else shown
    return str(video_id[0]) if isinstance(video_id, tuple) else str(video_id)
