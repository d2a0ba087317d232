"""The command line of a job.  Pure: reads no file, looks at no device.

python train.py JOB.yaml --user-dir mmpt --task mmtask ... --lr 1e-05 ...
python -m torch.distributed.run --standalone --nproc-per-node 2 train.py JOB.yaml ...
python mmpt_cli/predict.py JOB.yaml
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.config.access import nearest
from mmpt.config.fairseq_args import to_arguments, with_extras
from mmpt.config.jobtypes import JOB_TYPES
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import LaunchError

PLUGIN = ("--task", "mmtask", "--arch", "mmarch", "--criterion", "mmloss")


class Plan(NamedTuple):
    """How one job will run.

    Attributes:
        kind: `train`, `torchrun` or `predict`.
        processes: how many train together.
    """

    kind: str
    processes: int


def plan(job: str, name: str | None) -> Plan:
    """What a job type means for a job file, before any device is looked at.

    Args:
        job: the file; one called `test_*` is evaluated whatever the job type.
        name: the job type.

    Raises:
        LaunchError: the job type is not set, unknown, or needs SLURM.
    """
    evaluation = Plan("predict", 1)
    if name is None and is_evaluation(job):
        return evaluation
    if name is None:
        raise LaunchError(
            f"{job}: no task_type in the file, so --jobtype is needed: one of {_known()}"
        )
    if name not in JOB_TYPES:
        hint = nearest(name, JOB_TYPES)
        raise LaunchError(f"unknown job type {name!r}{hint}; job types: {_known()}")
    kind, processes, _ = JOB_TYPES[name]
    if kind == "slurm":
        local = name.replace("slurm", "torchrun")
        raise LaunchError(
            f"{job}: job type {name}: SLURM job types are not available in this version; "
            f"use {local}, here or inside an allocation of your own"
        )
    return evaluation if is_evaluation(job) else Plan(kind, processes)


def is_evaluation(job: str) -> bool:
    """Whether a job file is one that is evaluated, never trained."""
    return Path(job).name.startswith("test_")


def command_of(job: str, plan: Plan, settings: Mapping[str, Any]) -> list[str]:
    """The command of a job, one list item a token.

    Args:
        job: the file, as the command shall name it.
        plan: how it runs.
        settings: the trainer's arguments (`mmpt.config.trainer_settings`).
    """
    if plan.kind == "predict":
        return [sys.executable, _here("mmpt_cli/predict.py"), job]
    settings = with_extras(settings, plan.processes)
    # the job type decides on the processes, not the file
    settings.pop("distributed_world_size", None)
    training = [_here("train.py"), job, "--user-dir", settings.pop("user_dir", _here("mmpt"))]
    if plan.kind == "torchrun":
        starter = ["-m", "torch.distributed.run", "--standalone"]
        starter += ["--nproc-per-node", str(plan.processes)]
        return [sys.executable, *starter, *training, *PLUGIN, *to_arguments(settings)]
    # said for one process too: fairseq takes all GPUs it finds otherwise
    world = ["--distributed-world-size", str(plan.processes)]
    return [sys.executable, *training, *PLUGIN, *world, *to_arguments(settings)]


def _here(entry: str) -> str:
    """A file of the repository as a command run from the working directory names it."""
    if Path.cwd() == REPOSITORY_ROOT or Path(entry).exists():
        return entry
    return str(REPOSITORY_ROOT / entry)


def _known() -> str:
    return ", ".join(JOB_TYPES)
