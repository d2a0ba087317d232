"""A predictor and a metric, put together as a job file says."""

from collections.abc import Iterable

from torch import nn

from mmpt.config.access import lookup, setting
from mmpt.errors import ConfigError
from mmpt.evaluators.metric import METRICS
from mmpt.evaluators.predictor import PREDICTORS


class Evaluator:
    """Evaluates a model on a data loader.

    Args:
        config: the whole job config; `predictor` and `metric` name the two parts.
        eval_dataloader: the loader for calls of `evaluate` without one.

    Raises:
        ConfigError: the predictor is not named, or a part is unknown.
    """

    def __init__(self, config, eval_dataloader: Iterable | None = None):
        self.predictor = lookup(PREDICTORS, setting(config, "predictor"), "predictor")(config)
        name = setting(config, "metric")
        self.metric = None if name is None else lookup(METRICS, name, "metric")(config)
        self.eval_dataloader = eval_dataloader

    def evaluate(
        self,
        model: nn.Module,
        dataloader: Iterable | None = None,
        output_file: str | None = "merged",
    ) -> dict[str, float]:
        """Predicts and measures; `output_file` as in `Predictor.predict_loop`.

        Raises:
            ConfigError: the job names no metric: it can only predict.
        """
        if self.metric is None:
            raise ConfigError(f"metric is not set; known names: {', '.join(sorted(METRICS))}")
        loader = self.eval_dataloader if dataloader is None else dataloader
        outputs = self.predictor.predict_loop(model, loader, output_file)
        return self.metric.compute_metrics(**outputs)
