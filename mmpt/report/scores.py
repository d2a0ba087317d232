"""The scores that `mmpt predict` writes beside a results file, read and checked against it."""

import json
import zipfile
import zlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmpt.errors import DataError
from mmpt.evaluators.htm_align import Alignment, load_alignments
from mmpt.evaluators.retrieval import diagonal_ranks, retrieval_ranks
from mmpt.evaluators.video_paragraph import (
    Videos,
    caption_average,
    clips_of_videos,
    exact_alignments,
    windows_of_videos,
)
from mmpt.report.results import Result

BACKGROUND = "FullVideoBGRetrievalMetric"
PARAGRAPHS = ("FullVideoRetrievalMetric", BACKGROUND)
RETRIEVAL = "RetrievalMetric"
ALIGNMENT = "HTMAlignMetric"
"""The metric classes whose scores are drawn."""
TOLERANCE = 1e-9
DAMAGED = (
    *(KeyError, ValueError, TypeError, AttributeError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises of a file that is none of its own, or is cut."""


class Queries(NamedTuple):
    """Every query against every candidate; the right one of query i is candidate i.

    Attributes:
        scores: float [N, M], larger is better.
        ranks: int64 [N], place of the right one, from 0.
        texts: N; None where an earlier version wrote no names.
        candidates: what the M are called; None likewise.
    """

    scores: np.ndarray
    ranks: np.ndarray
    texts: list[str] | None
    candidates: list[str] | None


class Paragraphs(NamedTuple):
    """Whole videos by paragraphs.

    Attributes:
        videos: the scores of V videos.
        texts: a list of captions a video.
        similar: protocol -> [V, V], larger is better; the first is caption average.
        background: whether clips are windows over everything.
    """

    videos: Videos
    texts: list[list[str]]
    similar: dict[str, np.ndarray]
    background: bool


def read_queries(result: Result) -> Queries:
    """The scores of a text-to-video retrieval.

    Raises:
        DataError: missing, damaged, or not those of this result.
    """
    path = _scores_path(result)
    scores = _read_matrix(path)
    try:
        ranks = retrieval_ranks(scores)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    _check_recall(result, {"": ranks}, path)
    names = _read_names(path)
    if names is None:
        return Queries(scores, ranks, None, None)
    texts, videos = _strings(names, "texts", path), _strings(names, "video_ids", path)
    if (len(texts), len(videos)) != scores.shape:
        raise DataError(
            f"{names_file(path)}: {len(texts)} texts and {len(videos)} videos for scores "
            f"{list(scores.shape)}"
        )
    if names.get("clips") is not None:
        clips = _clips(names, len(videos), path)
        videos = [f"{video} {a}-{b} s" for video, (a, b) in zip(videos, clips, strict=True)]
    return Queries(scores, ranks, texts, videos)


def read_paragraphs(result: Result) -> Paragraphs:
    """The scores of a video-paragraph retrieval, compared in the textbook's protocols.

    The published DTW and OTAM are left out: their paths are not what their names say.

    Raises:
        DataError: missing, damaged, or not those of this result.
    """
    path = _scores_path(result)
    scores, names = _read_matrix(path), _read_names(path)
    if names is None:
        raise DataError(
            f"{names_file(path)}: not there; which video a row belongs to stands in it: evaluate "
            "anew (an earlier version wrote none)"
        )
    background = result.metric == BACKGROUND
    texts, ids = _strings(names, "texts", path), _strings(names, "video_ids", path)
    if len(texts) != len(scores):
        raise DataError(f"{names_file(path)}: {len(texts)} texts for scores {list(scores.shape)}")
    try:
        if background:
            lengths = [_counts(names, name, path) for name in ("video_lengths", "text_lengths")]
            videos = windows_of_videos(scores, ids, *lengths)
            own = _texts_of_windows(texts, ids, lengths[1])
        else:
            videos = clips_of_videos(scores, ids)
            own = _texts_of_clips(texts, ids)
    except DataError as error:
        raise DataError(f"{path}: not the scores of whole videos ({error})") from error
    grouped = [own[name] for name in videos.ids]
    similar = {"": caption_average(videos), **exact_alignments(videos, background)}
    ranks = {f"{name}-" if name else "": diagonal_ranks(s) for name, s in similar.items()}
    _check_recall(result, ranks, path)
    return Paragraphs(videos, grouped, similar, background)


def read_alignments(result: Result) -> dict[str, Alignment]:
    """The alignments of HTM-Align, by video.

    Raises:
        DataError: missing or damaged.
    """
    path = _scores_path(result)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; evaluate {result.checkpoint} anew")
    try:
        return load_alignments(path)
    except DAMAGED as error:
        raise DataError(f"{path}: damaged ({error})") from error


def names_file(path: Path) -> Path:
    """Where the names of a score matrix's rows and columns stand."""
    return path.with_suffix(".json")


def _scores_path(result: Result) -> Path:
    if result.scores is None:
        raise DataError(f"{result.file}: names no scores of {result.checkpoint}")
    return result.scores


def _read_matrix(path: Path) -> np.ndarray:
    if not path.is_file():
        raise DataError(f"{path}: no such file; evaluate that checkpoint anew")
    try:
        scores = np.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise DataError(f"{path}: not a NumPy file ({error})") from error
    if not isinstance(scores, np.ndarray):
        raise DataError(f"{path}: an archive; one float matrix is needed")
    if scores.ndim != 2 or scores.dtype.kind != "f":
        raise DataError(f"{path}: {scores.dtype} {list(scores.shape)}; a float matrix is needed")
    return scores


def _read_names(path: Path) -> Mapping[str, Any] | None:
    file = names_file(path)
    if not file.is_file():
        return None
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{file}: not a JSON file ({error})") from error
    if not isinstance(names, dict):
        raise DataError(f"{file}: expected an object with texts and video_ids")
    return names


def _strings(names: Mapping[str, Any], name: str, path: Path) -> list[str]:
    """A list of texts or ids."""
    found = names.get(name)
    if not isinstance(found, list) or not all(isinstance(one, str | int) for one in found):
        raise _wrong_form(names, name, path, "a list of strings")
    return list(map(str, found))


def _counts(names: Mapping[str, Any], name: str, path: Path) -> list[int]:
    """A list of how many."""
    found = names.get(name)
    if not isinstance(found, list) or not all(type(one) is int and one > 0 for one in found):
        raise _wrong_form(names, name, path, "a list of whole numbers from 1")
    return found


def _clips(names: Mapping[str, Any], count: int, path: Path) -> list[list[float]]:
    """The ends of every clip."""
    found = names["clips"]
    fits = isinstance(found, list) and len(found) == count
    if not fits or not all(isinstance(one, list) and len(one) == 2 for one in found):
        raise _wrong_form(names, "clips", path, f"{count} pairs of seconds")
    return found


def _wrong_form(names: Mapping[str, Any], name: str, path: Path, needed: str) -> DataError:
    found = names.get(name)
    got = f"{len(found)} of them" if isinstance(found, list) else type(found).__name__
    return DataError(f"{names_file(path)}: {name}: needed {needed}; got {got}")


def _check_recall(result: Result, ranks: Mapping[str, np.ndarray], path: Path) -> None:
    """Whether scores give the numbers that the results file holds: both may be of two days."""
    for protocol, places in ranks.items():
        for depth in (1, 5, 10):
            name = f"{protocol}R{depth}"
            told, found = result.metrics.get(name), float((places < depth).mean())
            if isinstance(told, float) and abs(told - found) > TOLERANCE:
                raise DataError(
                    f"{path}: its {name} is {found:.4f}, that of {result.file.name} {told:.4f}: "
                    "they are not of one evaluation; evaluate anew"
                )


def _texts_of_clips(texts: Sequence[str], ids: Sequence[str]) -> dict[str, list[str]]:
    own: dict[str, list[str]] = {}
    for video, text in zip(ids, texts, strict=True):
        own.setdefault(video, []).append(text)
    return own


def _texts_of_windows(
    texts: Sequence[str], ids: Sequence[str], counts: Sequence[int]
) -> dict[str, list[str]]:
    start, own = 0, {}
    for video, count in zip(distinct(ids), counts, strict=True):
        own[video] = list(texts[start : start + count])
        start += count
    return own


def distinct(names: Sequence[Hashable]) -> list:
    """The names, each once, in the order of their first place."""
    return list(dict.fromkeys(names))
