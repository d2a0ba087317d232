"""Aligners that draw `clip_per_video` clips, with their captions, from a long video.

How a clip is drawn is in sampling.py; the classes here differ in two rules only: how long the text
may grow, and which seconds belong to it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.processors import sampling
from mmpt.processors.paths import required
from mmpt.processors.processor import Aligner
from mmpt.processors.reuse import ReusedMemory
from mmpt.processors.samplers import TextClipSamplingProcessor, VideoClipSamplingProcessor
from mmpt.processors.sampling import ClipSpan
from mmpt.processors.sequences import CaptionTokens, write_clips, write_texts

SPAN_KEYS = ("video_start", "video_end", "text_start", "text_end")


class FixedLenAligner(Aligner):
    """Draws `clip_per_video` clips: captions up to the length of the text sequence, their seconds.

    `dataset.clip_per_video`, where it is set, replaces `dataset.subsampling`.

    Attributes:
        clips: the number of clips of a video.
        text_clip_sampler: draws the captions of a clip.

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
        self.text_clip_sampler = TextClipSamplingProcessor(
            self.max_text_len, setting(config, "keep_prob", 1.0)
        )
        self._memory = ReusedMemory()

    def centre_caption(self, captions: int) -> int:
        """The caption that a text grows from, of so many; may draw."""
        return sampling.randint(0, captions - 1)

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
        spans = []
        for _ in range(self.clips):
            centre = self.centre_caption(len(starts))
            captions = self.text_clip_sampler(text_feature, centre, self.token_budget())
            first, last = captions[0], captions[-1]
            video_start, video_end = self.video_span(starts[first], ends[last], video_len)
            spans.append(ClipSpan(first, video_start, last + 1, video_end, captions))
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
            DataError: the video has no second or no caption, features that are not finite, or
                token ids that the tokenizer does not know.
        """
        item = self.align_videos([video_id], [video_feature], [text_feature])
        return {key: value[0] for key, value in item.items()}

    def align_videos(
        self,
        video_ids: Sequence[Any],
        video_features: Sequence[np.ndarray],
        text_features: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """The clips of several videos, with a leading axis of videos; video_id is a list of str.

        Everything is written into the item itself, once: to stack videos would copy them again.

        Raises:
            DataError: as `__call__`, naming the video.
        """
        names = [plain_id(video_id) for video_id in video_ids]
        spans: list[ClipSpan] = []
        texts: list[np.ndarray] = []
        for name, video, text in zip(names, video_features, text_features, strict=True):
            if len(video) == 0 or len(text["start"]) == 0:
                raise DataError(
                    f"video {name}: {len(video)} seconds and {len(text['start'])} captions; at "
                    "least one of each is needed"
                )
            captions = CaptionTokens.from_lists(text["cap"])
            drawn = self.draw_clips(len(video), {**text, "cap": captions})
            spans += drawn
            texts += [captions.join(span.captions) for span in drawn]

        bounds = np.array([span.order() for span in spans], dtype=np.int64)
        bounds = bounds.reshape(len(names), self.clips, 4)
        item = {
            **self._text_sequences(texts, names),
            **self._video_sequences(video_features, bounds, names),
            **{key: bounds[..., ClipSpan._fields.index(key)].copy() for key in SPAN_KEYS},
        }
        return {**to_torch(item), "video_id": names}

    def _text_sequences(self, texts: list[np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        """caps and cmasks [videos, clips, L]; checks that the tokenizer knows the ids."""
        length = self.max_len - self.max_video_len
        caps = np.empty((len(texts), length), dtype=np.int64)
        masks = np.empty((len(texts), length), dtype=bool)
        write_texts(texts, self._special, caps, masks)
        if caps.max() >= self.vocabulary:
            row = int(caps.max(axis=1).argmax())
            raise DataError(
                f"video {names[row // self.clips]}: token id {caps.max()} in its captions; the "
                f"tokenizer of dataset.bert_name knows {self.vocabulary} ids: the text shards were "
                "made with another one"
            )
        shape = (len(names), self.clips, length)
        return {"caps": caps.reshape(shape), "cmasks": masks.reshape(shape)}

    def _video_sequences(
        self, video_features: Sequence[np.ndarray], bounds: np.ndarray, names: list[str]
    ) -> dict[str, np.ndarray]:
        """vfeats [videos, clips, F, width] and vmasks [videos, clips, F]; checks the numbers."""
        shape = (len(names), self.clips, self.max_video_len)
        vfeats = self._memory.empty((*shape, video_features[0].shape[1]), np.float32)
        masks = np.empty(shape, dtype=bool)
        _, starts, _, ends = np.moveaxis(bounds, -1, 0)
        for index, features in enumerate(video_features):
            # shards of older tools were never checked
            if not write_clips(features, starts[index], ends[index], vfeats[index], masks[index]):
                raise DataError(
                    f"video {names[index]}: NaN or inf in its features; extract them again and "
                    "write its shard anew"
                )
        return {"vfeats": vfeats, "vmasks": masks}


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
        return sampling.randint(self.sampled_min_len, self.sampled_max_len)


class StartClipAligner(VariedLenAligner):
    """As `VariedLenAligner`, with texts that all begin with the first caption."""

    def centre_caption(self, captions: int) -> int:
        return 0


class OverlappedAligner(VariedLenAligner):
    """As `VariedLenAligner`, with a clip that overlaps its text but is not the same span.

    A second of the text is drawn, and a clip of a drawn length grown around it.

    Attributes:
        video_clip_sampler: draws the seconds of a clip.

    Raises:
        ConfigError: `sampled_video_min_len` or `sampled_video_max_len` is not set.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.sampled_video_min_len: int = required(config, "sampled_video_min_len")
        self.sampled_video_max_len: int = required(config, "sampled_video_max_len")
        self.video_clip_sampler = VideoClipSamplingProcessor()

    def video_span(self, start: float, end: float, video_len: int) -> tuple[int, int]:
        centre = sampling.draw_centre_second(start, end, video_len)
        budget = sampling.randint(self.sampled_video_min_len, self.sampled_video_max_len)
        clip = self.video_clip_sampler(video_len, budget, centre)
        return clip["start"][0], clip["end"][0]


def plain_id(video_id: Any) -> str:
    """The id alone, out of (id, index, shard, position) or as it is."""
    return video_id[0] if isinstance(video_id, tuple) else video_id


def to_torch(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Tensors over the same memory."""
    return {key: torch.from_numpy(array) for key, array in arrays.items()}
