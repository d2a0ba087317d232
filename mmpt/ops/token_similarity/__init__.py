"""Caption-clip similarity from tokens: the fine similarity of the video-paragraph contrast."""

import torch
from torch import Tensor

from .chunked import token_similarity_chunked
from .common import TokenSimilarity, unit_vectors
from .reference import token_similarity_reference

IMPLEMENTATIONS = {
    "auto": token_similarity_chunked,
    "reference": token_similarity_reference,
    "chunked": token_similarity_chunked,
}

__all__ = ["IMPLEMENTATIONS", "TokenSimilarity", "token_similarity", "unit_vectors"]


def token_similarity(
    text_tokens: Tensor,
    video_tokens: Tensor,
    text_mask: Tensor,
    video_mask: Tensor,
    alpha: float,
    exclude_padding: bool = False,
    implementation: str = "auto",
) -> TokenSimilarity:
    """Soft-maximum token similarity of every caption with every clip, in both directions.

    With s the cosine of a word and a frame, and a caption of T positions of which n are valid:
    `text_to_video = (sum over words of alpha * log sum over valid frames of exp(s / alpha)) / n`.
    By default the sum over words includes padded positions, each of which adds
    `alpha * log(number of valid frames)`, so the padded length T is part of the result; that is how
    the method was published. `video_to_text` exchanges the roles (F positions of a clip).

    Args:
        text_tokens: [Nt, T, D], any floating dtype; L2-normalised here.
        video_tokens: [Nv, F, D], likewise. Nt and Nv may differ.
        text_mask: [Nt, T] bool, True = valid, at least one per caption.
        video_mask: [Nv, F] bool, True = valid, at least one per clip.
        alpha: temperature of the soft maximum, above 0.
        exclude_padding: let padded positions add nothing.
        implementation: `auto`, `reference` (holds [Nt, Nv, T, F]) or `chunked` (bounded memory).

    Returns:
        Two [Nt, Nv] matrices, rows captions, columns clips, float32 (float64 for float64 tokens).
        Differentiable in the tokens; gradients at padded positions are exactly 0.

    Raises:
        ValueError: unknown implementation, alpha not above 0, shapes or mask types that do not fit.
    """
    if implementation not in IMPLEMENTATIONS:
        known = ", ".join(sorted(IMPLEMENTATIONS))
        raise ValueError(f"implementation: unknown name {implementation!r}; known names: {known}")
    if not alpha > 0:
        raise ValueError(f"alpha: got {alpha}, a number above 0 is needed")
    for name, tokens, mask in (
        ("text", text_tokens, text_mask),
        ("video", video_tokens, video_mask),
    ):
        if mask.dtype != torch.bool:
            raise ValueError(f"{name}_mask: got {mask.dtype}, torch.bool is needed")
        if tokens.ndim != 3 or mask.shape != tokens.shape[:2]:
            raise ValueError(
                f"{name}_tokens {tuple(tokens.shape)} and {name}_mask {tuple(mask.shape)} do not "
                "fit: [N, length, D] and [N, length] are needed"
            )
    if text_tokens.shape[2] != video_tokens.shape[2]:
        raise ValueError(
            f"text_tokens and video_tokens have widths {text_tokens.shape[2]} and "
            f"{video_tokens.shape[2]}; one width is needed"
        )
    form = IMPLEMENTATIONS[implementation]
    return form(text_tokens, video_tokens, text_mask, video_mask, alpha, exclude_padding)
