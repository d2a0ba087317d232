"""Commands as one SLURM job array: `--slurm PROFILE` of the commands that can be split.

A profile is a small YAML file (scripts/slurm/ has two): how many tasks, and what each of them
needs.  Every task runs `mmpt COMMAND ...` with its own `--split i/n`.  A task that runs out of time
or is preempted is queued again and goes on where it was, because the commands do only what is
missing.  The executor `local` starts the same tasks as processes of this machine.
"""

import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import LaunchError
from mmpt_cli.entry import run_command
from mmpt_cli.slurm_profile import CLUSTER_ONLY, Profile, read_profile

if TYPE_CHECKING:
    from submitit import Job

__all__ = ["Profile", "read_profile", "submit_array"]

logger = logging.getLogger(__name__)

REQUEUES = 10
"""How often one task may run out of its time: a task that needs more is stuck."""
WARNING_SECONDS = 90
"""How long before its end a task hears of it."""
LOOK_SECONDS = {"slurm": 5.0, "local": 0.2}
"""Between two looks at the tasks."""
LOST_LOOKS = 3
"""Looks in a row at which a task is neither queued nor finished before it counts as lost: on a
network file system its result may be seen late."""


def submit_array(
    profile: Path, commands: list[list[str]], name: str, logs: Path, afterwards: str = ""
) -> int:
    """Runs commands as the tasks of one job array.

    Args:
        profile: the YAML file.
        commands: what follows `mmpt` on the command line, one list a task; every command must go
            on where an earlier run of it was stopped.
        name: of the job.
        logs: folder of submission files, output and results; on a cluster all machines see it.
        afterwards: a line on what is to be done when all tasks have ended.

    Returns:
        The worst exit status where the tasks are waited for (`wait: true`, executor local), 0
        after the submission otherwise.

    Raises:
        ConfigError: the profile cannot be used.
        LaunchError: submitit or SLURM is not installed here, or SLURM refuses the job.
    """
    wanted = read_profile(profile)
    if wanted.executor == "local":
        # files are called after process ids, which come again
        logs = logs / f"local-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    jobs = _submit(wanted, commands, name, logs, profile)
    waits = wanted.wait or wanted.executor == "local"
    array = jobs[0].job_id.split("_")[0]
    if wanted.executor == "slurm":
        print(f"submitted {len(jobs)} tasks as job {array} ({name})")
        print(f"  queue   squeue --job {array}")
        print(f"  output  tail -F {logs}/{array}_*_log.err")
        print(f"  status  grep -H 'exit status' {logs}/{array}_*_log.out")
        print(f"  stop    scancel {array}")
    else:
        pids = ", ".join(job.job_id for job in jobs)
        print(
            f"started {len(jobs)} tasks as processes {pids} ({name}); output: {logs}/", flush=True
        )
    if afterwards and not waits:
        print(f"afterwards: {afterwards}")
    if not waits:
        return 0
    worst = _report(_wait(jobs, wanted.executor, name))
    if afterwards:
        print(f"afterwards: {afterwards}")
    return worst


# ---- the executor ---------------------------------------------------------------------------


def _submit(
    profile: Profile, commands: list[list[str]], name: str, logs: Path, source: Path
) -> "list[Job]":
    try:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError as error:
        raise LaunchError(
            f"{source}: submitit is not installed ({error}): pip install -e '.[slurm]'"
        ) from error
    if profile.executor == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise LaunchError(
            f"{source}: executor slurm: there is no sbatch on this machine; run this on a login "
            "node of the cluster, or set executor: local"
        )
    executor = submitit.AutoExecutor(
        folder=logs,
        cluster=profile.executor,
        **{f"{profile.executor}_max_num_timeout": REQUEUES},
        **{f"{profile.executor}_python": _python(profile)},
    )
    executor.update_parameters(**_parameters(profile, name))
    try:
        return executor.submit_array([Task(command) for command in commands])
    except (FailedJobError, FailedSubmissionError) as error:
        # the last line is sbatch's own word
        reason = [line for line in str(error).splitlines() if line.strip()][-1]
        raise LaunchError(f"{source}: SLURM refuses the job: {reason.strip()}") from error


def _python(profile: Profile) -> str:
    """The shell command that starts a task's Python: it finds this package, and torch takes no more
    threads than the task has cores."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY_ROOT), os.environ.get("PYTHONPATH")]))
    python = [
        "env",
        f"PYTHONPATH={path}",
        f"OMP_NUM_THREADS={profile.cpus}",
        sys.executable,
    ]
    if profile.executor == "local" and profile.setup:
        # submitit's own way would give the shell's process id for the task's
        lines = "\n".join(["set -e", *profile.setup, 'exec "$@"'])
        python = ["bash", "-c", lines, "bash", *python]
    return shlex.join(python)


def _parameters(profile: Profile, name: str) -> dict[str, Any]:
    """submitit's names for what a profile asks."""
    common = {
        "name": name,
        "timeout_min": profile.minutes,
        "cpus_per_task": profile.cpus,
        "gpus_per_node": profile.gpus or None,
    }
    if profile.executor == "local":
        return common
    return {
        **common,
        "mem_gb": profile.memory_gb,
        "slurm_signal_delay_s": WARNING_SECONDS,
        # srun no longer takes this from sbatch
        "slurm_srun_args": [f"--cpus-per-task={profile.cpus}"],
        "slurm_additional_parameters": {"requeue": True},
        "slurm_setup": ["set -e", *profile.setup] if profile.setup else None,
        **{f"slurm_{part}": getattr(profile, part) for part in CLUSTER_ONLY[1:]},
    }


# ---- in a task --------------------------------------------------------------------------------


class Task:
    """One command of an array, as submitit runs it.

    Attributes:
        argv: what follows `mmpt` on the command line.
        requeued: SLURM has been asked to run this task again.
    """

    def __init__(self, argv: Sequence[str]):
        self.argv = list(argv)
        self.requeued = False

    def __call__(self) -> int:
        from mmpt_cli.main import main

        print(f"mmpt {shlex.join(self.argv)}", flush=True)
        status = run_command(main, self.argv)
        if self.requeued:
            sys.exit(status)  # a result would say that the task is done
        print(f"exit status {status}", flush=True)
        return status

    def checkpoint(self):
        """What is to be queued when time is up: the same once more, the command itself goes on
        where it was."""
        from submitit.helpers import DelayedSubmission

        self.requeued = True
        return DelayedSubmission(Task(self.argv))


# ---- waiting ----------------------------------------------------------------------------------


class Ended(NamedTuple):
    """One task that has ended: its job id, exit status, and the last line of its stderr."""

    job_id: str
    status: int
    word: str


def _wait(jobs: "list[Job]", executor: str, name: str) -> list[Ended]:
    """Waits for all tasks, a bar on the screen; tasks of this machine end with this process."""
    ended: dict[str, Ended] = {}
    missed = dict.fromkeys((job.job_id for job in jobs), 0)
    try:
        with tqdm(total=len(jobs), desc=name, unit="task") as bar:
            while len(ended) < len(jobs):
                alive = _alive(jobs, executor)
                for job in jobs:
                    if job.job_id in ended:
                        continue
                    missed[job.job_id] = 0 if job.job_id in alive else missed[job.job_id] + 1
                    if job.paths.result_pickle.exists() or missed[job.job_id] >= LOST_LOOKS:
                        ended[job.job_id] = _ended(job)
                failed = sum(end.status != 0 for end in ended.values())
                bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
                bar.update(len(ended) - bar.n)
                if len(ended) < len(jobs):
                    time.sleep(LOOK_SECONDS[executor])
    except BaseException:
        if executor == "local":
            for job in jobs:
                job.cancel()
        else:
            logger.info("no longer waiting; the tasks go on (scancel stops them)")
        raise
    return [ended[job.job_id] for job in jobs]


def _alive(jobs: "list[Job]", executor: str) -> set[str]:
    """The job ids that are queued or running; all of them where SLURM gives no answer."""
    if executor == "local":
        return {job.job_id for job in jobs if not job.done()}
    array = jobs[0].job_id.split("_")[0]
    form = ["--noheader", "--array", "--format=%i"]
    try:
        found = subprocess.run(
            ["squeue", "--job", array, *form], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return {job.job_id for job in jobs}
    if found.returncode != 0 and "Invalid job id" not in found.stderr:
        logger.warning("squeue: %s", found.stderr.strip())
        return {job.job_id for job in jobs}
    return set(found.stdout.split())


def _ended(job: "Job") -> Ended:
    from submitit.core.utils import UncompletedJobError

    word = _last_line(job.paths.stderr) or f"see {job.paths.stdout}"
    if not job.paths.result_pickle.exists():
        return Ended(job.job_id, 1, f"stopped from outside, no result; {word}")
    try:
        return Ended(job.job_id, job.result(), word)
    except UncompletedJobError:  # a defect of the command: its traceback is in the log
        return Ended(job.job_id, 1, word)


def _last_line(path: Path) -> str:
    """The last line of a log that says something; bars rewrite theirs."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _report(ended: list[Ended]) -> int:
    """Lists the tasks that failed; returns the worst status."""
    failed = [end for end in ended if end.status != 0]
    print(f"{len(ended) - len(failed)} of {len(ended)} tasks ended well")
    for end in failed:
        print(f"  task {end.job_id}, exit status {end.status}: {end.word}")
    return max(end.status for end in ended)
