"""Models by the names that job files use (`model.model_cls`)."""

from torch import nn

from mmpt.config.access import lookup, setting
from mmpt.models.heads import AlignHead
from mmpt.models.mmfusion import (
    MMFusion,
    MMFusionActionLocalization,
    MMFusionActionSegmentation,
    MMFusionJoint,
    MMFusionMFMMLM,
    MMFusionMTM,
    MMFusionNLG,
    MMFusionSeparate,
    MMFusionSeparateActionLocalization,
    MMFusionSeparateActionSegmentation,
    MMFusionSeparateFullVideoBGRetrieval,
    MMFusionShare,
    MMFusionShareActionLocalization,
)
from mmpt.models.mmptmodel import MMPTModel
from mmpt.models.transformermodel import (
    MM_ENCODERS,
    TEXT_ENCODERS,
    VIDEO_ENCODERS,
    MMBertForEncoder,
    MMBertModel,
)

MODELS: dict[str, type[nn.Module]] = {
    "MMFusionActionLocalization": MMFusionActionLocalization,
    "MMFusionActionSegmentation": MMFusionActionSegmentation,
    "MMFusionJoint": MMFusionJoint,
    "MMFusionMFMMLM": MMFusionMFMMLM,
    "MMFusionMTM": MMFusionMTM,
    "MMFusionNLG": MMFusionNLG,
    "MMFusionSeparate": MMFusionSeparate,
    "MMFusionSeparateActionLocalization": MMFusionSeparateActionLocalization,
    "MMFusionSeparateActionSegmentation": MMFusionSeparateActionSegmentation,
    "MMFusionSeparateFullVideoBGRetrieval": MMFusionSeparateFullVideoBGRetrieval,
    "MMFusionShare": MMFusionShare,
    "MMFusionShareActionLocalization": MMFusionShareActionLocalization,
}

__all__ = [
    "MM_ENCODERS",
    "MODELS",
    "TEXT_ENCODERS",
    "VIDEO_ENCODERS",
    "AlignHead",
    "MMBertForEncoder",
    "MMBertModel",
    "MMFusion",
    "MMPTModel",
    "build_model",
    *sorted(MODELS),
]


def build_model(config) -> nn.Module:
    """The model that `model.model_cls` names, started from `dataset.bert_name`'s weights."""
    return lookup(MODELS, setting(config, "model.model_cls"), "model.model_cls")(config)
