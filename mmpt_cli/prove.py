"""`mmpt prove [TASK ...]`: whole evaluations on real annotations, with features made up for them.

Needs annotation files alone: no features, no weights.  Features are planted so that they give the
answer away; data set, predictor and metric of the released job files then have to give the best
number that the protocol allows on that annotation, and chance where videos are exchanged.
"""

import argparse
import glob
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from mmpt.config import load_config
from mmpt.config.access import lookup, setting
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import DataError
from mmpt.proof import TASKS
from mmpt.proof.codes import ENTRY, Codes, write_bert
from mmpt.proof.identity import identity_model
from mmpt.proof.planting import Planting, Task
from mmpt_cli.entry import program
from mmpt_cli.predict import load_job

JOBS = REPOSITORY_ROOT / "projects/retri/norton"
ANNOTATIONS = (
    *("test_path", "trainval_annotation", "anno_path", "annotation_path"),
    *("train_csv_path", "val_csv_path", "primary_path"),
)
"""The keys of `dataset` that name annotation files."""
DATA = "data/"
"""How the paths of the released job files begin."""
EXACT = 1e-9
LITTLE_NOISE = 1.0


class Proof(NamedTuple):
    """What came out, and what had to.

    Attributes:
        metrics, intervals: of the metric.
        expected: metric -> (number, how far off it may be); with noise nothing is.
        items: of the data set.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    expected: dict[str, tuple[float, float]]
    items: int

    def failures(self) -> list[str]:
        """The metrics that are not what they had to be."""
        return [
            name
            for name, (number, off) in self.expected.items()
            if not abs(self.metrics[name] - number) <= off
        ]


def main(argv: list[str]) -> int:
    """Proves the tasks in order; the status is 1 where a number is not what it had to be."""
    parser = argparse.ArgumentParser(
        prog=program("prove", "mmpt_cli/prove.py"), description=__doc__.split("\n")[0]
    )
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; all where none is named")
    parser.add_argument("--data", default="data", help="folder of the annotations (%(default)s)")
    parser.add_argument(
        "--noise",
        type=float,
        nargs="+",
        default=[0.0],
        help="standard deviations of the noise, in units of a feature's entries (%(default)s)",
    )
    parser.add_argument("--exchanged", action="store_true", help="exchange videos, for chance")
    args = parser.parse_args(argv)
    if min(args.noise) < 0:
        parser.error(f"--noise: got {min(args.noise):g}, a standard deviation is at least 0")
    tasks = {name: lookup(TASKS, name, "task") for name in args.tasks or TASKS}
    failed = []
    for name, task in tasks.items():
        for noise in args.noise:
            start = time.perf_counter()
            proof = prove(task, Path(args.data), noise, args.exchanged)
            seconds = time.perf_counter() - start
            print(f"{name}: {proof.items} items, noise {noise:g}, {seconds:.0f} s")
            print(_table(proof))
            failed += [f"{name} {metric}" for metric in proof.failures()]
    if failed:
        print(f"not as expected: {', '.join(failed)}")
    return 1 if failed else 0


def _table(proof: Proof) -> str:
    width = max(map(len, proof.metrics))
    lines = []
    for name, number in proof.metrics.items():
        line = f"  {name:{width}}  {number:.4f}"
        if name in proof.expected:
            wanted, off = proof.expected[name]
            line += f"  expected {wanted:.4f}" + (f" +- {off:.4f}" if off > EXACT else "")
        lines.append(line)
    return "\n".join(lines)


def prove(
    task: Task, root: Path, noise: float = 0.0, exchanged: bool = False, seed: int = 0
) -> Proof:
    """Plants features, evaluates them as the job file says, and says what had to come out.

    Args:
        task: one of `TASKS`.
        root: folder of the annotations, laid out as `data/`.
        noise: standard deviation of what is added to each entry of a feature, in units of an entry
            of a direction.
        exchanged: give every video the features of another.
        seed: of the noise.

    Raises:
        DataError: annotation is missing, or of another form.
    """
    config = annotated(task, root)
    with tempfile.TemporaryDirectory(prefix="mmpt_proof_") as made:
        bert, features = Path(made) / "bert", Path(made) / "features"
        write_bert(bert, _read(task, task.texts, config.dataset))
        own = {"bert_name": str(bert), "vfeat_dir": str(features), "vfeat_dim": task.width}
        config = OmegaConf.merge(config, {"dataset": own, "eval": {"save_path": made}})
        codes = Codes(bert, config.dataset.max_len - config.dataset.max_video_len - 3, task.width)
        planting = _read(task, task.plant, config.dataset, codes)
        write_features(features, planting.features, noise, exchanged, seed)
        job = load_job(JOBS / task.job, config)
        model = identity_model(config.model.model_cls, codes)
        outputs = job.evaluator.predictor.predict_loop(model, job.loader, None)
        measured = job.evaluator.metric.measure(**outputs)
        return Proof(*measured, _expected(planting, noise, exchanged), len(job.loader.dataset))


def _read(task: Task, read: Callable[..., Any], *args: Any) -> Any:
    """What a reader of annotation gives.

    Raises:
        DataError: the annotation is of another form.
    """
    try:
        return read(*args)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"the annotation of {task.job} is not of the form that DATASET.md describes "
            f"({reason}); with features there, predict.py says where"
        ) from error


def _expected(planting: Planting, noise: float, exchanged: bool) -> dict[str, tuple[float, float]]:
    if exchanged:
        return planting.chance
    return {name: (number, EXACT) for name, number in planting.best.items()} if not noise else {}


def annotated(task: Task, root: Path) -> DictConfig:
    """The job of a task with its annotation files below `root`.

    Raises:
        DataError: one is missing.
    """
    config = load_config(config_file=str(JOBS / task.job))
    for key in ANNOTATIONS:
        named = setting(config, f"dataset.{key}")
        if named is not None:
            config.dataset[key] = str(find_annotation(root, named))
    return config


def find_annotation(root: Path, named: str) -> Path:
    """An annotation file of a job below another folder than `data/`.

    A part of a file may stand in for it, as `COIN.testing_only.json` for `COIN.json`; of several
    the largest.

    Raises:
        DataError: there is neither.
    """
    path = root / named.removeprefix(DATA)
    if path.exists():
        return path
    stem, ending = os.path.splitext(path)
    parts = [Path(name) for name in glob.glob(f"{glob.escape(stem)}.*{ending}")]
    if not parts:
        raise DataError(f"{path}: no such annotation; DATASET.md says how to get it")
    return max(parts, key=lambda part: part.stat().st_size)


def write_features(
    folder: Path, videos: Mapping[str, np.ndarray], noise: float, exchanged: bool, seed: int
) -> None:
    """Writes the planted features as `VIDEO_ID.npy`, float16.

    An exchanged video shows another one, over and over, for its own length; a little noise keeps
    its scores from being all the same.
    """
    folder.mkdir()
    noise = max(noise, LITTLE_NOISE) if exchanged else noise
    random = np.random.default_rng(seed)
    names = sorted(videos)
    others = np.roll(names, len(names) // 2) if exchanged else names
    for name, other in zip(names, others, strict=True):
        features = np.resize(videos[other], videos[name].shape)
        if noise:
            drawn = random.standard_normal(features.shape, dtype=np.float32)
            features += noise * ENTRY * drawn
        np.save(folder / f"{name}.npy", features.astype(np.float16))
