"""Evaluation: predictors turn batches into scores, metrics turn scores into numbers."""

from mmpt.evaluators.evaluator import Evaluator
from mmpt.evaluators.metric import METRICS, Metric, RetrievalMetric
from mmpt.evaluators.predictor import PREDICTORS, Predictor, RetrievalPredictor

__all__ = [
    "METRICS",
    "PREDICTORS",
    "Evaluator",
    "Metric",
    "Predictor",
    "RetrievalMetric",
    "RetrievalPredictor",
]
