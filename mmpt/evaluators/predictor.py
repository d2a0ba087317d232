"""Predictors by the names that job files use (`predictor`)."""

from mmpt.evaluators.base import Predictor
from mmpt.evaluators.coin import COINPredictor, COINZSPredictor
from mmpt.evaluators.crosstask import CrossTaskPredictor
from mmpt.evaluators.didemo import DiDeMoPredictor
from mmpt.evaluators.fullvideo import BGRetrievalPredictor
from mmpt.evaluators.htm_align import HTMAlignPredictor
from mmpt.evaluators.qa import QAPredictor
from mmpt.evaluators.retrieval import RetrievalPredictor

PREDICTORS = {
    "BGRetrievalPredictor": BGRetrievalPredictor,
    "COINPredictor": COINPredictor,
    "COINZSPredictor": COINZSPredictor,
    "CrossTaskPredictor": CrossTaskPredictor,
    "DiDeMoPredictor": DiDeMoPredictor,
    "HTMAlignPredictor": HTMAlignPredictor,
    "QAPredictor": QAPredictor,
    "RetrievalPredictor": RetrievalPredictor,
}

__all__ = ["PREDICTORS", "Predictor", *PREDICTORS]
