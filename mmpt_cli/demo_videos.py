"""`mmpt demo run --from-videos`: from video files to retrieval, through the commands of a real run.

Clips are rendered (and real ones taken from a wheel), S3D with random weights makes features of
them, features and captions become shards, both stages are trained, and clips that nothing was
trained on are retrieved by their sentences.  Random weights tell colours and textures apart, which
is enough to see whether the whole way works.
"""

import csv
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from math import comb
from pathlib import Path

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo.clips import ClipCorpus, make_clips
from mmpt.demo.clips.corpus import FEATURES, HOW2, SHARDS, TEST, TOKENS, VIDEOS
from mmpt.errors import LaunchError
from mmpt_cli import demo_run
from mmpt_cli.demo_run import Row

CORPUS = Path("data/demo_videos")
RUNS = Path("runs/retri/demo_videos")
JOBS = REPOSITORY_ROOT / "projects/retri/demo_videos"
SEED = 0
"""Of the clips and of S3D's weights."""
NETWORK = ("--type", "s3d", "--random-weights", str(SEED))
"""The extraction's arguments."""
STEPS = 9
COLUMNS = {name: demo_run.COLUMNS[name] for name in ("R1", "R5", "R10", "MR")}
CHANCE_NEEDED = 1e-3
"""How improbable by chance the R@5 of either stage must be."""
WITHOUT_REAL = "rendered clips only: {}"


def run() -> int:
    """Runs the demo in the working directory; returns 0 where retrieval is above chance.

    Raises:
        DataError, ConfigError: a step does not accept what the one before made.
        LaunchError: a step failed.
    """
    start = time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)  # the demo's own: every run shows the whole way
    with step(1, f"clips in {CORPUS}"):
        clips = make_clips(CORPUS, SEED)
        print(f"      {clips.made} of {clips.videos} rendered now, {clips.seconds:.0f} s of video")
        if clips.without_real:
            print(f"      {WITHOUT_REAL.format(clips.without_real)}")
    prepare(CORPUS, NETWORK)
    train_stages()
    with step(8, f"retrieval of {len(clips.test)} clips that nothing was trained on"):
        rows = evaluate_stages()
    with step(STEPS, "from a video file and sentences to scores (mmpt score)"):
        score_one_clip(CORPUS)
    rows.append(chance(len(clips.test)))
    print("\n" + demo_run.table(rows, COLUMNS))
    print(foot(rows, clips))
    print(f"{time.monotonic() - start:.0f} s; checkpoints, logs and results: {RUNS}/")
    problem = verdict(rows, len(clips.test))
    if problem:
        print(f"this is not what the demo shows elsewhere: {problem}", file=sys.stderr)
    return 1 if problem else 0


@contextmanager
def step(number: int, text: str):
    """Says what comes, and afterwards how long it took."""
    demo_run.say(number, text, STEPS)
    start = time.monotonic()
    yield
    print(f"      {time.monotonic() - start:.0f} s", flush=True)


def prepare(corpus: Path, network: Sequence[str]) -> None:
    """From the videos of a corpus to shards of features and tokens.

    Args:
        corpus: as `make_clips` leaves it.
        network: what the extraction is told of its network.

    Raises:
        LaunchError: a command ended with another status than 0.
    """
    from mmpt_cli import extract, pretokenization, shard_feature

    lists = ["--target_dir", f"{corpus / SHARDS}"]
    for split in ("train", "val"):
        lists += [f"--{split}_list", f"{corpus / HOW2}/how2_s3d_{split}.lst"]
    videos = ["--vdir", f"{corpus / VIDEOS}", "--fdir", f"{corpus / FEATURES}"]
    with step(2, f"features: one vector a second ({' '.join(network)})"):
        command(extract.main, [*videos, *network])
    with step(3, "feature shards"):
        command(shard_feature.main, ["--vfeat_dir", f"{corpus / FEATURES}", *lists])
    with step(4, "token shards"):
        command(pretokenization.main, [f"{corpus / TOKENS}"])
    with step(5, "lists, feature shards and token shards against each other"):
        command(shard_feature.main, ["--verify", *lists])


def command(main: Callable[[list[str]], int], arguments: list[str]) -> None:
    """Runs a command in this process.

    Raises:
        LaunchError: it ended with another status than 0.
    """
    status = main(arguments)
    if status != 0:
        name = main.__module__.rpartition(".")[2]
        raise LaunchError(f"{name} {' '.join(arguments)} ended with status {status}")


def train_stages() -> None:
    """Trains both stages, their output in log files."""
    with step(6, "VideoCLIP's contrastive loss, all weights"):
        demo_run.train(JOBS / "videoclip.yaml", RUNS / "videoclip.log")
    with step(7, "Norton, LayerNorm only, from the stage before"):
        # thirty epochs of two batches: a line each would say little
        demo_run.train(JOBS / "norton.yaml", RUNS / "norton.log", hardness=False)


def evaluate_stages() -> list[Row]:
    """The untrained model, and the model after each stage."""
    untrained = RUNS / "untrained/checkpoint_untrained.pt"
    demo_run.save_untrained(JOBS / "videoclip.yaml", untrained)
    checkpoints = {
        "untrained": ("videoclip", untrained),
        "stage 1, VideoCLIP": ("videoclip", RUNS / "videoclip/checkpoint_last.pt"),
        "stage 2, Norton": ("norton", RUNS / "norton/checkpoint_last.pt"),
    }
    return [
        demo_run.evaluate(name, [JOBS / f"test_vtt_{stage}.yaml"], checkpoint)
        for name, (stage, checkpoint) in checkpoints.items()
    ]


def score_one_clip(corpus: Path) -> None:
    """Prints the scores of a test clip's file with its own sentence and two others.

    Args:
        corpus: as `prepare` leaves it.
    """
    from mmpt_cli import score

    with open(corpus / TEST, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:3]
    arguments = ["--video", f"{corpus / VIDEOS}/{rows[0]['video_id']}.mp4"]
    arguments += ["--text", *(row["sentence"] for row in rows)]
    arguments += ["--weights", f"{corpus / FEATURES}/s3d_random_{SEED}.pth"]
    command(score.main, [str(JOBS / "test_vtt_norton.yaml"), *arguments])


def chance(items: int) -> Row:
    """What a random order of so many clips reaches."""
    return Row("chance", {f"R{k}": k / items for k in (1, 5, 10)} | {"MR": (items + 1) / 2})


def by_chance(recall: float, k: int, items: int) -> float:
    """The probability that random orders give this recall at k or a better one.

    Every query's right clip is among the first k with probability k / items; the queries are taken
    for independent.
    """
    hits, share = round(recall * items), k / items
    return sum(
        comb(items, n) * share**n * (1 - share) ** (items - n) for n in range(hits, items + 1)
    )


def foot(rows: list[Row], clips: ClipCorpus) -> str:
    """The lines below the table."""
    items = len(clips.test)
    lines = [
        f"{row.name}: an R@5 of {row.metrics['R5']:.2f} comes by chance with probability "
        f"{by_chance(row.metrics['R5'], 5, items):.0e}"
        for row in rows[:-1]
    ]
    lines.append("S3D has random weights here: it tells colours and grounds apart, motions hardly")
    if clips.without_real:
        lines.append(WITHOUT_REAL.format(clips.without_real))
    return "\n".join(lines)


def verdict(rows: list[Row], items: int) -> str | None:
    """What is wrong with the rows of the two stages, or None."""
    for row in rows[1:3]:
        recall, best = row.metrics["R5"], row.metrics["R1"]
        probability = by_chance(recall, 5, items)
        if probability > CHANCE_NEEDED:
            return f"R@5 of {row.name} is {recall:.2f}, which chance gives with {probability:.1g}"
        if best <= 1 / items:
            return f"R@1 of {row.name} is {best:.2f}, no better than chance"
    return None
