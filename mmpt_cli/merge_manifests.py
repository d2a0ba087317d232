"""`mmpt merge-manifests FDIR`: the manifests of an extraction in parts made into one, and checked.

Parts of other weights or settings are an error that names them, and so is a feature file that is
missing or of another size than the one written (`--verify`: other content).  The files of the
parts are removed when they are merged.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # a script finds its own folder alone, not the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mmpt.errors import first_few
from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import given_path


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("merge-manifests", "merge_manifests.py"),
        description="Merges the manifests that mmpt extract --split wrote, and checks that every "
        "feature file is there.",
    )
    parser.add_argument("fdir", type=given_path, metavar="FDIR", help="folder of the features")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every feature file and compare its SHA-256",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Merges; prints what the folder holds.

    Raises:
        DataError, LaunchError: see `mmpt.extraction.merging.merge_manifests`.
    """
    from mmpt.extraction.merging import merge_manifests

    args = build_parser().parse_args(argv)
    merged = merge_manifests(args.fdir, args.verify)
    print(f"{args.fdir}: {merged}")
    if merged.unknown:
        names = first_few(merged.unknown)
        print(f"{len(merged.unknown)} feature files are in no manifest ({names})")
    return 0


if __name__ == "__main__":
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
