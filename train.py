"""Trains one job by hand: `python train.py JOB.yaml --user-dir mmpt --task mmtask ...`."""

import sys

if __name__ == "__main__":
    from mmpt_cli.entry import run_command
    from mmpt_cli.train import main

    sys.exit(run_command(main))
