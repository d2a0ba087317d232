"""The numbers of a rehearsal of `mmpt verify-release`, kept for the next one to compare with."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt_cli.release_jobs import Evaluation
from mmpt_cli.results import versions
from mmpt_cli.verify_block import Row

Numbers = dict[str, dict[str, float]]
"""Job file (stem) -> metric -> number."""


def read_reference(path: Path) -> Numbers:
    """The numbers that earlier rehearsals stored; empty where none did.

    Raises:
        DataError: the file is damaged.
    """
    return _read(path)[0]


def numbers_to_compare(path: Path, renewed: bool) -> Numbers:
    """Those of `read_reference`; none where they are to be renewed, be the file damaged or not."""
    return {} if renewed else read_reference(path)


def store_reference(
    path: Path,
    evaluations: Iterable[Evaluation],
    rows: Sequence[Row],
    checkpoints: Mapping[tuple[str, str], str],
) -> list[str]:
    """Stores the numbers of each job that had none to compare with, and where they come from; those
    of all other jobs stay as they are.

    Args:
        rows: what came out of the evaluations; nothing is stored of one that failed.
        checkpoints: (model, file) -> SHA-256.

    Returns:
        The jobs whose numbers were stored.
    """
    fresh: Numbers = {}
    sources: dict[str, dict[str, Any]] = {}
    for one in evaluations:
        job = one.file.stem
        found = {row.metric: row.ours for row in rows if row.job == job and row.ours is not None}
        if found and not one.given:
            fresh[job] = found
            sources[job] = {
                "date": datetime.date.today().isoformat(),
                "versions": versions(),
                "checkpoint": str(one.checkpoint),
                "sha256": checkpoints[one.model, str(one.checkpoint)],
            }
    if not fresh:
        return []
    try:
        numbers, earlier = _read(path)
    except DataError:  # --renew: whoever compares has been told
        numbers, earlier = {}, {}
    content = {"numbers": {**numbers, **fresh}, "sources": {**earlier, **sources}}
    with atomic_write(path) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())
    return list(fresh)


def _read(path: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and where those of each job come from; raises as `read_reference`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = {
            job: {metric: float(number) for metric, number in metrics.items()}
            for job, metrics in content["numbers"].items()
        }
        return numbers, dict(content.get("sources", {}))
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not the numbers of an earlier rehearsal ({error}); --renew stores new ones"
        ) from error
