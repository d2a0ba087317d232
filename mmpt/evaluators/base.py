"""What every predictor and every metric has in common."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmpt.config.access import setting
from mmpt.errors import DataError, first_few
from mmpt.evaluators.statistics import Statistic, bootstrap_interval, value
from mmpt.io.atomic import atomic_write


class NonFiniteScores(DataError):
    """NaN or infinite scores: of bad features, or of a model whose weights are bad."""


class Predictor:
    """Turns a data loader into the arrays that a metric takes.

    Args:
        config: the whole job config.

    Attributes:
        processors: role in `dataset` -> class, for tasks whose job files name none.
        items_per_batch: items of a batch where the task fixes it; None:
            `fairseq.dataset.batch_size`.
        scores_suffix: ending of what `save_scores` writes.
    """

    processors: ClassVar[Mapping[str, str]] = {}
    items_per_batch: int | None = None
    scores_suffix = ".npy"

    def __init__(self, config):
        self.config = config
        self.save_path = setting(config, "eval.save_path")

    def predict_loop(
        self, model: nn.Module, dataloader: Iterable, output_file: str | None = "merged"
    ) -> dict[str, Any]:
        """Runs the model over the loader.

        Args:
            model: in any mode, on any device; it is put into evaluation mode.
            dataloader: batches as `MMDataset.collater` makes them.
            output_file: name of the file (without ending) in `eval.save_path` that gets the score
                matrix (`save_scores`); nothing is written where either is unset.

        Returns:
            What the metric of the same task takes by keyword, `outputs` always among them.

        Raises:
            NonFiniteScores: NaN or inf among the scores; nothing is written then.
        """
        model.eval()
        device = device_of(model)
        with torch.inference_mode():
            batches = tqdm(dataloader, desc="predict", unit="batch")
            predictions = self.predict(model, (to_device(batch, device) for batch in batches))
        if output_file is not None and self.save_path is not None:
            name = f"{output_file}{self.scores_suffix}"
            self.save_scores(Path(self.save_path) / name, predictions)
        return predictions

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes the scores; a task whose scores are no matrix has its own way."""
        with atomic_write(path) as handle:
            np.save(handle, predictions["outputs"])

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """The predictions of all batches; each task defines its own."""
        raise NotImplementedError


class Measured(NamedTuple):
    """What a metric found.

    Attributes:
        metrics: the numbers, by name.
        intervals: the ends of the 95 % interval of those that have one.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class Metric:
    """Turns predictions into numbers.

    `metric_names`: the keys of the result in the order of printing; the first decides which
    checkpoint is best, and larger is better.
    """

    metric_names: tuple[str, ...] = ()

    def __init__(self, config=None):
        self.config = config

    def compute_metrics(self, **outputs) -> dict[str, float]:
        """The numbers, by name."""
        raise NotImplementedError

    def measure(self, *args, **outputs) -> Measured:
        """The numbers, and their intervals where the metric has any."""
        return Measured(self.compute_metrics(*args, **outputs), {})

    def best_metric(self, metric: Mapping[str, float]) -> float:
        """The number that checkpoints are compared by."""
        return metric[self.metric_names[0]]

    def print_computed_metrics(
        self,
        metrics: Mapping[str, float],
        intervals: Mapping[str, tuple[float, float]] | None = None,
    ) -> str:
        """A line a number, with its interval; printed and returned."""
        width = max(map(len, metrics), default=0)
        lines = [f"  {name:{width}}  {_shown(number)}" for name, number in metrics.items()]
        for place, name in enumerate(metrics):
            if name in (intervals or {}):
                low, high = intervals[name]
                lines[place] += f"  [{low:.4f}, {high:.4f}]"
        text = "\n".join(lines)
        print(text)
        return text

    def save_metrics(self, path: str | Path, metrics: Mapping[str, float]) -> None:
        """Writes the numbers as JSON."""
        with atomic_write(path) as handle:
            handle.write((json.dumps(dict(metrics), indent=2) + "\n").encode())


class StatisticsMetric(Metric):
    """A metric whose numbers are kept video by video, so that they come with intervals."""

    def statistics(self, **outputs) -> dict[str, Statistic]:
        """What is measured, by name, in the order of printing; each metric defines its own."""
        raise NotImplementedError

    def compute_metrics(self, *args, **outputs) -> dict[str, float]:
        """The numbers, by name; takes what `statistics` takes."""
        return {name: value(found) for name, found in self.statistics(*args, **outputs).items()}

    def measure(self, *args, **outputs) -> Measured:
        """The numbers and their intervals, of 1,000 draws of the videos."""
        found = self.statistics(*args, **outputs)
        drawn = {name: bootstrap_interval(statistic) for name, statistic in found.items()}
        return Measured(
            {name: value(statistic) for name, statistic in found.items()},
            {name: interval for name, interval in drawn.items() if interval is not None},
        )


def _shown(number: float | Sequence[float]) -> str:
    several = number if isinstance(number, Sequence) else [number]
    return ", ".join(f"{one:.4f}" for one in several)


def device_of(model: nn.Module) -> torch.device:
    """Where a model is; the CPU for one without any tensor of its own."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}


def check_finite(scores: np.ndarray, what: str) -> None:
    """Refuses NaN and inf: a sort would put NaN first and report a perfect result.

    Raises:
        NonFiniteScores: with the number of bad entries.
    """
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise NonFiniteScores(f"{what}: {bad} of {scores.size} scores are NaN or infinite")


def check_encoded(finite: Iterable[bool], names: Iterable[str], what: str) -> None:
    """Refuses videos (or texts) that a model makes NaN or inf of.

    Args:
        finite: of each, whether all that the model gave for it is finite.
        names: of each, for the message.
        what: `HTM-Align: videos` for instance.

    Raises:
        NonFiniteScores: how many there are, and the first few.
    """
    names, finite = list(names), list(finite)
    bad = [str(name) for name, good in zip(names, finite, strict=True) if not good]
    if bad:
        raise NonFiniteScores(
            f"{what}: the model gives NaN or inf for {len(bad)} of {len(names)}: {first_few(bad)}; "
            "look at what it was given (features far from those that it was trained on?)"
        )
