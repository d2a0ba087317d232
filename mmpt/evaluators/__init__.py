"""Evaluation: predictors turn batches into scores, metrics turn scores into numbers."""

from mmpt.evaluators.action import ActionRecognitionMetric
from mmpt.evaluators.coin import COINActionSegmentationMetric, COINPredictor, COINZSPredictor
from mmpt.evaluators.crosstask import CrossTaskMetric, CrossTaskPredictor
from mmpt.evaluators.didemo import DiDeMoMetric, DiDeMoPredictor
from mmpt.evaluators.evaluator import Evaluator
from mmpt.evaluators.fullvideo import (
    BGRetrievalPredictor,
    FullVideoBGRetrievalMetric,
    FullVideoRetrievalMetric,
)
from mmpt.evaluators.htm_align import HTMAlignMetric, HTMAlignPredictor
from mmpt.evaluators.metric import METRICS, Metric
from mmpt.evaluators.predictor import PREDICTORS, Predictor
from mmpt.evaluators.qa import QAMetric, QAPredictor
from mmpt.evaluators.retrieval import RetrievalMetric, RetrievalPredictor

__all__ = [
    "METRICS",
    "PREDICTORS",
    "ActionRecognitionMetric",
    "BGRetrievalPredictor",
    "COINActionSegmentationMetric",
    "COINPredictor",
    "COINZSPredictor",
    "CrossTaskMetric",
    "CrossTaskPredictor",
    "DiDeMoMetric",
    "DiDeMoPredictor",
    "Evaluator",
    "FullVideoBGRetrievalMetric",
    "FullVideoRetrievalMetric",
    "HTMAlignMetric",
    "HTMAlignPredictor",
    "Metric",
    "Predictor",
    "QAMetric",
    "QAPredictor",
    "RetrievalMetric",
    "RetrievalPredictor",
]
