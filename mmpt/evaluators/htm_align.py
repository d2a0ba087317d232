"""HTM-Align: which second does a sentence belong to, and does it belong to any.

The protocol (windows, what counts as found) is in `htm_protocol`.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.evaluators.base import Predictor, StatisticsMetric, check_encoded, check_finite
from mmpt.evaluators.htm_protocol import (
    UNTOUCHED,
    WINDOW,
    Window,
    evaluated_windows,
    hits,
    merge_windows,
    reach,
)
from mmpt.evaluators.statistics import PairShare, Share, Statistic

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 256
"""Texts or windows encoded at once where `fairseq.dataset.batch_size` is not set."""


class Alignment(NamedTuple):
    """One video's result: n sentences, L seconds.

    Attributes:
        similarity: float32 [n, L], the cosine of sentence and second; -6e4 where no window was.
        coverage: int16 [n, L], how many windows were averaged.
        sentences: float64 [n, 3]: aligned, start, end.
        texts: n sentences.
    """

    similarity: np.ndarray
    coverage: np.ndarray
    sentences: np.ndarray
    texts: list[str]


class HTMAlignPredictor(Predictor):
    """Similarity of every sentence with every second, over windows of 32 s moved by 8 s.

    A batch is one whole video, so memory does not grow with the benchmark.  Each text of it is
    encoded once, and its windows together, `fairseq.dataset.batch_size` rows at a time.

    Raises:
        ConfigError: `dataset.max_video_len` leaves no room for a window.
    """

    processors: ClassVar[Mapping[str, str]] = {
        "meta_processor": "HTMAlignMetaProcessor",
        "video_processor": "VideoProcessor",
        "text_processor": "HTMAlignTextProcessor",
        "aligner": "HTMAlignAligner",
    }
    items_per_batch = 1
    scores_suffix = ""

    def __init__(self, config):
        super().__init__(config)
        self.slots: int = setting(config, "dataset.max_video_len", WINDOW)
        self.rows: int = setting(config, "fairseq.dataset.batch_size", ROWS_AT_ONCE)
        if self.slots < WINDOW:
            raise ConfigError(
                f"dataset.max_video_len: got {self.slots}; HTM-Align compares windows of {WINDOW} "
                "seconds, so it must be at least that"
            )

    def predict(self, model: nn.Module, batches: Iterable[dict]) -> dict[str, Any]:
        """The alignments of all videos, sorted by video id.

        Returns:
            `outputs`: a list of similarities float32 [n, L]; `targets`: a list of float64 [n, 3]
            (aligned, start, end); `video_ids`, `texts`, `coverage`: the same for each video.

        Raises:
            ConfigError: the model does not encode video and text apart.
            DataError: no video.
            NonFiniteScores: the model gives NaN or inf.
        """
        if not (hasattr(model, "encode_text") and hasattr(model, "encode_video")):
            raise ConfigError(
                f"model.model_cls: {type(model).__name__} does not encode video and text apart, "
                "which HTM-Align needs; use MMFusionSeparate"
            )
        found: dict[str, Alignment] = {}
        for batch in batches:
            for row, video_id in enumerate(batch["video_id"]):
                found[video_id] = self.align_video(model, {k: v[row] for k, v in batch.items()})
        if not found:
            raise DataError("HTM-Align: the test set is empty")
        videos = {video_id: found[video_id] for video_id in sorted(found)}
        finite = [bool(np.isfinite(video.similarity).all()) for video in videos.values()]
        check_encoded(finite, videos, "HTM-Align: videos")
        return {
            "outputs": [video.similarity for video in videos.values()],
            "targets": [video.sentences for video in videos.values()],
            "video_ids": list(videos),
            "texts": [video.texts for video in videos.values()],
            "coverage": [video.coverage for video in videos.values()],
        }

    def align_video(self, model: nn.Module, video: Mapping[str, Any]) -> Alignment:
        """Aligns one video; `video` is an item as `HTMAlignAligner` makes it."""
        sentences, seconds = video["sentences"], len(video["vfeats"])
        windows = evaluated_windows(sentences, seconds)
        scores: Sequence[np.ndarray] = []
        if windows:
            texts = self._encode_texts(model, video["caps"], video["cmasks"])
            scores = self._compare(model, video, windows, texts)
        similarity, coverage = merge_windows(scores, windows, len(sentences), seconds)
        return Alignment(similarity, coverage, sentences, video["texts"])

    def _encode_texts(self, model: nn.Module, caps: Tensor, cmasks: Tensor) -> Tensor:
        """Pooled texts of length 1, [n, hidden]."""
        parts = zip(caps.split(self.rows), cmasks.split(self.rows), strict=True)
        pooled = [model.encode_text(c, m).pooled for c, m in parts]
        return normalize(torch.cat(pooled).float(), dim=-1)

    def _compare(
        self, model: nn.Module, video: Mapping[str, Any], windows: list[Window], texts: Tensor
    ) -> np.ndarray:
        """Cosines of the texts with the frames of every window, [windows, n, slots]."""
        vfeats, vmasks = cut_windows(video["vfeats"], windows, self.slots)
        scores = []
        for v, m in zip(vfeats.split(self.rows), vmasks.split(self.rows), strict=True):
            states = model.encode_video(v, m).states[:, 1 : 1 + self.slots]  # the first is [CLS]
            frames = normalize(states.float(), dim=-1)
            scores.append((texts @ frames.mT).cpu())
        return torch.cat(scores).numpy()

    def save_scores(self, path: Path, predictions: Mapping[str, Any]) -> None:
        """Writes a folder with one file a video; an older folder of that name makes way.

        `VIDEO_ID.npz` holds `similarity` and `coverage` [n, L], `texts`, `aligned`, `start` and
        `end` [n].  The folder is there whole or not at all.
        """
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        partial.mkdir(parents=True)
        try:
            columns = ("video_ids", "outputs", "coverage", "targets", "texts")
            for video_id, similarity, coverage, sentences, texts in zip(
                *(predictions[name] for name in columns), strict=True
            ):
                np.savez(
                    partial / f"{video_id}.npz",
                    similarity=similarity,
                    coverage=coverage,
                    texts=np.array(texts),
                    aligned=sentences[:, 0] == 1,
                    start=sentences[:, 1],
                    end=sentences[:, 2],
                )
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def cut_windows(vfeats: Tensor, windows: Sequence[Window], slots: int) -> tuple[Tensor, Tensor]:
    """The seconds of every window, padded with zeros.

    Args:
        vfeats: float [L, width].
        windows: W of them.
        slots: frames of an input, at least as many as a window has seconds.

    Returns:
        float [W, slots, width] and bool [W, slots].
    """
    cut = vfeats.new_zeros(len(windows), slots, vfeats.size(1))
    mask = torch.zeros(len(windows), slots, dtype=torch.bool, device=vfeats.device)
    for row, window in enumerate(windows):
        length = window.end - window.start
        cut[row, :length] = vfeats[window.start : window.end]
        mask[row, :length] = True
    return cut, mask


class HTMAlignMetric(StatisticsMetric):
    """Recall: alignable sentences whose best second is right.  AUC: is it alignable at all."""

    metric_names = ("Recall", "AUC")

    def statistics(
        self, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], **ignored
    ) -> dict[str, Statistic]:
        """The two numbers over all videos; what could be reached at all is logged.

        Args:
            outputs: a similarity [n, L] a video, -6e4 where no window was.
            targets: float64 [n, 3] a video: aligned (0 or 1), start, end in seconds.

        Returns:
            `Recall`, a fraction of the alignable sentences; `AUC`, the area under the ROC curve of
            a sentence's best similarity against its flag, over all sentences.

        Raises:
            DataError: shapes that do not fit, NaN, or sentences of one kind only.
        """
        _check(outputs, targets)
        aligned = np.concatenate([video[:, 0] for video in targets]) == 1
        kinds = {"alignable": aligned.sum(), "not alignable": (~aligned).sum()}
        for kind, count in kinds.items():
            if count == 0:
                raise DataError(
                    f"HTM-Align: none of the {len(aligned)} sentences is {kind}; Recall needs "
                    "alignable ones, AUC and the choice of windows need the others"
                )
        found = [hits(s, t) for s, t in zip(outputs, targets, strict=True)]
        right, alignable = ([f(video) for video in found] for f in (np.sum, len))
        best = [similarity.max(axis=1) for similarity in outputs]
        flags = [video[:, 0] == 1 for video in targets]
        limits = reach([similarity > UNTOUCHED for similarity in outputs], targets)
        logger.info(
            "HTM-Align: %d videos, %d alignable and %d other sentences; the windows allow Recall "
            "%.3f and AUC %.3f at best, chance is %.3f and %.3f",
            len(targets),
            *kinds.values(),
            *limits.best.values(),
            *limits.chance.values(),
        )
        return {
            "Recall": Share(np.array(right)[:, None], np.array(alignable)[:, None]),
            "AUC": PairShare.of_scores(best, flags),
        }


def _check(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
    if len(outputs) != len(targets) or len(targets) == 0:
        raise DataError(f"HTM-Align: {len(outputs)} similarities for {len(targets)} videos")
    for number, (similarity, sentences) in enumerate(zip(outputs, targets, strict=True)):
        rows = similarity.shape[0] if similarity.ndim == 2 else None
        if sentences.ndim != 2 or sentences.shape[1] != 3 or rows != len(sentences):
            raise DataError(
                f"HTM-Align: video {number}: similarity {list(similarity.shape)} for sentences "
                f"{list(sentences.shape)}; needed: [n, seconds] and [n, 3]"
            )
        check_finite(similarity, f"HTM-Align, video {number}")


def load_alignments(folder: str | Path) -> dict[str, Alignment]:
    """What `HTMAlignPredictor.save_scores` wrote, by video id.

    Raises:
        DataError: the folder holds no such file.
    """
    videos = {}
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            columns = [stored[name] for name in ("aligned", "start", "end")]
            sentences = np.stack(columns, axis=1).astype(np.float64)
            texts = stored["texts"].tolist()
            videos[path.stem] = Alignment(
                stored["similarity"], stored["coverage"], sentences, texts
            )
    if not videos:
        raise DataError(f"{folder}: no VIDEO_ID.npz of an HTM-Align evaluation")
    return videos
