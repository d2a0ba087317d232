"""What data a run was trained on: a cheap fingerprint of the files that a job file names.

Features are far too large to be read for this.  A small file that a key names directly (a list, an
annotation) counts with its content, all else with name, size and time of last change.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from mmpt.config.keys import keys_of
from mmpt.config.schema_dataset import DatasetSection
from mmpt.io.files import sha256_of

SMALL = 1 << 20
"""Bytes up to which a file's content counts."""
LISTED = 1000
"""A folder of more files is summed up instead of listed."""
STAT_LIMIT = 20_000
"""Of a folder with more files only the names count: asking for each would take minutes."""
NAMES_SHOWN = 3

UNITS = {name: key.metadata["unit"] for name, key in keys_of(DatasetSection).items()}
DATA_KEYS = ("bert_name", *(name for name, unit in UNITS.items() if unit.startswith("path")))
"""The keys of `dataset` that may name something on the disk."""


def data_fingerprint(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint of all files and folders that a `dataset` section names.

    Args:
        dataset: the section; of `DATA_KEYS`, those that name a file, a folder, or the beginning of
            file names in a folder.

    Returns:
        `hash`: 16 hex digits, the same for the same data at another place if it was copied with its
        times (large files count with them); `sources`: for each key
        its path with size and content hash (a small file), size and time (a large one), or number
        of files, bytes, hash and, up to `LISTED` files, the list name -> "BYTES SECONDS".
    """
    sources = {}
    for key in DATA_KEYS:
        path = dataset.get(key)
        source = _source(path, UNITS[key] == "path prefix") if path else None
        if source is not None:
            sources[f"dataset.{key}"] = {"path": path, **source}
    counted = {key: _content(source) for key, source in sources.items()}
    return {"hash": _digest(counted), "sources": sources}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, one phrase a key; empty where nothing does."""
    if before.get("hash") == now.get("hash"):
        return []
    old, new = before.get("sources", {}), now.get("sources", {})
    phrases = []
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            phrases.append(f"{key} ({old[key]['path']}) is gone")
        elif key not in old:
            phrases.append(f"{key} ({new[key]['path']}) is new")
        elif _content(old[key]) != _content(new[key]):
            phrases.append(f"{key} ({new[key]['path']}): {_difference(old[key], new[key])}")
    return phrases


def _source(path: str, is_prefix: bool) -> dict[str, Any] | None:
    """Size and content or time of a file; the summary of a folder; None where nothing is there.

    What this job does not read may well be unreadable: that is noted, and is no error.
    """
    try:
        return _readable(path, is_prefix)
    except OSError as error:
        return {"unreadable": error.strerror}


def _readable(path: str, is_prefix: bool) -> dict[str, Any] | None:
    if os.path.isfile(path):
        size, time = _size_and_time(path)
        if size > SMALL:
            return {"bytes": size, "time": time}
        return {"bytes": size, "sha256": sha256_of(path)}
    if os.path.isdir(path):
        return _folder(path, "")
    folder, prefix = os.path.split(path)
    if not is_prefix or not os.path.isdir(folder):
        return None
    summary = _folder(folder, prefix)
    return summary if summary["files"] else None


def _folder(folder: str, prefix: str) -> dict[str, Any]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name.startswith(prefix) and e.is_file())
    if len(names) > STAT_LIMIT:
        return {"files": len(names), "hash": _digest(names)}
    found = [(name, *_size_and_time(os.path.join(folder, name))) for name in names]
    total = sum(size for _, size, _ in found)
    summary = {"files": len(found), "bytes": total, "hash": _digest(found)}
    if len(found) > LISTED:
        return summary
    return {**summary, "list": {name: f"{size} {time}" for name, size, time in found}}


def _size_and_time(path: str) -> tuple[int, int]:
    """Bytes, and seconds since the epoch; a file that went away meanwhile has neither."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, int(status.st_mtime)


def _content(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without what does not count: where it lies, and the list behind its hash."""
    return {name: value for name, value in source.items() if name not in ("path", "list")}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In words, what of a source is other than before."""
    if "list" in old and "list" in new:
        before, now = old["list"], new["list"]
        fates = {
            "changed": [n for n in now if n in before and before[n] != now[n]],
            "added": [n for n in now if n not in before],
            "removed": [n for n in before if n not in now],
        }
        return ", ".join(f"{fate} {_first_few(names)}" for fate, names in fates.items() if names)
    if "unreadable" in old or "unreadable" in new:
        return f"unreadable {'now' if 'unreadable' in new else 'before'}"
    for unit in ("files", "bytes"):
        if old.get(unit) != new.get(unit):
            return f"{new.get(unit, 1)} {unit}, {old.get(unit, 1)} before"
    return "other content of the same size" if "sha256" in new else "written anew since then"


def _first_few(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
