"""The manifests of the parts of an extraction (`--split`) made into one, and checked."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mmpt.errors import DataError, LaunchError, first_few
from mmpt.extraction.manifest import (
    Entry,
    Failure,
    Settings,
    digest_of,
    feature_file,
    part_file,
    part_files,
    read_lines,
    size_of,
    true_entries,
    write_lines,
)
from mmpt.extraction.plan import running_parts


class Merged(NamedTuple):
    """What a folder holds.

    Attributes:
        videos: with features.
        seconds: of them, together.
        damaged: of the videos, those whose files were not whole.
        failed: videos without features.
        parts: files that were merged.
        unknown: feature files that no manifest names.
    """

    videos: int
    seconds: int
    damaged: int
    failed: int
    parts: int
    unknown: list[str]

    def __str__(self) -> str:
        return (
            f"{self.videos} videos ({self.seconds} s, {self.damaged} of damaged files), "
            f"{self.failed} without features; {self.parts} manifests merged"
        )


def merge_manifests(folder: Path, verify: bool = False) -> Merged:
    """Writes `manifest.jsonl` and `failed.jsonl` of all parts; the files of the parts go.

    Args:
        folder: of the features.
        verify: read every feature file and compare its SHA-256, not its size alone.

    Raises:
        LaunchError: a part is being extracted now.
        DataError: there is no manifest, one is damaged, parts differ in weights or settings, or a
            feature file is not as it was noted; nothing is changed then.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    parts = part_files(folder, "manifest")
    failed = part_files(folder, "failed")
    if not parts and not failed:
        raise DataError(f"{folder}: no manifest*.jsonl in it; mmpt extract writes them")
    running = running_parts(folder)
    if running:
        raise LaunchError(f"{folder}: part {first_few(running)} is being extracted; wait for it")
    entries = true_entries(folder)
    check_settings(folder, entries)
    check_features(folder, entries, verify)
    failures: dict[str, Failure] = {}
    for path in failed:
        failures |= read_lines(path, Failure)
    failures = {name: failure for name, failure in failures.items() if name not in entries}
    for kind, lines, old in (("manifest", entries, parts), ("failed", failures, failed)):
        whole = folder / part_file(kind, None)
        write_lines(whole, lines.values())
        for path in old:
            if path != whole:
                path.unlink()
    return Merged(
        videos=len(entries),
        seconds=sum(entry.seconds for entry in entries.values()),
        damaged=sum(entry.damage is not None for entry in entries.values()),
        failed=len(failures),
        parts=len(parts),
        unknown=sorted(path.stem for path in folder.glob("*.npy") if path.stem not in entries),
    )


def check_settings(folder: Path, entries: dict[str, Entry]) -> None:
    """
    Raises:
        DataError: not all features were made in the same way; what differs, and how many are of
            each kind.
    """
    kinds: dict[Settings, list[str]] = defaultdict(list)
    for name, entry in sorted(entries.items()):
        kinds[entry.settings].append(name)
    if len(kinds) < 2:
        return
    by_number = sorted(kinds.items(), key=lambda kind: (-len(kind[1]), repr(kind[0])))
    differing = [
        field
        for place, field in enumerate(Settings._fields)
        if len({settings[place] for settings in kinds}) > 1
    ]
    found = "; ".join(
        f"{len(names)} videos ({first_few(names)}) with "
        + ", ".join(f"{field} {getattr(settings, field)}" for field in differing)
        for settings, names in by_number
    )
    raise DataError(
        f"{folder}: its features were not all made in the same way: {found}; extract again with "
        "one kind of settings, or to two folders"
    )


def check_features(folder: Path, entries: dict[str, Entry], verify: bool) -> None:
    """
    Raises:
        DataError: feature files are missing or not as they were noted.
    """
    wrong = []
    with tqdm(entries.values(), desc="looking at features", unit="file", delay=2) as bar:
        for entry in bar:
            path = feature_file(folder, entry.id)
            if size_of(path) != entry.bytes or (verify and digest_of(path) != entry.sha256):
                wrong.append(path.name)
    if wrong:
        raise DataError(
            f"{folder}: {len(wrong)} of {len(entries)} feature files are missing or not as they "
            f"were written ({first_few(wrong)}); remove them and run the same mmpt extract again"
        )
