"""`python predict.py JOB.yaml`: evaluates every checkpoint that a test job names.

A job file whose name begins with `test` is evaluated on every `checkpoint*.pt` of the folder
`eval.save_path` and on `fairseq.common_eval.path`, each once.  One that begins with `vis` only
predicts, on `fairseq.common_eval.path`.
"""

import argparse
import json
import logging
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from mmpt.config import load_config
from mmpt.config.access import setting
from mmpt.errors import CheckpointError, ConfigError, LaunchError

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """A loaded job: its file, config, test set, loader and evaluator."""

    path: Path
    config: DictConfig
    task: Any
    loader: Any
    evaluator: Any


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__.split("\n")[0])
    parser.add_argument("yaml", nargs="+", help="job files, separated by commas or spaces")
    parser.add_argument("--checkpoint", help="evaluate this file alone, not those of the job")
    parser.add_argument("--out", type=Path, help="folder for the results (default: eval.save_path)")
    parser.add_argument("--device", help="cuda, cuda:1, cpu (default: cuda where there is one)")
    return parser


def main(argv: list[str]) -> int:
    """Evaluates the job files in order; returns the exit status, raises on the first failure."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in [part for entry in args.yaml for part in entry.split(",") if part]:
        evaluate_job(Path(name), args.checkpoint, args.out, args.device)
    return 0


def evaluate_job(
    path: Path, checkpoint: str | None = None, out: Path | None = None, device: str | None = None
) -> dict[str, Any]:
    """Evaluates one job file, prints its numbers and writes `results_JOBNAME.json`.

    Returns:
        The content of the results file.

    Raises:
        ConfigError, DataError, CheckpointError, LaunchError: with the line to print.
    """
    only_predicts = path.name.startswith("vis")
    if not only_predicts and not path.name.startswith("test"):
        raise ConfigError(
            f"{path}: a job file to evaluate is called test*.yaml (or vis*.yaml, to predict only)"
        )
    config = load_config(config_file=str(path))
    files = [Path(checkpoint)] if checkpoint else find_checkpoints(config, only_predicts)
    job = load_job(path, config, out)
    results: list[dict] = []
    for file, scores_name in zip(files, score_names(path.stem, files), strict=True):
        print(f"{path.stem}: {file}")
        results.append(evaluate_checkpoint(job, file, scores_name, results, device, only_predicts))
    return write_results(job, results)


def find_checkpoints(config: DictConfig, only_named: bool = False) -> list[Path]:
    """The checkpoints of a job, each file once: those of `eval.save_path`, then the named one.

    Raises:
        CheckpointError: there is none; the message lists the places looked at.
    """
    folder = setting(config, "eval.save_path")
    named = setting(config, "fairseq.common_eval.path")
    folders = [Path(folder)] if folder and not only_named else []
    if folders and folders[0].name == "eval":
        folders.append(folders[0].parent)
    found = [file for place in folders for file in sorted(place.glob("checkpoint*.pt"))]
    if named and Path(named).is_file():
        found.append(Path(named))
    elif named and found:
        logger.warning("fairseq.common_eval.path: no file %s; evaluating without it", named)
    unique: list[Path] = []
    for file in found:
        if not any(file.samefile(other) for other in unique):
            unique.append(file)
    if not unique:
        places = [str(place / "checkpoint*.pt") for place in folders] + ([named] if named else [])
        raise CheckpointError(f"no checkpoint found; looked at {', '.join(places) or 'no place'}")
    return unique


def score_names(job: str, files: list[Path]) -> list[str]:
    """A name for each checkpoint's score matrix, told apart by folder where stems are equal."""
    stems = [file.stem for file in files]
    return [
        f"scores_{job}_{file.stem}"
        if stems.count(file.stem) == 1
        else f"scores_{job}_{file.resolve().parent.name}_{file.stem}"
        for file in files
    ]


def load_job(path: Path, config: DictConfig, out: Path | None) -> Job:
    """Builds the test set and the evaluator."""
    from torch.utils.data import DataLoader

    from mmpt.evaluators import Evaluator
    from mmpt.tasks import Task

    if out is not None:
        config = OmegaConf.merge(config, {"eval": {"save_path": str(out)}})
    if setting(config, "eval.save_path") is None:
        raise ConfigError(f"{path}: eval.save_path is not set, and no --out given")
    task = Task.config_task(config)
    data = task.build_split("test")
    loader = DataLoader(
        data,
        batch_size=setting(config, "fairseq.dataset.batch_size", 1),
        num_workers=setting(config, "fairseq.dataset.num_workers", 0),
        collate_fn=data.collater,
    )
    return Job(path, config, task, loader, Evaluator(config))


def evaluate_checkpoint(
    job: Job,
    file: Path,
    scores_name: str,
    earlier: list[dict],
    device: str | None,
    only_predicts: bool,
) -> dict[str, Any]:
    """The entry of one checkpoint in the results file.

    fairseq writes `checkpoint_last.pt` and `checkpoint_best.pt` as copies: equal content is not
    evaluated again.
    """
    from mmpt.io.checkpoints import load_model, sha256_of

    if not file.is_file():
        raise CheckpointError(f"checkpoint {file} does not exist")
    digest = sha256_of(file)
    for entry in earlier:
        if entry["sha256"] == digest:
            print(f"  the same content as {entry['checkpoint']}")
            return {**entry, "checkpoint": str(file)}
    start = time.perf_counter()
    model = job.task.build_model()
    unused = load_model(model, file)
    model.to(pick_device(device))
    outputs = job.evaluator.predictor.predict_loop(model, job.loader, scores_name)
    metrics = {} if only_predicts else job.evaluator.metric.compute_metrics(**outputs)
    if metrics:
        job.evaluator.metric.print_computed_metrics(metrics)
    return {
        "checkpoint": str(file),
        "sha256": digest,
        "metrics": metrics,
        "missing": unused.missing,
        "unexpected": unused.unexpected,
        "scores": f"{scores_name}.npy",
        "items": len(job.loader.dataset),
        "seconds": round(time.perf_counter() - start, 2),
    }


def pick_device(asked: str | None) -> str:
    """The asked device, else CUDA where there is one, else the CPU."""
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(asked)
    except RuntimeError as error:
        raise LaunchError(f"--device {asked!r} is unknown; use cuda, cuda:N or cpu") from error
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise LaunchError(f"--device {asked}: this machine has no CUDA device; use --device cpu")
    return asked


def write_results(job: Job, results: list[dict]) -> dict[str, Any]:
    """Names the best checkpoint and writes the results file."""
    from mmpt.io.atomic import atomic_write

    metric = job.evaluator.metric
    measured = all(result["metrics"] for result in results)
    values = [metric.best_metric(result["metrics"]) for result in results] if measured else [0.0]
    best = max(range(len(values)), key=values.__getitem__)
    selected = measured and len(results) > 1
    content = {
        "job": str(job.path),
        "config": OmegaConf.to_container(job.config, resolve=True),
        "versions": versions(),
        "results": results,
        "best": best,
        "selected_on_test": selected,
    }
    path = Path(job.config.eval.save_path) / f"results_{job.path.stem}.json"
    with atomic_write(path) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())
    if selected:
        name = metric.metric_names[0]
        print(
            f"best by {name}: {results[best]['checkpoint']} ({values[best]:.4f}), chosen on the "
            "test set itself"
        )
    print(f"results: {path}")
    return content


def versions() -> dict[str, str]:
    """The versions that a number depends on."""
    import numpy
    import torch
    import transformers

    import mmpt

    return {
        "mmpt": mmpt.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
    }


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
