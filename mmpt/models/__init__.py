"""Models by the names that job files use (`model.model_cls`)."""

from torch import nn

from mmpt.config.access import lookup, setting
from mmpt.models.mmfusion import MMFusion, MMFusionSeparate
from mmpt.models.transformermodel import MMBertForEncoder, MMBertModel

MODELS = {"MMFusionSeparate": MMFusionSeparate}

__all__ = [
    "MODELS",
    "MMBertForEncoder",
    "MMBertModel",
    "MMFusion",
    "MMFusionSeparate",
    "build_model",
]


def build_model(config) -> nn.Module:
    """The model that `model.model_cls` names, started from `dataset.bert_name`'s weights."""
    return lookup(MODELS, setting(config, "model.model_cls"), "model.model_cls")(config)
