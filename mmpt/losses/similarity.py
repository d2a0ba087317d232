"""Similarity of every caption with every clip, from fine to coarse, differentiable throughout."""

from typing import NamedTuple

import torch
from torch import Tensor

from mmpt.errors import DataError
from mmpt.ops.token_similarity import TokenSimilarity, token_similarity, unit_vectors

from .checks import check_pairs, check_some_valid, check_tokens
from .gathering import Gather, own_rows
from .loss import full_precision


class Features(NamedTuple):
    """A batch as the encoders give it; clip i belongs to caption i."""

    pooled_video: Tensor
    """[N, d]"""
    pooled_text: Tensor
    """[N, d]"""
    video_tokens: Tensor
    """[N, F, d]"""
    text_tokens: Tensor
    """[N, T, d]"""
    video_mask: Tensor
    """[N, F] bool, True = valid"""
    text_mask: Tensor
    """[N, T] bool, True = valid"""


class CoarseSimilarity(NamedTuple):
    """As `PairSimilarity`, of pooled vectors alone."""

    coarse_raw: Tensor
    coarse: Tensor

    @property
    def fused(self) -> Tensor:
        """The coarse similarity: nothing is fused with it."""
        return self.coarse


class PairSimilarity(NamedTuple):
    """Similarity of every caption with every clip; all [N, N], rows captions, columns clips."""

    coarse_raw: Tensor
    """Cosine of the pooled features."""
    coarse: Tensor
    fine_raw: TokenSimilarity
    text_to_video: Tensor
    video_to_text: Tensor
    fused: Tensor


def min_max(matrix: Tensor) -> Tensor:
    """Scale a matrix to [0, 1] by its own extrema, which take part in the gradient.

    A matrix that is constant to rounding has no scale: it becomes 0, with zero gradient.
    """
    low, high = matrix.amin(), matrix.amax()
    span = high - low
    rounding = 16 * torch.finfo(matrix.dtype).eps * torch.maximum(low.abs(), high.abs())
    varies = (span > rounding).detach()
    inverse = torch.where(varies, 1 / span.masked_fill(~varies, 1.0), 0.0)
    return (matrix - low) * inverse


def coarse_similarity(features: Features, gather: Gather = own_rows) -> CoarseSimilarity:
    """Cosine of the pooled vectors, scaled to [0, 1]; arguments as for `pair_similarity`."""
    captions = gather(unit_vectors(full_precision(features.pooled_text)))
    clips = gather(unit_vectors(full_precision(features.pooled_video)))
    cosine = captions @ clips.T
    return CoarseSimilarity(cosine, min_max(cosine))


def pair_similarity(
    features: Features,
    alpha: float,
    fusion_weight: float,
    exclude_padding: bool = False,
    implementation: str = "auto",
    gather: Gather = own_rows,
) -> PairSimilarity:
    """Coarse (pooled) and fine (token) similarity, each scaled to [0, 1], and their fusion.

    Args:
        features: N clips and captions.
        alpha: temperature of the soft maximum over tokens.
        fusion_weight: weight of the coarse similarity, the fine one having 1.
        exclude_padding, implementation: see `mmpt.ops.token_similarity.token_similarity`.
        gather: whose pairs take part; the matrices then are those of all of them.
    """
    coarse_raw, coarse = coarse_similarity(features, gather)
    # the heavy part is shared out: every process compares its own captions with all clips
    own_raw = token_similarity(
        features.text_tokens,
        gather(features.video_tokens),
        features.text_mask,
        gather(features.video_mask),
        alpha,
        exclude_padding,
        implementation,
    )
    fine_raw = TokenSimilarity(*map(gather, own_raw))
    text_to_video, video_to_text = (min_max(direction) for direction in fine_raw)
    fine = (text_to_video + video_to_text) / 2
    fused = (fusion_weight * coarse + fine) / (fusion_weight + 1)
    return PairSimilarity(coarse_raw, coarse, fine_raw, text_to_video, video_to_text, fused)


def check_features(features: Features, length: int) -> None:
    """A batch fit for sequences of `length` clips.

    Raises:
        DataError: shapes that do not fit, N not divisible by the length, a mask row without a valid
            position.
    """
    check_pairs("pooled_video", features.pooled_video, "pooled_text", features.pooled_text)
    clips = features.pooled_video.shape[0]
    for side, tokens, mask in (
        ("video", features.video_tokens, features.video_mask),
        ("text", features.text_tokens, features.text_mask),
    ):
        check_tokens(f"{side}_outputs", tokens, f"{side}_mask_outputs", mask, clips)
        check_some_valid(f"{side}_mask_outputs", mask)
    widths = features.video_tokens.shape[2], features.text_tokens.shape[2]
    if widths[0] != widths[1]:
        raise DataError(
            f"video_outputs and text_outputs have widths {widths[0]} and {widths[1]}; one width is "
            "needed"
        )
    if clips % length:
        raise DataError(
            f"the batch has {clips} clips, which loss.sequence_contrast.threshold ({length}) does "
            "not divide: give every video a multiple of that many clips"
        )
