"""`python eval_zeroshot_align.py JOB.yaml`: HTM-Align, zero-shot, on every checkpoint of a job.

The same as `predict.py` with that job file.  The file may be named by `--taskconfig` too.
"""

import argparse
from pathlib import Path

from mmpt.config import load_config
from mmpt.config.access import setting
from mmpt.errors import ConfigError
from mmpt_cli.predict import evaluate_job

PREDICTOR = "HTMAlignPredictor"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eval_zeroshot_align.py",
        description="Alignment of narrations with seconds on HTM-Align: Recall and AUC.",
    )
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("yaml", nargs="?", type=Path, help="the job file")
    job.add_argument("--taskconfig", type=Path, metavar="YAML", help="the same, by name")
    parser.add_argument("--checkpoint", help="evaluate this file alone, not those of the job")
    parser.add_argument("--out", type=Path, help="folder for the results (default: eval.save_path)")
    parser.add_argument("--device", help="cuda, cuda:1, cpu (default: cuda where there is one)")
    return parser


def main(argv: list[str]) -> int:
    """Evaluates the job file; returns the exit status.

    Raises:
        ConfigError: the job file is one of another task.
    """
    args = build_parser().parse_args(argv)
    path = args.yaml or args.taskconfig
    named = setting(load_config(config_file=str(path)), "predictor")
    if named != PREDICTOR:
        raise ConfigError(
            f"{path}: predictor is {named}; eval_zeroshot_align.py evaluates jobs with "
            f"{PREDICTOR}, predict.py all others"
        )
    evaluate_job(path, args.checkpoint, args.out, args.device)
    return 0
