"""`mmpt extract`: features of videos, one vector a second, as `FDIR/VIDEO_ID.npy`.

    mmpt extract --vdir videos --fdir data/feat/feat_how2_s3d --type s3d --batch_size 64 \\
        --num_decoding_thread 8
    mmpt extract --vdir videos --fdir features --type colour_grid      no weights needed
    mmpt extract --vdir videos --fdir features --split 2/8             the second of eight parts

The same command again does what is missing or changed.  What was done stands in
`FDIR/manifest.jsonl`, what gave no features, with the reason, in `FDIR/failed.jsonl`.  The status
is 0 where every video has features, 3 where some have none, 1 and 2 as for all commands.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # a script finds its own folder alone, not the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mmpt.config.access import nearest
from mmpt.errors import LaunchError
from mmpt.utils.devices import pick_device
from mmpt_cli.entry import SOME_LEFT_OUT, program
from mmpt_cli.evaluation_options import given_path, positive
from mmpt_cli.splitting import add_splitting, submit

DTYPES = ("float32", "float16", "bfloat16")
BATCH = {"cpu": 8, "cuda": 64}
"""Clips of a batch on each kind of device; on a CPU one takes about 0.2 GB."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("extract", "extract.py"),
        description="Features of videos, one vector a second.  The same command again does what is "
        "missing or changed.  The status is 3 where some videos have no features: FDIR/failed.jsonl"
        " says why.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--vdir",
        type=_folders,
        required=True,
        metavar="DIR[,DIR...]",
        help="folders of videos, searched in depth; an id is a file name without its suffix",
    )
    add("--fdir", type=given_path, required=True, metavar="DIR", help="folder for the features")
    add("--type", default="s3d", metavar="NAME", help="the network (default: %(default)s)")
    add(
        "--batch_size",
        type=positive,
        metavar="N",
        help="clips of one second that are computed at a time, rounded up to a multiple of 4 "
        f"(default: {BATCH['cpu']} on a CPU, {BATCH['cuda']} on CUDA)",
    )
    add(
        "--num_decoding_thread",
        type=positive,
        default=2,
        metavar="N",
        help="videos that are decoded at a time (default: %(default)s)",
    )
    add(
        "--half_precision",
        type=int,
        choices=(0, 1),
        default=1,
        help="1: stored as float16, 0: as float32 (default: %(default)s)",
    )
    add(
        "--l2_normalize",
        type=int,
        choices=(0, 1),
        default=1,
        help="1: vectors of length 1 (default: %(default)s)",
    )
    add("--device", help="cuda, cuda:1, cpu (default: cuda where there is one)")
    add(
        "--dtype",
        choices=DTYPES,
        help="in which the network computes (default: float32 on a CPU, float16 on CUDA)",
    )
    add_splitting(parser, "part")
    add("--list", type=given_path, metavar="FILE", help="only these ids, one a line")
    add("--force", action="store_true", help="do also what is done")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=given_path, metavar="FILE", help="the network's weights")
    weights.add_argument(
        "--random-weights",
        type=_seed,
        metavar="SEED",
        help="random weights, for trying the pipeline; kept as FDIR/TYPE_random_SEED.pth",
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Extracts, or submits the jobs that do; returns the exit status.

    Raises:
        ConfigError, DataError, CheckpointError, LaunchError: with the line to print.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    check_type(args.type)
    if args.slurm is not None:
        afterwards = f"mmpt merge-manifests {args.fdir}"
        return submit("extract", argv, args.slurm, args.fdir / "slurm", afterwards)

    from mmpt.extraction.run import extract

    summary = extract(options_of(args))
    print(f"{args.fdir}: {summary}")
    return SOME_LEFT_OUT if summary.failed else 0


def check_type(name: str) -> None:
    """
    Raises:
        LaunchError: there is no network of that name.
    """
    from mmpt.extraction.networks import NETWORKS

    if name not in NETWORKS:
        raise LaunchError(
            f"--type {name}: no such network{nearest(name, NETWORKS)}; known: {', '.join(NETWORKS)}"
        )


def options_of(args: argparse.Namespace):
    """What the command line asks for, as `mmpt.extraction.plan.Options`.

    Raises:
        LaunchError: the device is not there.
        DataError: the list cannot be read.
    """
    import torch

    from mmpt.extraction.networks import NETWORKS
    from mmpt.extraction.plan import Options

    device = pick_device(args.device)
    kind = torch.device(device).type
    has_weights = NETWORKS[args.type].weights is not None
    if not has_weights and args.dtype not in (None, "float32"):
        raise LaunchError(f"--dtype {args.dtype}: {args.type} computes in float32 alone")
    usual = "float16" if kind == "cuda" and has_weights else "float32"
    return Options(
        folders=args.vdir,
        features=args.fdir,
        network=args.type,
        weights=args.weights,
        random_seed=args.random_weights,
        batch_size=args.batch_size or BATCH[kind],
        decoders=args.num_decoding_thread,
        half=bool(args.half_precision),
        l2_normalize=bool(args.l2_normalize),
        device=device,
        dtype=getattr(torch, args.dtype or usual),
        split=args.split,
        listed=None if args.list is None else read_list(args.list),
        force=args.force,
    )


def read_list(path: Path) -> tuple[str, ...]:
    """The ids of a file.

    Raises:
        DataError: it is missing, empty, or no text.
    """
    from mmpt.errors import DataError
    from mmpt.io.files import no_file
    from mmpt.processors.paths import read_lines

    other = no_file(path)
    if other is not None or not path.exists():
        raise DataError(f"--list {path}: {other or 'no such file'}; one video id a line is needed")
    return tuple(read_lines(str(path)))


def _folders(text: str) -> tuple[Path, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise argparse.ArgumentTypeError("no folder is named")
    return tuple(map(Path, parts))


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"got {text!r}; a whole number from 0 is needed")
    return int(text)


if __name__ == "__main__":
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
