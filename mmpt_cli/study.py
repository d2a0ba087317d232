"""`mmpt study`: the ablations of the paper's table 7 on demo corpora, rows x noise rates x seeds.

For every noise rate and seed VideoCLIP's loss trains all weights; from that checkpoint each row
trains the LayerNorms with its own loss, and is evaluated. What is finished is kept and passed over
when the command is given again; several processes may work on one folder.
"""

import argparse
import contextlib
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import ConfigError, LaunchError
from mmpt.io.atomic import atomic_write
from mmpt.study.cells import Cell, cells_of, open_study, read_cell, work, write_cell
from mmpt.study.settings import STAGE_1, TESTS, StudySettings, row_files, test_job, training_job
from mmpt.study.tables import (
    check_document,
    comparison,
    plot,
    require_matplotlib,
    table,
    write_document,
)
from mmpt_cli.evaluation_options import given_path

JOBS_LIMIT = 64


def build_parser() -> argparse.ArgumentParser:
    default = StudySettings()
    parser = argparse.ArgumentParser(prog="mmpt study", description=__doc__.partition("\n\n")[2])
    several = {"nargs": "+"}
    for option, form, text in (
        ("--rows", several, f"losses to compare, of {', '.join(row_files())}"),
        ("--noise", {"type": float, **several}, "noise rates of the training corpora, 0 to 0.9"),
        ("--seeds", {"type": int, **several}, "seeds of weights, batches and dropout"),
        ("--updates", {"type": int}, "updates of every row"),
        ("--first-updates", {"type": int}, "updates of stage 1"),
    ):
        value = getattr(default, option.removeprefix("--").replace("-", "_"))
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        parser.add_argument(option, default=value, help=f"{text} (default: {shown})", **form)
    parser.add_argument(
        "--corpus",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings of all corpora, videos=400 for instance (mmpt/demo/settings.py)",
    )
    parser.add_argument(
        "--out", type=given_path, default=Path("runs/study"), help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes, each on one core (default: %(default)s)"
    )
    parser.add_argument(
        "--write",
        type=given_path,
        metavar="FILE",
        help="a Markdown document that gets the results, and its plot beside it",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(argv: list[str]) -> int:
    """Runs, or goes on with, a study; returns the exit status.

    Raises:
        ConfigError, DataError, LaunchError: what was asked for is not possible.
    """
    args = build_parser().parse_args(argv)
    logging.getLogger("mmpt").setLevel(logging.WARNING)
    study = StudySettings(
        rows=tuple(args.rows),
        noise=tuple(args.noise),
        seeds=tuple(args.seeds),
        updates=args.updates,
        first_updates=args.first_updates,
        corpus=corpus_options(args.corpus),
    )
    if not 1 <= args.jobs <= JOBS_LIMIT:
        raise ConfigError(f"--jobs: got {args.jobs}, a number from 1 to {JOBS_LIMIT} is needed")
    if args.worker:
        parent = os.getppid()
        run_cells(args.out, study, lambda: os.getppid() == parent)
        return 0
    require_matplotlib()
    if args.write is not None:
        check_document(args.write)
    print(f"study in {args.out}: {len(cells_of(args.out, study))} trainings", flush=True)
    open_study(args.out, study)
    with helpers(argv, args.jobs - 1) as started:
        run_cells(args.out, study)
    failed = [child.returncode for child in started if child.returncode]
    if failed:
        raise LaunchError(f"{len(failed)} of {args.jobs} processes failed; see above")
    report(args.out, study, args.write, argv)
    return 0


def corpus_options(given: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` as settings of a corpus.

    Raises:
        ConfigError: not of that form; what the names may be is the study's to check.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"--corpus: got {text!r}, KEY=NUMBER is needed")
    return found


@contextlib.contextmanager
def helpers(argv: list[str], count: int) -> Iterator[list[subprocess.Popen]]:
    """So many further processes at work on the same study; on an error here they are stopped."""
    command = [sys.executable, "-m", "mmpt_cli.main", "study", *argv, "--worker"]
    paths = [str(REPOSITORY_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    children = [subprocess.Popen(command, env=environment) for _ in range(count)]
    try:
        yield children
        for child in children:
            child.wait()
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
                child.wait()


def run_cells(out: Path, study: StudySettings, goes_on=lambda: True) -> None:
    """Works on the cells that are not finished until none is left, on one core."""
    import torch

    torch.set_num_threads(1)
    cells = cells_of(out, study)

    def run(cell: Cell) -> None:
        seconds = run_cell(cell, study)
        done = sum(read_cell(one) is not None for one in cells)
        print(f"[{done}/{len(cells)}] {cell}: {seconds:.0f} s", flush=True)

    work(cells, run, goes_on)


def run_cell(cell: Cell, study: StudySettings) -> float:
    """Trains and evaluates one cell and writes it; returns the seconds it took."""
    import torch

    from mmpt.study.training import train

    start = time.perf_counter()
    config = training_job(cell.row, cell.out, cell.noise)
    if cell.row == STAGE_1:
        trained = train(config, study.first_updates, cell.seed)
        with atomic_write(cell.file("pt")) as file:
            torch.save({"model": trained.model.state_dict()}, file)
    else:
        before = cell._replace(row=STAGE_1).file("pt")
        trained = train(config, study.updates, cell.seed, before)
    metrics, items = evaluate(trained.model, cell)
    seconds = time.perf_counter() - start
    found = {"metrics": metrics, "items": items, "training_loss": trained.loss}
    write_cell(cell, {**found, "seconds": round(seconds, 1)})
    return seconds


def evaluate(model: Any, cell: Cell) -> tuple[dict[str, float], dict[str, int]]:
    """The study's metrics of a model, and how many items each evaluation has."""
    import torch

    from mmpt_cli.predict import load_job

    metrics, items = {}, {}
    for name, taken in TESTS.items():
        job = load_job(Path(name), test_job(name, cell.out, cell.noise))
        tested = job.task.build_model()  # clips may be longer here than in the training
        tested.load_state_dict(model.state_dict())
        tested.eval()
        with torch.inference_mode():
            outputs = job.evaluator.predictor.predict(tested, job.loader)
        found = job.evaluator.metric.compute_metrics(**outputs)
        metrics |= {ours: float(found[theirs]) for theirs, ours in taken.items()}
        items[name.removeprefix("test_").removesuffix("_norton.yaml")] = len(job.loader.dataset)
    return metrics, items


def report(out: Path, study: StudySettings, document: Path | None, argv: list[str]) -> None:
    """Prints and writes the tables and the plot of a finished study."""
    cells = {(c.noise, c.seed, c.row): read_cell(c) for c in cells_of(out, study)}
    tables = "\n\n".join(filter(None, [table(cells), comparison(cells)]))
    with atomic_write(out / "study.md", "w") as file:
        file.write(tables + "\n")
    picture = plot(cells)
    with atomic_write(out / "study.png") as file:
        file.write(picture)
    print(f"\n{tables}\n\nwritten: {out / 'study.md'}, {out / 'study.png'}")
    if document is None:
        return
    image = document.with_suffix(".png")
    with atomic_write(image) as file:
        file.write(picture)
    block = f"{made_by(cells, argv)}\n\n{tables}\n\n![The same numbers]({image.name})"
    write_document(document, block)
    print(f"written: {document}, {image}")


def made_by(cells: dict, argv: list[str]) -> str:
    """The command, what it took, and what was evaluated."""
    minutes = sum(cell["seconds"] for cell in cells.values()) / 60
    items = next(iter(cells.values()))["items"]
    counted = ", ".join(f"{count} ({name})" for name, count in items.items())
    return (
        f"```bash\n{shlex.join(['mmpt', 'study', *argv])}\n```\n\n"
        f"{len(cells)} trainings, {minutes:.0f} minutes of one core in all. Items evaluated: "
        f"{counted}."
    )
