"""Evaluation: predictors turn batches into scores, metrics turn scores into numbers."""

from mmpt.evaluators.evaluator import Evaluator
from mmpt.evaluators.metric import METRICS, HTMAlignMetric, Metric, RetrievalMetric
from mmpt.evaluators.predictor import PREDICTORS, HTMAlignPredictor, Predictor, RetrievalPredictor

__all__ = [
    "METRICS",
    "PREDICTORS",
    "Evaluator",
    "HTMAlignMetric",
    "HTMAlignPredictor",
    "Metric",
    "Predictor",
    "RetrievalMetric",
    "RetrievalPredictor",
]
