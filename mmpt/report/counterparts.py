"""Which results the published numbers may stand beside."""

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmpt.report.published import ITEMS, PUBLISHED, Published
from mmpt.report.results import DATA_KEYS, Result

PUBLISHED_FOLDERS = (("projects", "retri", "norton"), ("projects", "retri", "videoclip"))
"""The last folders of a job file that published numbers belong to."""
ENOUGH = 0.98
"""Share of the published test set below which a number is no counterpart of the published one."""
DEMO_MARK = "corpus.json"
"""The file that a demo corpus has at its top."""


def published_of(result: Result) -> dict[str, Published] | None:
    """The published counterparts of a result's numbers, by metric.

    None for a job file that is not a published one, for the demo corpus under a published job's
    name, for a limited evaluation, and where the test set has more items than the published one, or
    less than `ENOUGH` of them (videos that are no longer to be had).
    """
    job = Path(os.path.abspath(result.job))
    if tuple(job.parent.parts[-3:]) not in PUBLISHED_FOLDERS or job.stem not in PUBLISHED:
        return None
    whole = ITEMS[job.stem]
    if result.limit is not None or not ENOUGH * whole <= result.items <= whole:
        return None
    if _is_demo(result.data):
        return None
    return PUBLISHED[job.stem]


def _is_demo(data: Mapping[str, Any]) -> bool:
    paths = [Path(str(data[key])) for key in (*DATA_KEYS, "vfeat_dir") if data.get(key)]
    return any((folder / DEMO_MARK).is_file() for path in paths for folder in path.parents[:4])
