"""`python predict.py JOB.yaml`: evaluates every checkpoint that a test job names.

A job file whose name begins with `test` is evaluated on every `checkpoint*.pt` of the folder
`eval.save_path` and on `fairseq.common_eval.path`, each once.  One that begins with `vis` only
predicts, on `fairseq.common_eval.path`.
"""

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # a script finds its own folder alone, not the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from omegaconf import DictConfig, OmegaConf

from mmpt.config import load_config
from mmpt.config.access import setting
from mmpt.config.check import check_available, check_complete
from mmpt.errors import CheckpointError, ConfigError
from mmpt.utils.devices import pick_device
from mmpt_cli.checkpoint_files import (
    check_weights,
    find_checkpoints,
    require_file,
    score_names,
)
from mmpt_cli.entry import program
from mmpt_cli.evaluation_options import FirstItems, add_options
from mmpt_cli.folders import results_folder
from mmpt_cli.results import write_results
from mmpt_cli.selection import chosen_on_test

logger = logging.getLogger(__name__)

PREDICTS_ONLY = "vis"
"""How the names of job files begin that measure nothing."""


class Job(NamedTuple):
    """A loaded job: its file, config, test set, loader and evaluator; how many items count at most
    (None: all)."""

    path: Path
    config: DictConfig
    task: Any
    loader: Any
    evaluator: Any
    limit: int | None = None

    @property
    def name(self) -> str:
        """What its results are called after: those of a limited run stand beside the full ones."""
        return self.path.stem if self.limit is None else f"{self.path.stem}.limit{self.limit}"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("predict", "predict.py"), description=__doc__.split("\n")[0]
    )
    parser.add_argument("yaml", nargs="+", help="job files, separated by commas or spaces")
    add_options(parser)
    return parser


def main(argv: list[str]) -> int:
    """Evaluates the job files in order; returns the exit status, raises on the first failure.

    All of them are read before the first is evaluated.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    paths = [Path(part) for entry in args.yaml for part in entry.split(",") if part.strip()]
    if not paths:
        parser.error("no job file is named")
    for path, config in [(path, read_job(path)) for path in paths]:
        evaluate(path, config, args.checkpoint, args.out, args.device, args.limit)
    return 0


def read_job(path: Path) -> DictConfig:
    """The config of a job file, which must be one to evaluate.

    Raises:
        ConfigError: there is no such file, it is no job file to evaluate, it lacks a key, or it
            names what is not available.
    """
    config = load_config(config_file=str(path))
    if not path.name.startswith(("test", PREDICTS_ONLY)):
        raise ConfigError(
            f"{path}: a job file to evaluate is called test*.yaml (or {PREDICTS_ONLY}*.yaml, to "
            "predict only)"
        )
    check_available(config, str(path))
    check_complete(config, str(path), evaluated=True)
    return config


def evaluate_job(
    path: Path,
    checkpoint: str | Path | None = None,
    out: Path | None = None,
    device: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Reads one job file and evaluates it; as `evaluate`."""
    return evaluate(path, read_job(path), checkpoint, out, device, limit)


def evaluate(
    path: Path,
    config: DictConfig,
    checkpoint: str | Path | None = None,
    out: Path | None = None,
    device: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Evaluates one job, prints its numbers and writes `results_JOBNAME.json`.

    Args:
        path: the job file.
        config: its content, as `read_job` gives it.
        checkpoint: the file to evaluate; None: those that the job names.
        out: folder of the results; None: `eval.save_path`.
        device: `cuda`, `cuda:N` or `cpu`; None: CUDA where there is one.
        limit: the first so many items alone, into `results_JOBNAME.limitN.json`; None: all.

    Returns:
        The content of the results file.

    Raises:
        ConfigError, DataError, CheckpointError, LaunchError: with the line to print.
    """
    only_predicts = path.name.startswith(PREDICTS_ONLY)
    searched, config = config, with_results_folder(path, config, out)  # --out holds results only
    named = None if checkpoint is None else [Path(checkpoint)]
    files = named or find_checkpoints(searched, only_predicts)
    device = pick_device(device)
    folder = config.eval.save_path
    with results_folder(folder):
        try:
            job = load_job(path, config, limit=limit)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        results, failed = evaluate_all(job, files, device, only_predicts)
        content = write_results(job, results, failed)
    if failed:
        raise CheckpointError(
            f"{len(failed)} of {len(files)} checkpoints could not be evaluated "
            f"({failed[0]['error']}); the results of the others are in {folder}"
        )
    return content


def evaluate_all(
    job: Job, files: list[Path], device: str, only_predicts: bool
) -> tuple[list[dict], list[dict]]:
    """The entries of the checkpoints that could be evaluated, and of those that could not.

    Raises:
        CheckpointError, NonFiniteScores: none could be; the reason of the last.
    """
    from mmpt.evaluators.base import NonFiniteScores

    results: list[dict] = []
    failed: list[dict] = []
    for file, scores_name in zip(files, score_names(job.name, files), strict=True):
        limited = f" (--limit {job.limit}: {job.loader.dataset})" if job.limit is not None else ""
        print(f"{job.path.stem}: {file}{limited}")
        try:
            results.append(
                evaluate_checkpoint(job, file, scores_name, results, device, only_predicts)
            )
        except (CheckpointError, NonFiniteScores) as error:
            if len(files) == 1 or (len(failed) == len(files) - 1):
                raise
            logger.error("%s", error)
            failed.append({"checkpoint": str(file), "error": str(error)})
    return results, failed


def with_results_folder(path: Path, config: DictConfig, out: Path | None) -> DictConfig:
    """The config with the folder of the results filled in: `--out`, else `eval.save_path`.

    Raises:
        ConfigError: neither is given.
    """
    if out is not None:
        return OmegaConf.merge(config, {"eval": {"save_path": str(out)}})
    if not setting(config, "eval.save_path"):
        raise ConfigError(f"{path}: eval.save_path is not set, and no --out given")
    return config


def load_job(
    path: Path, config: DictConfig, out: Path | None = None, limit: int | None = None
) -> Job:
    """Builds the test set, or its first items, and the evaluator."""
    from torch.utils.data import DataLoader

    from mmpt.evaluators import Evaluator
    from mmpt.tasks import Task

    config = with_results_folder(path, config, out)
    evaluator = Evaluator(config)
    predictor = evaluator.predictor
    unnamed = [r for r in predictor.processors if setting(config, f"dataset.{r}") is None]
    own = {"dataset": {role: predictor.processors[role] for role in unnamed}}
    config = OmegaConf.merge(config, own)
    task = Task.config_task(config)
    data = task.build_split("test")
    if limit is not None:
        data = FirstItems(data, limit, setting(config, "metric"))
    loader = DataLoader(
        data,
        batch_size=predictor.items_per_batch or setting(config, "fairseq.dataset.batch_size", 1),
        num_workers=setting(config, "fairseq.dataset.num_workers", 0),
        collate_fn=data.collater,
    )
    return Job(path, config, task, loader, evaluator, limit)


def evaluate_checkpoint(
    job: Job,
    file: Path,
    scores_name: str,
    earlier: list[dict],
    device: str,
    only_predicts: bool,
) -> dict[str, Any]:
    """The entry of one checkpoint in the results file.

    fairseq writes `checkpoint_last.pt` and `checkpoint_best.pt` as copies: equal content is not
    evaluated again.

    Raises:
        CheckpointError: it cannot be read, is of another model, or holds NaN.
        NonFiniteScores: the scores are, although its weights are finite.
    """
    from mmpt.evaluators.base import Measured, NonFiniteScores
    from mmpt.io.checkpoints import load_model
    from mmpt.io.files import sha256_of

    require_file(file)
    digest = sha256_of(file)
    chosen = {"selected_on_test_reason": chosen_on_test(file, job.config)}
    for entry in earlier:
        if entry["sha256"] == digest:
            print(f"  the same content as {entry['checkpoint']}")
            return {**entry, "checkpoint": str(file), **chosen}
    start = time.perf_counter()
    model = job.task.build_model()
    unused = load_model(model, file)
    model.to(device)
    try:
        outputs = job.evaluator.predictor.predict_loop(model, job.loader, scores_name)
        found = Measured({}, {}) if only_predicts else job.evaluator.metric.measure(**outputs)
    except NonFiniteScores as error:
        check_weights(model, file)
        raise NonFiniteScores(f"{error} (checkpoint {file})") from error
    if found.metrics:
        job.evaluator.metric.print_computed_metrics(*found)
    return {
        "checkpoint": str(file),
        "sha256": digest,
        "metrics": found.metrics,
        "intervals": {name: list(ends) for name, ends in found.intervals.items()},
        "missing": unused.missing,
        "unexpected": unused.unexpected,
        "scores": f"{scores_name}{job.evaluator.predictor.scores_suffix}",
        "items": len(job.loader.dataset),
        "seconds": round(time.perf_counter() - start, 2),
        **chosen,
    }


if __name__ == "__main__":
    from mmpt_cli.entry import run_command

    sys.exit(run_command(main))
