"""`python locallaunch.py JOB.yaml`: turns job files into commands, and runs them on this machine.

    python locallaunch.py projects/retri/norton/how2_pretrain.yaml --jobtype local_small --dryrun

A dry run prints one command a job, ready to be pasted into a shell; it writes nothing, looks at no
device, and warns of what a real run would refuse as not available.  A real run first checks that
the devices and the files it starts from are there, makes the run's folder, and then passes on the
child's exit status and the signals it gets.
"""

import argparse
import logging
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from mmpt.config.access import setting
from mmpt.config.check import check_available, check_complete, is_pipeline
from mmpt.config.fairseq_args import for_cpu, trainer_settings
from mmpt.config.jobtypes import JOB_TYPES
from mmpt.config.load import load_config, prepare_run, with_run_folder
from mmpt.config.ready import lacking
from mmpt.errors import DataError, LaunchError
from mmpt.io.run_record import LAUNCHED_BY, read_record
from mmpt.io.runlock import refuse_if_held
from mmpt_cli.child import Outcome, run_child
from mmpt_cli.command import Plan, command_of, is_evaluation, plan
from mmpt_cli.entry import program
from mmpt_cli.folders import NewFolder
from mmpt_cli.pipeline import Pipeline, expand, write_files
from mmpt_cli.preflight import (
    has_begun,
    refuse_shared_folders,
    refuse_unusable_paths,
    settings_with_checkpoint,
)

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """One job to run.

    Attributes:
        file: its YAML file, as named by the user.
        config: the checked content.
        job_type: a name of `JOB_TYPES`, or None where neither user nor file names one.
    """

    file: str
    config: DictConfig
    job_type: str | None


def main(argv: list[str]) -> int:
    """Runs the launcher; returns the exit status of the first job that fails, else 0.

    Raises:
        ConfigError: a job file cannot be used.
        LaunchError: a job cannot be started as asked.
    """
    args = _parser().parse_args(argv)
    files = [file for entry in args.yaml for file in entry.split(",") if file]
    if not files:
        raise LaunchError("no job file was named: give a YAML file below projects/")
    pipelines, jobs = read_jobs(files, args.jobtype)
    if args.generate and len(pipelines) < len(set(files)):
        single = next(file for file in files if file not in pipelines)
        raise LaunchError(f"{single}: --generate is for pipeline files (those with base_dir)")
    trained = [job for job in jobs if not is_evaluated(job)]
    jobs = [] if args.generate else jobs
    for job in jobs:
        # a name that predict.py takes for no evaluation's is its own to refuse
        if job in trained or Path(job.file).name.startswith(("test", "vis")):
            check_complete(job.config, job.file, is_evaluated(job))
    refuse_shared_folders([(job.file, job.config) for job in trained])
    if args.dryrun:
        for pipeline in pipelines.values():
            for file in pipeline.files:
                print(f"# writes {file}")
        for job in jobs:
            print(shlex.join(dry_command(job)))
        return 0
    for job in jobs:
        check_available(job.config, job.file, is_evaluated(job))
    for pipeline in pipelines.values():
        write_files(pipeline)
    return run_jobs(jobs)


def read_jobs(files: list[str], job_type: str | None) -> tuple[dict[str, Pipeline], list[Job]]:
    """Reads and checks all files before the first job starts: a typo in the last shows at once.

    Args:
        files: job and pipeline files.
        job_type: overrules the files' own `task_type`.

    Returns:
        the pipelines by file, and all jobs in order, those of pipelines included.
    """
    pipelines, jobs = {}, []
    for file in files:
        config = load_config(config_file=file)
        members = [(file, config)]
        if is_pipeline(config):
            pipelines[file] = expand(file, config)
            members = pipelines[file].jobs
        jobs += [Job(f, c, job_type or setting(c, "task_type")) for f, c in members]
    return pipelines, jobs


def is_evaluated(job: Job) -> bool:
    """Whether a job is evaluated, not trained, by its file's name and its job type.

    Raises:
        LaunchError: the job type is not set, unknown, or needs SLURM.
    """
    return plan(job.file, job.job_type).kind == "predict"


def dry_command(job: Job) -> list[str]:
    """The command of a job as asked for, whatever this machine or this version has."""
    chosen = plan(job.file, job.job_type)
    _say_evaluation(job)
    problem = next(lacking(job.config, is_evaluated(job)), None)
    if problem is not None:
        logger.warning("%s: %s (a real run is refused)", job.file, problem)
    if chosen.kind == "predict":
        return command_of(job.file, chosen, {})
    config = with_run_folder(job.config, job.file)
    return command_of(job.file, chosen, trainer_settings(config))


def run_jobs(jobs: list[Job], announce: Callable[[int], None] = lambda number: None) -> int:
    """Runs jobs in order, stopping at the first that fails or is stopped by a signal.

    Args:
        announce: called with the number of a job, from 1, before it starts.
    """
    for number, job in enumerate(jobs, start=1):
        announce(number)
        status, stopped_by = run_job(job)
        left = len(jobs) - number
        if stopped_by is not None and (status or left):
            name = signal.Signals(stopped_by).name
            rest = f"; {left} more jobs are not started" if left else ""
            logger.info("%s: stopped by %s, status %d%s", job.file, name, status, rest)
            return status or 128 + stopped_by
        if status != 0:
            if left:
                logger.info("%s failed: %d more are not started", job.file, left)
            return status
    return 0


def run_job(job: Job) -> Outcome:
    """Runs one job; a folder that was made for a run which then never began is taken back."""
    save_dir = setting(job.config, "fairseq.checkpoint.save_dir")
    folder = None if save_dir is None else NewFolder(save_dir)
    outcome = None
    try:
        outcome = run_child(real_command(job), {LAUNCHED_BY: shlex.join(sys.orig_argv)})
    finally:
        if folder is not None and (outcome is None or outcome.status != 0):
            folder.remove_if_unused()
    if outcome.stopped_by and plan(job.file, job.job_type).kind == "torchrun":
        return outcome._replace(status=stopped_status(save_dir, outcome))
    return outcome


def stopped_status(save_dir: str, outcome: Outcome) -> int:
    """The exit status of a training under torchrun that a signal has stopped: torchrun says 1, and
    shows its own traceback, whatever its processes did; the run's record says what they did."""
    try:
        end = read_record(save_dir)["starts"][-1]["end"] or {}
    except DataError:
        return outcome.status
    return 128 + outcome.stopped_by if end.get("state") == "stopped" else outcome.status


def real_command(job: Job) -> list[str]:
    """The command of a job on this machine, its run's folder made.

    Raises:
        LaunchError: GPUs are missing, the checkpoint to start from, or another file or folder.
    """
    chosen = plan(job.file, job.job_type)
    _say_evaluation(job)
    if chosen.kind == "predict":
        return command_of(job.file, chosen, {})
    wants_cpu = bool(trainer_settings(job.config).get("cpu"))
    chosen, on_cpu = place(job, chosen, count_gpus(), wants_cpu)
    refuse_unusable_paths(job.file, job.config)
    settings = settings_with_checkpoint(job.file, job.config)
    if on_cpu:
        settings, dropped = for_cpu(settings)
        reason = "as the job file says" if wants_cpu else "no GPU on this machine"
        without = f", without {' and '.join(dropped)}" if dropped else ""
        logger.info("%s: training on the CPU (%s)%s", job.file, reason, without)
    if "save_dir" in settings:
        refuse_if_held(settings["save_dir"])
    # a run that is there already keeps its config.yaml until the training has found its data
    prepare = with_run_folder if has_begun(settings) else prepare_run
    prepared = prepare(job.config, job.file)
    if "tensorboard_logdir" in settings:
        settings["tensorboard_logdir"] = prepared.fairseq.common.tensorboard_logdir
    return command_of(job.file, chosen, settings)


def place(job: Job, asked: Plan, gpus: int, wants_cpu: bool = False) -> tuple[Plan, bool]:
    """Fits a plan to the GPUs of a machine.

    Args:
        job: the training.
        asked: what its job type means.
        gpus: how many GPUs there are.
        wants_cpu: the job file sets `cpu: true`.

    Returns:
        the plan, and whether it runs on the CPU.

    Raises:
        LaunchError: there are not enough GPUs.
    """
    usable = 0 if wants_cpu else gpus
    if job.job_type == "sweep_big" and usable < asked.processes:
        logger.info(
            "%s: sweep_big wants %d GPUs, running on what can be used here: %s",
            job.file,
            asked.processes,
            usable or "the CPU",
        )
        return asked._replace(processes=max(1, usable)), usable == 0
    if usable >= asked.processes:
        return asked, False
    if usable == 0 and (asked.processes == 1 or asked.kind == "torchrun"):
        return asked, True
    found = "the file says cpu: true" if wants_cpu else f"this machine has {gpus}"
    raise LaunchError(
        f"{job.file}: {job.job_type} needs {asked.processes} GPUs, {found}; use --jobtype "
        "local_single (one GPU, or the CPU)"
    )


def count_gpus() -> int:
    """How many GPUs torch can use here, CUDA_VISIBLE_DEVICES respected.

    Asked in a child, so that this process stays small and has no threads while it waits.

    Raises:
        LaunchError: torch cannot be imported.
    """
    code = "import torch; print(torch.cuda.device_count())"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["no output"])[-1]
        raise LaunchError(f"torch cannot be used in {sys.executable}: {reason}")
    return int(asked.stdout.split()[-1])


def _say_evaluation(job: Job) -> None:
    asked = JOB_TYPES[job.job_type or "local_predict"]
    if is_evaluation(job.file) and asked.kind != "predict":
        logger.info(
            "%s: an evaluation file, so it is evaluated; job type %s is for training",
            job.file,
            job.job_type,
        )


def _parser() -> argparse.ArgumentParser:
    types = "\n".join(f"  {name:<16} {t.meaning}" for name, t in JOB_TYPES.items())
    parser = argparse.ArgumentParser(
        prog=program("launch", "locallaunch.py"),
        description="Trains or evaluates the jobs that YAML files describe.",
        epilog=f"job types:\n{types}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "yaml",
        nargs="+",
        metavar="YAML",
        help="job or pipeline files, in order, separated by spaces or commas",
    )
    parser.add_argument("--jobtype", metavar="TYPE", help="instead of the file's task_type")
    parser.add_argument("--dryrun", action="store_true", help="print the commands, do nothing")
    parser.add_argument(
        "--generate", action="store_true", help="pipelines: write the job files, run nothing"
    )
    # taken off by the entry already; here for the help
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
