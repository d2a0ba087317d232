"""Predictors by the names that job files use (`predictor`)."""

from mmpt.evaluators.base import Predictor
from mmpt.evaluators.htm_align import HTMAlignPredictor
from mmpt.evaluators.retrieval import RetrievalPredictor

PREDICTORS = {"HTMAlignPredictor": HTMAlignPredictor, "RetrievalPredictor": RetrievalPredictor}

__all__ = ["PREDICTORS", "HTMAlignPredictor", "Predictor", "RetrievalPredictor"]
