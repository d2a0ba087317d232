"""The published home of the downstream processors; each data set has its file in `downstream/`."""

from mmpt.processors.downstream.aligner import DSAligner
from mmpt.processors.downstream.msrvtt import MSRVTTMetaProcessor, MSRVTTTextProcessor

__all__ = ["DSAligner", "MSRVTTMetaProcessor", "MSRVTTTextProcessor"]
