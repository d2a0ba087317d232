"""How many numbers a second features have, where nobody says it."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mmpt.errors import DataError
from mmpt.sharding.features import feature_path
from mmpt.sharding.layout import SPLITS, shard_numbers
from mmpt.sharding.npyfile import FeatureFile

logger = logging.getLogger(__name__)

LOOKED_AT = 100
"""Readable feature files whose width is asked for."""


def find_width(vfeat_dir: Path, target_dir: Path, ids: Iterable[str]) -> int:
    """The width of the shards that are there, else the one that most of the first videos have.

    Raises:
        DataError: no listed video can be opened, or none has the width of the shards.
    """
    widths = first_widths(vfeat_dir, ids)
    found = shard_width(target_dir)
    width = widths.most_common(1)[0][0] if found is None else found
    if found is not None and found not in widths:
        raise DataError(
            f"{target_dir} holds shards of width {found}, the features in {vfeat_dir} have "
            f"{_shown(widths)}; name another --target_dir, or say --vfeat_dim to replace the shards"
        )
    if len(widths) > 1:
        why = "as the shards that are there" if found is not None else "the most frequent one"
        logger.warning(
            "%s: features of different widths, %s; %d is taken, %s (--vfeat_dim takes another)",
            vfeat_dir,
            _shown(widths),
            width,
            why,
        )
    return width


def first_widths(vfeat_dir: Path, ids: Iterable[str]) -> Counter[int]:
    """How many of the first videos that can be opened have which width.

    Raises:
        DataError: none can.
    """
    widths: Counter[int] = Counter()
    problem = "no id is listed"
    for video_id in ids:
        try:
            with FeatureFile(feature_path(vfeat_dir, video_id)) as features:
                widths[features.width] += 1
        except DataError as error:
            problem = f"{video_id}: {error}"
        if widths.total() == LOOKED_AT:
            break
    if not widths:
        raise DataError(
            f"{vfeat_dir}: no listed video has usable features (the last one, {problem})"
        )
    return widths


def shard_width(target_dir: Path) -> int | None:
    """The width of the first feature shard in a folder that can be opened; None without one."""
    if not target_dir.is_dir():
        return None
    for split in SPLITS:
        for number in shard_numbers(target_dir, f"{split}_"):
            try:
                with FeatureFile(target_dir / f"{split}_{number}_data.npy") as shard:
                    return shard.width
            except DataError:
                continue  # it is made anew
    return None


def _shown(widths: Counter[int]) -> str:
    return ", ".join(f"{width} ({count} videos)" for width, count in widths.most_common())
