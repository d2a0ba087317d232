"""`mmpt tokenise CONFIG`: captions -> token shards beside the feature shards.

Run it after `mmpt shard`: the token shards follow the videos of `SPLIT_meta.pkl`.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from mmpt.errors import LaunchError, first_few
from mmpt.sharding.captions import TokenReport, write_token_shards
from mmpt.sharding.settings import read_settings
from mmpt_cli.entry import SOME_LEFT_OUT, program
from mmpt_cli.evaluation_options import given_path, positive
from mmpt_cli.folders import why_not_writable
from mmpt_cli.splitting import add_splitting, submit

logger = logging.getLogger(__name__)

LOGS = Path("runs/slurm/tokenise")
"""Of a job array."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("tokenise", "pretokenization.py"),
        description="Captions -> token shards, for every feature shard that the meta files name.  "
        "Shards that are there and were made from the same captions are kept.  The status is 0, or "
        f"{SOME_LEFT_OUT} where entries of the captions could not be used.",
    )
    parser.add_argument("config", type=given_path, metavar="CONFIG.yaml")
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="instead of the file's `processes`"
    )
    add_splitting(parser, "shards of part")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Writes the shards, or submits the job array that does.

    Raises:
        ConfigError, DataError, LaunchError: what was asked for is not possible.
    """
    args = build_parser().parse_args(argv)
    settings = read_settings(args.config)
    reason = why_not_writable(settings.target_dir)
    if reason is not None:
        raise LaunchError(f"target_dir {settings.target_dir}: cannot be written ({reason})")
    if args.slurm is not None:
        return submit("tokenise", argv, args.slurm, LOGS, "mmpt shard --verify")
    if args.processes is not None:
        settings = replace(settings, processes=args.processes)
    return _tell(write_token_shards(settings, args.split), settings.caption_pkl_path)


def _tell(report: TokenReport, captions: str) -> int:
    if report.without:
        logger.info(
            "%d videos of the shards have no entry in %s: %s",
            len(report.without),
            captions,
            first_few(report.without),
        )
    if report.twice:
        logger.info("%d videos stand in %s more than once, and their last entry counts: %s",
                    len(report.twice), captions, first_few(report.twice))  # fmt: skip
    for problem in report.damaged[:3]:
        logger.warning("%s", problem)
    if report.damaged:
        logger.warning("%d entries cannot be used: their videos have no captions in the shards",
                       len(report.damaged))  # fmt: skip
    kept = f", {report.kept} were there" if report.kept else ""
    print(f"{report.shards} token shards written{kept}: {report.captions:,} captions")
    print(f"dataset.tfeat_dir: {report.prefix}")
    return SOME_LEFT_OUT if report.damaged else 0
