"""The job types: how one job file becomes a running command."""

from typing import NamedTuple


class JobType(NamedTuple):
    """One way of running a job.

    Attributes:
        kind: `train` (one command, fairseq starts the processes), `torchrun`, `predict`, `slurm`.
        processes: how many processes train together.
        meaning: one line for the help text.
    """

    kind: str
    processes: int
    meaning: str


JOB_TYPES: dict[str, JobType] = {
    "local_single": JobType("train", 1, "train in one process, on one GPU or the CPU"),
    "local_small": JobType("train", 2, "train on 2 GPUs (the paper's setting)"),
    "local_big": JobType("train", 8, "train on 8 GPUs"),
    "local_predict": JobType("predict", 1, "evaluate"),
    "torchrun_single": JobType("torchrun", 1, "train in one process started by torchrun"),
    "torchrun_small": JobType("torchrun", 2, "train in 2 processes started by torchrun"),
    "torchrun_big": JobType("torchrun", 8, "train in 8 processes started by torchrun"),
    "slurm_single": JobType("slurm", 1, "not in this version: under SLURM in one process"),
    "slurm_small": JobType("slurm", 2, "not in this version: under SLURM on 2 GPUs"),
    "slurm_big": JobType("slurm", 8, "not in this version: under SLURM on 8 GPUs"),
    # old names that stand in public job files
    "sweep_small": JobType("train", 1, "old name of local_single"),
    "sweep_big": JobType("train", 8, "local_big, or as many GPUs as there are"),
}
