"""The token similarity on the whole [Nt, Nv, T, F] tensor: obvious, and heavy on memory."""

import torch
from torch import Tensor

from .common import TokenSimilarity, compute_dtype, mean_over_tokens, unit_vectors


def token_similarity_reference(
    text_tokens: Tensor,
    video_tokens: Tensor,
    text_mask: Tensor,
    video_mask: Tensor,
    alpha: float,
    exclude_padding: bool,
) -> TokenSimilarity:
    """Masked log-sum-exp over one token axis, then a sum over the other, in plain autograd.

    Arguments and result: see `mmpt.ops.token_similarity.token_similarity`.
    """
    words = unit_vectors(text_tokens.to(compute_dtype(text_tokens)))
    frames = unit_vectors(video_tokens.to(compute_dtype(video_tokens)))
    scores = torch.einsum("atd,bfd->abtf", words, frames) / alpha
    word_valid, frame_valid = text_mask[:, None, :], video_mask[None, :, :]

    over_frames = scores.masked_fill(~frame_valid[:, :, None, :], -torch.inf).logsumexp(dim=3)
    over_words = scores.masked_fill(~word_valid[:, :, :, None], -torch.inf).logsumexp(dim=2)
    text_total = alpha * over_frames.masked_fill(~word_valid, 0.0).sum(dim=2)
    video_total = alpha * over_words.masked_fill(~frame_valid, 0.0).sum(dim=2)

    n_words = text_mask.sum(dim=1).to(scores.dtype)[:, None]
    n_frames = video_mask.sum(dim=1).to(scores.dtype)[None, :]
    padded_words = 0 if exclude_padding else text_mask.shape[1]
    padded_frames = 0 if exclude_padding else video_mask.shape[1]
    return TokenSimilarity(
        text_to_video=mean_over_tokens(text_total, n_words, n_frames, alpha, padded_words),
        video_to_text=mean_over_tokens(video_total, n_frames, n_words, alpha, padded_frames),
    )
