"""Predictors by the names that job files use (`predictor`)."""

from mmpt.evaluators.base import Predictor
from mmpt.evaluators.retrieval import RetrievalPredictor

PREDICTORS = {"RetrievalPredictor": RetrievalPredictor}

__all__ = ["PREDICTORS", "Predictor", "RetrievalPredictor"]
