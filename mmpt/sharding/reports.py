"""What came of the lists, and `skipped.jsonl`: which videos are in no shard, and why."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmpt.errors import DataError, first_few
from mmpt.extraction.manifest import Failure, part_files, read_lines
from mmpt.io.atomic import atomic_write
from mmpt.processors.processor import DEFAULT_WIDTH

logger = logging.getLogger(__name__)

SKIPPED_FILE = "skipped.jsonl"


class Skipped(NamedTuple):
    """A listed video that is in no shard: a line of `skipped.jsonl`."""

    split: str
    id: str
    reason: str


class SplitReport(NamedTuple):
    """What came of one list."""

    split: str
    listed: int
    """Ids, each once."""
    twice: int
    """Lines whose id was listed before."""
    shards: int
    kept: int
    """Shards that were there already."""
    videos: int
    seconds: int
    skipped: list[Skipped]


def write_skipped(target_dir: Path, reports: Sequence[SplitReport]) -> Path:
    """Writes `skipped.jsonl`: {"split", "id", "reason"} a line, empty where nothing was skipped.

    Lines of splits that this run is not about stay.
    """
    path = target_dir / SKIPPED_FILE
    renewed = {report.split for report in reports}
    skipped = [each for each in read_skipped(target_dir) if each.split not in renewed]
    with atomic_write(path, "w") as file:
        for each in [*skipped, *_all_skipped(reports)]:
            file.write(json.dumps(each._asdict(), ensure_ascii=False) + "\n")
    return path


def read_skipped(target_dir: Path) -> list[Skipped]:
    """The lines of `skipped.jsonl`; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    path = target_dir / SKIPPED_FILE
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # an id may hold other line ends
        return [Skipped(**json.loads(line)) for line in lines if line]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a list of skipped videos ({error}); remove it") from None


def report_skipped(target_dir: Path, width: int, reports: Sequence[SplitReport]) -> None:
    """Says how many videos were skipped and why, and what to set for another width."""
    skipped = list(_all_skipped(reports))
    if skipped:
        ids = first_few([each.id for each in skipped])
        path = target_dir / SKIPPED_FILE
        logger.warning("%d videos skipped: %s; reasons in %s", len(skipped), ids, path)
    odd = sum(each.reason.startswith("width") for each in skipped)
    if odd:
        logger.warning(
            "%d of them have another width than %d; --vfeat_dim says which is right", odd, width
        )
    if width != DEFAULT_WIDTH:
        logger.info("width %d: set dataset.vfeat_dim: %d in the job files", width, width)


def extraction_reasons(vfeat_dir: Path) -> dict[str, str]:
    """Why videos have no features, by id, as `mmpt extract` left it beside the features."""
    reasons = {}
    for path in part_files(vfeat_dir, "failed"):
        try:
            reasons |= {i: failure.reason for i, failure in read_lines(path, Failure).items()}
        except DataError as error:
            logger.warning("%s; its reasons are not taken over", error)
    return reasons


def _all_skipped(reports: Sequence[SplitReport]) -> Iterator[Skipped]:
    return (skipped for report in reports for skipped in report.skipped)
