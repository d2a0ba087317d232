"""YouCook2: recipes, each a few clips with a sentence; retrieval of clips, and of whole videos.

`youcook_val.pkl` lists the clips of the test: `{"id": "VIDEO_ID_CLIP", "caption"}`; where a clip
begins and ends stands in the annotation, `database -> VIDEO_ID -> annotations[CLIP] -> {"segment":
[start, end], "sentence"}`, in whole seconds.  Background is either cut away (a clip an item) or
kept (a video an item, cut into windows).

Source: Zhou et al., AAAI 2018; the list is that of Miech et al. (HowTo100M).
"""

import reprlib
from typing import Any, NamedTuple

import numpy as np

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle
from mmpt.processors.downstream.features import with_features
from mmpt.processors.downstream.segments import check_segment, report_overruns
from mmpt.processors.downstream.tables import check_once
from mmpt.processors.downstream.windows import WindowAligner
from mmpt.processors.paths import read_json, required_file, required_folder
from mmpt.processors.processor import MetaProcessor, TextProcessor, VideoProcessor

SECTION = "YouCook2"
"""The section of DATASET.md about these files."""


class Clip(NamedTuple):
    """One annotated clip of a video.

    Attributes:
        video_id, number: number 0 is the video's first annotated clip.
        start, end: whole seconds, the end excluded.
        text: the caption.
    """

    video_id: str
    number: int
    start: int
    end: int
    text: str


class _YoucookMetaProcessor(MetaProcessor):
    """The clips of the videos that have features, in the order of the list."""

    section = SECTION

    def __init__(self, config: Any):
        super().__init__(config)
        path = self._get_split_path(config)
        clips = read_clips(
            path,
            required_file(config, "trainval_annotation", SECTION),
            bool(setting(config, "use_annotation_text", False)),
        )
        folder = required_folder(config, "vfeat_dir", SECTION)
        present = with_features(folder, [clip.video_id for clip in clips], path)
        self.clips = [clip for clip in clips if clip.video_id in present]
        report_overruns(
            {
                video_id: [(clip.start, clip.end) for clip in clips]
                for video_id, clips in by_video(self.clips).items()
            },
            folder,
            path,
        )


class YoucookMetaProcessor(_YoucookMetaProcessor):
    """A clip an item: ((video id, start, end), caption), in the order of the list.

    The caption is the annotation's sentence where `dataset.use_annotation_text` is true, else that
    of the list (without stop words).  Videos without features are left out, and counted in the log.

    Raises:
        ConfigError: a path is not set.
        DataError: a file is missing or of another form, or no video has features.
    """

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[tuple[str, int, int], str]:
        clip = self.clips[index]
        return (clip.video_id, clip.start, clip.end), clip.text


class YoucookVideoProcessor(VideoProcessor):
    """The seconds of a clip."""

    def __call__(self, clip: tuple[str, int, int]) -> np.ndarray:
        """Rows start to end of the video's features, [end - start, width].

        Fewer where the video ends before the clip, none where it ends before the clip begins.

        Raises:
            DataError: as `VideoProcessor`.
        """
        video_id, start, end = clip
        return super().__call__(video_id)[start:end]


class YoucookFullVideoBGMetaProcessor(_YoucookMetaProcessor):
    """A video an item: (video id, its captions in the order of its clips).

    Videos in the order in which the list first names them; captions and errors as
    `YoucookMetaProcessor`.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.data = [
            (video_id, [clip.text for clip in sorted(clips, key=lambda clip: clip.number)])
            for video_id, clips in by_video(self.clips).items()
        ]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[str, list[str]]:
        return self.data[index]


class YoucookFullVideoBGProcessor(VideoProcessor):
    """The features of a whole video."""


class YoucookFullVideoBGTextProcessor(TextProcessor):
    """Token ids of a video's captions."""

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """The ids of each caption, not cut."""
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]


class YoucookFullVideoBGAligner(WindowAligner):
    """A whole video in windows, and all of its captions."""

    def __call__(
        self, video_id: str, video_feature: np.ndarray, text_feature: list[list[int]]
    ) -> dict[str, Any]:
        """The item of one video with K captions.

        Returns:
            caps int64 and cmasks bool [K, max_len - max_video_len]; vfeats float32 [W,
            max_video_len, width] and vmasks bool [W, max_video_len] of its W windows; video_id;
            video_len, its seconds.
        """
        caps, cmasks = self.build_texts(text_feature)
        _, vfeats, vmasks = self._windows(video_feature)
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "video_id": video_id,
            "video_len": len(video_feature),
        }


def by_video(clips: list[Clip]) -> dict[str, list[Clip]]:
    """Video -> its clips; videos and clips in the order given."""
    videos: dict[str, list[Clip]] = {}
    for clip in clips:
        videos.setdefault(clip.video_id, []).append(clip)
    return videos


def read_clips(path: str, annotation_path: str, use_annotation_text: bool) -> list[Clip]:
    """The listed clips, in the order of the list.

    Args:
        path: the list, a pickle of `{"id", "caption"}`.
        annotation_path: where the clips begin and end, and their sentences.
        use_annotation_text: take the sentence, not the list's caption.

    Raises:
        DataError: a file is of another form, a clip is listed twice or not annotated; the message
            names the entry.
    """
    records = load_pickle(path)
    if not isinstance(records, list) or not records:
        raise DataError(f'{path}: a list of {{"id": "VIDEO_ID_CLIP", "caption": …}} is expected')
    videos = read_json(annotation_path)
    videos = videos.get("database") if isinstance(videos, dict) else None
    if not isinstance(videos, dict):
        raise DataError(
            f'{annotation_path}: expected {{"database": {{VIDEO_ID: {{"annotations": [{{"segment": '
            f'[start, end], "sentence": …}}, …]}}, …}}}}'
        )
    clips = []
    for position, record in enumerate(records):
        video_id, number, caption = _listed(record, f"{path}: entry {position}")
        where = f"{annotation_path}: clip {number} of {video_id}"
        start, end, text = _annotated(videos.get(video_id), number, where)
        if not use_annotation_text:
            text, where = caption, f"{path}: entry {position}"
        if not isinstance(text, str):
            raise DataError(f"{where}: the caption is {text!r}; words are expected")
        clips.append(Clip(video_id, number, start, end, text))
    check_once([f"{c.video_id}_{c.number}" for c in clips], path, "clips", "each is one candidate")
    return clips


def _listed(record: Any, where: str) -> tuple[str, int, Any]:
    """Video, clip number and caption of an entry of the list."""
    clip_id = record.get("id") if isinstance(record, dict) else None
    if not isinstance(clip_id, str):
        raise DataError(f'{where}: expected {{"id": …, "caption": …}}, got {reprlib.repr(record)}')
    video_id, _, number = clip_id.rpartition("_")
    if not video_id or not (number.isascii() and number.isdigit()):
        raise DataError(
            f"{where}: id is {clip_id!r}; expected is VIDEO_ID_CLIP with the number of the clip"
        )
    return video_id, int(number), record.get("caption")


def _annotated(video: Any, number: int, where: str) -> tuple[int, int, Any]:
    """Start, end and sentence of clip `number` of a video's annotation."""
    clips = video.get("annotations") if isinstance(video, dict) else None
    if not isinstance(clips, list) or number >= len(clips):
        count = len(clips) if isinstance(clips, list) else "no"
        raise DataError(f"{where} is not annotated; there are {count} clips of this video")
    clip = clips[number]
    segment = clip.get("segment") if isinstance(clip, dict) else None
    if not isinstance(segment, list) or len(segment) != 2:
        raise DataError(
            f'{where}: expected {{"segment": [start, end], "sentence": …}}, got '
            f"{reprlib.repr(clip)}"
        )
    start, end = check_segment(*segment, where)
    if not (start.is_integer() and end.is_integer()):
        raise DataError(f"{where}: from {start} to {end}; whole seconds are expected")
    return int(start), int(end), clip.get("sentence")
