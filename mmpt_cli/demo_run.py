"""`mmpt demo run`: the whole method on the demo corpus, through the same commands as a real run.

Corpus, evaluation of the untrained model, VideoCLIP's stage, evaluation, Norton's stage,
evaluation, one table and a report to look at.  The trainings' own output goes to log files; a bar
shows how far they are.
"""

import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import make_corpus
from mmpt.errors import LaunchError

CORPUS = Path("data/demo")
RUNS = Path("runs/retri/demo")
JOBS = REPOSITORY_ROOT / "projects/retri/demo"
HARDNESS = re.compile(r"(epoch \d+: \d+ retrieved batches .*)")
PROGRESS = re.compile(r"train_inner \| .*\bloss=([\d.]+).*\bnum_updates=(\d+)")
TAIL_LINES = 15
SEED = 1
"""fairseq's default: the untrained model is the one that stage 1 starts from."""

RETRIEVAL = "test_vtt_{}.yaml"
ALIGNMENT = "test_htm_align_{}.yaml"
"""The test jobs of a stage."""
EVERY_TASK = "python predict.py projects/retri/demo/test_*_norton.yaml"
"""Evaluates the other downstream sets of the corpus as well."""
STAGES = ("untrained", "videoclip", "norton")
"""Folders below `RUNS`, in the order of the report."""
STEPS = 7

R1_NEEDED, TIMES_CHANCE_NEEDED, NOISE = 0.5, 5, 0.1
"""What stage 1 must reach, and how far stage 2 may fall below it by chance: about two standard
errors of a recall of 0.75 on 100 queries."""
RECALL_TIMES_CHANCE = 2
"""What the alignment must reach after either stage."""
COLUMNS = {
    "R1": ("R@1", 2),
    "R5": ("R@5", 2),
    "R10": ("R@10", 2),
    "MR": ("median rank", 1),
    "Recall": ("alignment recall", 2),
    "AUC": ("alignment AUC", 2),
}
"""Metric -> (head of its column, decimals)."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: of the model.
        metrics: of retrieval and of alignment.
        alignments: folder of the alignment's matrices, where there is one.
    """

    name: str
    metrics: dict[str, float]
    alignments: Path | None = None


def run() -> int:
    """Runs the demo in the working directory; returns 0 where the table is as it must be.

    Raises:
        ConfigError: `data/demo` holds a corpus made with other settings.
        LaunchError: a training failed, or what draws the report is not installed.
    """
    from mmpt.report.drawing import require_matplotlib
    from mmpt_cli.report import FOLDER, make_report

    require_matplotlib()  # now, and not after all the rest
    start = time.monotonic()
    say(1, f"corpus in {CORPUS}")
    made = make_corpus(CORPUS, renew=True)
    print("      made" if made else "      there already")
    shutil.rmtree(RUNS, ignore_errors=True)  # the demo's own: every run shows the whole way

    rows = []
    say(2, "zero-shot retrieval and alignment of the untrained model")
    untrained = RUNS / STAGES[0] / "checkpoint_untrained.pt"
    save_untrained(JOBS / "videoclip.yaml", untrained)
    rows.append(evaluate("untrained", test_jobs("videoclip"), untrained))
    stages = (
        ("stage 1, VideoCLIP", "videoclip", "VideoCLIP's contrastive loss, all weights"),
        ("stage 2, Norton", "norton", "Norton, LayerNorm only, from stage 1"),
    )
    for number, (name, job, text) in enumerate(stages):
        say(3 + 2 * number, text)
        train(JOBS / f"{job}.yaml", RUNS / f"{job}.log")
        say(4 + 2 * number, "zero-shot retrieval and alignment after it")
        rows.append(evaluate(name, test_jobs(job), RUNS / job / "checkpoint_best.pt"))

    say(STEPS, "report")
    page = make_report([RUNS / stage for stage in STAGES], RUNS / FOLDER)
    best, chance = limits(count_items(JOBS / RETRIEVAL.format("norton")), rows[0].alignments)
    print("\n" + table([*rows, best, chance]))
    print(f"\n{time.monotonic() - start:.0f} s; checkpoints, logs and results: {RUNS}/")
    print(f"report: {page}")
    print(f"every downstream task, after stage 2: {EVERY_TASK}")
    problem = verdict(rows, chance.metrics)
    if problem:
        print(f"this is not what the demo shows elsewhere: {problem}", file=sys.stderr)
    return 1 if problem else 0


def say(step: int, text: str, steps: int = STEPS) -> None:
    print(f"[{step}/{steps}] {text}", flush=True)


def save_untrained(job: Path, path: Path) -> None:
    """Writes the model that a job starts from, as a checkpoint."""
    import torch

    from mmpt.io.atomic import atomic_write
    from mmpt.models import build_model
    from mmpt.utils import set_seed

    set_seed(SEED)
    model = build_model(load_config(config_file=job))
    state = {f"mmmodel.{name}": value for name, value in model.state_dict().items()}
    with atomic_write(path) as handle:
        torch.save({"model": state}, handle)


def test_jobs(stage: str) -> list[Path]:
    """The retrieval and the alignment of a stage."""
    return [JOBS / job.format(stage) for job in (RETRIEVAL, ALIGNMENT)]


def evaluate(name: str, jobs: Sequence[Path], checkpoint: Path) -> Row:
    """Evaluates one checkpoint with test jobs; the results stand beside it.

    Args:
        name: of the row.
        jobs: test jobs; the row keeps the metrics of all, and the scores of the last.
        checkpoint: of the model.
    """
    from mmpt_cli.predict import evaluate_job

    metrics, scores = {}, None
    for job in jobs:
        content = evaluate_job(job, str(checkpoint), checkpoint.parent)
        metrics |= content["results"][0]["metrics"]
        scores = checkpoint.parent / content["results"][0]["scores"]
    return Row(name, metrics, scores)


def train(job: Path, log: Path, hardness: bool = True) -> None:
    """Trains one job through the launcher, its output in a log file, a bar on the screen.

    Args:
        job: the job file.
        log: gets all that the training says.
        hardness: also say, every epoch, how hard the batches have become.

    Raises:
        LaunchError: the training failed; its last lines are shown.
    """
    total = load_config(config_file=job).fairseq.optimization.total_num_update
    command = [sys.executable, str(REPOSITORY_ROOT / "locallaunch.py"), str(job)]
    command += ["--jobtype", "local_single"]
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with (
        open(log, "w", encoding="utf-8") as file,
        tqdm(total=total, desc="      updates", unit="update") as bar,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child,
    ):
        for line in child.stdout:
            file.write(line)
            tail.append(line)
            harder = HARDNESS.search(line) if hardness else None
            if harder:
                bar.write(f"      {harder[1]}", file=sys.stdout)
            found = PROGRESS.search(line)
            if found:
                bar.set_postfix_str(f"loss {found[1]}", refresh=False)
                bar.update(int(found[2]) - bar.n)
    if child.returncode != 0:
        print("".join(tail), file=sys.stderr)
        raise LaunchError(f"{job} failed with status {child.returncode}; all it said: {log}")


def count_items(job: Path) -> int:
    """The number of queries of a test job."""
    with open(load_config(config_file=job).dataset.test_path, encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1


def limits(items: int, alignments: Path) -> tuple[Row, Row]:
    """What a scorer that knows the truth reaches, and what a random one does.

    Args:
        items: queries of the retrieval test set, each with one right video of as many.
        alignments: any model's matrices: which cells the windows touch is the same for all.
    """
    from mmpt.evaluators.htm_align import load_alignments
    from mmpt.evaluators.htm_protocol import reach

    videos = load_alignments(alignments).values()
    bound = reach([v.coverage > 0 for v in videos], [v.sentences for v in videos])
    best = {"R1": 1.0, "R5": 1.0, "R10": 1.0, "MR": 1.0}
    chance = {f"R{k}": k / items for k in (1, 5, 10)} | {"MR": (items + 1) / 2}
    return Row("best possible", best | bound.best), Row("chance", chance | bound.chance)


def table(rows: list[Row], columns: Mapping[str, tuple[str, int]] = COLUMNS) -> str:
    """The results as text that is Markdown as well."""
    heads = " | ".join(head for head, _ in columns.values())
    lines = [f"| zero-shot | {heads} |", "| --- " * (len(columns) + 1) + "|"]
    for row in rows:
        numbers = [f"{row.metrics[key]:.{places}f}" for key, (_, places) in columns.items()]
        lines.append(f"| {row.name} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def verdict(rows: list[Row], chance: dict[str, float]) -> str | None:
    """What is wrong with the table of the untrained model and the two stages, or None."""
    first, second = rows[1].metrics["R1"], rows[2].metrics["R1"]
    if first < R1_NEEDED or first < TIMES_CHANCE_NEEDED * chance["R1"]:
        return f"R@1 after stage 1 is {first:.2f}, below {R1_NEEDED}"
    if second < first - NOISE:
        return f"R@1 fell from {first:.2f} to {second:.2f} in stage 2"
    for number, row in enumerate(rows[1:], start=1):
        recall, needed = row.metrics["Recall"], RECALL_TIMES_CHANCE * chance["Recall"]
        if recall < needed:
            return f"alignment recall after stage {number} is {recall:.2f}, below {needed:.2f}"
    return None
