"""A task: the data sets, the model and the loss of one job file, and one training step.

Nothing here knows fairseq: the plugin wraps a task (fairseqmmtask.py), evaluation and scripts use
it directly.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from mmpt.config.access import lookup, setting
from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError
from mmpt.io.checkpoints import load_model
from mmpt.losses import LOSSES
from mmpt.losses.loss import LossOutput
from mmpt.models import build_model
from mmpt.processors.paths import SPLIT_KEYS

logger = logging.getLogger(__name__)

DATA = {"train": "train_data", "valid": "val_data", "test": "test_data"}
"""The attribute of `Task` that holds a split's data set."""

CLIP_BOUND = "video_start"
"""What an item holds of every clip that was drawn from its video."""


class TrainingRun(NamedTuple):
    """What a task is told of the training that it is in.

    Attributes:
        save_dir: the run's folder.
        seed: of the run.
        num_workers: of its loaders.
        continued: the task's `state` in the checkpoint that the run goes on from; None: it starts.
        interrupted: to be called between the steps of anything long, equally often in all
            processes; does not come back where the run was asked to stop.
    """

    save_dir: Path
    seed: int = 1
    num_workers: int = 0
    continued: dict[str, Any] | None = None
    interrupted: Callable[[], None] = lambda: None


class Task:
    """Builds what a job file describes.

    Attributes:
        config: the job config.
        train_data, val_data, test_data: `MMDataset` or None, set by `build_dataset`.
        state: numbers and texts that go into checkpoints, and come back as
            `TrainingRun.continued`.
        model: set by `build_model`; loss: set by `build_loss` (None where no loss is named).
    """

    def __init__(self, config: DictConfig):
        self.config = config
        self.train_data: MMDataset | None = None
        self.val_data: MMDataset | None = None
        self.test_data: MMDataset | None = None
        self.model: nn.Module | None = None
        self.loss: nn.Module | None = None
        self.state: dict[str, Any] = {}

    @classmethod
    def config_task(cls, config: DictConfig) -> "Task":
        """The task that the top-level key `task` names; `Task` where it is absent."""
        from mmpt.tasks import TASKS

        return lookup(TASKS, setting(config, "task", "Task"), "task")(config)

    def build_dataset(self) -> None:
        """Builds the data set of every split whose path is set; a test job has its test set only.

        Raises:
            ConfigError: no path is set, or a processor is unknown.
            DataError: a file or folder is missing or broken.
        """
        dataset = self._dataset_section()
        if setting(dataset, "split") == "test":
            splits = ["test"]
        else:
            splits = [s for s in ("train", "valid") if setting(dataset, SPLIT_KEYS[s])]
        if not splits:
            raise ConfigError("dataset: none of train_path, val_path is set")
        for split in splits:
            data = self.build_split(split)
            setattr(self, DATA[split], data)
            logger.info("%s: %d items", split, len(data))

    def check_training(self, last_epoch: float) -> None:
        """Called before a training of so many epochs, its data sets built; may raise."""

    def begin_epoch(self, epoch: int, run: "TrainingRun") -> None:
        """Called before the loader of a training epoch is made; the data set may change here."""

    def build_split(self, split: str) -> MMDataset:
        """The data set of one split (`train`, `valid`, `test`), its processors from `dataset`."""
        return MMDataset.from_config(OmegaConf.merge(self._dataset_section(), {"split": split}))

    def _dataset_section(self) -> DictConfig:
        section = setting(self.config, "dataset")
        if section is None:
            raise ConfigError("the job file has no section dataset")
        return OmegaConf.create(section)

    def build_model(self, checkpoint: str | None = None) -> nn.Module:
        """Builds the model; with `checkpoint`, loads that file into it."""
        self.model = build_model(self.config)
        if checkpoint is not None:
            load_model(self.model, checkpoint)
        return self.model

    def build_loss(self) -> nn.Module | None:
        """Builds the loss that `loss.loss_cls` names; None where the job has none."""
        name = setting(self.config, "loss.loss_cls")
        if name is not None:
            self.loss = lookup(LOSSES, name, "loss.loss_cls")(self.config)
        return self.loss

    def reshape_subsample(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Flattens [B, clips, ...] to [B * clips, ...], clips of one video adjacent.

        An aligner that draws clips gives each its bounds (`video_start`, [B, clips]), whatever
        their number; items without bounds have such an axis only where `dataset.subsampling` > 1.
        The windows of a whole video, [1, W, ...], are neither.
        """
        bounds = sample.get(CLIP_BOUND)
        drawn = isinstance(bounds, Tensor) and bounds.dim() > 1
        if drawn or setting(self.config, "dataset.subsampling", 1) > 1:
            return {key: flatten_leading(value) for key, value in sample.items()}
        return sample

    def __call__(self, model: nn.Module, sample: dict[str, Any]) -> LossOutput:
        """One forward pass with the loss.

        Args:
            model: the model to run, that is the one given: a distributed wrapper only averages
                gradients of calls that go through it.
            sample: a batch of the data loader.

        Returns:
            The loss (fp32 scalar) and its parts.
        """
        if self.loss is None:
            raise ConfigError("loss.loss_cls is not set: this job file has nothing to train")
        sample = self.reshape_subsample(sample)
        outputs = model(**sample)
        return self.loss.compute(**{**sample, **outputs})


def flatten_leading(value: Any) -> Any:
    """[A, B, ...] -> [A * B, ...] for tensors of two axes or more; anything else as it is."""
    if isinstance(value, Tensor) and value.dim() > 1:
        return torch.flatten(value, 0, 1)
    return value
