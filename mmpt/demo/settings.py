"""What a demo corpus can be asked for, and what is allowed."""

import re
import zlib
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from mmpt.config.errors import ConfigError

FEATURE_WIDTH = 512
"""Width of one second's S3D vector."""


def _number(default: int | float, low: int | float, high: int | float) -> Any:
    return field(default=default, metadata={"allowed": (low, high)})


@dataclass(frozen=True)
class CorpusSettings:
    """All that decides the bytes of a demo corpus.

    Attributes:
        videos: training videos of the HowTo100M part; validation has an eighth of it, at least 16.
        seed: of everything drawn.
        shift_noise: share of the captions about a step that are said some seconds too early or
            too late, 0 to 1.  It is a share of what `irrelevant` leaves: 0.8 beside 0.8 makes
            80 % irrelevant, 16 % shifted and 4 % aligned captions.
        irrelevant: share of all captions that are about nothing that is seen, 0 to 0.9.
        silent: share of the shown steps that nobody talks about, 0 to 0.9.
        filler: share of the captions about a step that carry words that say nothing, 0 to 1.
        test_videos: videos of the MSR-VTT-form test set, each with content no other has.
        finetune_videos: videos of the MSR-VTT-form training set, 20 captions each.
        align_videos: videos of the HTM-Align-form test set, 80 in HTM-Align itself.
        youcook_videos: videos of the YouCook2-form test set, 3 to 8 clips each.
        coin_videos: videos of either subset of the COIN-form set.
        didemo_videos: videos of the DiDeMo-form test set, 2 descriptions each.
        crosstask_videos: videos of every task of the CrossTask-form set; one is held out.
        steps: concepts, each with its words and its feature direction.
        tasks: the steps are dealt out to them evenly.
        shared_steps: further steps that a task borrows from other tasks (faulty negatives).
        background_share: about how much of a video's time goes to background, 0 to 0.8.
        feature_noise: length of a second's noise, where a step's direction has length 1.
        video_noise: length of what all seconds of one video have in common (camera, light).
        shard_size: videos in one feature shard (4096 in HowTo100M's own).
        per_video_features: also write `feat/feat_how2_s3d/VIDEO_ID.npy`.
        bert_name: the folder of the tiny BERT, and what the token shards are called after;
            `bert-base-uncased` makes a corpus that the paper's job files take for theirs.
        bert_hidden: width of the tiny BERT, a multiple of `bert_heads`.
        bert_layers: its layers.
        bert_heads: its attention heads.
    """

    videos: int = _number(200, 1, 100_000)
    seed: int = _number(0, 0, 2**31 - 1)
    shift_noise: float = _number(0.2, 0.0, 1.0)
    irrelevant: float = _number(0.15, 0.0, 0.9)
    silent: float = _number(0.1, 0.0, 0.9)
    filler: float = _number(0.6, 0.0, 1.0)
    test_videos: int = _number(100, 1, 2990)  # MSR-VTT's test videos are video7010 to video9999
    finetune_videos: int = _number(60, 1, 7010)
    align_videos: int = _number(40, 1, 10_000)
    youcook_videos: int = _number(25, 1, 10_000)
    coin_videos: int = _number(30, 1, 10_000)
    didemo_videos: int = _number(40, 1, 10_000)
    crosstask_videos: int = _number(5, 3, 1000)  # one held out, one to train on, one to test
    steps: int = _number(60, 2, 384)
    tasks: int = _number(12, 1, 384)
    shared_steps: int = _number(5, 0, 100)
    background_share: float = _number(0.25, 0.0, 0.8)
    feature_noise: float = _number(0.8, 0.0, 100.0)
    video_noise: float = _number(0.3, 0.0, 100.0)
    shard_size: int = _number(128, 1, 4096)
    per_video_features: bool = False
    bert_name: str = "tinybert"
    bert_hidden: int = _number(64, 8, 1024)
    bert_layers: int = _number(2, 1, 12)
    bert_heads: int = _number(4, 1, 16)

    def __post_init__(self) -> None:
        for setting in fields(self):
            if "allowed" in setting.metadata:
                value = _checked(setting, getattr(self, setting.name))
                object.__setattr__(self, setting.name, value)
        if not isinstance(self.bert_name, str) or not re.fullmatch(r"[\w-]+", self.bert_name):
            raise ConfigError(
                f"demo corpus: bert_name is {self.bert_name!r}; allowed are letters, digits, _ and "
                "-: it becomes part of file names"
            )
        if self.tasks > self.steps:
            raise ConfigError(
                f"demo corpus: {self.tasks} tasks need at least as many steps, got {self.steps}"
            )
        if self.bert_hidden % self.bert_heads:
            raise ConfigError(
                f"demo corpus: bert_hidden is {self.bert_hidden}; it must be a multiple of "
                f"bert_heads, {self.bert_heads}"
            )
        distinct = self.steps * (self.steps - 1) // 2
        if self.test_videos > distinct:
            raise ConfigError(
                f"demo corpus: test_videos is {self.test_videos}; {self.steps} steps allow "
                f"at most {distinct} videos of different content"
            )

    @property
    def val_videos(self) -> int:
        """Validation videos of the HowTo100M part."""
        return max(16, self.videos // 8)


def _checked(setting: Field, value: Any) -> int | float:
    """The value as the setting's own type; an error where it is none or out of range."""
    low, high = setting.metadata["allowed"]
    number = Integral if setting.type is int else Real
    if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
        kind = "an integer" if setting.type is int else "a number"
        raise ConfigError(
            f"demo corpus: {setting.name} is {value!r}; allowed is {kind} from {low} to {high}"
        )
    return setting.type(value)


def stream(seed: int, *names: str) -> np.random.Generator:
    """A source of random draws of its own for every part of the corpus.

    A part added or changed later leaves the numbers of all the others as they were.

    Args:
        seed: the corpus' seed.
        names: the part, for instance `"how2", "train"`.
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
