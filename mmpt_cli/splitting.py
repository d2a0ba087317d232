"""The options of commands whose work can be split: `--split I/N`, and `--slurm PROFILE`."""

import argparse
from pathlib import Path

from mmpt.utils.split import Split
from mmpt_cli.evaluation_options import given_path


def add_splitting(parser: argparse.ArgumentParser, part: str) -> None:
    """Adds the two options, of which one can be given.

    Args:
        parser: of the command.
        part: what one part of the work is, for the help.
    """
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--split", type=split, metavar="I/N", help=f"{part} I of N alone, I from 1 to N"
    )
    either.add_argument(
        "--slurm",
        type=given_path,
        metavar="PROFILE",
        help="as a job array, one part a task (scripts/slurm/)",
    )


def split(text: str) -> Split:
    """`I/N` of the command line."""
    number, slash, of = text.partition("/")
    whole = slash and (number + of).isascii() and number.isdecimal() and of.isdecimal()
    if not (whole and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}; I/N with I from 1 to N is needed, as 2/8")
    return Split(int(number), int(of))


def submit(command: str, argv: list[str], profile: Path, logs: Path, afterwards: str) -> int:
    """Runs a command line as a job array, each task with its part; returns the exit status.

    Args:
        command: of `mmpt`.
        argv: what followed it, `--slurm` included.
        profile: the file that `--slurm` names.
        logs: folder of what the tasks write.
        afterwards: what is to be done when all have ended.

    Raises:
        ConfigError, LaunchError: as `mmpt_cli.slurm`.
    """
    from mmpt_cli.slurm import read_profile, submit_array

    parts = read_profile(profile).array
    rest = without_option(argv, "--slurm")
    commands = [[command, *rest, "--split", f"{part}/{parts}"] for part in range(1, parts + 1)]
    return submit_array(profile, commands, command, logs, afterwards)


def without_option(argv: list[str], option: str) -> list[str]:
    """A command line without an option and its value, in either spelling."""
    kept, skip = [], False
    for token in argv:
        if skip or token == option:
            skip = not skip
        elif not token.startswith(f"{option}="):
            kept.append(token)
    return kept
