"""The curves of the training that a checkpoint comes from, out of its TensorBoard event files."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmpt.errors import DataError

SERIES = {"train": "train_inner", "valid": "valid"}
"""What is drawn -> the folder of its events below the run's TensorBoard folder."""
EVENTS = "events.out.tfevents.*"
LOSSES = re.compile(r"loss(_\w+)?")
_HEADER = struct.Struct("<QI")
_CHECKSUM = 4


class Curve(NamedTuple):
    """Values over updates, in their order."""

    updates: list[int]
    values: list[float]


class Training(NamedTuple):
    """One run.

    Attributes:
        folder: of the run.
        curves: (`train` or `valid`, name of the number) -> its curve.
    """

    folder: Path
    curves: dict[tuple[str, str], Curve]


def read_training(folder: Path) -> Training:
    """The curves of the run in a folder.

    Raises:
        DataError: no events there, or the package that reads them is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the checkpoint was evaluated elsewhere")
    curves: dict[tuple[str, str], Curve] = {}
    for part, name in SERIES.items():
        files = sorted(folder.glob(f"*/{name}/{EVENTS}"), key=_start)
        merged: dict[str, Curve] = {}
        for file in files:
            for tag, curve in _scalars(file).items():
                merged[tag] = _continued(merged.get(tag), curve)
        curves |= {(part, tag): curve for tag, curve in merged.items()}
    if not curves:
        raise DataError(
            f"{folder}: no TensorBoard events of a training in it "
            "(fairseq.common.tensorboard_logdir: run writes them)"
        )
    return Training(folder, curves)


def losses(training: Training) -> list[str]:
    """The names of the loss and its parts, the loss first."""
    names = {name for _, name in training.curves if LOSSES.fullmatch(name)}
    return sorted(names, key=lambda name: (name != "loss", name))


def _start(file: Path) -> tuple[int, str]:
    """Sorts event files by the second of their start, which is in their name."""
    second = file.name.removeprefix(EVENTS[:-1]).split(".")[0]
    return int(second) if second.isdigit() else 0, str(file)


def _continued(earlier: Curve | None, later: Curve) -> Curve:
    """A run that was started again: from its first update on the later start counts."""
    if earlier is None:
        return later
    kept = sum(update < later.updates[0] for update in earlier.updates)
    return Curve(earlier.updates[:kept] + later.updates, earlier.values[:kept] + later.values)


def _scalars(file: Path) -> dict[str, Curve]:
    try:
        from tensorboardX.proto.event_pb2 import Event
    except ImportError as error:
        raise DataError(
            "tensorboardX, which reads training curves, is not installed: pip install tensorboardX"
        ) from error
    from google.protobuf.message import DecodeError

    curves: dict[str, Curve] = {}
    for record in _records(file.read_bytes()):
        try:
            event = Event.FromString(record)
        except DecodeError as error:
            raise DataError(f"{file}: damaged events ({error})") from error
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                curve = curves.setdefault(value.tag, Curve([], []))
                curve.updates.append(event.step)
                curve.values.append(value.simple_value)
    return curves


def _records(content: bytes) -> Iterator[bytes]:
    """The records of an event file; a last one that is cut, of a run that goes on, is left out."""
    place = 0
    while place + _HEADER.size <= len(content):
        length, _ = _HEADER.unpack_from(content, place)
        end = place + _HEADER.size + length
        if end + _CHECKSUM > len(content):
            return
        yield content[place + _HEADER.size : end]
        place = end + _CHECKSUM
