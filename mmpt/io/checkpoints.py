"""Reading checkpoints: safely, whatever wrote them, with a word on every name that does not fit.

A checkpoint is data from the network.  It is read with `weights_only=True` and the one extra type
that fairseq's files need; a file that needs more is refused.
"""

import argparse
import contextlib
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmpt.errors import CheckpointError

logger = logging.getLogger(__name__)

# fairseq stores its settings as argparse namespaces, and nothing else that is not plain data
SAFE_GLOBALS = [argparse.Namespace]
WRAPPERS = ("module.", "mmmodel.")
POSITION_IDS = "embeddings.position_ids"
NAMES_SHOWN = 4
JOB_HINT = "; check model.num_hidden_video_layers, dataset.bert_name and dataset.vfeat_dim"


@contextlib.contextmanager
def reading_checkpoint(path: str | Path):
    """Inside, `torch.load` of `path` is safe, and what fails in it becomes one clear line.

    Raises:
        CheckpointError: the file is missing, damaged, no checkpoint, or holds types that are not
            loaded from files.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    torch.serialization.add_safe_globals(SAFE_GLOBALS)
    try:
        yield
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise CheckpointError(
                f"checkpoint {path} needs more than plain tensors and settings, which is not "
                "loaded from a file; where you trust it, convert it once: "
                "torch.save({'model': torch.load(FILE, weights_only=False)['model']}, NEW_FILE), "
                "which can then be evaluated"
            ) from error
        raise _damaged(path) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint file, tensors on the CPU; raises as `reading_checkpoint`."""
    with reading_checkpoint(path):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {path} holds a {type(content).__name__}, not a dict")
    return content


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path} cannot be read ({path.stat().st_size:,} bytes): it is truncated or no "
        "checkpoint; delete it, or name another file"
    )


def model_state(checkpoint: dict[str, Any], source: str) -> dict[str, Tensor]:
    """The model's tensors of a fairseq file, `{"state_dict": ...}` or a bare dict.

    Wrappers' prefixes are stripped, half precision becomes float32, and the `position_ids` buffers
    of old files are dropped.

    Raises:
        CheckpointError: there are no tensors in it.
    """
    for key in ("model", "state_dict"):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    state = {}
    constants = []
    for name, value in checkpoint.items():
        if not isinstance(value, Tensor):
            continue
        for prefix in WRAPPERS:
            name = name.removeprefix(prefix)
        if name.endswith(POSITION_IDS):
            constants.append(name)
            continue
        half = value.dtype in (torch.float16, torch.bfloat16)
        state[name] = value.float() if half else value
    if not state:
        raise CheckpointError(f"checkpoint {source} holds no model weights")
    if constants:
        logger.info("%s: %d constants dropped: %s", source, len(constants), ", ".join(constants))
    return state


class LoadReport(NamedTuple):
    """What a load did not use: names of the file, names of the model."""

    unexpected: list[str]
    missing: list[str]


def load_state(
    model: nn.Module, state: dict[str, Tensor], source: str, hint: str = JOB_HINT
) -> LoadReport:
    """Loads what fits into `model` and says in one line each what does not.

    Entries that the model lacks are dropped; entries that the file lacks keep their values.
    `hint` ends the message about another shape: what decides the shapes.

    Raises:
        CheckpointError: no name fits, or a name fits with another shape.
    """
    own = model.state_dict()
    fitting = {name: value for name, value in state.items() if name in own}
    unexpected = sorted(state.keys() - own.keys())
    missing = sorted(own.keys() - state.keys())
    if not fitting:
        raise CheckpointError(
            f"checkpoint {source} is of another model: none of its {len(state)} tensors "
            f"({_some(unexpected)}) fits the {len(own)} of this one ({_some(missing)})"
        )
    for name, value in fitting.items():
        if value.shape != own[name].shape:
            raise CheckpointError(
                f"checkpoint {source} is of another model: {name} is {list(value.shape)} in the "
                f"file and {list(own[name].shape)} here{hint}"
            )
    model.load_state_dict(fitting, strict=False)
    for names, fate in ((unexpected, "unexpected, dropped"), (missing, "missing, kept as built")):
        if names:
            logger.warning("%s: %d names %s: %s", source, len(names), fate, ", ".join(names))
    return LoadReport(unexpected, missing)


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def load_model(model: nn.Module, path: str | Path) -> LoadReport:
    """Loads a checkpoint file into a model; raises as the functions that it is made of."""
    return load_state(model, model_state(read_checkpoint(path), str(path)), str(path))
