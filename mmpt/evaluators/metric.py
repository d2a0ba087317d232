"""Metrics by the names that job files use (`metric`)."""

from mmpt.evaluators.action import ActionRecognitionMetric
from mmpt.evaluators.base import Metric
from mmpt.evaluators.coin import COINActionSegmentationMetric
from mmpt.evaluators.crosstask import CrossTaskMetric
from mmpt.evaluators.didemo import DiDeMoMetric
from mmpt.evaluators.fullvideo import FullVideoBGRetrievalMetric, FullVideoRetrievalMetric
from mmpt.evaluators.htm_align import HTMAlignMetric
from mmpt.evaluators.qa import QAMetric
from mmpt.evaluators.retrieval import RetrievalMetric

METRICS = {
    "ActionRecognitionMetric": ActionRecognitionMetric,
    "COINActionSegmentationMetric": COINActionSegmentationMetric,
    "CrossTaskMetric": CrossTaskMetric,
    "DiDeMoMetric": DiDeMoMetric,
    "FullVideoBGRetrievalMetric": FullVideoBGRetrievalMetric,
    "FullVideoRetrievalMetric": FullVideoRetrievalMetric,
    "HTMAlignMetric": HTMAlignMetric,
    "QAMetric": QAMetric,
    "RetrievalMetric": RetrievalMetric,
}

__all__ = ["METRICS", "Metric", *METRICS]
