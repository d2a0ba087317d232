"""fairseq's view of a task: `--task mmtask JOB.yaml`."""

import argparse
import logging
import math
import os

from fairseq.tasks import LegacyFairseqTask, register_task
from omegaconf import OmegaConf

import mmpt.losses.fairseqmmloss  # noqa: F401  (registers --criterion mmloss)
from mmpt.config import load_config, prepare_run
from mmpt.config.access import setting
from mmpt.config.fairseq_args import LAST_CHECKPOINT
from mmpt.datasets.fairseqmmdataset import FairseqMMDataset
from mmpt.errors import CheckpointError, ConfigError
from mmpt.io.fairseqmm_checkpoints import make_loading_safe
from mmpt.processors.paths import SPLIT_KEYS
from mmpt.tasks.task import DATA, Task
from mmpt.utils.distributed import is_master

logger = logging.getLogger(__name__)

# Workers that outlive their epoch keep its groups of videos, and an iterator that is collected with
# its workers alive waits five seconds for each of them.
LOADER_SETTINGS = argparse.Namespace(reuse_dataloader=False, persistent_workers=False)


@register_task("mmtask")
class FairseqMMTask(LegacyFairseqTask):
    """Builds what the job file describes and hands it to fairseq's trainer."""

    @staticmethod
    def add_args(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("taskconfig", metavar="YAML", help="the job file")

    def __init__(self, args: argparse.Namespace):
        super().__init__(args)
        self.cfg = LOADER_SETTINGS
        make_loading_safe()
        config = load_config(args)
        refuse_missing_restore_file(args, setting(config, "restore_optional", False))
        self.mmtask = Task.config_task(config)
        self.mmtask.refuse_retrieval(last_epoch(args))
        self.mmtask.build_loss()
        self.mmtask.build_dataset()
        if is_master() and getattr(args, "save_dir", None):
            prepare_run(with_arguments(config, args))

    def load_dataset(self, split: str, **kwargs) -> None:
        """Wraps the task's data set of a split for fairseq.

        Raises:
            ConfigError: the job file has no such split.
        """
        if split not in DATA:
            raise ConfigError(f"unknown split {split!r}; known: {', '.join(DATA)}")
        data = getattr(self.mmtask, DATA[split])
        if data is None:
            raise ConfigError(
                f"fairseq asks for the split {split!r}, but dataset.{SPLIT_KEYS[split]} is not set;"
                " set it, or fairseq.dataset.disable_validation: true"
            )
        self.datasets[split] = FairseqMMDataset(data, seed=self.args.seed)

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """A fresh iterator for every training epoch (the data set says that it cannot be reused).

        fairseq keeps its loader workers between epochs: groups of videos that changed in the main
        process would never reach them.  It also drops the last batch unless the number of items is
        a multiple of `required_batch_size_multiple`, 8 by default.
        """
        kwargs["required_batch_size_multiple"] = 1
        # fairseq's buffer is a thread on top of the loader's own prefetching: without workers it
        # would seed its items under the model's feet, and with them it can abort a process that
        # ends inside an epoch
        kwargs["data_buffer_size"] = 0
        if dataset is self.datasets.get("train"):
            self.mmtask.begin_epoch(kwargs.get("epoch", 1), kwargs.get("seed", 1))
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def max_positions(self):
        return None

    @property
    def source_dictionary(self):
        return None

    @property
    def target_dictionary(self):
        return None


def refuse_missing_restore_file(args: argparse.Namespace, optional: bool) -> None:
    """fairseq trains from scratch when `--restore-file` is not there; a typo would cost days.

    Raises:
        CheckpointError: the file is missing and `restore_optional` is not set.
    """
    restore_file = getattr(args, "restore_file", LAST_CHECKPOINT)
    if restore_file == LAST_CHECKPOINT or os.path.isfile(restore_file):
        return
    if not optional:
        raise CheckpointError(
            f"--restore-file {restore_file} does not exist; train or download it first, or set "
            "restore_optional: true in the job file to start without it"
        )
    logger.warning("--restore-file %s does not exist: starting without it", restore_file)


def last_epoch(args: argparse.Namespace) -> float:
    """The last epoch that a run can reach: 0 where an evaluation gives no limits at all."""
    if not hasattr(args, "max_epoch"):
        return 0
    if args.max_epoch:
        return args.max_epoch
    # a limit in updates may come at any epoch: what is sure then is the first
    return 1 if getattr(args, "max_update", 0) else math.inf


def with_arguments(config, args: argparse.Namespace):
    """The config with the folders, numbers and flags that the command line decided on."""
    chosen = OmegaConf.to_container(setting(config, "fairseq", OmegaConf.create()), resolve=True)
    for group in chosen.values():
        for name, value in group.items():
            given = getattr(args, name, None)
            if type(given) is type(value) and isinstance(given, bool | int | float):
                group[name] = given
    chosen.setdefault("checkpoint", {})["save_dir"] = args.save_dir
    if getattr(args, "tensorboard_logdir", None):
        chosen.setdefault("common", {})["tensorboard_logdir"] = args.tensorboard_logdir
    return OmegaConf.merge(config, {"fairseq": chosen})
