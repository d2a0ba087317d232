"""Data sets in four roles, and the names by which a job file picks them.

A new class is listed in the registry of its role; `dataset.{meta_processor,video_processor,
text_processor,aligner}` then knows it.
"""

from mmpt.processors.dsprocessor import (
    COINActionSegmentationAligner,
    COINActionSegmentationMetaProcessor,
    COINActionSegmentationTextProcessor,
    CrossTaskAligner,
    CrossTaskMetaProcessor,
    CrossTaskTextProcessor,
    CrossTaskVideoProcessor,
    DiDeMoAligner,
    DiDeMoMetaProcessor,
    DiDeMoTextProcessor,
    DSAligner,
    HTMAlignAligner,
    HTMAlignMetaProcessor,
    HTMAlignTextProcessor,
    MSRVTTMetaProcessor,
    MSRVTTQAAligner,
    MSRVTTQAMetaProcessor,
    MSRVTTQATextProcessor,
    MSRVTTTextProcessor,
    YoucookFullVideoBGAligner,
    YoucookFullVideoBGMetaProcessor,
    YoucookFullVideoBGProcessor,
    YoucookFullVideoBGTextProcessor,
    YoucookMetaProcessor,
    YoucookVideoProcessor,
)
from mmpt.processors.how2processor import (
    FixedLenAligner,
    How2MetaProcessor,
    OverlappedAligner,
    PKLJSONStrTextProcessor,
    ShardedHow2MetaProcessor,
    ShardedTextProcessor,
    ShardedVideoProcessor,
    StartClipAligner,
    TextClipSamplingProcessor,
    VariedLenAligner,
    VideoClipSamplingProcessor,
)
from mmpt.processors.how2retriprocessor import (
    ShardedHow2VideoRetriMetaProcessor,
    ShardedVideoRetriTextProcessor,
    ShardedVideoRetriVideoProcessor,
    VideoRetriAligner,
    VideoRetriOverlappedAligner,
)
from mmpt.processors.processor import Aligner, MetaProcessor, TextProcessor, VideoProcessor


def _by_name(*classes: type) -> dict[str, type]:
    return {cls.__name__: cls for cls in classes}


META_PROCESSORS = _by_name(
    COINActionSegmentationMetaProcessor,
    CrossTaskMetaProcessor,
    DiDeMoMetaProcessor,
    HTMAlignMetaProcessor,
    How2MetaProcessor,
    MSRVTTMetaProcessor,
    MSRVTTQAMetaProcessor,
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
    YoucookFullVideoBGMetaProcessor,
    YoucookMetaProcessor,
)
VIDEO_PROCESSORS = _by_name(
    CrossTaskVideoProcessor,
    ShardedVideoProcessor,
    ShardedVideoRetriVideoProcessor,
    VideoProcessor,
    YoucookFullVideoBGProcessor,
    YoucookVideoProcessor,
)
TEXT_PROCESSORS = _by_name(
    COINActionSegmentationTextProcessor,
    CrossTaskTextProcessor,
    DiDeMoTextProcessor,
    HTMAlignTextProcessor,
    MSRVTTQATextProcessor,
    MSRVTTTextProcessor,
    PKLJSONStrTextProcessor,
    ShardedTextProcessor,
    ShardedVideoRetriTextProcessor,
    TextProcessor,
    YoucookFullVideoBGTextProcessor,
)
ALIGNERS = _by_name(
    COINActionSegmentationAligner,
    CrossTaskAligner,
    DSAligner,
    DiDeMoAligner,
    FixedLenAligner,
    HTMAlignAligner,
    MSRVTTQAAligner,
    OverlappedAligner,
    StartClipAligner,
    VariedLenAligner,
    VideoRetriAligner,
    VideoRetriOverlappedAligner,
    YoucookFullVideoBGAligner,
)
ROLES = {
    "meta_processor": META_PROCESSORS,
    "video_processor": VIDEO_PROCESSORS,
    "text_processor": TEXT_PROCESSORS,
    "aligner": ALIGNERS,
}
"""The key of `dataset` -> the classes that it may name, in the order that `MMDataset` takes."""

__all__ = [
    "ALIGNERS",
    "META_PROCESSORS",
    "ROLES",
    "TEXT_PROCESSORS",
    "VIDEO_PROCESSORS",
    "Aligner",
    "MetaProcessor",
    "TextClipSamplingProcessor",
    "VideoClipSamplingProcessor",
    *sorted(name for registry in ROLES.values() for name in registry),
]
