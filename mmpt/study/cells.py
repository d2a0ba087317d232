"""The cells of a study on the disk: what is finished, and who works on what.

OUT/study.json                      what all cells share
OUT/corpora/noise_0.2, …, test      the corpora
OUT/cells/noise_0.2/seed_1/ROW.json a finished cell: its numbers; stage1.pt beside it its weights

A cell is written when it is finished, whole; a lock says that a process works on it, and goes with
that process whatever ends it.
"""

import contextlib
import fcntl
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from mmpt.demo import make_corpus
from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt.study.settings import (
    STAGE_1,
    StudySettings,
    corpus_folder,
    corpus_settings,
    loss_section,
)

MARK, LOCK = "study.json", "lock"
WAIT_SECONDS = 0.5


class Cell(NamedTuple):
    """One training: a row (or stage 1) at a noise rate with a seed."""

    out: Path
    noise: float
    seed: int
    row: str

    def file(self, ending: str) -> Path:
        """`ROW.json` its numbers, `ROW.lock`, `ROW.pt`."""
        folder = self.out / "cells" / f"noise_{self.noise:g}" / f"seed_{self.seed}"
        return folder / f"{self.row}.{ending}"

    def __str__(self) -> str:
        return f"noise {self.noise:g}, seed {self.seed}, {self.row}"


def cells_of(out: Path, study: StudySettings) -> list[Cell]:
    """All cells, stage 1 before its rows."""
    return [
        Cell(out, noise, seed, row)
        for noise in study.noise
        for seed in study.seeds
        for row in (STAGE_1, *study.rows)
    ]


def open_study(out: Path, study: StudySettings) -> None:
    """Makes the folder and its corpora, or sees that it is of the same study.

    Raises:
        DataError: it holds something else, or a study with other settings.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"study: {out} is no folder")
    out.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in out.iterdir()}
    if names - {LOCK} and MARK not in names:
        raise DataError(f"study: {out} holds something that is no study; choose another --out")
    with open(out / LOCK, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _check_mark(out / MARK, study.shared())
        for cell in cells_of(out, study):
            read_cell(cell)
        for noise in (None, *study.noise):
            settings = vars(corpus_settings(study, noise))
            make_corpus(corpus_folder(out, noise), renew=True, **settings)


def _check_mark(path: Path, shared: dict[str, Any]) -> None:
    if not path.exists():
        with atomic_write(path, "w") as file:
            file.write(json.dumps(shared, indent=1) + "\n")
        return
    found = _read(path)
    if found == shared:
        return
    other = [name for name, value in shared.items() if found.get(name) != value]
    raise DataError(
        f"study: {path.parent} was made with other {' and '.join(other)} "
        f"({'; '.join(_difference(found.get(name), shared[name]) for name in other)}); choose "
        "another --out"
    )


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = [name for name in wanted if found.get(name) != wanted[name]]
        return ", ".join(f"{name} {found.get(name)}, now {wanted[name]}" for name in names)
    return f"{found}, now {wanted}"


def read_cell(cell: Cell) -> dict[str, Any] | None:
    """What a finished cell holds; None where it is not finished.

    Raises:
        DataError: it was made with another loss than its job file has now, or cannot be read.
    """
    path = cell.file("json")
    if not path.exists() or (cell.row == STAGE_1 and not cell.file("pt").exists()):
        return None
    found = _read(path)
    if found.get("loss") != own_loss(cell.row):
        raise DataError(
            f"{path}: made with another loss than the job file of {cell.row} has now; delete it, "
            "or choose another --out"
        )
    return found


@functools.cache
def own_loss(row: str) -> dict[str, Any]:
    """The section `loss` of a row, as plain values."""
    return OmegaConf.to_container(loss_section(row))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not of a study; delete it")
    return content


def write_cell(cell: Cell, content: dict[str, Any]) -> None:
    """Writes a finished cell, whole or not at all."""
    with atomic_write(cell.file("json"), "w") as file:
        file.write(json.dumps({**content, "loss": own_loss(cell.row)}, indent=1) + "\n")


@contextlib.contextmanager
def claim(cell: Cell) -> Iterator[bool]:
    """Whether the cell is this process's to work on, for as long as the block lasts."""
    path = cell.file("lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield read_cell(cell) is None  # another process may just have finished it


def work(
    cells: list[Cell], run: Callable[[Cell], None], goes_on: Callable[[], bool] = lambda: True
) -> None:
    """Works on cells until all are finished, by this process or by others.

    A cell that another process works on is left to it, and taken over if that process dies.

    Args:
        cells: stage 1 before its rows.
        run: trains, evaluates and writes one.
        goes_on: asked between cells.
    """
    while goes_on():
        left = [cell for cell in cells if read_cell(cell) is None]
        if not left:
            return
        done = 0
        for cell in left:
            done += goes_on() and _run_if_free(cell, run)
        if not done:
            time.sleep(WAIT_SECONDS)


def _run_if_free(cell: Cell, run: Callable[[Cell], None]) -> bool:
    start = cell._replace(row=STAGE_1)
    if cell.row != STAGE_1 and read_cell(start) is None:
        return False
    with claim(cell) as mine:
        if mine:
            run(cell)
        return mine
