"""Whether a training chooses its best checkpoint on a test set.

fairseq keeps `checkpoint_best` by the validation loss.  Several published jobs validate on the
videos that their task is tested on, and a number of such a checkpoint is a little too good.
"""

import os
from typing import Any, NamedTuple

from mmpt.config.access import setting
from mmpt.config.fairseq_args import trainer_settings

TEST_SETS = {
    "COINActionSegmentationMetaProcessor": "COIN",
    "CrossTaskMetaProcessor": "CrossTask",
    "MSRVTTMetaProcessor": "MSR-VTT",
    "MSRVTTQAMetaProcessor": "MSR-VTT",
    "YoucookFullVideoBGMetaProcessor": "YouCook2",
    "YoucookMetaProcessor": "YouCook2",
}
"""Meta processor -> the set whose videos it lists; those of one's own stand for themselves."""

TEST_FILES = {
    "MSRVTT_JSFUSION_test.csv": "MSR-VTT",
    "MSRVTT_FULL_test.csv": "MSR-VTT",
    "MSR_MC_test.csv": "MSR-VTT",
    "youcook_val.pkl": "YouCook2",
}
"""Name of a published list of test videos -> its set."""

VALID_IS_TEST = {
    "COINActionSegmentationMetaProcessor": "it has no third subset: validation reads 'testing'",
    "CrossTaskMetaProcessor": "validation and test are the videos not drawn for training",
}
"""Meta processors whose split `valid` is their split `test`, whatever the paths."""

TEST_KEYS = ("test_path", "jsfusion_path", "full_test_path")
"""The keys of `dataset` that name test videos."""


class ChosenOn(NamedTuple):
    """The test set that a training validates on, and by what one can tell."""

    test_set: str
    why: str

    def __str__(self) -> str:
        return f"the test set of {self.test_set} ({self.why})"


def validates_on_test(config: Any) -> ChosenOn | None:
    """The test set that a training validates on; None where it does not, by all one can tell.

    Args:
        config: a checked job file; no file that it names is opened.
    """
    settings = trainer_settings(config)
    if settings.get("disable_validation") or not setting(config, "dataset.val_path"):
        return None
    if "valid" not in settings.get("valid_subset", "valid").split(","):
        return None
    meta, file = setting(config, "dataset.meta_processor"), config["dataset"]["val_path"]
    if meta in VALID_IS_TEST:
        return ChosenOn(TEST_SETS[meta], VALID_IS_TEST[meta])
    if os.path.basename(file) in TEST_FILES:
        return ChosenOn(evaluated_set(config, "val_path"), f"dataset.val_path is its list {file}")
    for key in TEST_KEYS:
        other = setting(config, f"dataset.{key}")
        if other is not None and os.path.normpath(other) == os.path.normpath(file):
            return ChosenOn(
                evaluated_set(config, key), f"dataset.val_path is dataset.{key}, {file}"
            )
    return None


def evaluated_set(config: Any, key: str = "test_path") -> str | None:
    """The set whose videos a key of `dataset` lists: by the file's name, else the meta processor's.

    Args:
        config: a checked job file.
        key: of `TEST_KEYS`, or `val_path`.
    """
    file = os.path.basename(setting(config, f"dataset.{key}", ""))
    meta = setting(config, "dataset.meta_processor")
    return TEST_FILES.get(file) or TEST_SETS.get(meta, meta)
