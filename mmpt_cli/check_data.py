"""`mmpt check-data`: what job files need and what of it is there, missing or broken.

    mmpt check-data                                         all released job files
    mmpt check-data projects/retri/norton/test_vtt_zs.yaml  one
    mmpt check-data projects/retri/demo --deep --jobs 2     a folder of them, every file opened

Annotation files are read, features counted, shards and checkpoints looked at from outside; `--deep`
opens all of them.  A thing that several jobs need is looked at once.  Nothing is written but the
file of `--json`.
"""

import argparse
import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import LaunchError, first_few
from mmpt.io.atomic import atomic_write
from mmpt.io.files import no_file
from mmpt_cli.data_survey import NOT_THERE, Survey, survey
from mmpt_cli.data_things import BROKEN, MISSING, OK, STATES, Thing, spelled
from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import given_path
from mmpt_cli.folders import why_not_writable

PROJECTS = (Path("projects/retri/norton"), Path("projects/retri/videoclip"))
"""Where the released job files are."""
LINE = 160
"""Longest line of the table, on screens that are wider."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("check-data", "mmpt_cli/check_data.py"),
        description="What job files need: what of it is there, what is missing, what is broken.  "
        "The status is 0 where all of it is there and whole.",
    )
    parser.add_argument(
        "yaml",
        nargs="*",
        help=f"job files or folders of them (default: those of {' and '.join(map(str, PROJECTS))})",
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="open every feature file (shape, dtype, NaN) and checkpoint, and compare shards with "
        "their SHA-256",
    )
    parser.add_argument(
        "--jobs",
        type=_processes,
        default=1,
        metavar="N",
        help="processes that open files (%(default)s)",
    )
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write all of it there too")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Prints the table; the status is 0 where nothing is missing and nothing broken.

    Raises:
        LaunchError: there is no job file, the file of `--json` cannot be written, or a process
            that opened files was killed.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.jobs > 1 and not args.deep:
        parser.error("--jobs is for --deep, which opens files")
    files = job_files(args.yaml)
    if args.json is not None:
        check_writable(args.json)
    found = survey(files, args.deep, args.jobs)
    print(table(found, screen()))
    if args.json is not None:
        with atomic_write(args.json) as handle:
            handle.write((json.dumps(as_dict(found, args.deep), indent=2) + "\n").encode())
    return status(found)


def check_writable(path: Path) -> None:
    """Tries the folder of `--json` before hours of work; leaves nothing behind.

    Raises:
        LaunchError: the file cannot be written.
    """
    reason = no_file(path) or why_not_writable(str(path.parent))
    if reason is not None:
        raise LaunchError(f"--json {path}: cannot be written ({reason})")


def job_files(named: Sequence[str]) -> list[str]:
    """The job files that a command line means, each once.

    Raises:
        LaunchError: a folder without any.
    """
    if not named:
        folders = [place if place.is_dir() else REPOSITORY_ROOT / place for place in PROJECTS]
        return jobs_in(folders)
    files: list[str] = []
    for part in [part for entry in named for part in entry.split(",") if part.strip()]:
        if Path(part).is_dir():
            inside = jobs_in([Path(part)])
            if not inside:
                raise LaunchError(f"{part}: no job file (*.yaml) in this folder")
            files += inside
        else:
            files.append(part)
    if not files:
        raise LaunchError("no job file is named; name some, or none for all released ones")
    once = {spelled(file): file for file in reversed(files)}  # the first spelling is kept
    return [file for file in dict.fromkeys(files) if once[spelled(file)] == file]


def jobs_in(folders: Sequence[Path]) -> list[str]:
    """The job files in folders, by name."""
    return [str(path) for folder in folders for path in sorted(folder.glob("*.yaml"))]


def names_of(jobs: Sequence[str]) -> str:
    """The first few job files, short: with their folder where another one is called alike."""
    stems = [Path(job).stem for job in jobs]
    names = [
        stem if stems.count(stem) == 1 else f"{Path(job).parent.name}/{stem}"
        for job, stem in zip(jobs, stems, strict=True)
    ]
    return first_few(names, limit=4)


def screen() -> int:
    """How wide lines are: as the screen, and not wider than `LINE`."""
    return min(shutil.get_terminal_size((LINE, 0)).columns, LINE)


def status(found: Survey) -> int:
    """0 where all is there and whole, else 1."""
    return int(any(thing.state != OK for thing in found.things.values()))


def table(found: Survey, width: int = LINE) -> str:
    """The things, the worst last where they are seen, then the jobs, then one line on all."""
    lines: list[str] = []
    for state in reversed(STATES):
        things = [thing for thing in found.things.values() if thing.state == state]
        if things:
            lines.append(f"{state}:")
            for thing in sorted(things, key=lambda thing: thing.what):
                lines += _entry(thing, width)
    lines.append("jobs:")
    longest = max((len(job) for job in found.jobs), default=0)
    for job in found.jobs:
        lines.append(f"  {job:{longest}}  {_of_job(found, job)}")
    lines.append(summary(found))
    return "\n".join(lines)


def _entry(thing: Thing, width: int) -> list[str]:
    """A line of the table, and what was found below it."""
    good = thing.lines(OK)
    if thing.state == OK:
        told = f"  {thing.what}" + (f"  ({good[0]})" if good else "")
        return _wrapped([told, *(f"      {line}" for line in good[1:])], width)
    lines = [f"  {thing.what}"]
    lines += [
        f"      {line}" if state == thing.state else f"      {state}: {line}"
        for state in (BROKEN, MISSING)
        for line in thing.lines(state)
        if line != NOT_THERE or state != thing.state
    ]
    lines += [f"      {line}" for line in good]
    asked = f"{', '.join(thing.keys)} of " if thing.keys else "job file "
    where = f"; DATASET.md, section {thing.section!r}" if thing.section else ""
    concerned = [job for job in thing.jobs if thing.state_for(job) != OK]
    if thing.keys:
        lines.append(f"      {asked}{names_of(concerned)}{where}")
    return _wrapped(lines, width)


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    shown: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        shown += textwrap.wrap(
            line,
            width,
            subsequent_indent=indent,
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return shown


def _of_job(found: Survey, job: str) -> str:
    states = Counter(thing.state_for(job) for thing in found.things.values() if job in thing.jobs)
    parts = [f"{states[state]} {state}" for state in STATES if states[state]]
    return ", ".join(parts) if states[BROKEN] or states[MISSING] else f"all there ({states[OK]})"


def summary(found: Survey) -> str:
    """How many jobs have all they need, and how many things are missing or broken."""
    ready = sum(_ready(found, job) for job in found.jobs)
    states = Counter(thing.state for thing in found.things.values())
    return (
        f"{ready} of {len(found.jobs)} jobs have all they need; of {len(found.things)} things "
        f"{states[MISSING]} are missing, {states[BROKEN]} broken"
    )


def _ready(found: Survey, job: str) -> bool:
    return all(thing.state_for(job) == OK for thing in found.things.values() if job in thing.jobs)


def as_dict(found: Survey, deep: bool) -> dict[str, Any]:
    """All of it, for JSON."""
    jobs = {}
    for job in found.jobs:
        things = [thing for thing in found.things.values() if job in thing.jobs]
        jobs[job] = {
            state: [thing.what for thing in things if thing.state_for(job) == state]
            for state in STATES
        }
    return {
        "deep": deep,
        "all_there": status(found) == 0,
        "jobs": jobs,
        "things": [thing.as_dict() for thing in found.things.values()],
    }


def _processes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; a number of processes from 1 is needed")
    return int(text)
