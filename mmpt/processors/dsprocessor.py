"""The published home of the downstream processors; each data set has its file in `downstream/`."""

from mmpt.processors.downstream.aligner import DSAligner
from mmpt.processors.downstream.coin import (
    COINActionSegmentationAligner,
    COINActionSegmentationMetaProcessor,
    COINActionSegmentationTextProcessor,
)
from mmpt.processors.downstream.crosstask import (
    CrossTaskAligner,
    CrossTaskMetaProcessor,
    CrossTaskTextProcessor,
    CrossTaskVideoProcessor,
)
from mmpt.processors.downstream.didemo import (
    DiDeMoAligner,
    DiDeMoMetaProcessor,
    DiDeMoTextProcessor,
)
from mmpt.processors.downstream.htm_align import (
    HTMAlignAligner,
    HTMAlignMetaProcessor,
    HTMAlignTextProcessor,
)
from mmpt.processors.downstream.msrvtt import MSRVTTMetaProcessor, MSRVTTTextProcessor
from mmpt.processors.downstream.msrvtt_qa import (
    MSRVTTQAAligner,
    MSRVTTQAMetaProcessor,
    MSRVTTQATextProcessor,
)
from mmpt.processors.downstream.youcook import (
    YoucookFullVideoBGAligner,
    YoucookFullVideoBGMetaProcessor,
    YoucookFullVideoBGProcessor,
    YoucookFullVideoBGTextProcessor,
    YoucookMetaProcessor,
    YoucookVideoProcessor,
)

__all__ = [
    "COINActionSegmentationAligner",
    "COINActionSegmentationMetaProcessor",
    "COINActionSegmentationTextProcessor",
    "CrossTaskAligner",
    "CrossTaskMetaProcessor",
    "CrossTaskTextProcessor",
    "CrossTaskVideoProcessor",
    "DSAligner",
    "DiDeMoAligner",
    "DiDeMoMetaProcessor",
    "DiDeMoTextProcessor",
    "HTMAlignAligner",
    "HTMAlignMetaProcessor",
    "HTMAlignTextProcessor",
    "MSRVTTMetaProcessor",
    "MSRVTTQAAligner",
    "MSRVTTQAMetaProcessor",
    "MSRVTTQATextProcessor",
    "MSRVTTTextProcessor",
    "YoucookFullVideoBGAligner",
    "YoucookFullVideoBGMetaProcessor",
    "YoucookFullVideoBGProcessor",
    "YoucookFullVideoBGTextProcessor",
    "YoucookMetaProcessor",
    "YoucookVideoProcessor",
]
