"""The numbers of a rehearsal of `mmpt verify-release`, kept for the next one to compare with."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt_cli.predict import versions
from mmpt_cli.verify_block import Row


def read_reference(path: Path) -> dict[str, dict[str, float]]:
    """Job file -> metric -> number, as an earlier rehearsal stored them; empty where none did.

    Raises:
        DataError: the file is damaged.
    """
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        return {
            job: {metric: float(number) for metric, number in metrics.items()}
            for job, metrics in numbers.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not the numbers of an earlier rehearsal ({error}); --renew stores new ones"
        ) from error


def write_reference(
    path: Path, rows: Sequence[Row], checkpoints: Mapping[tuple[str, str], str]
) -> None:
    """Stores the numbers of a rehearsal, and where they come from."""
    numbers: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.ours is not None:
            numbers.setdefault(row.job, {})[row.metric] = row.ours
    content = {
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "checkpoints": {file: digest for (_, file), digest in checkpoints.items()},
        "numbers": numbers,
    }
    with atomic_write(path) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())
