"""Valid tokens of many items laid one after the other, so that padding costs nothing.

Within a chunk of items the tokens stand *position by position*, longest item first: all first valid
tokens, then the second ones of the items that have two, and so on. A sum over each item's tokens is
then a handful of contiguous additions of shrinking width (the "jagged diagonal" layout of sparse
matrices), on rows and on columns alike.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Chunk(NamedTuple):
    """A run of items (in packed order) and where their tokens lie."""

    items: slice
    tokens: slice
    widths: list[int]
    """widths[k]: how many items of the chunk have more than k valid tokens."""


class Packing(NamedTuple):
    """How the valid tokens of a padded batch are laid out."""

    token: Tensor
    """[W] index of every packed token in the flattened [N * length] batch, int64."""
    place: Tensor
    """[N] where each item stands in packed order (longest first), int64."""
    chunks: list[Chunk]


def pack(mask: Tensor, tokens_per_chunk: int | None = None) -> Packing:
    """Lay out the valid tokens of a batch.

    Args:
        mask: [N, length] bool, True = valid, in any pattern.
        tokens_per_chunk: where to cut; a chunk has at least one item. None: one chunk.

    Raises:
        ValueError: an item without a valid token.
    """
    counts = mask.sum(dim=1)
    order = torch.argsort(counts, descending=True, stable=True)
    lengths = counts[order].tolist()
    if lengths and lengths[-1] == 0:
        raise ValueError(f"mask: item {int(order[-1])} has no valid token")
    # row r, column k: flat index of the k-th valid token of the r-th longest item
    ranked = torch.argsort((~mask[order]).to(torch.uint8), dim=1, stable=True)
    ranked = ranked + order[:, None] * mask.shape[1]
    taken = torch.arange(mask.shape[1], device=mask.device) < counts[order, None]

    chunks, parts, start, token_start = [], [], 0, 0
    while start < len(lengths):
        stop, tokens = start, 0
        while stop < len(lengths) and (
            stop == start or tokens_per_chunk is None or tokens + lengths[stop] <= tokens_per_chunk
        ):
            tokens += lengths[stop]
            stop += 1
        items = slice(start, stop)
        widths = [sum(n > k for n in lengths[items]) for k in range(lengths[start])]
        chunks.append(Chunk(items, slice(token_start, token_start + tokens), widths))
        parts.append(ranked[items].T[taken[items].T])
        start, token_start = stop, token_start + tokens
    place = torch.empty_like(order)
    place[order] = torch.arange(len(lengths), device=mask.device)
    return Packing(torch.cat(parts), place, chunks)
