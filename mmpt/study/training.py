"""One training of a study: the data, model and loss of a job file in a plain loop.

What a job file says of data, model, loss, learning rate and retrieval holds; what it says of the
trainer's files and processes does not, as there are none.
"""

import ast
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.tasks import Task
from mmpt.tasks.task import TrainingRun
from mmpt.utils.seeds import mixed_seed, seeded, set_seed


class Trained(NamedTuple):
    """A model after its training, and the mean loss of the last epoch's updates."""

    model: nn.Module
    loss: float


def train(config: DictConfig, updates: int, seed: int, start: Path | None = None) -> Trained:
    """Trains a job for so many updates, on the CPU.

    Epochs, seeds of items and retrieved batches are those of a real run; the order of batches
    within an epoch is the study's own.

    Args:
        config: a checked job file whose optimizer is `adam`.
        updates: of the optimizer; the schedule is the job's, stretched to them.
        seed: of weights, batches and dropout.
        start: a checkpoint to start from.

    Raises:
        DataError: the loss is not finite, or the data is broken.
    """
    set_seed(seed)
    task = Task.config_task(config)
    task.train_data = task.build_split("train")
    model = task.build_model(start)
    loss = task.build_loss()
    optimizer, schedule = _optimizer(config, nn.ModuleList([model, loss]), updates)
    done, epoch, values = 0, 0, []
    with TemporaryDirectory(prefix="mmpt_study_") as folder:
        while done < updates:
            epoch += 1
            task.begin_epoch(epoch, TrainingRun(Path(folder), seed))
            model.train()
            values = []
            for item in _order(len(task.train_data), seed, epoch)[: updates - done]:
                with seeded(seed, epoch, item):
                    sample = task.train_data.collater([task.train_data[item]])
                values.append(_update(task, model, sample, optimizer, config))
                schedule.step()
                done += 1
    return Trained(model, sum(values) / len(values))


def _order(batches: int, seed: int, epoch: int) -> list[int]:
    order = list(range(batches))
    random.Random(mixed_seed(seed, epoch)).shuffle(order)
    return order


def _update(task: Task, model: nn.Module, sample: dict, optimizer, config: DictConfig) -> float:
    total = task(model, sample).total
    if not bool(torch.isfinite(total)):
        raise DataError(f"the loss is {total.item()}; lower fairseq.optimization.lr of the job")
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(trained, config.fairseq.optimization.clip_norm)
    optimizer.step()
    return total.item()


def _optimizer(config: DictConfig, modules: nn.Module, updates: int):
    """fairseq's `adam` and `polynomial_decay` of power 1, as the job sets them."""
    asked = config.fairseq.optimization
    optimizer = torch.optim.Adam(
        [p for p in modules.parameters() if p.requires_grad],
        lr=asked.lr[0],
        betas=ast.literal_eval(asked.adam_betas),
        weight_decay=setting(asked, "weight_decay", 0.0),
    )
    warmup = max(1, round(asked.warmup_updates * updates / asked.total_num_update))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: learning_rate_factor(done, warmup, updates)
    )
    return optimizer, schedule


def learning_rate_factor(done: int, warmup: int, updates: int) -> float:
    """The share of the learning rate that an update has after so many others: up to 1 during the
    warm-up, then down to 0 (fairseq's `polynomial_decay`, power 1)."""
    if done <= warmup:
        return max(done, 1) / warmup
    return max(updates - done, 0) / (updates - warmup)
