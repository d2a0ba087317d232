"""`mmpt paper`: the paper's recipe, from pretraining to a table of zero-shot results.

    bash run.sh paper --dryrun         what is missing, and the commands
    bash run.sh paper                  the pretraining, the zero-shot evaluations, then the table
    bash run.sh paper --only eval      the evaluations of a checkpoint that is there

Before anything starts, all that is missing is listed at once: data, checkpoints, GPUs, packages.
Every step is a job file, run as the launcher runs it.  Given again, the command goes on with an
interrupted pretraining, and passes over a finished one.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmpt.config.access import setting
from mmpt.config.check import check_complete
from mmpt.config.fairseq_args import trainer_settings
from mmpt.config.jobtypes import JOB_TYPES
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.config.ready import lacking
from mmpt.errors import DataError, LaunchError
from mmpt_cli.checkpoint_files import results_file
from mmpt_cli.entry import program
from mmpt_cli.localjob import Job, dry_command, is_evaluated, read_jobs, run_jobs
from mmpt_cli.missing import KINDS, Missing, find_missing
from mmpt_cli.preflight import has_begun
from mmpt_cli.runs import describe

JOBS = Path("projects/retri/norton")
PRETRAINING = "how2_pretrain.yaml"
EVALUATIONS = "test_*_zs.yaml"
ORDER = (
    *("vtt", "vttqa", "youcook", "youcook_fullvideo", "youcook_fullvideo_bg"),
    *("coin", "how2align"),
)
"""The `*` of the evaluations in the order of their running; others follow by name."""
NOT_OF_THE_PAPER = ("crosstask", "didemo")
"""Evaluations that VideoCLIP reports and Norton's paper does not."""
JOB_TYPE = "local_small"
"""The paper's: 2 GPUs."""
HALVES = ("pretrain", "eval")


class Recipe(NamedTuple):
    """The jobs to run, and those that this version cannot.

    Attributes:
        steps: in order.
        skipped: evaluation -> what of it is not in this version, one line each.
        finished: where the pretraining is done, a line on it; it is no step then.
    """

    steps: list[Job]
    skipped: dict[str, list[str]]
    finished: str | None = None


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("paper", "run.sh paper"),
        description="The paper's recipe: pretraining, then every zero-shot evaluation.  What is "
        "missing is listed first, all of it; then nothing is started.",
    )
    types = [name for name, form in JOB_TYPES.items() if form.kind in ("train", "torchrun")]
    parser.add_argument(
        "--jobtype",
        metavar="TYPE",
        help=f"how the pretraining runs (default: {JOB_TYPE}): {', '.join(types)}",
    )
    parser.add_argument("--only", choices=HALVES, help="one half of it")
    parser.add_argument(
        "--dryrun", action="store_true", help="print what is missing and the commands, do nothing"
    )
    # taken off by the entry already; here for the help
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Runs the recipe; returns 1 where something is missing, else the status of the step that
    fails, else 0.

    Raises:
        ConfigError: a job file cannot be used.
        LaunchError: a job cannot be started as asked.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.only == "eval" and args.jobtype is not None:
        parser.error("--jobtype is for the pretraining, which --only eval leaves out")
    recipe = read_recipe(args.only, args.jobtype or JOB_TYPE)
    missing = find_missing(recipe.steps)
    if recipe.finished:
        print(recipe.finished)
    print(report(missing, recipe.skipped, final=not args.dryrun), flush=True)
    if args.dryrun:
        for number, job in enumerate(recipe.steps, start=1):
            print(f"# {title(recipe.steps, number)}")
            print(shlex.join(dry_command(job)), flush=True)
        return 0
    return 1 if missing else run(recipe)


def read_recipe(only: str | None, job_type: str) -> Recipe:
    """Reads and checks the job files.

    Args:
        only: a name of `HALVES`, or None for both.
        job_type: of the pretraining.

    Raises:
        ConfigError: a job file cannot be used.
        LaunchError: the job type trains nothing, or there is nothing to run.
    """
    folder = JOBS if JOBS.is_dir() else REPOSITORY_ROOT / JOBS
    steps, skipped, finished = [], {}, None
    if only != "eval":
        _, (training,) = read_jobs([str(folder / PRETRAINING)], job_type)
        if is_evaluated(training):
            raise LaunchError(f"--jobtype {job_type} evaluates; name one that trains: {JOB_TYPE}")
        finished = finished_before(training)
        steps = [] if finished else [training]
    if only != "pretrain":
        _, evaluations = read_jobs(evaluation_files(folder), None)
        for job in evaluations:
            problems = list(lacking(job.config, evaluated=True))
            if problems:
                skipped[job.file] = problems
            else:
                steps.append(job)
    if not steps and only == "eval":
        raise LaunchError(f"{folder / EVALUATIONS}: no evaluation that this version can run")
    for job in steps:
        check_complete(job.config, job.file, is_evaluated(job))
    return Recipe(steps, skipped, finished)


def finished_before(job: Job) -> str | None:
    """A line on a training that has come to the end that its file sets; None for any other.

    The trainer would say so too, after it has opened all shards on all GPUs: neither need be there
    any more for the evaluations.
    """
    settings = trainer_settings(job.config)
    if not has_begun(settings):
        return None
    known = describe(Path(settings["save_dir"]))
    limits = (settings.get("max_epoch") or None, settings.get("max_update") or None)
    if known.state != "finished" or (known.max_epoch, known.max_update) != limits:
        return None
    return (
        f"pretraining: finished before, {known.updates} updates, in {settings['save_dir']} "
        "(delete that folder to train anew)"
    )


def evaluation_files(folder: Path) -> list[str]:
    """The paper's zero-shot job files in a folder, and those of one's own, in their order."""
    before, after = EVALUATIONS.split("*")
    paths = {p.name.removeprefix(before).removesuffix(after): p for p in folder.glob(EVALUATIONS)}
    tasks = sorted(paths.keys() - set(NOT_OF_THE_PAPER))
    tasks.sort(key=lambda task: ORDER.index(task) if task in ORDER else len(ORDER))
    return [str(paths[task]) for task in tasks]


def report(missing: Sequence[Missing], skipped: dict[str, list[str]], final: bool) -> str:
    """The list as lines of text, kind by kind.

    Args:
        missing: as `find_missing` gives it.
        skipped: as in `Recipe`.
        final: the last line says what to do, for the command ends here if something is missing.
    """
    lines: list[str] = []
    if skipped:
        lines.append("not in this version, skipped:")
        for file, problems in skipped.items():
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            lines.append(f"  {Path(file).stem}: {problems[0]}{more}")
    for kind, heading in KINDS.items():
        of_kind = [one for one in missing if one.kind == kind]
        if of_kind:
            lines.append(f"missing, {heading}:")
            for one in of_kind:
                lines += [f"  {one.what}", f"      {_details(one)}"]
    if not missing:
        lines.append("nothing is missing")
    elif final:
        several = len(missing) > 1
        count = f"{len(missing)} things are" if several else "1 thing is"
        them = "they are" if several else "it is"
        lines.append(f"{count} missing; the same command starts when {them} there")
    return "\n".join(lines)


def _details(one: Missing) -> str:
    asked = ", ".join(one.keys)
    jobs = ", ".join(Path(file).stem for file in one.jobs)
    parts = [f"{asked} of {jobs}" if asked else f"for {jobs}", one.note]
    parts.append(f"DATASET.md, section {one.section!r}" if one.section else "")
    return "; ".join(part for part in parts if part)


def run(recipe: Recipe) -> int:
    """Runs the steps in order; returns the status of the first that fails, else 0."""
    current = ""

    def announce(number: int) -> None:
        nonlocal current
        current = title(recipe.steps, number)
        print(current, flush=True)

    status = run_jobs(recipe.steps, announce)
    if status != 0:
        again = "the same command goes on from there"
        print(f"{current}: ended with status {status}; {again}", file=sys.stderr)
        return status
    evaluated = [job for job in recipe.steps if is_evaluated(job)]
    if evaluated:
        print(f"\n{table(evaluated)}")
    if recipe.skipped:
        names = ", ".join(Path(file).stem for file in recipe.skipped)
        print(f"\nnot in this version, skipped: {names}")
    return 0


def title(steps: Sequence[Job], number: int) -> str:
    """For instance `[1/8] pretraining (local_small): JOB.yaml`."""
    job = steps[number - 1]
    what = "zero-shot evaluation" if is_evaluated(job) else f"pretraining ({job.job_type})"
    return f"[{number}/{len(steps)}] {what}: {job.file}"


def table(jobs: Sequence[Job]) -> str:
    """The results that the evaluations of jobs have written, as text that is Markdown as well.

    Raises:
        DataError: a results file is not there, or damaged.
    """
    lines = ["| zero-shot | checkpoint | metrics |", "| --- | --- | --- |"]
    for job in jobs:
        file = results_file(setting(job.config, "eval.save_path"), job.file)
        try:
            results = json.loads(file.read_text(encoding="utf-8"))["results"]
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{file}: not the results of {job.file} ({error})") from error
        for result in results:
            metrics = ", ".join(f"{name} {_shown(v)}" for name, v in result["metrics"].items())
            lines.append(f"| {Path(job.file).stem} | {result['checkpoint']} | {metrics} |")
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
