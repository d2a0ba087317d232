"""Starts jobs: `python locallaunch.py JOB.yaml [--jobtype TYPE] [--dryrun]`."""

import sys

if __name__ == "__main__":
    from mmpt_cli.entry import run_command
    from mmpt_cli.localjob import main

    sys.exit(run_command(main))
