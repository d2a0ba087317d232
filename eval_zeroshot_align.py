"""HTM-Align: `python eval_zeroshot_align.py projects/retri/norton/test_how2align_zs.yaml`."""

import sys

if __name__ == "__main__":
    from mmpt_cli.entry import run_command
    from mmpt_cli.eval_align import main

    sys.exit(run_command(main))
