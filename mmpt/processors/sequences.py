"""Token and frame sequences as the model reads them, written into arrays that exist already.

A data set item holds a thousand clips.  The aligners allocate the arrays of a whole item once and
every clip is copied into its row, straight from the mapped file.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np


class CaptionTokens(Sequence):
    """The token ids of a video's captions, packed.

    `captions[i]` is the list of ids of caption i.  Inside, all ids lie in one array, so that the
    ids of neighbouring captions are one slice.

    Args:
        ids: [total] integers, the captions one after the other.
        offsets: list of n + 1 positions; caption i is ids[offsets[i]:offsets[i + 1]].

    Attributes:
        lengths: the number of tokens of each caption, a list of n ints.
    """

    def __init__(self, ids: np.ndarray, offsets: list[int]):
        self.ids = ids
        self.offsets = offsets
        self.lengths = [stop - start for start, stop in pairwise(offsets)]

    @classmethod
    def from_padded(cls, padded: np.ndarray) -> "CaptionTokens":
        """From [captions, width] ids with -1 after the last one (the form on disk)."""
        valid = padded >= 0
        return cls(padded[valid], [0, *np.cumsum(valid.sum(axis=1)).tolist()])

    @classmethod
    def from_lists(cls, captions: Iterable[Sequence[int]]) -> "CaptionTokens":
        """From one list of ids a caption."""
        if isinstance(captions, cls):
            return captions
        captions = [list(caption) for caption in captions]
        ids = np.array([token for caption in captions for token in caption], dtype=np.int64)
        return cls(ids, [0, *np.cumsum([len(caption) for caption in captions]).tolist()])

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
