"""Retrieved batches on the disk: `SAVE_DIR/retri/batched_eEPOCH_videosRANK.json`.

A run that goes on inside an epoch must train on the batches that the epoch began with, so they are
written down, with what they were made from: the run's settings, its data, and the weights of the
model.  A file of another run in the same folder, or of another checkpoint, is told by that.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write

FOLDER = "retri"
FORM = 1


class Candidates(NamedTuple):
    """The batches of one epoch that one process has drawn.

    Attributes:
        batches: lists of video ids.
        made_from: what the batches depend on: short texts by name.
        facts: numbers worth logging again.
    """

    batches: list[list[str]]
    made_from: dict[str, str]
    facts: dict[str, float]


def candidates_path(save_dir: str | os.PathLike, epoch: int, rank: int) -> Path:
    """Where the batches of an epoch and a process stand."""
    return Path(save_dir) / FOLDER / f"batched_e{epoch}_videos{rank}.json"


def write_candidates(path: Path, candidates: Candidates) -> None:
    """Writes one file atomically.

    Raises:
        OSError: the disk is full, the folder cannot be written.
    """
    parts = candidates._asdict()
    content = {"form": FORM, **parts, "digest": digest(parts)}
    with atomic_write(path, "w") as file:
        json.dump(content, file)
        file.write("\n")


def read_candidates(path: Path) -> Candidates:
    """Reads one file.

    Raises:
        DataError: it is missing, damaged, or of another form; the message has its name.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError as error:
        raise DataError(f"{path}: truncated or no candidates file ({error})") from None
    form = content.get("form") if isinstance(content, dict) else None
    if form != FORM:
        raise DataError(f"{path}: no candidates file of form {FORM}, got {form!r}")
    parts = {name: content.get(name) for name in ("batches", "made_from", "facts")}
    if digest(parts) != content.get("digest"):
        raise DataError(f"{path}: damaged: it does not hold what was written")
    return Candidates(**parts)


def digest(content: Any) -> str:
    """16 hex digits of anything that JSON can hold, the same for the same content."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_digest(model: nn.Module) -> str:
    """16 hex digits of all tensors of a model."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[:16]


def differences(made_from: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of what batches were made from and is other now."""
    return [name for name in now if made_from.get(name) != now[name]]
