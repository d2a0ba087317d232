"""`mmpt verify-release`: the released checkpoints against the published numbers.

    mmpt verify-release                                  everything, with data/ and runs/
    mmpt verify-release --only test_vtt_zs test_vttqa_zs
    mmpt verify-release --write docs/parity.md           and the block in there
    mmpt verify-release --rehearse                       the same on the demo corpus

First the data is checked as by `mmpt check-data`: where anything is missing, that is listed and
nothing is evaluated.  Then every zero-shot job file is evaluated on Norton's checkpoint, those with
published numbers on VideoCLIP's where it is there, fine-tuned ones where theirs are, and each
published number is compared with ours.

Where nothing could be compared the status is 1, and the document of `--write` stays as it is.

A rehearsal evaluates the demo's job files and compares with what an earlier rehearsal stored; the
published numbers take no part in it.  The numbers of jobs of which none are stored are stored;
`--renew` stores those of all jobs anew, or of `--only` some.
"""

import argparse
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmpt.config.access import setting
from mmpt.errors import USER_ERRORS
from mmpt.report.published import DECIMALS, SOURCE
from mmpt_cli import check_data
from mmpt_cli.data_survey import Survey
from mmpt_cli.data_things import OK
from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import given_path
from mmpt_cli.localjob import Job
from mmpt_cli.predict import evaluate
from mmpt_cli.rehearsal import numbers_to_compare, store_reference
from mmpt_cli.release_jobs import DATA, NORTON, VIDEOCLIP, Evaluation, chosen, rehearsed, released
from mmpt_cli.results import versions
from mmpt_cli.verify_block import (
    GOOD,
    LEGEND,
    OTHER_SET,
    OUR_DECIMALS,
    REHEARSAL,
    RELEASE,
    Row,
    block,
    check_target,
    rows_of,
    table,
    write_block,
)

OUT = Path("runs/verify_release")
ROUNDING = 0.5 * 10**-DECIMALS


class Outcome(NamedTuple):
    """What all evaluations gave.

    Attributes:
        failed: one line for each evaluation that ended in an error.
        on_test: the jobs whose checkpoint was chosen on the test set.
        checkpoints: (model, file) -> SHA-256.
    """

    rows: list[Row]
    failed: list[str]
    on_test: list[str]
    checkpoints: dict[tuple[str, str], str]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("verify-release", "mmpt_cli/verify_release.py"),
        description="Evaluates the released checkpoints with the released job files and compares "
        "every published number with ours.  The status is 0 where all are reproduced, on whole "
        "test sets.",
    )
    for option, form, metavar, text in (
        ("--data", given_path, "DIR", f"the folder that stands for {DATA} of the job files"),
        ("--checkpoint", given_path, "FILE", f"Norton's, for zero-shot (default: {NORTON})"),
        ("--videoclip", given_path, "FILE", f"VideoCLIP's (default: {VIDEOCLIP}, where it is)"),
        ("--out", given_path, "DIR", f"folder for the results (default: {OUT})"),
        ("--write", given_path, "FILE", "put the block between its marks in this document"),
        ("--device", str, "DEVICE", "cuda, cuda:1, cpu (default: cuda where there is one)"),
    ):
        parser.add_argument(option, type=form, metavar=metavar, help=text)
    parser.add_argument("--only", nargs="+", metavar="JOB", help="of the job files, by name")
    parser.add_argument(
        "--incomplete",
        action="store_true",
        help="go on where only videos are missing that a job leaves out; this reproduces nothing",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="on the demo corpus, against the numbers of an earlier rehearsal",
    )
    parser.add_argument(
        "--renew",
        action="store_true",
        help="with --rehearse: store the numbers anew (with --only: of these jobs alone)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: list[str]) -> int:
    """Verifies; the status is 1 where something is missing, fails, or is not reproduced, and where
    there was nothing to compare.

    Raises:
        ConfigError: a job file cannot be used.
        DataError: the numbers of an earlier rehearsal are damaged.
        LaunchError: what was asked for is not possible.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    _refuse_odd_options(parser, args)
    marks = REHEARSAL if args.rehearse else RELEASE
    if args.write is not None:
        check_target(args.write, marks)
    out = args.out or (OUT / "rehearsal" if args.rehearse else OUT)
    reference = out / "reference.json"
    if args.rehearse:
        evaluations, left_out = rehearsed(out, numbers_to_compare(reference, args.renew))
    else:
        evaluations, left_out = released(args.data, args.checkpoint, args.videoclip, out)
    known = dict.fromkeys(one.file.stem for one in evaluations)
    evaluations = chosen(evaluations, args.only)
    asked = {one.file.stem for one in evaluations}
    left_out += [f"{name}: not asked for (--only)" for name in known if name not in asked]
    ready = all_there(evaluations, args.incomplete)
    if not ready.go_on:
        return 1
    rounding = 0.0 if args.rehearse else ROUNDING
    outcome = evaluate_all(evaluations, out, args.device, rounding)
    fresh = []
    if args.rehearse:
        fresh = store_reference(reference, evaluations, outcome.rows, outcome.checkpoints)
    lists = {
        "Failed": outcome.failed,
        "The checkpoint was chosen on the test set": outcome.on_test,
        "Left out of the test sets (--incomplete)": ready.lacking,
        "Not evaluated": left_out,
        "Note": [f"numbers of {job} stored for the next rehearsal: {reference}" for job in fresh],
    }
    paragraphs = described(outcome, lists, args.rehearse)
    print("\n" + "\n\n".join(paragraphs))
    compared = any(row.compared for row in outcome.rows)
    if args.write is not None and compared:
        write_block(args.write, marks, block(marks, paragraphs))
        print(f"\nwritten: {args.write}")
    elif args.write is not None:
        print(f"\nnothing was compared: {args.write} stays as it is")
    wrong = [row for row in outcome.rows if row.verdict and row.verdict not in GOOD]
    done = compared or (fresh and args.write is None)  # the first rehearsal is there to store
    return int(bool(wrong or outcome.failed or not done))


def _refuse_odd_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.renew and not args.rehearse:
        parser.error("--renew is for --rehearse")
    for option in ("data", "checkpoint", "videoclip"):
        if args.rehearse and getattr(args, option) is not None:
            parser.error(f"--{option} is for the released files; --rehearse takes the demo's")


class Ready(NamedTuple):
    """Whether to go on, and one line for what the test sets lack all the same."""

    go_on: bool
    lacking: list[str]


def all_there(evaluations: Sequence[Evaluation], incomplete: bool) -> Ready:
    """Checks the data as `mmpt check-data` does; where something is missing, prints the list."""
    found = Survey()
    for one in evaluations:
        label = f"{one.file}" if one.model != "VideoCLIP" else f"{one.file} (VideoCLIP)"
        found.add_job(Job(label, one.config, setting(one.config, "task_type")))
    if check_data.status(found) == 0:
        print(check_data.summary(found), flush=True)
        return Ready(True, [])
    print(check_data.table(found, check_data.screen()), flush=True)
    things = found.things.values()
    lacking = [
        f"{thing.what}: {line} ({check_data.names_of(jobs)})"
        for thing in things
        for (state, line), (jobs, _) in thing.findings.items()
        if state != OK
    ]
    return Ready(incomplete and not any(thing.stops for thing in things), lacking)


def evaluate_all(
    evaluations: Sequence[Evaluation], out: Path, device: str | None, rounding: float
) -> Outcome:
    """Evaluates in order; one that ends in an error is told of, and the next one begins."""
    from mmpt.evaluators import METRICS

    outcome = Outcome([], [], [], {})
    for number, one in enumerate(evaluations, start=1):
        name = one.file.stem
        print(f"[{number}/{len(evaluations)}] {one.model}: {one.file}", flush=True)
        place = out / "videoclip" if one.model == "VideoCLIP" else out
        try:
            content = evaluate(
                one.file, one.config, checkpoint=one.checkpoint, out=place, device=device
            )
        except USER_ERRORS as error:
            line = f"{one.model}, {name}: {' '.join(str(error).split())}"
            print(f"failed: {line}", flush=True)
            outcome.failed.append(line)
            continue
        result = content["results"][content["best"]]
        shown = one.given or METRICS[one.config.metric].metric_names
        rows = rows_of(one.model, name, result, shown, one.given, rounding, one.items)
        outcome.rows.extend(rows)
        outcome.checkpoints[one.model, str(one.checkpoint)] = result["sha256"]
        if content.get("selected_on_test"):
            outcome.on_test.append(f"{one.model}, {name}")
    return outcome


def described(outcome: Outcome, lists: Mapping[str, Sequence[str]], rehearsal: bool) -> list[str]:
    """What is printed, and stands in the block, as paragraphs of Markdown.

    Args:
        lists: heading -> lines; a list without lines is left out.
    """
    compared = [row for row in outcome.rows if row.compared]
    other = sum(row.verdict == OTHER_SET for row in compared)
    good = sum(row.verdict in GOOD for row in compared)
    given, source = ("earlier", "an earlier rehearsal") if rehearsal else ("published", SOURCE)
    kind = "A rehearsal on the demo corpus, not results. " if rehearsal else ""
    told = (
        f"{good} of {len(compared)} numbers are reproduced ({source})"
        if compared
        else f"no number was compared with that of {source}"
    )
    told += f"; {other} are of other test sets than the published" * bool(other)
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    paragraphs = [
        f"{kind}Written by `mmpt verify-release` on {datetime.date.today().isoformat()}: "
        f"{told}. {used}."
    ]
    if outcome.checkpoints:
        lines = [
            f"| {model} | {file} | `{digest}` |"
            for (model, file), digest in outcome.checkpoints.items()
        ]
        paragraphs.append(
            "\n".join(["| model | checkpoint | SHA-256 |", "| --- | --- | --- |", *lines])
        )
    if outcome.rows:
        decimals = OUR_DECIMALS if rehearsal else DECIMALS
        paragraphs += [table(outcome.rows, given, decimals), LEGEND]
    for head, lines in lists.items():
        if lines:
            paragraphs.append("\n".join([f"{head}:", "", *(f"* {line}" for line in lines)]))
    return paragraphs
