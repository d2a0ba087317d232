"""The token similarity without the [Nt, Nv, T, F] tensor, forward or backward.

Valid words and frames are packed (see `packing`), so the work is proportional to the valid cells.
A chunk of captions meets all frames at once: one matrix product, one exponential for both
directions, then sums over each item's tokens. Only the log-sum-exps are kept ([words, Nv] and
[Nt, frames]); the backward pass makes each block of similarities again.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .common import TokenSimilarity, compute_dtype, mean_over_tokens, unit_vectors
from .jagged import add_columns, add_rows, log_sums, similarity_gradient, slabs
from .packing import Chunk, Packing, pack

CELLS_PER_CHUNK = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Word-frame cells of one block (forward holds one, backward two). On a CPU, smaller blocks are no
faster on idle cores and several times slower on cores shared with loader workers, because every
small operation then waits for a thread that is not running; a GPU needs more to be filled."""

# Cosines lie in [-1, 1]: down to this temperature exp(s / alpha), its sums and their inverses times
# a gradient all stay far inside single precision without subtracting a maximum first.
_UNSHIFTED_ALPHA = 0.025


def token_similarity_chunked(
    text_tokens: Tensor,
    video_tokens: Tensor,
    text_mask: Tensor,
    video_mask: Tensor,
    alpha: float,
    exclude_padding: bool,
    cells_per_chunk: int | None = None,
) -> TokenSimilarity:
    """The same two matrices as the reference, with bounded memory.

    Args:
        cells_per_chunk: size of a block of similarities; None: by device. A block has at least one
            caption's words.

    The other arguments and the result: see `mmpt.ops.token_similarity.token_similarity`. The
    lengths are needed on the host, which waits for the device once per call.
    """
    if cells_per_chunk is None:
        cells_per_chunk = CELLS_PER_CHUNK.get(text_tokens.device.type, CELLS_PER_CHUNK["cpu"])
    video = pack(video_mask)
    text = pack(text_mask, tokens_per_chunk=cells_per_chunk // max(len(video.token), 1))
    text_total, video_total = _PackedSoftMaxima.apply(
        _packed_units(text_tokens, text), _packed_units(video_tokens, video), text, video, alpha
    )
    n_words = text_mask.sum(dim=1).to(text_total.dtype)[:, None]
    n_frames = video_mask.sum(dim=1).to(text_total.dtype)[None, :]
    padded_words = 0 if exclude_padding else text_mask.shape[1]
    padded_frames = 0 if exclude_padding else video_mask.shape[1]
    here = (text.place[:, None], video.place[None, :])
    return TokenSimilarity(
        text_to_video=mean_over_tokens(text_total[here], n_words, n_frames, alpha, padded_words),
        video_to_text=mean_over_tokens(video_total[here], n_frames, n_words, alpha, padded_frames),
    )


def _packed_units(tokens: Tensor, packing: Packing) -> Tensor:
    valid = tokens.reshape(-1, tokens.shape[-1]).index_select(0, packing.token)
    return unit_vectors(valid.to(compute_dtype(tokens)))


class _PackedSoftMaxima(torch.autograd.Function):
    """Sums of soft maxima over valid tokens, items in packed order: two [Nt, Nv] matrices."""

    @staticmethod
    def forward(ctx, words: Tensor, frames: Tensor, text: Packing, video: Packing, alpha: float):
        n_text, n_video = len(text.place), len(video.place)
        over_frames = words.new_empty(len(words), n_video)
        over_words = words.new_empty(n_text, len(frames))
        text_total = words.new_empty(n_text, n_video)
        video_total = words.new_empty(n_text, n_video)
        columns = slabs(video.chunks[0].widths)
        blocks = _SimilarityBlocks(words, frames, text, alpha)
        for chunk in text.chunks:
            rows = slabs(chunk.widths)
            log_sums(
                blocks[chunk],
                rows,
                columns,
                shifted=alpha < _UNSHIFTED_ALPHA,
                over_columns=over_frames[chunk.tokens],
                over_rows=over_words[chunk.items],
            )
            add_rows(over_frames[chunk.tokens], rows, out=text_total[chunk.items])
            add_columns(over_words[chunk.items], columns, out=video_total[chunk.items])
        ctx.save_for_backward(words, frames, over_frames, over_words)
        ctx.text, ctx.columns, ctx.alpha = text, columns, alpha
        return text_total.mul_(alpha), video_total.mul_(alpha)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_text: Tensor, grad_video: Tensor):
        words, frames, over_frames, over_words = ctx.saved_tensors
        grad_words, grad_frames = torch.empty_like(words), torch.zeros_like(frames)
        blocks = _SimilarityBlocks(words, frames, ctx.text, ctx.alpha)
        gradient = torch.empty_like(blocks.buffer)
        for chunk in ctx.text.chunks:
            block = blocks[chunk]
            # alpha from the soft maximum and 1 / alpha from inside it cancel
            grad_block = similarity_gradient(
                block,
                slabs(chunk.widths),
                ctx.columns,
                shifted=ctx.alpha < _UNSHIFTED_ALPHA,
                over_columns=(over_frames[chunk.tokens], grad_text[chunk.items]),
                over_rows=(over_words[chunk.items], grad_video[chunk.items]),
                out=gradient[: len(block)],
            )
            torch.mm(grad_block, frames, out=grad_words[chunk.tokens])
            grad_frames.addmm_(grad_block.T, words[chunk.tokens])
        return grad_words, grad_frames, None, None, None


class _SimilarityBlocks:
    """`blocks[chunk]`: cosines / alpha of the chunk's words with all frames.

    Every block is written into one buffer: fresh memory would cost a page fault per page.
    """

    def __init__(self, words: Tensor, frames: Tensor, text: Packing, alpha: float):
        self.words, self.frames = words / alpha, frames
        most = max(chunk.tokens.stop - chunk.tokens.start for chunk in text.chunks)
        self.buffer = words.new_empty(most, len(frames))

    def __getitem__(self, chunk: Chunk) -> Tensor:
        words = self.words[chunk.tokens]
        return torch.mm(words, self.frames.T, out=self.buffer[: len(words)])
