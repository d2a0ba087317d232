"""Which videos a shard was made for: a hash of their ids, in order, in the shard's sidecar.

Shards follow the order of the meta file, and hold no ids themselves.  A shard that was made for
another list of the same length fits it in every number, and gives every video another's captions.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from mmpt.errors import DataError

IDS_KEY = "ids_sha256"
"""Of the sidecar `PREFIX.json`; readers that do not know it go past it."""


def ids_hash(ids: Iterable[str]) -> str:
    """SHA-256 of the ids, one a line, in hex digits."""
    return hashlib.sha256("\n".join(ids).encode("utf-8", "surrogatepass")).hexdigest()


def noted_hash(prefix: str | os.PathLike) -> str | None:
    """The hash in a shard's sidecar; None where there is none, or no sidecar that can be read.

    Args:
        prefix: path without `_data.npy`.
    """
    try:
        noted = json.loads(Path(f"{os.fspath(prefix)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # opening the shard says what is wrong with its sidecar
    found = noted.get(IDS_KEY) if isinstance(noted, dict) else None
    return found if isinstance(found, str) else None


def check_ids(prefix: str | os.PathLike, ids: Iterable[str], command: str) -> bool:
    """Compares the videos that a shard was made for with those that it is taken for.

    Args:
        prefix: path without `_data.npy`.
        ids: of the meta file, in order.
        command: what makes the shard, for the message.

    Returns:
        Whether the shard says for which videos it was made; the older toolkit's do not.

    Raises:
        DataError: it was made for others, or in another order.
    """
    noted = noted_hash(prefix)
    if noted not in (None, ids_hash(ids)):
        raise DataError(
            f"shard {prefix}: made for other videos, or in another order, than the meta file "
            f"lists, so that every video would get another's; run {command} again"
        )
    return noted is not None
