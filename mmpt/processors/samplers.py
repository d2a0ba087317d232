"""The two samplers that VideoCLIP's aligners hold, as objects: a text's captions, a clip's seconds.

How they draw is in sampling.py.  An aligner of your own may hold another text sampler:

    class MyAligner(VariedLenAligner):
        def __init__(self, config):
            super().__init__(config)
            self.text_clip_sampler = MySampler(...)
"""

from collections.abc import Mapping
from typing import Any

from mmpt.errors import DataError
from mmpt.processors import sampling
from mmpt.processors.sequences import CaptionTokens


class TextClipSamplingProcessor:
    """Draws neighbouring captions of a video, as many as a text sequence holds.

    Args:
        max_text_len: number of tokens at which a text stops growing.
        keep_prob: probability of taking the next neighbour, not skipping it.
    """

    def __init__(self, max_text_len: int, keep_prob: float = 1.0):
        self.max_text_len = max_text_len
        self.keep_prob = keep_prob

    def __call__(
        self,
        text_feature: Mapping[str, Any],
        centerclip: int | None = None,
        max_text_len: int | None = None,
        max_video_len: float = sampling.MAX_TEXT_SECONDS,
    ) -> list[int]:
        """The indices of the captions of one text, ascending.

        Args:
            text_feature: `start` and `end`, lists of seconds, and `cap`, the token ids of each
                caption; at least one caption.
            centerclip: the caption to grow from; drawn where it is not given.
            max_text_len: replaces the number of tokens of the constructor.
            max_video_len: seconds at which the text stops growing.

        Raises:
            DataError: the video has no caption, or `centerclip` is none of them.
        """
        starts, ends, captions = text_feature["start"], text_feature["end"], text_feature["cap"]
        if centerclip is None:
            if not len(starts):
                raise DataError("a video without a caption has no text to draw")
            centerclip = sampling.randint(0, len(starts) - 1)
        elif not 0 <= centerclip < len(starts):
            raise DataError(f"caption {centerclip} was asked for, the video has {len(starts)}")
        if isinstance(captions, CaptionTokens):
            lengths = captions.lengths
        else:
            lengths = [len(caption) for caption in captions]
        budget = self.max_text_len if max_text_len is None else max_text_len
        span = sampling.grow_text_span(
            lengths, starts, ends, centerclip, budget, self.keep_prob, max_video_len
        )
        return list(span.captions)


class VideoClipSamplingProcessor:
    """Draws the seconds of a clip around a second of the video."""

    def __call__(self, video_len: int, max_video_len: int, center: int) -> dict[str, list[int]]:
        """The clip in the form that `Aligner._build_video_seq` takes: `{"start": [s], "end": [e]}`.

        Args:
            video_len: seconds of the video.
            max_video_len: seconds of the clip, or the whole video if it is shorter.
            center: the second to grow from, inside the video.

        Raises:
            DataError: `center` is not inside the video.
        """
        if not 0 <= center < video_len:
            raise DataError(f"second {center} was asked for, the video has {video_len}")
        start, end = sampling.grow_video_span(center, max_video_len, video_len)
        return {"start": [start], "end": [end]}
