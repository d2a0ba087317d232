"""Turns feature files into the shards that pretraining reads, and checks them (`--verify`)."""

import sys
from pathlib import Path

# a script finds its own folder alone, not the repository
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if __name__ == "__main__":
    from mmpt_cli.entry import run_command
    from mmpt_cli.shard_feature import main

    sys.exit(run_command(main))
