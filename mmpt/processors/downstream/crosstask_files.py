"""The files of CrossTask: lists of videos, tasks with their steps, annotations of a video."""

import csv
from collections.abc import Iterator
from typing import NamedTuple

from mmpt.errors import DataError
from mmpt.processors.downstream.segments import check_segment
from mmpt.processors.downstream.tables import check_once


class Step(NamedTuple):
    """One annotated step: its number from 0, and seconds."""

    number: int
    start: float
    end: float


def read_videos(path: str) -> list[tuple[str, str]]:
    """(task, video) of every row of a table `task,video,url` without a header.

    Raises:
        DataError: it is no such table, empty, or names a video of a task twice.
    """
    videos = []
    for where, row in _rows(path, "TASK,VIDEO_ID,URL"):
        task, vid = row[0].strip(), row[1].strip()
        if not task or not vid:
            raise DataError(f"{where}: expected TASK,VIDEO_ID,URL, got {','.join(row)!r}")
        videos.append((task, vid))
    check_once(
        [f"{task},{vid}" for task, vid in videos], path, "videos", "one may be drawn and tested"
    )
    return videos


def read_tasks(path: str) -> dict[str, list[str]]:
    """Task -> its steps, in order.

    The file has a block of five lines a task, blocks parted by blank lines: id, title, url, number
    of steps, steps separated by commas.

    Raises:
        DataError: it is no such file; the message names the line at which a block begins.
    """
    tasks: dict[str, list[str]] = {}
    for number, block in _blocks(path):
        where = f"{path}: block at line {number}"
        if len(block) != 5:
            raise DataError(
                f"{where}: expected 5 lines (id, title, url, number of steps, steps), got "
                f"{len(block)}"
            )
        task, _, _, count, steps = block
        names = [name.strip() for name in steps.split(",")]
        if count != str(len(names)) or not all(names):
            raise DataError(f"{where}: task {task} should have {count} steps, got {steps!r}")
        if task in tasks:
            raise DataError(f"{where}: task {task} has a block above already")
        tasks[task] = names
    if not tasks:
        raise DataError(f"{path}: there is no task")
    return tasks


def _blocks(path: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line, and the lines, of each block."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    block: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def read_annotation(path: str, n_steps: int) -> list[Step]:
    """The rows `step,start,end` of an annotation, steps counted from 0.

    Raises:
        DataError: it is missing or of another form; the message names the line.
    """
    steps = []
    for where, row in _rows(path, "step,start,end"):
        number, *bounds = (value.strip() for value in row)
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= n_steps):
            raise DataError(f"{where}: step is {number!r}; allowed: 1 to {n_steps}")
        steps.append(Step(int(number) - 1, *check_segment(*map(_number, bounds), where)))
    return steps


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _rows(path: str, form: str) -> Iterator[tuple[str, list[str]]]:
    """Where each row of a table of three columns, without a header, is; and its values."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(f"{path}: line {reader.line_num}", row) for row in reader if row]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV table ({error})") from None
    if not rows:
        raise DataError(f"{path}: the table has no row")
    for where, row in rows:
        if len(row) != 3:
            raise DataError(f"{where}: expected {form}, got {','.join(row)!r}")
        yield where, row
