"""Sums, soft maxima and their gradients over packed tokens.

A block of similarities has the packed words of some captions as rows and the packed frames of all
clips as columns, both position by position (see `packing`). A *slab* is one position: the run of
rows (or columns) it occupies, and the number of items that reach it; these are always the first
items in packed order, because longer items come first.
"""

import torch
from torch import Tensor

Slabs = list[tuple[slice, int]]


def slabs(widths: list[int]) -> Slabs:
    """`(run of packed tokens, number of items)` per position, from a chunk's widths."""
    result, start = [], 0
    for width in widths:
        result.append((slice(start, start + width), width))
        start += width
    return result


def add_columns(block: Tensor, columns: Slabs, out: Tensor) -> Tensor:
    """Sum [R, packed frames] over each clip's frames into `out` [R, Nv]."""
    first, *others = columns
    out.copy_(block[:, first[0]])
    for run, width in others:
        out[:, :width] += block[:, run]
    return out


def add_rows(block: Tensor, rows: Slabs, out: Tensor) -> Tensor:
    """Sum [packed words, C] over each caption's words into `out` [captions, C]."""
    return add_columns(block.T, rows, out.T).T


def log_sums(
    scores: Tensor,
    rows: Slabs,
    columns: Slabs,
    shifted: bool,
    over_columns: Tensor,
    over_rows: Tensor,
) -> None:
    """Log-sum-exp of a block over each clip's frames and over each caption's words.

    Args:
        scores: [words, frames], overwritten.
        shifted: subtract each sum's maximum first (two exponentials a cell instead of one).
        over_columns: [words, Nv], receives the result over frames.
        over_rows: [captions, frames], receives the result over words.
    """
    if shifted:
        _shifted_log_sum(scores, columns, over_columns)
        _shifted_log_sum(scores.T, rows, over_rows.T)
    else:
        weights = scores.exp_()
        add_columns(weights, columns, over_columns).log_()
        add_rows(weights, rows, over_rows).log_()


def _shifted_log_sum(scores: Tensor, columns: Slabs, out: Tensor) -> None:
    first, *others = columns
    peak = scores[:, first[0]].clone()
    for run, width in others:
        torch.maximum(peak[:, :width], scores[:, run], out=peak[:, :width])
    total = torch.zeros_like(peak)
    for run, width in columns:
        total[:, :width] += (scores[:, run] - peak[:, :width]).exp_()
    torch.add(peak, total.log_(), out=out)


def similarity_gradient(
    scores: Tensor,
    rows: Slabs,
    columns: Slabs,
    shifted: bool,
    over_columns: tuple[Tensor, Tensor],
    over_rows: tuple[Tensor, Tensor],
    out: Tensor,
) -> Tensor:
    """Gradient of the summed log-sum-exps with respect to a block of scores.

    Args:
        scores: [words, frames], overwritten.
        over_columns: the log-sum-exps [words, Nv] and the gradient [captions, Nv] of their sums
            over each caption's words.
        over_rows: the log-sum-exps [captions, frames] and the gradient [captions, Nv] of their
            sums over each clip's frames.
        out: [words, frames], receives the result.
    """
    log_frames, grad_text = over_columns
    log_words, grad_video = over_rows
    per_word = torch.cat([grad_text[:width] for _, width in rows])
    per_frame = torch.cat([grad_video[:, :width] for _, width in columns], dim=1)
    if shifted:
        for run, width in columns:
            softmax = (scores[:, run] - log_frames[:, :width]).exp_()
            torch.mul(softmax, per_word[:, :width], out=out[:, run])
        for run, width in rows:
            softmax = (scores[run] - log_words[:width]).exp_()
            out[run].addcmul_(softmax, per_frame[:width])
        return out
    weights = scores.exp_()
    per_word.mul_(log_frames.neg().exp_())
    per_frame.mul_(log_words.neg().exp_())
    for run, width in columns:
        torch.mul(weights[:, run], per_word[:, :width], out=out[:, run])
    for run, width in rows:
        out[run].addcmul_(weights[run], per_frame[:width])
    return out
