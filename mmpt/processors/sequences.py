"""Token and frame sequences as the model reads them, written into arrays that exist already.

A data set item holds a thousand clips.  The aligners allocate the arrays of a whole item once, and
what is read from the mapped files goes straight there: all texts of the item in one go, the frames
of all clips of a video in one go.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch


class CaptionTokens(Sequence):
    """The token ids of a video's captions, packed.

    `captions[i]` is the list of ids of caption i.  Inside, all ids lie in one array, so that the
    ids of neighbouring captions are one slice.

    Args:
        ids: [total] integers, the captions one after the other.
        lengths: the number of tokens of each caption, int [n], adding up to total.

    Attributes:
        lengths: the same as a list.
        offsets: list of n + 1 positions; caption i is ids[offsets[i]:offsets[i + 1]].
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray):
        self.ids = ids
        self.lengths: list[int] = lengths.tolist()
        self.offsets: list[int] = [0, *lengths.cumsum().tolist()]

    @classmethod
    def from_padded(cls, padded: np.ndarray) -> "CaptionTokens":
        """From [captions, width] ids with -1 after the last one (the form on disk)."""
        valid = padded >= 0
        return cls(padded[valid], np.count_nonzero(valid, axis=1))

    @classmethod
    def from_lists(cls, captions: Iterable[Sequence[int]]) -> "CaptionTokens":
        """From one list of ids a caption."""
        if isinstance(captions, cls):
            return captions
        captions = [list(caption) for caption in captions]
        ids = np.array([token for caption in captions for token in caption], dtype=np.int64)
        return cls(ids, np.array([len(caption) for caption in captions], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> list[int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"caption {index} of {len(self)}")
        index %= len(self)
        return self.ids[self.offsets[index] : self.offsets[index + 1]].tolist()

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of the same lists of ids."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    def __repr__(self) -> str:
        return f"CaptionTokens({list(self)})"

    def join(self, chosen: Sequence[int]) -> np.ndarray:
        """The ids of the chosen captions one after the other, [tokens]; ascending indices."""
        first, last = chosen[0], chosen[-1]
        if last - first + 1 == len(chosen):
            return self.ids[self.offsets[first] : self.offsets[last + 1]]
        parts = [self.ids[self.offsets[i] : self.offsets[i + 1]] for i in chosen]
        return np.concatenate(parts)


def write_text(
    ids: np.ndarray | Sequence[int],
    special: tuple[int, int, int],
    caps: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Writes [CLS] [SEP] ids [SEP] [PAD]... ; ids that do not fit are cut off.

    Args:
        ids: [n] token ids without special tokens.
        special: the ids of [CLS], [SEP] and [PAD].
        caps: [L] int64, overwritten.
        mask: [L] bool, overwritten; True on all but padding.
    """
    cls_id, sep_id, pad_id = special
    count = min(len(ids), len(caps) - 3)
    caps[0] = cls_id
    caps[1] = sep_id
    caps[2 : count + 2] = ids[:count]
    caps[count + 2] = sep_id
    caps[count + 3 :] = pad_id
    mask[: count + 3] = True
    mask[count + 3 :] = False


def write_texts(
    texts: Sequence[np.ndarray],
    special: tuple[int, int, int],
    caps: np.ndarray,
    masks: np.ndarray,
) -> None:
    """`write_text` for many texts at once.

    Args:
        texts: N arrays of token ids without special tokens.
        special: the ids of [CLS], [SEP] and [PAD].
        caps: [N, L] integers, overwritten.
        masks: [N, L] bool, overwritten.
    """
    cls_id, sep_id, pad_id = special
    room = caps.shape[1] - 3
    cut = [text[:room] for text in texts]
    lengths = np.array([len(text) for text in cut])[:, None]
    place = np.arange(caps.shape[1])
    np.less(place, lengths + 3, out=masks)
    caps[...] = pad_id
    caps[:, 0] = cls_id
    caps[:, 1] = sep_id
    # in the order of a mask's True cells, rows come one after the other: just like the texts
    caps[(place >= 2) & (place < lengths + 2)] = np.concatenate(cut)
    caps[np.arange(len(cut)), lengths[:, 0] + 2] = sep_id


def write_video(
    features: np.ndarray,
    starts: Sequence[int],
    ends: Sequence[int],
    vfeats: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Writes the chosen seconds of a video one clip after the other, then zeros.

    Args:
        features: [seconds, width], float16 or float32.
        starts, ends: the clips in seconds, end excluded; seconds outside the video do not count.
        vfeats: [F, width] float32, overwritten; what does not fit is cut off.
        mask: [F] bool, overwritten; True on frames.
    """
    filled = 0
    for start, end in zip(starts, ends, strict=True):
        start = max(0, start)
        count = min(end, len(features)) - start
        count = min(count, len(vfeats) - filled)
        if count > 0:
            vfeats[filled : filled + count] = features[start : start + count]
            filled += count
    vfeats[filled:] = 0.0
    mask[:filled] = True
    mask[filled:] = False


def write_clips(
    features: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    vfeats: np.ndarray,
    masks: np.ndarray,
) -> bool:
    """`write_video` for many clips of one video at once, one span of seconds each.

    numpy converts float16 ten times slower than torch, so torch does it, out of a copy of the rows
    that is small enough to stay in the processor's cache.

    Args:
        features: [seconds, width], float16 or float32; at least one second.
        starts, ends: int [C], the clips in seconds, end excluded; seconds outside the video do not
            count.
        vfeats: [C, F, width] float32, contiguous, overwritten; what does not fit is cut off.
        masks: [C, F] bool, overwritten.

    Returns:
        Whether all that was written is finite.
    """
    clips, frames, width = vfeats.shape
    place = np.arange(frames)
    starts = np.maximum(starts, 0)
    lengths = (np.minimum(ends, len(features)) - starts)[:, None]
    np.less(place, lengths, out=masks)
    # a clip's padding is read from its own last second: no other page of the file is touched
    rows = starts[:, None] + np.minimum(place, np.maximum(lengths - 1, 0))
    flat = torch.from_numpy(vfeats.reshape(clips * frames, width))
    chosen = features.take(rows.ravel(), axis=0, mode="clip")
    chosen[~masks.ravel()] = 0
    flat.copy_(torch.from_numpy(chosen))
    # one sum is cheap, and NaN and inf stay in it
    return bool(torch.isfinite(flat.sum()))
