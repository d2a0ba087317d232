"""Evaluates test jobs: `python predict.py projects/retri/norton/test_vtt_zs.yaml`."""

import sys

if __name__ == "__main__":
    from mmpt_cli.entry import run_command
    from mmpt_cli.predict import main

    sys.exit(run_command(main))
