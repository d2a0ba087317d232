"""fairseq's own checkpoint reading and writing, made safe and clear."""

import functools
import logging
import os
import shutil
import sys
from pathlib import Path

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer

from mmpt.errors import USER_ERRORS, CheckpointError
from mmpt.io.atomic import atomic_path, atomic_write
from mmpt.io.checkpoints import reading_checkpoint

logger = logging.getLogger(__name__)

CRASH_FILE = "crash.pt"
"""What fairseq writes on an error inside an update; nothing can be resumed from it."""

_last_read = "checkpoint"
_last_state: dict = {}


def last_read() -> str:
    """The file that fairseq read last: it hands a model the tensors without their file's name."""
    return _last_read


def make_loading_safe() -> None:
    """Makes `fairseq.checkpoint_utils.load_checkpoint_to_cpu` refuse unsafe files by name.

    fairseq's error on a truncated file does not say which file it is, and its files need one type
    (argparse.Namespace) beyond what `weights_only=True` allows.  Calling this twice is harmless.
    """
    os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")  # the default only from torch 2.6
    original = checkpoint_utils.load_checkpoint_to_cpu
    if getattr(original, "names_the_file", False):
        return

    @functools.wraps(original)
    def load_checkpoint_to_cpu(path, *args, **kwargs):
        global _last_read, _last_state
        _last_read = str(path)
        with reading_checkpoint(path):
            try:
                state = original(path, *args, **kwargs)
                _last_state = {"task": state.get("task_state"), "processes": _processes(state)}
                return state
            except (KeyError, TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"checkpoint {path} is none of fairseq's ({type(error).__name__}: {error}): it "
                    "can be evaluated where it holds weights, but no training can start from it"
                ) from error

    load_checkpoint_to_cpu.names_the_file = True
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
    Trainer.load_checkpoint = _with_clear_errors(Trainer.load_checkpoint)


def _with_clear_errors(by_fairseq):
    """The trainer's restoring; where the optimizer's state does not fit, it fails in its own terms.

    Only what reads the file is wrapped: the loaders that fairseq makes next have other errors.
    The task gets its state back, which fairseq saves and never reads.
    """

    @functools.wraps(by_fairseq)
    def load_checkpoint(trainer, filename, *args, **kwargs):
        global _last_state
        _last_state = {}
        try:
            extra_state = by_fairseq(trainer, filename, *args, **kwargs)
            begins = _begin_epoch_anew(trainer, filename, extra_state)
            trainer.task.load_state_dict({} if begins else _last_state.get("task") or {})
            return extra_state
        except USER_ERRORS:
            raise
        except (ValueError, AssertionError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"checkpoint {filename} does not fit this job ({' '.join(str(error).split())}): "
                "what trains, or its optimizer, is not what it was (model.layernorm_only, "
                "loss.sequence_contrast.learn_temperature, fairseq.optimization.optimizer); take "
                "the settings that it was trained with or another save_dir; to start from its "
                "weights alone, name it as restore_file with reset_optimizer: true"
            ) from error

    return load_checkpoint


def _processes(state: dict) -> int | None:
    """How many processes wrote a checkpoint, where it says so."""
    settings = (state.get("cfg") or {}).get("distributed_training") or {}
    return settings.get("distributed_world_size")


def _begin_epoch_anew(trainer, filename: str, extra_state: dict | None) -> bool:
    """Where a run goes on inside an epoch with another number of processes, which share its
    batches otherwise: fairseq would fail, or skip and repeat some."""
    place = (extra_state or {}).get("train_iterator") or {}
    before, now = _last_state.get("processes"), trainer.data_parallel_world_size
    inside = place.get("iterations_in_epoch", 0) > 0
    if not inside or before in (None, now) or trainer.cfg.checkpoint.reset_dataloader:
        return False
    logger.warning(
        "%s was written inside epoch %d by %d processes, this run has %d: the epoch begins anew",
        filename,
        place["epoch"],
        before,
        now,
    )
    place["iterations_in_epoch"] = 0
    return True


def make_saving_safe() -> None:
    """Makes every checkpoint appear under its name whole, or not at all.

    fairseq copies into `checkpoint_last.pt` and `checkpoint_best.pt`, so that a kill leaves them
    truncated, and on an error it appends a second attempt to the first.  Calling this twice is
    harmless.
    """
    checkpoint_utils.torch_persistent_save = save_whole
    PathManager.copy = staticmethod(copy_whole)


def save_whole(content: dict, filename: str, async_write: bool = False) -> None:
    """Writes a checkpoint in place of fairseq's `torch_persistent_save`.

    Raises:
        CheckpointError: the file cannot be written; what stood under its name is untouched.
    """
    if os.path.basename(filename) == CRASH_FILE and isinstance(sys.exc_info()[1], USER_ERRORS):
        return  # the message says what is wrong; the state of the model does not
    with _writing(filename), atomic_write(filename) as file:
        torch.save(content, file)


def copy_whole(source: str, target: str, overwrite: bool = True) -> bool:
    """Gives a finished checkpoint a second name, in place of fairseq's copying.

    Both names share the bytes where the file system can: files are only ever replaced, never
    written into, so they cannot change under each other.

    Raises:
        CheckpointError: as `save_whole`.
    """
    with _writing(target), atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
    return True


class _writing:
    """Turns what fails in writing a checkpoint into one clear line."""

    def __init__(self, filename: str):
        self.path = Path(filename)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        cause = error
        # torch wraps what a file object raises in its own RuntimeError
        while isinstance(cause, RuntimeError):
            cause = cause.__cause__ or cause.__context__
        if not isinstance(cause, OSError):
            return
        kept = "; the one before it is untouched" if self.path.is_file() else ""
        raise CheckpointError(
            f"checkpoint {self.path} cannot be written ({cause.strerror}){kept}; make room or mend "
            "the folder, and give the same command again: the run goes on from its newest "
            "checkpoint"
        ) from error
