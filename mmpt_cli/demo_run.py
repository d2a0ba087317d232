"""`mmpt demo run`: the whole method on the demo corpus, through the same commands as a real run.

Corpus, evaluation of the untrained model, VideoCLIP's stage, evaluation, Norton's stage,
evaluation, one table.  The trainings' own output goes to log files; a bar shows how far they are.
"""

import re
import shutil
import subprocess
import sys
import time
from collections import deque
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
PROGRESS = re.compile(r"train_inner \| .*\bloss=([\d.]+).*\bnum_updates=(\d+)")
TAIL_LINES = 15
SEED = 1
"""fairseq's default: the untrained model is the one that stage 1 starts from."""

R1_NEEDED, TIMES_CHANCE_NEEDED, NOISE = 0.5, 5, 0.1
"""What stage 1 must reach, and how far stage 2 may fall below it by chance: about two standard
errors of a recall of 0.75 on 100 queries."""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    metrics: dict[str, float]


def run() -> int:
    """Runs the demo in the working directory; returns 0 where the table is as it must be.

    Raises:
        ConfigError: `data/demo` holds a corpus made with other settings.
        LaunchError: a training failed.
    """
    start = time.monotonic()
    say(1, f"corpus in {CORPUS}")
    made = make_corpus(CORPUS)
    print("      made" if made else "      there already")
    shutil.rmtree(RUNS, ignore_errors=True)  # the demo's own: every run shows the whole way

    rows = []
    say(2, "zero-shot retrieval of the untrained model")
    untrained = RUNS / "untrained" / "checkpoint_untrained.pt"
    save_untrained(JOBS / "videoclip.yaml", untrained)
    rows.append(evaluate("untrained", JOBS / "test_vtt_videoclip.yaml", untrained))
    stages = (
        ("stage 1, VideoCLIP", "videoclip", "VideoCLIP's contrastive loss, all weights"),
        ("stage 2, Norton", "norton", "Norton, LayerNorm only, from stage 1"),
    )
    for number, (name, job, text) in enumerate(stages):
        say(3 + 2 * number, text)
        train(JOBS / f"{job}.yaml", RUNS / f"{job}.log")
        say(4 + 2 * number, "zero-shot retrieval after it")
        checkpoint = RUNS / job / "checkpoint_best.pt"
        rows.append(evaluate(name, JOBS / f"test_vtt_{job}.yaml", checkpoint))

    items = count_items(JOBS / "test_vtt_norton.yaml")
    print("\n" + table(rows, items))
    print(f"\n{time.monotonic() - start:.0f} s; checkpoints, logs and results: {RUNS}/")
    problem = verdict(rows, items)
    if problem:
        print(f"this is not what the demo shows elsewhere: {problem}", file=sys.stderr)
    return 1 if problem else 0


def say(step: int, text: str) -> None:
    print(f"[{step}/6] {text}", flush=True)


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


def evaluate(name: str, job: Path, checkpoint: Path) -> Row:
    """Evaluates one checkpoint; its results file stands beside it."""
    from mmpt_cli.predict import evaluate_job

    content = evaluate_job(job, str(checkpoint), checkpoint.parent)
    return Row(name, content["results"][0]["metrics"])


def train(job: Path, log: Path) -> None:
    """Trains one job through the launcher, its output in a log file, a bar on the screen.

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


def table(rows: list[Row], items: int) -> str:
    """The results beside chance, as text that is Markdown as well."""
    chance = {f"R{k}": k / items for k in (1, 5, 10)} | {"MR": (items + 1) / 2}
    lines = [
        f"| text-video retrieval, {items} videos | R@1 | R@5 | R@10 | median rank |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, metrics in [*rows, Row("chance", chance)]:
        numbers = " | ".join(f"{metrics[key]:.2f}" for key in ("R1", "R5", "R10"))
        lines.append(f"| {name} | {numbers} | {metrics['MR']:.1f} |")
    return "\n".join(lines)


def verdict(rows: list[Row], items: int) -> str | None:
    """What is wrong with the table, or None."""
    first, second = rows[1].metrics["R1"], rows[2].metrics["R1"]
    if first < R1_NEEDED or first < TIMES_CHANCE_NEEDED / items:
        return f"R@1 after stage 1 is {first:.2f}, below {R1_NEEDED}"
    if second < first - NOISE:
        return f"R@1 fell from {first:.2f} to {second:.2f} in stage 2"
    return None
