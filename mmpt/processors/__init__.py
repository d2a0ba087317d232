"""Data sets in four roles, and the names by which a job file picks them.

A new class is listed in the registry of its role; `dataset.{meta_processor,video_processor,
text_processor,aligner}` then knows it.
"""

from mmpt.processors.dsprocessor import (
    DSAligner,
    HTMAlignAligner,
    HTMAlignMetaProcessor,
    HTMAlignTextProcessor,
    MSRVTTMetaProcessor,
    MSRVTTTextProcessor,
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
    HTMAlignMetaProcessor,
    How2MetaProcessor,
    MSRVTTMetaProcessor,
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
)
VIDEO_PROCESSORS = _by_name(
    ShardedVideoProcessor,
    ShardedVideoRetriVideoProcessor,
    VideoProcessor,
)
TEXT_PROCESSORS = _by_name(
    HTMAlignTextProcessor,
    MSRVTTTextProcessor,
    PKLJSONStrTextProcessor,
    ShardedTextProcessor,
    ShardedVideoRetriTextProcessor,
    TextProcessor,
)
ALIGNERS = _by_name(
    DSAligner,
    FixedLenAligner,
    HTMAlignAligner,
    OverlappedAligner,
    StartClipAligner,
    VariedLenAligner,
    VideoRetriAligner,
    VideoRetriOverlappedAligner,
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
