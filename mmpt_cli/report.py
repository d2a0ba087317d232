"""`mmpt report RESULTS...`: results as one page to look at.

    mmpt report runs/retri/norton                     every results_*.json in it and below
    mmpt report one/results_test_vtt_zs.json two      files and folders
    mmpt report runs --videos ID ID                   alignment pictures of these videos
    mmpt report runs --videos=-ID,ID                  where an id begins with a dash

The page holds its pictures and needs no network; the pictures lie beside it as PNG files.
"""

import argparse
import sys
from pathlib import Path

from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import given_path
from mmpt_cli.folders import results_folder

FOLDER = "report"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("report", "report.py"),
        description="Writes one self-contained HTML page about evaluations: numbers with "
        "intervals, recall curves, easy and hard queries, alignments, training curves.",
    )
    parser.add_argument(
        "results",
        nargs="+",
        type=given_path,
        metavar="RESULTS",
        help="results_*.json files, or folders in which to look for them",
    )
    parser.add_argument(
        "--out",
        type=given_path,
        metavar="FOLDER",
        help="folder for the page and its pictures (default: report/ beside the first RESULTS)",
    )
    parser.add_argument(
        "--videos",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="videos whose alignments are drawn (default: a good, a middle, a bad one)",
    )
    return parser


def main(argv: list[str]) -> int:
    """Writes the report and says where it is; returns the exit status.

    Raises:
        DataError: no results, a file that holds none, or a video that no result has.
        LaunchError: matplotlib is not installed, or the folder cannot be written to.
    """
    args = build_parser().parse_args(argv)
    chosen = [name for given in args.videos for name in given.split(",") if name]
    page = make_report(args.results, args.out or default_folder(args.results[0]), chosen)
    # a strict terminal refuses odd bytes of a path, after all was done
    print(f"report: {str(page).encode(errors='backslashreplace').decode()}")
    return 0


def default_folder(place: Path) -> Path:
    """Where the report on a file or folder goes."""
    return (place if place.is_dir() else place.parent) / FOLDER


def make_report(places: list[Path], out: Path, chosen: list[str] | None = None) -> Path:
    """Writes the report on some results into a folder, and returns the page.

    Raises:
        DataError, LaunchError: as `main`.
    """
    from mmpt.report.build import PICTURES, check_free, write_report
    from mmpt.report.drawing import require_matplotlib
    from mmpt.report.results import find_files

    require_matplotlib()
    find_files(places)  # before a folder is made for nothing
    check_free(out)
    with results_folder(str(out)), results_folder(str(out / PICTURES)):
        return write_report(places, out, chosen or [])


if __name__ == "__main__":
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
