"""Captions of speech recognition without their repetitions; caption files as pickles.

    python -m mmpt.processors.dedupprocessor            sentencified captions, .json -> .pkl
    python -m mmpt.processors.dedupprocessor --dedup    raw captions, cleaned on the way

The pickle is a dict by video id; a value is the JSON text of {"start", "end", "text"}.
Sentencified captions have no repetitions, and are not cleaned.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from mmpt.config.keys import shown
from mmpt.errors import DataError, LaunchError
from mmpt.io.pickles import write_dict
from mmpt.processors.captionfile import parse_captions
from mmpt.sharding.jsonstream import stream_captions

SENTENCES = Path("data/how2/sentencified_htm_1200k.json")
RAW = Path("data/how2/raw_caption.json")


@dataclass
class DedupStatistics:
    """What was done to the lines of all videos so far."""

    videos: int = 0
    lines: int = 0
    empty: int = 0
    """Left out: without a character, or no text at all."""
    repeated: int = 0
    """Merged into the line before, which ends with them."""
    extended: int = 0
    """Begin with the whole line before, and replace its text."""
    shared_before: int = 0
    """Begin with the end of the line before, which keeps it."""
    shared_after: int = 0
    """Begin with the end of the line before, and keep it."""
    kept: int = 0
    """Lines afterwards."""
    twice: int = 0
    """Entries whose id comes again: the later one counts, here as in the pickle."""

    def __str__(self) -> str:
        return "\n".join(
            f"{name.replace('_', ' '):14s} {n:>12,}" for name, n in asdict(self).items()
        )


@dataclass
class _Line:
    start: float
    end: float
    text: str


class CaptionDedupProcessor:
    """Removes what lines of speech recognition repeat of the line before.

    Where a line begins with the end of the one before, the shortest piece that they share is given
    to one of the two at random.

    Args:
        rng: seed of the draws, or a generator; one draw for each shared piece, in the order of
            the calls.

    Attributes:
        statistics: what was done in all calls.
    """

    def __init__(self, rng: int | random.Random = 0):
        self.rng = rng if isinstance(rng, random.Random) else random.Random(rng)
        self.statistics = DedupStatistics()

    def __call__(self, captions: Mapping[str, list]) -> dict[str, list]:
        """Cleans the captions of one video.

        Args:
            captions: `start` and `end` in seconds, `text`; lists of equal length.

        Returns:
            The same, fewer: white space at the ends of a line is gone, line breaks are blanks.
        """
        lines: list[_Line] = []
        columns = (captions["start"], captions["end"], captions["text"])
        for start, end, text in zip(*columns, strict=True):
            text = text.replace("\n", " ").strip() if isinstance(text, str) else ""
            self.statistics.lines += 1
            if not text:
                self.statistics.empty += 1
            elif not lines:
                lines.append(_Line(start, end, text))
            else:
                self._add(lines, _Line(start, end, text))
        self.statistics.videos += 1
        self.statistics.kept += len(lines)
        return {key: [getattr(line, key) for line in lines] for key in ("start", "end", "text")}

    def _add(self, lines: list[_Line], line: _Line) -> None:
        """Adds a line with text behind the last one, or merges it into that."""
        before = lines[-1]
        if before.text.endswith(line.text):
            self.statistics.repeated += 1
            before.end = max(before.end, line.end)
            return
        if line.text.startswith(before.text):
            self.statistics.extended += 1
            before.text = line.text
            before.start = min(before.start, line.start)
            before.end = max(before.end, line.end)
            return
        shared = shared_characters(before.text, line.text)
        if shared and self.rng.random() > 0.5:
            self.statistics.shared_before += 1
            before.end = max(before.end, line.start)
            line.text = line.text[shared:].lstrip()
            line.start = before.end
            line.end = max(line.end, line.start)
        elif shared:
            self.statistics.shared_after += 1
            before.text = before.text[:-shared].rstrip()
            before.end = max(before.start, min(before.end, line.start))
        lines.append(line)


def shared_characters(before: str, after: str) -> int:
    """The length of the shortest piece, one character at least, that ends one text and begins the
    other; 0 where there is none."""
    for length in range(1, min(len(before), len(after))):
        if before.endswith(after[:length]):
            return length
    return 0


def write_captions(
    source: Path, target: Path, dedup: CaptionDedupProcessor | None = None
) -> DedupStatistics:
    """Turns a caption file into the pickle {video id: JSON text}, in the memory of one video and
    of a few numbers for each.

    Of an id that comes twice, the last entry counts.

    Args:
        source: `.json` (or a `.pkl` of the same form, which is read as a whole).
        target: the pickle.
        dedup: cleans the captions; None leaves them as they are.

    Returns:
        What was done to the captions of this file; where they are left as they are, their numbers
        alone.

    Raises:
        DataError: the file or an entry of it is damaged.
    """
    counted: dict[str, tuple[int, ...]] = {}
    entries = 0
    with write_dict(target) as writer:
        for video_id, entry in stream_captions(source):
            entry, counted[video_id] = _turned(entry, f"{source}: video {video_id}", dedup)
            writer.add(video_id, entry)
            entries += 1
    total = DedupStatistics(*(sum(column) for column in zip(*counted.values(), strict=True)))
    total.twice = entries - len(counted)
    return total


def _turned(
    entry: Any, name: str, dedup: CaptionDedupProcessor | None
) -> tuple[str, tuple[int, ...]]:
    """The JSON text of an entry, and what `DedupStatistics` says of it alone."""
    if dedup is not None:
        before = astuple(dedup.statistics)
        text = json.dumps(dedup(_checked(entry, name)))
        pairs = zip(astuple(dedup.statistics), before, strict=True)
        return text, tuple(now - then for now, then in pairs)
    if isinstance(entry, Mapping):
        texts = entry.get("text")
        lines = len(texts) if isinstance(texts, list) else 0
        return json.dumps(entry), astuple(DedupStatistics(videos=1, lines=lines))
    if isinstance(entry, str):
        return entry, astuple(DedupStatistics())
    raise DataError(f"{name}: expected start, end and text, got {shown(entry)}")


def _checked(entry: Any, name: str) -> Mapping[str, list]:
    """An entry as a dict, its times as they are given where they are numbers, else as floats."""
    parsed = parse_captions(entry, name)
    if "text" not in parsed:
        raise DataError(f"{name}: holds token ids (cap); only text can be cleaned")
    given = json.loads(entry) if isinstance(entry, str) else entry
    times = {
        key: [
            value if isinstance(value, int | float) else seconds
            for value, seconds in zip(given[key], parsed[key], strict=True)
        ]
        for key in ("start", "end")
    }
    return {**times, "text": parsed["text"]}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmpt.processors.dedupprocessor",
        description="Writes captions as a pickle, video id -> JSON text; with --dedup without the "
        "repetitions of speech recognition.",
    )
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        metavar="FILE",
        help=f"captions, .json or .pkl (default: {SENTENCES}; with --dedup {RAW})",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the pickle (default: beside the captions, NAME.pkl; with --dedup NAME_dedup.pkl)",
    )
    parser.add_argument("--dedup", action="store_true", help="clean raw captions")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draws of --dedup (default: %(default)s)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Writes the pickle and prints what was done.

    Raises:
        DataError: the captions are missing or damaged.
        LaunchError: the pickle would overwrite the captions.
    """
    args = build_parser().parse_args(argv)
    source = args.source or (RAW if args.dedup else SENTENCES)
    target = args.out or source.with_name(source.stem + ("_dedup.pkl" if args.dedup else ".pkl"))
    if target.resolve() == source.resolve():
        raise LaunchError(f"--out {target}: these are the captions that are read; name another")
    dedup = CaptionDedupProcessor(args.seed) if args.dedup else None
    statistics = write_captions(source, target, dedup)
    if dedup is not None:
        print(statistics)
    else:
        twice = f", {statistics.twice:,} entries twice" if statistics.twice else ""
        print(f"{statistics.videos:,} videos, {statistics.lines:,} captions{twice}")
    print(f"written: {target}")
    return 0


if __name__ == "__main__":
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
