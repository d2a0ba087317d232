"""Aligners that draw `clip_per_video` clips, with their captions, from a long video.

How a clip is drawn is in sampling.py; the classes here differ in two rules only: how long the text
may grow, and which seconds belong to it.
"""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.processors import sampling
from mmpt.processors.paths import required
from mmpt.processors.processor import Aligner
from mmpt.processors.sampling import ClipSpan
from mmpt.processors.sequences import CaptionTokens, write_text, write_video

SPAN_KEYS = ("video_start", "video_end", "text_start", "text_end")


class FixedLenAligner(Aligner):
    """Draws `clip_per_video` clips: captions up to the length of the text sequence, their seconds.

    `dataset.clip_per_video`, where it is set, replaces `dataset.subsampling`.

    Attributes:
        clips: the number of clips of a video.

    Raises:
        ConfigError: neither key is set, or the number is below 1.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.clips: int = setting(config, "clip_per_video", setting(config, "subsampling", 0))
        if self.clips < 1:
            raise ConfigError(
                "dataset.clip_per_video (or subsampling): at least 1 clip a video is needed, got "
                f"{self.clips or 'neither'}"
            )
        self.keep_prob: float = setting(config, "keep_prob", 1.0)

    def token_budget(self) -> int:
        """The number of tokens at which a text stops growing; may draw."""
        return self.max_text_len

    def video_span(self, start: float, end: float, video_len: int) -> tuple[int, int]:
        """The seconds of the clip that goes with a text from `start` to `end`; may draw."""
        return sampling.text_seconds(start, end, video_len)

    def draw_clips(self, video_len: int, text_feature: dict[str, Any]) -> list[ClipSpan]:
        """Draws the clips of one video, in temporal order.

        Args:
            video_len: seconds of the video.
            text_feature: as `ShardedTextProcessor` gives it, `cap` a `CaptionTokens`.
        """
        starts, ends = text_feature["start"], text_feature["end"]
        lengths = text_feature["cap"].lengths
        spans = []
        for _ in range(self.clips):
            centre = random.randint(0, len(starts) - 1)
            text = sampling.grow_text_span(
                lengths, starts, ends, centre, self.token_budget(), self.keep_prob
            )
            video_start, video_end = self.video_span(text.start, text.end, video_len)
            captions = text.captions
            spans.append(ClipSpan(captions[0], video_start, captions[-1] + 1, video_end, captions))
        return sorted(spans, key=ClipSpan.order)

    def __call__(
        self, video_id: Any, video_feature: np.ndarray, text_feature: dict[str, Any]
    ) -> dict[str, Any]:
        """The clips of one video.

        Returns:
            caps int64 and cmasks bool [clips, max_len - max_video_len]; vfeats float32
            [clips, max_video_len, width] and vmasks bool [clips, max_video_len]; video_start,
            video_end (seconds) and text_start, text_end (captions), int64 [clips]; video_id.

        Raises:
            DataError: the video has no second or no caption, or features that are not finite.
        """
        item = self._allocate((self.clips,), video_feature.shape[1])
        self._write_clips(item, video_id, video_feature, text_feature)
        return {**to_torch(item), "video_id": plain_id(video_id)}

    def _allocate(self, shape: tuple[int, ...], width: int) -> dict[str, np.ndarray]:
        """Arrays for clips [*shape]; `_write_clips` sets every value."""
        text_len = self.max_len - self.max_video_len
        return {
            "caps": np.empty((*shape, text_len), dtype=np.int64),
            "cmasks": np.empty((*shape, text_len), dtype=bool),
            "vfeats": np.empty((*shape, self.max_video_len, width), dtype=np.float32),
            "vmasks": np.empty((*shape, self.max_video_len), dtype=bool),
            **{key: np.empty(shape, dtype=np.int64) for key in SPAN_KEYS},
        }

    def _write_clips(
        self,
        rows: dict[str, np.ndarray],
        video_id: Any,
        video_feature: np.ndarray,
        text_feature: dict[str, Any],
    ) -> None:
        """Draws the clips of one video into arrays with a leading axis of clips."""
        if len(video_feature) == 0 or len(text_feature["start"]) == 0:
            raise DataError(
                f"video {plain_id(video_id)}: {len(video_feature)} seconds and "
                f"{len(text_feature['start'])} captions; at least one of each is needed"
            )
        captions = CaptionTokens.from_lists(text_feature["cap"])
        spans = self.draw_clips(len(video_feature), {**text_feature, "cap": captions})
        for row, span in enumerate(spans):
            write_text(
                captions.join(span.captions), self._special, rows["caps"][row], rows["cmasks"][row]
            )
            write_video(
                video_feature,
                (span.video_start,),
                (span.video_end,),
                rows["vfeats"][row],
                rows["vmasks"][row],
            )
            for key in SPAN_KEYS:
                rows[key][row] = getattr(span, key)
        # shards of older tools were never checked; one sum is cheap, and NaN and inf stay in it
        if not np.isfinite(rows["vfeats"].sum()):
            raise DataError(
                f"video {plain_id(video_id)}: NaN or inf in its features; extract them again and "
                "write its shard anew"
            )


class VariedLenAligner(FixedLenAligner):
    """As `FixedLenAligner`, with a number of tokens drawn for every clip.

    Raises:
        ConfigError: `sampled_min_len` or `sampled_max_len` is not set.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.sampled_min_len: int = required(config, "sampled_min_len")
        self.sampled_max_len: int = required(config, "sampled_max_len")

    def token_budget(self) -> int:
        return random.randint(self.sampled_min_len, self.sampled_max_len)


class OverlappedAligner(VariedLenAligner):
    """As `VariedLenAligner`, with a clip that overlaps its text but is not the same span.

    A second of the text is drawn, and a clip of a drawn length grown around it.

    Raises:
        ConfigError: `sampled_video_min_len` or `sampled_video_max_len` is not set.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.sampled_video_min_len: int = required(config, "sampled_video_min_len")
        self.sampled_video_max_len: int = required(config, "sampled_video_max_len")

    def video_span(self, start: float, end: float, video_len: int) -> tuple[int, int]:
        centre = sampling.draw_centre_second(start, end, video_len)
        budget = random.randint(self.sampled_video_min_len, self.sampled_video_max_len)
        return sampling.grow_video_span(centre, budget, video_len)


def plain_id(video_id: Any) -> str:
    """The id alone, out of (id, index, shard, position) or as it is."""
    return video_id[0] if isinstance(video_id, tuple) else video_id


def to_torch(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Tensors over the same memory."""
    return {key: torch.from_numpy(array) for key, array in arrays.items()}
