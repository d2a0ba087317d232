"""Losses by the name that `loss.loss_cls` gives them."""

from .loss import (
    BCE,
    L1,
    MSE,
    NCE,
    ArgmaxCrossEntropy,
    CrossEntropy,
    DummyK400Loss,
    DummyLoss,
    Loss,
    LossOutput,
    NLGLoss,
    SmoothL1,
    T2VContraLoss,
    V2TContraLoss,
)
from .masked import MFMMLM, MTM
from .nce import MMContraLoss, SequenceContrastLoss

LOSSES: dict[str, type[Loss]] = {
    "ArgmaxCrossEntropy": ArgmaxCrossEntropy,
    "BCE": BCE,
    "CrossEntropy": CrossEntropy,
    "DummyK400Loss": DummyK400Loss,
    "DummyLoss": DummyLoss,
    "L1": L1,
    "MFMMLM": MFMMLM,
    "MMContraLoss": MMContraLoss,
    "MSE": MSE,
    "MTM": MTM,
    "NCE": NCE,
    "NLGLoss": NLGLoss,
    "SmoothL1": SmoothL1,
    "T2VContraLoss": T2VContraLoss,
    "V2TContraLoss": V2TContraLoss,
}

__all__ = [
    "LOSSES",
    "Loss",
    "LossOutput",
    "SequenceContrastLoss",
    *LOSSES,
]
