"""What a shard was made from, so that a second run makes only what is missing or would be other.

A record lies in the hidden folder `TARGET/.sharding`.  It is removed before its shard is written,
and written when the shard is whole: a run that is killed leaves a shard without a record, which is
made again.
"""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mmpt.io.atomic import atomic_write

FOLDER = ".sharding"
FORM = 2
"""Of records and shards; what has another one is made anew."""


def digest(*inputs: Any) -> str:
    """A hash of what a shard is made from: numbers, text, and lists of these."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def file_stamp(path: str | os.PathLike) -> list[int] | None:
    """Size in bytes and time of the last change in nanoseconds; None where there is no file."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # a ValueError is about NUL in the name
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
            expected = {"form": FORM, "inputs": self.inputs, "stamps": self._stamps()}
            same = all(content[key] == value for key, value in expected.items())
            return content["told"] if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def names_these(self) -> bool:
        """Whether the things are those that were written, whatever they were made from."""
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))["stamps"] == self._stamps()
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def forget(self) -> None:
        """To be called before they are written."""
        self.path.unlink(missing_ok=True)

    def write(self, told: dict[str, Any]) -> None:
        """To be called when they are whole.

        Args:
            told: what a later run is to know.
        """
        facts = {"form": FORM, "inputs": self.inputs, "stamps": self._stamps()}
        content = {**facts, "told": told}
        with atomic_write(self.path, "w") as file:
            json.dump(content, file)

    def _stamps(self) -> list[list[int] | None]:
        return [file_stamp(self.folder / name) for name in self.outputs]


def shard_files(prefix: str) -> list[str]:
    """The names of a shard's three files."""
    return [f"{prefix}_data.npy", f"{prefix}_starts.npy", f"{prefix}.json"]


def remove_stale(
    folder: Path, beginning: str, keep: Collection[int], ends: Sequence[str] = ("",)
) -> list[str]:
    """Removes shards of numbers that there no longer are, and their records.

    Files without a record, or changed since it was written, are somebody else's and stay.

    Args:
        folder: of the shards.
        beginning: of their names, all that stands before the number.
        keep: the numbers that there are.
        ends: of the names of the shards that have a record together.

    Returns:
        The names of those that were removed, without their ends.
    """
    removed = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        name, number = path.stem, path.stem.removeprefix(beginning)
        if name == number or not number.isdecimal() or int(number) in keep:
            continue
        files = [file for end in ends for file in shard_files(f"{name}{end}")]
        record = Record(folder, name, "", files)
        if record.names_these():
            for file in files:
                (folder / file).unlink(missing_ok=True)
            record.forget()
            removed.append(name)
    return removed
