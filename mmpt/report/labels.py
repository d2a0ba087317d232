"""Names for checkpoints: as short as they can be, and no two alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import PurePath

FOLDERS = 1
"""Folders in a name, where no more are needed."""


def distinct_labels(checkpoints: Iterable[str]) -> dict[str, str]:
    """Each checkpoint's last folders and stem, with as many folders as tell it from the others.

    Args:
        checkpoints: paths; a path may stand there twice.

    Returns:
        Path -> name, `full/seed_1/checkpoint_best`; where paths differ by `.pt` alone, with it.
    """
    given = list(dict.fromkeys(checkpoints))
    cut = {path: PurePath(path.removesuffix(".pt")).parts for path in given}
    equal = Counter(cut.values())
    parts = {path: PurePath(path).parts if equal[cut[path]] > 1 else cut[path] for path in given}
    return {path: _label(path, parts) for path in given}


def _label(path: str, parts: dict[str, tuple[str, ...]]) -> str:
    own = parts[path]
    others = [other for name, other in parts.items() if name != path]
    depth = FOLDERS + 1
    while depth < len(own) and any(other[-depth:] == own[-depth:] for other in others):
        depth += 1
    return PurePath(*own[-depth:]).as_posix()


def distinct_in_group(names: Sequence[tuple[str, ...]]) -> list[str]:
    """A label for each of several names, with as many of its parts as tell them apart.

    Args:
        names: of each the parts, the most telling one first.
    """
    labels = [name[0] for name in names]
    for part in range(1, max(map(len, names))):
        kinds: dict[str, set[str]] = {}
        for label, name in zip(labels, names, strict=True):
            kinds.setdefault(label, set()).add(name[part])
        labels = [
            f"{label}, {name[part]}" if len(kinds[label]) > 1 else label
            for label, name in zip(labels, names, strict=True)
        ]
    return _numbered(labels)


def _numbered(labels: Sequence[str]) -> list[str]:
    numbered: list[str] = []
    for label in labels:
        names = (label if number == 1 else f"{label} ({number})" for number in count(1))
        numbered.append(next(name for name in names if name not in numbered))
    return numbered
