"""Losses by the name that `loss.loss_cls` gives them."""

from .loss import CrossEntropy, Loss, LossOutput, T2VContraLoss, V2TContraLoss
from .nce import MMContraLoss, SequenceContrastLoss

LOSSES: dict[str, type[Loss]] = {
    "CrossEntropy": CrossEntropy,
    "MMContraLoss": MMContraLoss,
    "T2VContraLoss": T2VContraLoss,
    "V2TContraLoss": V2TContraLoss,
}

__all__ = [
    "LOSSES",
    "CrossEntropy",
    "Loss",
    "LossOutput",
    "MMContraLoss",
    "SequenceContrastLoss",
    "T2VContraLoss",
    "V2TContraLoss",
]
