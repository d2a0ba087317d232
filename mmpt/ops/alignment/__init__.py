"""Alignment of paragraphs with videos (DTW, OTAM), and of steps with frames.

`published` and `exact` are fast forms over many pairs at once; `reference` says what each computes,
one pair and one cell at a time.
"""

from mmpt.ops.alignment.assignment import ordered_assignment
from mmpt.ops.alignment.blocks import Blocks, stack_blocks
from mmpt.ops.alignment.exact import exact_dtw_distances, exact_otam_distances
from mmpt.ops.alignment.published import published_dtw_distances, published_otam_distances

__all__ = [
    "Blocks",
    "exact_dtw_distances",
    "exact_otam_distances",
    "ordered_assignment",
    "published_dtw_distances",
    "published_otam_distances",
    "stack_blocks",
]
