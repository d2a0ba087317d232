"""A direction for every text, and a tokenizer that knows all of its words."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mmpt.utils.bert import load_tokenizer

WIDTH = 512
"""Of a feature, where a task needs no other."""
ENTRY = 1 / 32
"""Size of a direction's entries: a power of two, so that products and their sums are exact."""
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Codes:
    """Directions of texts, by their token ids; equal tokens share one.

    The first `width` texts get orthogonal directions, as do the next and so on; those of different
    such groups are nearly orthogonal.

    Args:
        bert: folder of the tokenizer.
        tokens: of a text that the model sees, the rest is cut off.
        width: of a feature, a power of two.
    """

    def __init__(self, bert: Path, tokens: int, width: int = WIDTH):
        self.tokenizer = load_tokenizer(str(bert), True)
        self.tokens = tokens
        self.places: dict[tuple[int, ...], int] = {}
        self.width = width
        self.signs = _hadamard(width)
        self.rows: list[np.ndarray] = []

    def add(self, texts: Sequence[str]) -> np.ndarray:
        """The places of some texts, int64 [N]; new ones get the next directions."""
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return np.array([self._place(tuple(one[: self.tokens])) for one in ids])

    def _place(self, key: tuple[int, ...]) -> int:
        place = self.places.setdefault(key, len(self.rows))
        if place == len(self.rows):
            turn, row = divmod(place, self.width)
            flips = np.random.default_rng(turn).choice([-1.0, 1.0], size=self.width)
            self.rows.append((ENTRY * flips * self.signs[row]).astype(np.float32))
        return place

    def vectors(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """float32 [N, width]."""
        return np.stack([self.rows[place] for place in places])

    def of_tokens(self, ids: Iterable[int]) -> np.ndarray:
        """The direction of a text that was added, float32 [width].

        Raises:
            KeyError: it was not.
        """
        return self.rows[self.places[tuple(ids)]]


def _hadamard(size: int) -> np.ndarray:
    """[size, size] of 1 and -1 with orthogonal rows; size is a power of two."""
    signs = np.ones((1, 1))
    while len(signs) < size:
        signs = np.block([[signs, signs], [signs, -signs]])
    return signs


def write_bert(folder: Path, texts: Iterable[str]) -> None:
    """A folder in Hugging Face layout whose tokenizer makes one token of each word of the texts."""
    split, clean = BertPreTokenizer(), BertNormalizer(lowercase=True)
    words = {
        word for text in texts for word, _ in split.pre_tokenize_str(clean.normalize_str(text))
    }
    vocabulary = [*SPECIAL_TOKENS, *sorted(words)]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), "utf-8")
    config = {"model_type": "bert", "vocab_size": len(vocabulary)}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
