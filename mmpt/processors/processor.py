"""What a data set is made of: four roles, each built from the `dataset` section of a job file.

    meta = MetaProcessor[i] -> (video_id, text_id)
    VideoProcessor(video_id) -> features [seconds, width]
    TextProcessor(text_id)   -> token ids
    Aligner(video_id, features, ids) -> a dict of tensors, the item

To add a data set, write the parts that differ and list them in `mmpt/processors/__init__.py`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.io.files import no_file
from mmpt.processors.paths import SPLIT_KEYS, config_split, required, required_file, required_folder
from mmpt.processors.sequences import write_text, write_video
from mmpt.utils.bert import load_tokenizer

DEFAULT_WIDTH = 512
"""Width of an S3D feature, where `dataset.vfeat_dim` is not set."""


class MetaProcessor:
    """Lists the items of a split.

    Attributes:
        split: `train`, `valid` or `test`; `train` where the config does not say.
    """

    section = "Your own data"
    """The section of DATASET.md about the files of this data set."""

    def __init__(self, config: Any):
        self.split = config_split(config)

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """What the video processor and the text processor need for item `index`.

        Raises:
            IndexError: there is no such item.
        """
        raise NotImplementedError

    def _get_split_path(self, config: Any) -> str:
        """The file that `dataset.{train,val,test}_path` names for this split.

        Raises:
            ConfigError: the key is not set.
            DataError: the file is missing.
        """
        return required_file(config, SPLIT_KEYS[self.split], self.section)


class VideoProcessor:
    """Reads `VFEAT_DIR/VIDEO_ID.npy`: one feature vector a second.

    Raises:
        ConfigError: `dataset.vfeat_dir` is not set.
        DataError: it is no folder.
    """

    section = "Video features"

    def __init__(self, config: Any):
        self.vfeat_dir = required_folder(config, "vfeat_dir", self.section)
        self.width = setting(config, "vfeat_dim", DEFAULT_WIDTH)

    def __call__(self, video_id: str) -> np.ndarray:
        """The features of a video, [seconds, width], float16 or float32 as stored.

        Raises:
            DataError: the file is missing, damaged, of another form, or holds NaN or inf.
        """
        path = os.path.join(self.vfeat_dir, f"{video_id}.npy")
        other = no_file(path)
        if other is not None:
            raise DataError(f"{path}: {other} in place of the features of video {video_id}")
        try:
            features = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file (features of video {video_id})") from None
        except (ValueError, EOFError, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: truncated or no .npy file ({reason})") from error
        if not isinstance(features, np.ndarray):
            features.close()
            raise DataError(f"{path}: an archive of arrays (.npz); one array is expected (.npy)")
        check_features(features, self.width, path)
        return features


class TextProcessor:
    """Turns a text into token ids with the tokenizer of `dataset.bert_name`.

    Raises:
        DataError: the tokenizer cannot be had.
    """

    def __init__(self, config: Any):
        self.tokenizer = config_tokenizer(config)

    def __call__(self, text: str) -> list[int]:
        """The token ids of a text, without special tokens; not cut."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


class Aligner:
    """Cuts and pads a video and its text to the sequences that the model reads.

    Attributes:
        max_video_len: frames (= seconds) of a video sequence.
        max_len: frames and tokens together; a text sequence has max_len - max_video_len tokens,
            three of them special.
        cls_token_id, sep_token_id, pad_token_id, mask_token_id: of the tokenizer.
        vocabulary: the number of ids that the tokenizer knows.

    Raises:
        ConfigError: `dataset.max_video_len` or `dataset.max_len` is missing or leaves no token.
        DataError: the tokenizer cannot be had.
    """

    def __init__(self, config: Any):
        self.split = config_split(config)
        self.max_video_len: int = required(config, "max_video_len")
        self.max_len: int = required(config, "max_len")
        self.max_text_len = self.max_len - self.max_video_len - 3
        if self.max_text_len < 1:
            raise ConfigError(
                f"dataset.max_len: got {self.max_len}; with max_video_len {self.max_video_len} at "
                f"least {self.max_video_len + 4} is needed ([CLS], [SEP], [SEP] and a token)"
            )
        tokenizer = config_tokenizer(config)
        self.cls_token_id: int = tokenizer.cls_token_id
        self.sep_token_id: int = tokenizer.sep_token_id
        self.pad_token_id: int = tokenizer.pad_token_id
        self.mask_token_id: int = tokenizer.mask_token_id
        self.vocabulary: int = len(tokenizer)
        self._special = (self.cls_token_id, self.sep_token_id, self.pad_token_id)

    def __call__(self, video_id: Any, video_feature: Any, text_feature: Any) -> dict[str, Any]:
        """The item of one video: a dict of tensors, and what identifies it."""
        raise NotImplementedError

    def _build_text_seq(
        self, text_feature: Sequence[int] | Mapping, text_clip_indexs: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """[CLS] [SEP] ids [SEP] [PAD]...

        Args:
            text_feature: token ids, or `{"cap": [ids of caption 0, ...]}`.
            text_clip_indexs: the captions to join; the first alone where it is not given (the
                published behaviour).

        Returns:
            caps int64 and cmasks bool, both [max_len - max_video_len].
        """
        if isinstance(text_feature, Mapping):
            chosen = [0] if text_clip_indexs is None else text_clip_indexs
            text_feature = [token for index in chosen for token in text_feature["cap"][index]]
        caps = np.empty(self.max_len - self.max_video_len, dtype=np.int64)
        cmasks = np.empty(len(caps), dtype=bool)
        write_text(text_feature, self._special, caps, cmasks)
        return torch.from_numpy(caps), torch.from_numpy(cmasks)

    def _build_video_seq(
        self, video_feature: np.ndarray, video_clips: Mapping[str, Sequence[int]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The chosen seconds one after the other, then zeros.

        Args:
            video_feature: [seconds, width].
            video_clips: `{"start": [...], "end": [...]}` in seconds, end excluded; the beginning
                of the video where it is not given.

        Returns:
            vfeats float32 [max_video_len, width] and vmasks bool [max_video_len].
        """
        video_feature = np.asarray(video_feature)
        if video_clips is None:
            video_clips = {"start": [0], "end": [len(video_feature)]}
        vfeats = np.empty((self.max_video_len, video_feature.shape[1]), dtype=np.float32)
        vmasks = np.empty(self.max_video_len, dtype=bool)
        write_video(video_feature, video_clips["start"], video_clips["end"], vfeats, vmasks)
        return torch.from_numpy(vfeats), torch.from_numpy(vmasks)


def config_tokenizer(config: Any) -> Any:
    """The tokenizer of `dataset.bert_name`, one object per process.

    Raises:
        ConfigError: `bert_name` is not set.
        DataError: it cannot be had.
    """
    # workers are forked from a process that has tokenised: threads of the tokenizer do not survive
    # that, and it would warn in every worker
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return load_tokenizer(
        str(required(config, "bert_name")), bool(setting(config, "use_fast", True))
    )


def check_features(features: np.ndarray, width: int, name: str) -> None:
    """Checks one video's features.

    Args:
        features: what was read.
        width: `dataset.vfeat_dim`.
        name: the file, for the message.

    Raises:
        DataError: not [seconds, width] of floats, no second, NaN, inf, or too large for float32.
    """
    if features.ndim != 2 or features.shape[1] != width:
        raise DataError(
            f"{name}: shape {features.shape}; expected [seconds, {width}] (dataset.vfeat_dim)"
        )
    if features.dtype.kind != "f":
        raise DataError(f"{name}: dtype {features.dtype}; allowed: float16, float32, float64")
    if len(features) == 0:
        raise DataError(f"{name}: the video has no second; extract its features again")
    with np.errstate(over="ignore"):
        read = features.astype(np.float32, copy=False) if features.dtype.itemsize > 4 else features
    finite = np.isfinite(read).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        kinds = "NaN or inf" if not np.isfinite(features).all() else "too large for float32"
        raise DataError(
            f"{name}: {kinds} in {len(bad)} of {len(finite)} seconds, first at {bad[0]}"
        )
