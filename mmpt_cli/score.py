"""`mmpt score JOB.yaml --video FILE... --text TEXT...`: how well texts go with video files."""

import argparse
from pathlib import Path

from mmpt.models.s3d_weights import WEIGHTS
from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import given_path

COLUMN = 44
"""Characters of a text that the table shows."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("score", "score.py"), description=__doc__.split("`: ")[1].strip()
    )
    parser.add_argument("job", type=Path, help="a job file, or the folder of a run")
    parser.add_argument("--video", type=given_path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--text", nargs="+", required=True, metavar="TEXT", help="in quotes")
    parser.add_argument(
        "--checkpoint", type=given_path, help="a file (default: the one that the job names)"
    )
    parser.add_argument(
        "--weights", type=given_path, default=WEIGHTS, help="of S3D (default: %(default)s)"
    )
    parser.add_argument("--device", help="cuda, cuda:1, cpu (default: cuda where there is one)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Prints the scores of all texts with all videos and each text's best second of each.

    Raises:
        ConfigError, DataError, CheckpointError, LaunchError: with the line to print.
    """
    args = build_parser().parse_args(argv)
    from mmpt import api

    model = api.load(args.job, args.checkpoint, video_weights=args.weights, device=args.device)
    texts = model.encode_text(args.text)
    videos = [model.encode_video(path) for path in args.video]
    scores = model.score(texts, videos)
    for number, (path, video) in enumerate(zip(args.video, videos, strict=True)):
        print(f"{path}: {len(video.times)} s")
        best = model.align(texts, video).max(dim=1)
        for row in scores[:, number].argsort(descending=True).tolist():
            print(
                f"  {args.text[row]:<{COLUMN}.{COLUMN}}  score {scores[row, number]:9.3f}   best "
                f"second {int(best.indices[row]):4d} (cosine {best.values[row]:.3f})"
            )
    return 0
