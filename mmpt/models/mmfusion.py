"""The fusion models, all of them by name.

Read `fusion.py` (encoders and pooling) and `fusion_dual.py` (VideoCLIP's dual encoder, which Norton
keeps) first; the others build on these two.
"""

from mmpt.models.fusion import Encoded, MMFusion, masked_mean, train_layernorm_only
from mmpt.models.fusion_dual import MMFusionSeparate, MMFusionShare
from mmpt.models.fusion_joint import (
    MMFusionActionLocalization,
    MMFusionActionSegmentation,
    MMFusionJoint,
)
from mmpt.models.fusion_masked import MMFusionMFMMLM, MMFusionMTM
from mmpt.models.fusion_nlg import MMFusionNLG
from mmpt.models.fusion_windows import (
    MMFusionSeparateActionLocalization,
    MMFusionSeparateActionSegmentation,
    MMFusionSeparateFullVideoBGRetrieval,
    MMFusionShareActionLocalization,
)

__all__ = [
    "Encoded",
    "MMFusion",
    "MMFusionActionLocalization",
    "MMFusionActionSegmentation",
    "MMFusionJoint",
    "MMFusionMFMMLM",
    "MMFusionMTM",
    "MMFusionNLG",
    "MMFusionSeparate",
    "MMFusionSeparateActionLocalization",
    "MMFusionSeparateActionSegmentation",
    "MMFusionSeparateFullVideoBGRetrieval",
    "MMFusionShare",
    "MMFusionShareActionLocalization",
    "masked_mean",
    "train_layernorm_only",
]
