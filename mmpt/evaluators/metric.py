"""Metrics by the names that job files use (`metric`)."""

from mmpt.evaluators.base import Metric
from mmpt.evaluators.htm_align import HTMAlignMetric
from mmpt.evaluators.retrieval import RetrievalMetric

METRICS = {"HTMAlignMetric": HTMAlignMetric, "RetrievalMetric": RetrievalMetric}

__all__ = ["METRICS", "HTMAlignMetric", "Metric", "RetrievalMetric"]
