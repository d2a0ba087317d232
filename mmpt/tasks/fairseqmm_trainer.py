"""fairseq's training loop, watched: stops on request without losing an update.

fairseq's trainer gives a task no say in its loop, so three of `fairseq_cli.train`'s functions are
wrapped: an epoch (complete runs stay complete), validation (a stop asked for meanwhile is saved
first) and what follows every update.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import fairseq_cli.train
import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from omegaconf import OmegaConf

from mmpt.config.fairseq_args import LAST_CHECKPOINT
from mmpt.utils.distributed import let_threads_settle
from mmpt.utils.signals import Stopped, StopRequest

logger = logging.getLogger(__name__)


class WatchedLoop:
    """The wrappers around fairseq's loop, installed as a context.

    Args:
        stop: what signals ask for.

    Attributes:
        saved_at: number of updates in the last checkpoint that a stop request wrote, or -1.
    """

    def __init__(self, stop: StopRequest):
        self.stop = stop
        self.saved_at = -1
        self._by_fairseq: dict[str, Callable] = {}

    def __enter__(self) -> "WatchedLoop":
        for name in ("train", "validate", "validate_and_save"):
            self._by_fairseq[name] = getattr(fairseq_cli.train, name)
            wrapper = functools.partial(getattr(self, f"_{name}"), self._by_fairseq[name])
            setattr(fairseq_cli.train, name, wrapper)
        return self

    def __exit__(self, *_) -> None:
        for name, original in self._by_fairseq.items():
            setattr(fairseq_cli.train, name, original)

    def _train(self, by_fairseq: Callable, config, trainer, task, epoch_itr):
        """One epoch, unless the run is complete: fairseq looks at `max_update` only after an
        update, so that starting a finished run again would train on, and overwrite it."""
        close_validation(task)  # that of fairseq's dry run
        limit = config.optimization.max_update
        if limit and trainer.get_num_updates() >= limit:
            done = trainer.get_num_updates()
            logger.info("already complete: %d updates of %d", done, limit)
            close_loader(epoch_itr)
            return [None], True
        self.stop.defer()
        let_threads_settle()
        task.interrupted = functools.partial(self._leave_if_asked, config, trainer, epoch_itr)
        try:
            return by_fairseq(config, trainer, task, epoch_itr)
        finally:
            close_loader(epoch_itr)

    def _validate_and_save(
        self, by_fairseq: Callable, config, trainer, task, epoch_itr, *args, **kwargs
    ):
        """What follows an update.  A requested stop is saved before anything that takes long, and
        once more after a validation that was due, so that its result is not lost either."""
        asked = self._agree_to_stop(trainer)
        if asked:
            self._save(config, trainer, epoch_itr)
        losses, should_stop = by_fairseq(config, trainer, task, epoch_itr, *args, **kwargs)
        validated = losses[0] is not None
        if not asked and validated and self._agree_to_stop(trainer):
            asked = True
            self._save(config, trainer, epoch_itr)
        if asked:
            logger.info(
                "stopped by %s after %d updates: the same command goes on from there",
                self.stop.name,
                trainer.get_num_updates(),
            )
        return losses, should_stop or asked

    def _validate(self, by_fairseq: Callable, config, trainer, task, epoch_itr, *args, **kwargs):
        """A validation may take longer than whoever asked for the stop is going to wait."""
        step = trainer.valid_step

        def valid_step(*step_args, **step_kwargs):
            # each process for itself: no process may wait for another one here
            if self.stop and self.saved_at != trainer.get_num_updates():
                self._save(config, trainer, epoch_itr)
            return step(*step_args, **step_kwargs)

        trainer.valid_step = valid_step
        let_threads_settle()
        try:
            return by_fairseq(config, trainer, task, epoch_itr, *args, **kwargs)
        finally:
            del trainer.valid_step  # the class's own again
            close_validation(task)

    def _leave_if_asked(self, config: Any, trainer, epoch_itr) -> None:
        """Between two epochs, while the next one's batches are retrieved, which may take long.

        Raises:
            Stopped: a stop was asked for; the state at the epoch's end is saved.
        """
        if self._agree_to_stop(trainer):
            self._save(config, trainer, epoch_itr)
            logger.info(
                "stopped by %s between two epochs: the same command goes on from there",
                self.stop.name,
            )
            raise Stopped

    def _agree_to_stop(self, trainer) -> bool:
        """Whether any process was asked to stop: all must leave after the same update."""
        if trainer.data_parallel_world_size > 1:
            flag = torch.tensor([float(self.stop.signal_number)], device=trainer.device)
            distributed_utils.all_reduce(flag, group=trainer.data_parallel_process_group, op="max")
            # a signal may have come since the flag was made: the others learn of it next time
            agreed = int(flag.item())
            self.stop.signal_number = self.stop.signal_number or agreed
            return agreed != 0
        return bool(self.stop)

    def _save(self, config: Any, trainer, epoch_itr) -> None:
        """Writes `checkpoint_last.pt` whatever the job file says about when to save."""
        settings = OmegaConf.to_container(config.checkpoint, resolve=True)
        if settings["no_save"]:
            logger.warning("fairseq.checkpoint.no_save is set: nothing is saved")
            return
        settings = OmegaConf.create({**settings, "no_last_checkpoints": False})
        checkpoint_utils.save_checkpoint(settings, trainer, epoch_itr, None)
        self.saved_at = trainer.get_num_updates()
        logger.info("%s: %s holds update %d", self.stop.name, LAST_CHECKPOINT, self.saved_at)


def close_validation(task) -> None:
    """Closes the loaders of the validation sets, which fairseq keeps."""
    for epoch_itr in task.dataset_to_epoch_iter.values():
        close_loader(epoch_itr)


def close_loader(epoch_itr) -> None:
    """Lets an epoch's loader workers leave now.

    fairseq stops one short of the end of torch's iterator, so that its workers, their memory and
    their queues' threads would stay until the garbage collector finds them, epochs later.
    """
    for batches in (epoch_itr._cur_epoch_itr, epoch_itr._next_epoch_itr):
        if batches is not None:
            batches._itr = iter(())
