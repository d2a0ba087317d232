"""`mmpt shard`: feature files -> the shards that pretraining reads; `--verify` compares them.

mmpt shard                       the videos of data/how2/how2_s3d_{train,val}.lst
mmpt shard --verify              lists, feature shards and token shards against each other
"""

import argparse
import itertools
from pathlib import Path

from mmpt.errors import LaunchError
from mmpt.sharding.features import (
    DTYPES,
    FeatureSettings,
    clear_feature_left_overs,
    read_list,
    shard_split,
)
from mmpt.sharding.layout import SPLITS, text_prefixes
from mmpt.sharding.locks import lock_file
from mmpt.sharding.records import FOLDER
from mmpt.sharding.reports import SplitReport, report_skipped, write_skipped
from mmpt.sharding.verify import SplitFindings, table, verify_split
from mmpt.sharding.widths import find_width
from mmpt_cli.entry import SOME_LEFT_OUT, program
from mmpt_cli.evaluation_options import given_path, positive
from mmpt_cli.folders import why_not_writable

SHOWN_PROBLEMS = 20
LOCK = "shard.lock"

FOLDERS = (
    ("--vfeat_dir", "data/feat/feat_how2_s3d", "folder of VIDEO_ID.npy"),
    ("--target_dir", "data/feat/feat_how2_s3d_shard_small", "folder of the shards"),
    ("--train_list", "data/how2/how2_s3d_train.lst", "ids of the training videos, one a line"),
    ("--val_list", "data/how2/how2_s3d_val.lst", "ids of the validation videos"),
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("shard", "shard_feature.py"),
        description="Feature files -> shards.  Shards that are there and whose videos have not "
        "changed are kept.  Videos without usable features are left out and listed in "
        f"TARGET/skipped.jsonl; the status is {SOME_LEFT_OUT} then.  With --verify: compares what "
        "is there; the status is 1 where something is wrong.",
    )
    for option, default, text in FOLDERS:
        parser.add_argument(
            option, type=given_path, default=Path(default), help=f"{text} (%(default)s)"
        )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="which (both)"
    )
    parser.add_argument(
        "--shard_size", type=positive, default=4096, help="videos of a list a shard (%(default)s)"
    )
    parser.add_argument("--vfeat_dim", type=positive, metavar="N", help="width (default: found)")
    parser.add_argument(
        "--dtype", choices=DTYPES, default=DTYPES[0], help="of the shards (%(default)s)"
    )
    parser.add_argument(
        "--verify", action="store_true", help="write nothing, compare what is there"
    )
    parser.add_argument(
        "--tfeat_dir",
        metavar="PREFIX",
        help="of --verify: how the token shards' names begin (default: found in --target_dir)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Writes the shards, or compares them.

    Raises:
        DataError: a list is missing, or none of its videos has usable features.
        LaunchError: nothing can be written in the target folder, or another run writes there.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.tfeat_dir is not None and not args.verify:
        parser.error("--tfeat_dir is for --verify")
    lists = {"train": args.train_list, "val": args.val_list}
    lists = {split: lists[split] for split in SPLITS if split in args.splits}
    return verify(args, lists) if args.verify else shard(args, lists)


def shard(args: argparse.Namespace, lists: dict[str, Path]) -> int:
    """Writes the shards; the status is 3 where videos were left out."""
    reason = why_not_writable(str(args.target_dir))
    if reason is not None:
        raise LaunchError(f"--target_dir {args.target_dir}: cannot be written ({reason})")
    if not args.vfeat_dir.is_dir():
        raise LaunchError(f"--vfeat_dir {args.vfeat_dir}: no such folder; VIDEO_ID.npy are in it")
    ids = [read_list(path) for path in lists.values()]
    in_use = f"--target_dir {args.target_dir} is in use: another process makes its shards"
    with lock_file(args.target_dir / FOLDER / LOCK, in_use):
        clear_feature_left_overs(args.target_dir, list(lists))
        width = args.vfeat_dim
        if width is None:
            width = find_width(args.vfeat_dir, args.target_dir, itertools.chain(*ids))
        settings = FeatureSettings(
            args.vfeat_dir, args.target_dir, args.shard_size, width, args.dtype
        )
        reports = [shard_split(settings, split, path) for split, path in lists.items()]
        write_skipped(args.target_dir, reports)
    for report in reports:
        print(line(report))
    report_skipped(args.target_dir, width, reports)
    return SOME_LEFT_OUT if any(report.skipped for report in reports) else 0


def line(report: SplitReport) -> str:
    """One split in words."""
    parts = [
        f"{report.split}: {report.shards} shards of {report.videos:,} videos",
        f"{report.seconds / 3600:,.2f} h",
        f"{len(report.skipped):,} of {report.listed:,} skipped",
    ]
    if report.kept:
        parts.append(f"{report.kept} shards were there")
    if report.twice:
        parts.append(f"{report.twice:,} lines list an id again")
    return ", ".join(parts)


def verify(args: argparse.Namespace, lists: dict[str, Path]) -> int:
    """Prints the table; the status is 1 where something is wrong."""
    text = args.tfeat_dir if args.tfeat_dir is not None else found_text(args.target_dir)
    found = [verify_split(args.target_dir, split, path, text) for split, path in lists.items()]
    print(render(found))
    if text is None:
        print(f"no token shards in {args.target_dir} yet (mmpt tokenise)")
    else:
        print(f"token shards: {text}")
    problems = [
        f"{each.split}, {row}: {problem}"
        for each in found
        for row, lines in each.problems.items()
        for problem in lines
    ]
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"  {problem}")
    if len(problems) > SHOWN_PROBLEMS:
        print(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return 1 if problems else 0


def found_text(folder: Path) -> str | None:
    """How the names of the token shards in a folder begin; None where there are none.

    Raises:
        LaunchError: there are several.
    """
    prefixes = text_prefixes(folder)
    if len(prefixes) > 1:
        raise LaunchError(
            f"{folder} holds several sets of token shards; name one: "
            + ", ".join(f"--tfeat_dir {folder / prefix}" for prefix in prefixes)
        )
    return str(folder / prefixes[0]) if prefixes else None


def render(found: list[SplitFindings]) -> str:
    """The table as text."""
    rows = table(found)
    splits = [each.split for each in found]
    lines = [["", *splits, "status"]]
    for row in rows:
        state = "problem" if row.problem else "ok"
        if all(cell == "-" for cell in row.cells.values()) and not row.problem:
            state = "-"
        lines.append([row.name, *(row.cells[split] for split in splits), state])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
