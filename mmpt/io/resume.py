"""Which checkpoint of a run folder an interrupted run goes on from.

That is the newest whole one: a kill, a full disk or a power cut may have left a broken file, or a
numbered checkpoint that is newer than `checkpoint_last.pt`.
"""

import logging
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmpt.config.fairseq_args import LAST_CHECKPOINT
from mmpt.errors import CheckpointError
from mmpt.io.checkpoints import reading_checkpoint

logger = logging.getLogger(__name__)

PATTERN = "checkpoint*.pt"
LEFTOVERS = (".checkpoint*.tmp", ".crash*.tmp", "checkpoint*.pt.tmp", "retri/.batched*.tmp")
"""What a killed writer leaves: our temporary names, and those of the trainer without us."""


class Found(NamedTuple):
    """The outcome of a search.

    path: the newest whole checkpoint that a training can go on from, or None.
    updates: how far it is.
    broken: what is wrong with each file that cannot be read, one line that names it.
    """

    path: Path | None
    updates: int
    broken: list[str]


def newest_whole(folder: str | Path, put_there: str | Path | None = None) -> Found:
    """Searches a run folder for the checkpoint with the most updates that is whole.

    Files that are whole but hold no training state (weights alone) are passed over.

    Args:
        folder: the run's folder; it need not exist.
        put_there: a checkpoint to start from, of another run; one that lies in the folder counts
            only where the run has none of its own, however many updates it has.
    """
    broken, states = [], []
    for path in sorted(Path(folder).glob(PATTERN)):
        try:
            updates = training_updates(path)
        except CheckpointError as error:
            broken.append(str(error))
            continue
        if updates is not None:
            own = not (put_there and os.path.exists(put_there) and path.samefile(put_there))
            last = path.name == LAST_CHECKPOINT
            states.append((own or last, updates, path.stat().st_mtime_ns, last, path))
    for _, updates, _, _, path in sorted(states, reverse=True):
        if content_is_whole(path):
            return Found(path, updates, broken)
        broken.append(f"checkpoint {path}: its content is not what was written (checksums differ)")
    return Found(None, 0, broken)


def training_updates(path: Path) -> int | None:
    """The number of updates in a checkpoint of fairseq's form; None where it is of another form.

    The tensors are mapped, not read.

    Raises:
        CheckpointError: the file cannot be read.
    """
    with reading_checkpoint(path):
        mapped = zipfile.is_zipfile(path)  # files of torch before 1.6 are none
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(content, dict) or "train_iterator" not in _section(content, "extra_state"):
        return None
    history = content.get("optimizer_history")
    newest = history[-1] if isinstance(history, list) and history else None
    updates = newest.get("num_updates") if isinstance(newest, dict) else None
    return updates if isinstance(updates, int) else None


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name)
    return section if isinstance(section, dict) else {}


def content_is_whole(path: Path) -> bool:
    """Reads the whole file and compares its parts with the checksums stored beside them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except zipfile.BadZipFile:
        # an old form without checksums, which has been read in whole to get at its content
        return not zipfile.is_zipfile(path)


def remove_leftovers(folder: str | Path) -> None:
    """Deletes the half-written temporary files of killed writers.

    To be called by the one process that writes into the folder.
    """
    for pattern in LEFTOVERS:
        for path in Path(folder).glob(pattern):
            logger.info("%s: left by an interrupted write, removed", path)
            path.unlink(missing_ok=True)
