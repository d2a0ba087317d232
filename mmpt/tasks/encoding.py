"""Encoding all training videos once, for retrieval."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import device_of
from mmpt.utils.distributed import get_rank, get_world_size, is_master, let_threads_settle
from mmpt.utils.seeds import seeded

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 60.0
"""A log without a progress bar gets a line so often."""


class SeededItems(Dataset):
    """A data set whose item i is drawn under a seed made of (seed, i): the worker and the process
    that draw it do not matter."""

    def __init__(self, data: MMDataset, seed: int):
        self.data = data
        self.seed = seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with seeded(self.seed, index):
            return self.data[index]


def encode_share(
    model: nn.Module,
    data: MMDataset,
    seed: int,
    num_workers: int,
    flatten: Callable[[dict[str, Any]], dict[str, Any]],
    take: Callable[[dict[str, Any]], None],
    interrupted: Callable[[], None] = lambda: None,
) -> None:
    """Runs a model over this process's share of a data set: every W-th item for W processes.

    The model is put into evaluation mode and back. Global random generators are left alone, so
    that a training goes on as if nothing had been encoded.

    Args:
        model: on any device, in any precision; features are cast to its own.
        data: one item is one batch.
        seed: of the items.
        num_workers: loader workers.
        flatten: makes the model's input of a collated item.
        take: is handed each batch: the model's output and what the batch held beside it.
        interrupted: called before every batch, equally often in all processes; may raise.
    """
    world = get_world_size()
    share = range(get_rank(), len(data), world)
    device, dtype = device_of(model), _precision(model)
    loader = DataLoader(
        SeededItems(data, seed),
        batch_size=1,
        sampler=share,
        num_workers=num_workers,
        collate_fn=data.collater,
        pin_memory=device.type == "cuda",
        generator=torch.Generator().manual_seed(seed),
    )
    steps = -(-len(data) // world)
    let_threads_settle()
    iterator = iter(loader)  # its workers are forked here
    watch = _Watch(len(share))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            batches = watch.batches(iterator)
            for _ in range(steps):
                interrupted()
                batch = next(batches, None)
                if batch is not None:
                    batch = _moved(flatten(batch), device, dtype)
                    take({**batch, **model(**batch)})
            next(batches, None)  # the loader's end, at which its workers leave
    finally:
        model.train(was_training)
    watch.report()


def chunks(names: Sequence[str], size: int) -> list[list[str]]:
    """Consecutive groups of so many; the last one may be smaller."""
    return [list(names[i : i + size]) for i in range(0, len(names), size)]


class _Watch:
    """Shows how far the encoding is, and how long it waits for its loader."""

    def __init__(self, total: int):
        self.total = total
        self.videos = 0
        self.waited = 0.0
        self.began = self.said = time.perf_counter()

    def batches(self, iterator: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        bar = tqdm(
            total=self.total,
            desc="encoding videos",
            unit="batch",
            leave=False,
            disable=None if is_master() else True,  # None: only where somebody looks
        )
        with bar:
            for number in itertools.count(1):
                asked = time.perf_counter()
                batch = next(iterator, None)
                now = time.perf_counter()
                if batch is None:
                    return
                # the first batch is waited for while the workers start: that is no sign of a
                # loader that is too slow
                self.waited += now - asked if number > 1 else 0.0
                self.videos += sum(map(len, batch["video_id"]))
                yield batch
                bar.update()
                self._say(number)

    def _say(self, number: int) -> None:
        now = time.perf_counter()
        if now - self.said > PROGRESS_SECONDS:
            self.said = now
            logger.info("encoding videos: batch %d of %d", number, self.total)

    def report(self) -> None:
        seconds = time.perf_counter() - self.began
        logger.info(
            "%d videos encoded%s in %.1f s (%.1f videos/s), %.1f %% of it waiting for the loader",
            self.videos,
            " by the first process" if get_world_size() > 1 else "",
            seconds,
            self.videos / seconds,
            100 * self.waited / seconds,
        )


def _precision(model: nn.Module) -> torch.dtype:
    """In which the model computes; float32 for one without parameters."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def _moved(batch: dict[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    return {
        name: value.to(device, dtype if value.is_floating_point() else None, non_blocking=True)
        if isinstance(value, Tensor)
        else value
        for name, value in batch.items()
    }
