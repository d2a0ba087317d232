"""Which checkpoints an evaluation job names, and what their results are called."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmpt.config.access import setting
from mmpt.errors import CheckpointError
from mmpt.io.files import no_file

logger = logging.getLogger(__name__)


def find_checkpoints(config: DictConfig, only_named: bool = False) -> list[Path]:
    """The checkpoints of a job, each file once: those of `eval.save_path`, then the named one.

    Raises:
        CheckpointError: there is none; the message lists the places looked at.
    """
    folder = setting(config, "eval.save_path")
    named = setting(config, "fairseq.common_eval.path")
    folders = [Path(folder)] if folder and not only_named else []
    if folders and folders[0].name == "eval":
        folders.append(folders[0].parent)
    found = [file for place in folders for file in sorted(place.glob("checkpoint*.pt"))]
    if named and Path(named).exists():  # a folder is refused by who reads it
        found.append(Path(named))
    elif named and found:
        logger.warning("fairseq.common_eval.path: no file %s; evaluating without it", named)
    unique: list[Path] = []
    for file in found:
        if not any(file.samefile(other) for other in unique):
            unique.append(file)
    if not unique:
        places = [str(place / "checkpoint*.pt") for place in folders] + ([named] if named else [])
        raise CheckpointError(f"no checkpoint found; looked at {', '.join(places) or 'no place'}")
    return unique


def require_file(file: Path) -> None:
    """Refuses what is no regular file.

    Raises:
        CheckpointError: nothing is there, or a folder or pipe.
    """
    other = no_file(file)
    if other is not None:
        hint = "name a file in it" if file.is_dir() else "name a file"
        raise CheckpointError(f"checkpoint {file} is {other}; {hint}")
    if not file.is_file():
        raise CheckpointError(f"checkpoint {file} does not exist")


def check_weights(model: Any, file: Path) -> None:
    """Says whether NaN scores come from the weights that were loaded.

    Args:
        model: a `torch.nn.Module`.
        file: the checkpoint in it.

    Raises:
        CheckpointError: weights are NaN or infinite.
    """
    state = model.state_dict()
    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    if bad:
        raise CheckpointError(
            f"checkpoint {file}: {len(bad)} of {len(state)} tensors hold NaN or inf, first "
            f"{bad[0]}: the training that wrote it had gone wrong; evaluate an earlier one"
        )


def score_names(job: str, files: list[Path]) -> list[str]:
    """A name for each checkpoint's score matrix, told apart by folder where stems are equal."""
    stems = [file.stem for file in files]
    return [
        f"scores_{job}_{file.stem}"
        if stems.count(file.stem) == 1
        else f"scores_{job}_{file.resolve().parent.name}_{file.stem}"
        for file in files
    ]


def results_file(folder: str | Path, job: str | Path) -> Path:
    """Where the numbers of a job file are written, in the folder of its results."""
    return Path(folder) / f"results_{Path(job).stem}.json"
