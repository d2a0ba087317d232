"""A predictor and a metric, put together as a job file says."""

from collections.abc import Iterable

from torch import nn

from mmpt.config.access import lookup, setting
from mmpt.evaluators.metric import METRICS
from mmpt.evaluators.predictor import PREDICTORS


class Evaluator:
    """Evaluates a model on a data loader.

    Args:
        config: the whole job config; `predictor` and `metric` name the two parts.
        eval_dataloader: the loader for calls of `evaluate` without one.

    Raises:
        ConfigError: a part is not named, or unknown.
    """

    def __init__(self, config, eval_dataloader: Iterable | None = None):
        self.predictor = lookup(PREDICTORS, setting(config, "predictor"), "predictor")(config)
        self.metric = lookup(METRICS, setting(config, "metric"), "metric")(config)
        self.eval_dataloader = eval_dataloader

    def evaluate(
        self,
        model: nn.Module,
        dataloader: Iterable | None = None,
        output_file: str | None = "merged",
    ) -> dict[str, float]:
        """Predicts and measures; `output_file` as in `Predictor.predict_loop`."""
        loader = self.eval_dataloader if dataloader is None else dataloader
        outputs = self.predictor.predict_loop(model, loader, output_file)
        return self.metric.compute_metrics(**outputs)
