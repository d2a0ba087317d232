"""The published home of the downstream processors; each data set has its file in `downstream/`."""

from mmpt.processors.downstream.aligner import DSAligner
from mmpt.processors.downstream.htm_align import (
    HTMAlignAligner,
    HTMAlignMetaProcessor,
    HTMAlignTextProcessor,
)
from mmpt.processors.downstream.msrvtt import MSRVTTMetaProcessor, MSRVTTTextProcessor

__all__ = [
    "DSAligner",
    "HTMAlignAligner",
    "HTMAlignMetaProcessor",
    "HTMAlignTextProcessor",
    "MSRVTTMetaProcessor",
    "MSRVTTTextProcessor",
]
