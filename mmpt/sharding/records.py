"""What a shard was made from, so that a second run makes only what is missing or would be other.

A record lies in the hidden folder `TARGET/.sharding`.  It is removed before its shard is written,
and written when the shard is whole: a run that is killed leaves a shard without a record, which is
made again.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpt.io.atomic import atomic_write

FOLDER = ".sharding"


def digest(*inputs: Any) -> str:
    """A hash of what a shard is made from: numbers, text, and lists of these."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def file_stamp(path: str | os.PathLike) -> list[int] | None:
    """Size in bytes and time of the last change in nanoseconds; None where there is no file."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


class Record:
    """The record of the things that are made together.

    Args:
        folder: where they are.
        name: of the record.
        inputs: `digest` of what they are made from.
        outputs: their file names.
    """

    def __init__(self, folder: Path, name: str, inputs: str, outputs: Sequence[str]):
        self.path = folder / FOLDER / f"{name}.json"
        self.folder = folder
        self.inputs = inputs
        self.outputs = list(outputs)

    def read(self) -> dict[str, Any] | None:
        """What was written about them; None where they must be made: not there, made from
        something else, or changed since."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            same = content["inputs"] == self.inputs and content["stamps"] == self._stamps()
            return content["told"] if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def forget(self) -> None:
        """To be called before they are written."""
        self.path.unlink(missing_ok=True)

    def write(self, told: dict[str, Any]) -> None:
        """To be called when they are whole.

        Args:
            told: what a later run is to know.
        """
        content = {"inputs": self.inputs, "stamps": self._stamps(), "told": told}
        with atomic_write(self.path, "w") as file:
            json.dump(content, file)

    def _stamps(self) -> list[list[int] | None]:
        return [file_stamp(self.folder / name) for name in self.outputs]


def shard_files(prefix: str) -> list[str]:
    """The names of a shard's three files."""
    return [f"{prefix}_data.npy", f"{prefix}_starts.npy", f"{prefix}.json"]
