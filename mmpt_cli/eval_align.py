"""`python eval_zeroshot_align.py JOB.yaml`: HTM-Align, zero-shot, on every checkpoint of a job.

The same as `predict.py` with that job file.  The file may be named by `--taskconfig` too.
"""

import argparse
from pathlib import Path

from mmpt.config.access import setting
from mmpt.errors import ConfigError
from mmpt_cli.evaluation_options import add_options
from mmpt_cli.predict import evaluate, read_job

PREDICTOR = "HTMAlignPredictor"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eval_zeroshot_align.py",
        description="Alignment of narrations with seconds on HTM-Align: Recall and AUC.",
    )
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("yaml", nargs="?", type=Path, help="the job file")
    job.add_argument("--taskconfig", type=Path, metavar="YAML", help="the same, by name")
    add_options(parser)
    return parser


def main(argv: list[str]) -> int:
    """Evaluates the job file; returns the exit status.

    Raises:
        ConfigError: the job file is one of another task, or none to evaluate.
    """
    args = build_parser().parse_args(argv)
    path = args.yaml or args.taskconfig
    config = read_job(path)
    named = setting(config, "predictor")
    if named != PREDICTOR:
        found = "is not set" if named is None else f"is {named}"
        raise ConfigError(
            f"{path}: predictor {found}; eval_zeroshot_align.py evaluates jobs with {PREDICTOR}, "
            "predict.py those with any"
        )
    evaluate(path, config, args.checkpoint, args.out, args.device, args.limit)
    return 0
