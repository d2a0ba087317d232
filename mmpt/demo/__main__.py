"""`python -m mmpt.demo ...`, the same as `mmpt demo ...`."""

import sys

from mmpt_cli.demo import main
from mmpt_cli.entry import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
