"""Metrics by the names that job files use (`metric`)."""

from mmpt.evaluators.base import Metric
from mmpt.evaluators.retrieval import RetrievalMetric

METRICS = {"RetrievalMetric": RetrievalMetric}

__all__ = ["METRICS", "Metric", "RetrievalMetric"]
