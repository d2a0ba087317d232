"""Run as a program: a training that fairseq spawns its processes for, as for two GPUs, on the CPU.

    spawned.py SLOW_SAVE ARGUMENT...

Batches that retrieval encodes take a second and say so; with SLOW_SAVE 1, so do checkpoints.  A
spawned process begins with this file again, and is changed in the same way.
"""

import sys
import time

import torch

from mmpt.io import fairseqmm_checkpoints
from mmpt.tasks import encoding

torch.cuda.device_count = lambda: 2
torch.set_num_threads(1)
moved, save = encoding._moved, fairseqmm_checkpoints.save_whole


def slow_moved(*args):
    print("slow encoding", flush=True)
    time.sleep(1)
    return moved(*args)


def slow_save(*args, **kwargs):
    time.sleep(3)
    return save(*args, **kwargs)


encoding._moved = slow_moved
if sys.argv[1] == "1":
    fairseqmm_checkpoints.save_whole = slow_save

if __name__ == "__main__":
    from mmpt_cli import train
    from mmpt_cli.entry import run_command

    sys.exit(run_command(train.main, sys.argv[2:]))
