"""fairseq's view of a task: `--task mmtask JOB.yaml`."""

import argparse
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.tasks import LegacyFairseqTask, register_task
from omegaconf import OmegaConf

from mmpt.config import load_config, prepare_run
from mmpt.config.access import setting
from mmpt.config.fairseq_args import LAST_CHECKPOINT
from mmpt.config.ready import last_epoch
from mmpt.config.selection import validates_on_test
from mmpt.datasets.fairseqmmdataset import FairseqMMDataset
from mmpt.errors import CheckpointError, ConfigError, LaunchError
from mmpt.io.fairseqmm_checkpoints import make_loading_safe, make_saving_safe
from mmpt.io.resume import remove_leftovers
from mmpt.io.run_record import begin_run, note_progress
from mmpt.io.runlock import hold_run_folder
from mmpt.losses.fairseqmmloss import sums  # (the module registers --criterion mmloss)
from mmpt.losses.watch import LossWatch
from mmpt.processors.paths import SPLIT_KEYS
from mmpt.tasks.fairseqmm_ddp import make_c10d_work, parameters_behind
from mmpt.tasks.fairseqmm_telemetry import Telemetry, log_update, updates_done, watch_training
from mmpt.tasks.pictures import Pictures
from mmpt.tasks.task import DATA, Task, TrainingRun
from mmpt.utils.distributed import get_world_size, is_master

logger = logging.getLogger(__name__)

# Workers that outlive their epoch keep its groups of videos, and an iterator that is collected with
# its workers alive waits five seconds for each of them.
LOADER_SETTINGS = argparse.Namespace(reuse_dataloader=False, persistent_workers=False)

NON_FINITE_LIMIT = 5
"""So many non-finite losses in a row end a run, where `non_finite_limit` is not set."""


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
        make_saving_safe()
        make_c10d_work()
        config = load_config(args)
        if is_training(args):
            refuse_lone_processes()
            if is_master():
                hold_run_folder(args.save_dir)
                remove_leftovers(args.save_dir)
        refuse_missing_restore_file(args, setting(config, "restore_optional", False))
        self.mmtask = Task.config_task(config)
        self.mmtask.build_loss()
        self.mmtask.build_dataset()
        if is_training(args):
            self.mmtask.check_training(last_epoch(vars(args)))
        self.continued: dict[str, Any] | None = None
        self.interrupted: Callable[[], None] = lambda: None
        """Called while an epoch is prepared; the training loop puts its own here, which leaves
        where a stop was asked for."""
        self.losses = LossWatch(setting(config, "non_finite_limit", NON_FINITE_LIMIT))
        self.some_skipped = False
        self.nothing_left = False
        self.telemetry = Telemetry(self._pictures(config))
        if is_training(args):
            watch_training(self.telemetry)
            if is_master():
                prepare_run(with_arguments(config, args))
                self._begin_record(config)

    def _pictures(self, config) -> Pictures | None:
        """What draws the transport, where the job asks for it, in the first process."""
        interval = setting(config, "picture_interval", 0)
        if not interval or not is_training(self.args):
            return None
        pictures = Pictures(
            self.mmtask.loss, interval, getattr(self.args, "tensorboard_logdir", None)
        )
        return pictures if is_master() else None

    def _begin_record(self, config) -> None:
        validates = not getattr(self.args, "disable_validation", False)
        chosen_on = validates_on_test(config) if validates else None
        if chosen_on is not None:
            logger.warning("validation is on %s: checkpoint_best is chosen on it", chosen_on)
        on_gpu = torch.cuda.is_available() and not getattr(self.args, "cpu", False)
        begin_run(
            self.args.save_dir,
            job=self.args.taskconfig,
            dataset=OmegaConf.to_container(config.dataset, resolve=True),
            max_update=self.args.max_update,
            max_epoch=self.args.max_epoch,
            processes=get_world_size(),
            device=torch.cuda.get_device_name() if on_gpu else "cpu",
            validates_on_test=chosen_on and chosen_on._asdict(),
        )

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
        gathers = getattr(self.mmtask.loss, "gathers", False)
        self.datasets[split] = FairseqMMDataset(
            data, seed=self.args.seed, whole_rounds=gathers and split == "train"
        )

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
        epoch = kwargs.get("epoch", 1)
        # fairseq also asks for the epoch after the last one, and then does not train it
        beyond = epoch > (getattr(self.args, "max_epoch", 0) or math.inf)
        if dataset is self.datasets.get("train"):
            self.nothing_left = beyond or self._is_complete()
            if not self.nothing_left:
                seed, num_workers = kwargs.get("seed", 1), kwargs.get("num_workers", 0)
                self.mmtask.begin_epoch(epoch, self._run(seed, num_workers))
        elif self.nothing_left:
            # fairseq tries the validation set before it sees that nothing is left to train, and
            # keeps the loader: its workers would be waited for, five seconds each, at the end
            kwargs["num_workers"] = 0
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def _is_complete(self) -> bool:
        """Whether the run's last update is done: a finished run that is started again only says
        so, which needs no batches."""
        limit = getattr(self.args, "max_update", 0)
        return bool(limit) and updates_done() >= limit

    def _run(self, seed: int, num_workers: int) -> TrainingRun:
        # with its loader reset, the run begins: whatever the checkpoint's own was trained on
        begins = getattr(self.args, "reset_dataloader", False)
        continued = None if begins else self.continued
        return TrainingRun(Path(self.args.save_dir), seed, num_workers, continued, self.interrupted)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the task."""
        return dict(self.mmtask.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What the checkpoint that the run goes on from has kept."""
        self.continued = dict(state_dict)

    def train_step(
        self, sample, model, criterion, optimizer, update_num, ignore_grad=False, **kwargs
    ):
        """fairseq's step, but a batch whose loss is NaN or infinite changes nothing.

        It counts as no batch, with gradients of zero, so that the other processes' batches still
        make an update; if nothing else is in the update, the optimizer's step is skipped.  In
        half precision the batch is fairseq's to skip, and is only counted here.

        Raises:
            DataError: `non_finite_limit` such batches in a row.
        """
        model.train()
        model.set_num_updates(update_num)
        half = isinstance(optimizer, AMPOptimizer)
        with torch.autocast("cuda", enabled=half):
            loss, sample_size, logged = criterion(model, sample)
        finite = ignore_grad or self.losses.is_finite(loss, sample, update_num)
        if not finite and not (half or getattr(self.args, "fp16", False)):
            self.some_skipped = True
            trained = parameters_behind(loss)
            loss = sum((parameter.sum() * 0 for parameter in trained), start=loss.new_zeros(()))
            # of the same types as before: processes sum tensors and numbers apart
            logged = {
                n: torch.zeros_like(v) if torch.is_tensor(v) else 0 for n, v in logged.items()
            }
            sample_size = 0
        elif ignore_grad:
            loss = loss * 0
        optimizer.backward(loss)
        return loss, sample_size, logged

    def optimizer_step(self, optimizer, model, update_num) -> None:
        """No step on gradients that are zero because every batch of the update was skipped: the
        optimizer's momentum would move the weights."""
        skipped, self.some_skipped = self.some_skipped, False
        if skipped and not any(
            bool(p.grad.any()) for p in model.parameters() if p.grad is not None
        ):
            return
        super().optimizer_step(optimizer, model=model, update_num=update_num)

    def build_model(self, cfg, from_checkpoint: bool = False):
        """Builds the model, and notes what is loaded into it."""
        model = super().build_model(cfg, from_checkpoint)
        note = self.telemetry.note_restored
        model.mmmodel.register_load_state_dict_post_hook(lambda *_: note())
        return model

    def reduce_metrics(self, logging_outputs, criterion) -> None:
        """Logs the loss and its parts, and in training what else there is to tell of an update."""
        totals = sums(logging_outputs)
        type(criterion).reduce_metrics([totals])
        log_update(totals)

    def post_validate(self, model, stats, agg) -> None:
        """Called by fairseq with a validation's means."""
        note_progress(at_once=True, valid_loss=float(stats["loss"]))

    def post_save(self, checkpoint: str, updates: int) -> None:
        """Called by fairseq after a checkpoint was written."""
        note_progress(at_once=True, updates=updates)

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
            f"--restore-file {restore_file} is no file; train or download it first, or set "
            "restore_optional: true in the job file to start without it"
        )
    logger.warning("--restore-file %s does not exist: starting without it", restore_file)


def is_training(args: argparse.Namespace) -> bool:
    """Whether the task was set up to train, not to evaluate."""
    return getattr(args, "save_dir", None) is not None and hasattr(args, "max_epoch")


def refuse_lone_processes() -> None:
    """fairseq does not always read torchrun's environment: each process would train alone, in one
    folder.

    Raises:
        LaunchError: this is one of several processes, and the trainer was not told.
    """
    started = os.environ.get("WORLD_SIZE", "1")
    if started != "1" and not torch.distributed.is_initialized():
        raise LaunchError(
            f"{started} processes were started, but fairseq-train knows of one: each would train "
            "alone, in one folder; start train.py instead, with the same arguments"
        )


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
