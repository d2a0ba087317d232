"""What is planted, and what must come out, in common to all tasks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmpt.proof.codes import WIDTH, Codes

CLIP_SECONDS = 10
"""Of a video whose annotation says nothing of its length."""
TAIL_SECONDS = 5
"""Of a video behind its last annotated second."""


class Planting(NamedTuple):
    """Features of every video, and what the protocol makes of them.

    Attributes:
        features: video -> float32 [seconds, width].
        best: metric -> the number without noise.
        chance: metric -> the number where videos are exchanged, and how far off it may be.
    """

    features: dict[str, np.ndarray]
    best: dict[str, float]
    chance: dict[str, tuple[float, float]]


class Task(NamedTuple):
    """One evaluation.

    Attributes:
        job: the job file.
        texts: dataset section -> all texts, for the tokenizer.
        plant: (dataset section, codes) -> Planting.
        width: of the features; tasks that compare many texts of one video need more.
    """

    job: str
    texts: Callable[[Mapping[str, Any]], Sequence[str]]
    plant: Callable[[Mapping[str, Any], Codes], Planting]
    width: int = WIDTH


def spread(seconds: int, spans: Sequence[tuple[int, int]], vectors: np.ndarray) -> np.ndarray:
    """A video whose seconds show the sum of the directions of all spans that hold them.

    Args:
        seconds: length of the video.
        spans: (first second, second after the last).
        vectors: float32 [spans, width].

    Returns:
        float32 [seconds, width].
    """
    features = np.zeros((seconds, vectors.shape[1]), dtype=np.float32)
    for (start, end), vector in zip(spans, vectors, strict=True):
        features[start:end] += vector
    return features


def recalls_with_duplicates(texts: Sequence[Any], clips: Sequence[Any]) -> dict[str, float]:
    """R1, R5, R10 and MR of a perfect scorer: of equal texts, or equal clips, the last one wins.

    Args:
        texts, clips: what tells each text, and each clip, from the others; N of each.
    """
    later = np.zeros(len(texts), dtype=int)
    seen: Counter = Counter()
    for row in reversed(range(len(texts))):
        text, clip = ("text", texts[row]), ("clip", clips[row])
        later[row] = seen[text] + seen[clip] - seen[text, clip]
        seen.update([text, clip, (text, clip)])
    recalls = {f"R{depth}": float((later < depth).mean()) for depth in (1, 5, 10)}
    return {**recalls, "MR": float(np.median(later)) + 1}


def both_ways(numbers: Mapping[str, float]) -> dict[str, float]:
    """The same numbers for the other direction of retrieval as well."""
    return {**numbers, **{f"V2T-{name}": number for name, number in numbers.items()}}


def random_recalls(candidates: int, queries: int | None = None) -> dict[str, tuple[float, float]]:
    """R1, R5, R10 of a random ranking, within 4 standard deviations."""
    queries = candidates if queries is None else queries
    chances = {f"R{depth}": min(1.0, depth / candidates) for depth in (1, 5, 10)}
    return {name: (p, four_sigma(p, queries)) for name, p in chances.items()}


def four_sigma(p: float, draws: int) -> float:
    """Four standard deviations of a share of independent draws."""
    return 4 * (p * (1 - p) / draws) ** 0.5 + 1e-9
