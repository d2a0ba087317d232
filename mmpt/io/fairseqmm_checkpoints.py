"""fairseq's own checkpoint reading, made safe and clear."""

import functools
import os

from fairseq import checkpoint_utils

from mmpt.errors import CheckpointError
from mmpt.io.checkpoints import reading_checkpoint

_last_read = "checkpoint"


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
        global _last_read
        _last_read = str(path)
        with reading_checkpoint(path):
            try:
                return original(path, *args, **kwargs)
            except (KeyError, TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"checkpoint {path} is none of fairseq's ({type(error).__name__}: {error}): it "
                    "can be evaluated where it holds weights, but no training can start from it"
                ) from error

    load_checkpoint_to_cpu.names_the_file = True
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
