"""Which of the released trainings choose their best checkpoint on a test set."""

import pytest
from omegaconf import OmegaConf

from mmpt.config import load_config
from mmpt.config.class_names import CLASS_NAMES
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.config.selection import TEST_SETS, VALID_IS_TEST, evaluated_set, validates_on_test
from mmpt.processors.downstream import coin

PROJECTS = REPOSITORY_ROOT / "projects/retri"
SAID = {
    "norton/vtt_ft": "MSR-VTT",
    "norton/vttqa_ft": "MSR-VTT",
    "norton/coin_ft": "COIN",
    "norton/crosstask_ft": "CrossTask",
    "videoclip/crosstask_videoclip": "CrossTask",
    "demo/vtt_ft": "MSR-VTT",
    "demo/vttqa_ft": "MSR-VTT",
    "demo/coin_ft": "COIN",
    "demo/crosstask_ft": "CrossTask",
}


def trainings():
    files = [f for f in PROJECTS.glob("*/*.yaml") if not f.name.startswith(("test", "vis"))]
    return {f"{file.parent.name}/{file.stem}": load_config(config_file=file) for file in files}


def test_every_training_that_is_released():
    found = {name: validates_on_test(config) for name, config in trainings().items()}
    assert {name: chosen.test_set for name, chosen in found.items() if chosen} == SAID


@pytest.mark.parametrize("task", ["vtt", "vttqa", "coin", "crosstask"])
def test_the_evaluation_of_a_training_is_on_that_set(task):
    config = load_config(config_file=PROJECTS / f"norton/test_{task}_ft.yaml")
    assert evaluated_set(config) == SAID[f"norton/{task}_ft"]


def test_what_the_table_says_of_coin_is_so():
    assert coin.SUBSETS["valid"] == coin.SUBSETS["test"] == "testing"
    assert VALID_IS_TEST.keys() <= TEST_SETS.keys()
    assert TEST_SETS.keys() <= set(CLASS_NAMES["dataset.meta_processor"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "the test set of MSR-VTT (dataset.val_path is its list x/MSRVTT_JSFUSION_test.csv)"),
        ({"dataset.val_path": "x/own.csv"}, "None"),
        ({"dataset.val_path": None}, "None"),
        (
            {"dataset.val_path": "x/../own.csv", "dataset.test_path": "own.csv"},
            "the test set of MSR-VTT (dataset.val_path is dataset.test_path, x/../own.csv)",
        ),
        (
            {"dataset.val_path": "own.csv", "dataset.jsfusion_path": "own.csv"},
            "the test set of MSR-VTT (dataset.val_path is dataset.jsfusion_path, own.csv)",
        ),
        (
            {
                "dataset.meta_processor": "RecipeMetaProcessor",
                "dataset.val_path": "own.csv",
                "dataset.test_path": "own.csv",
            },
            "the test set of RecipeMetaProcessor (dataset.val_path is dataset.test_path, own.csv)",
        ),
        ({"fairseq.dataset.disable_validation": True}, "None"),
        ({"fairseq.dataset.valid_subset": "train"}, "None"),
        (
            {"fairseq.dataset.valid_subset": "train,valid"},
            "the test set of MSR-VTT (dataset.val_path is its list x/MSRVTT_JSFUSION_test.csv)",
        ),
    ],
)
def test_rules(changes, said):
    config = OmegaConf.create(
        {
            "dataset": {
                "meta_processor": "MSRVTTMetaProcessor",
                "val_path": "x/MSRVTT_JSFUSION_test.csv",
            },
            "fairseq": {"dataset": {"batch_size": 1}},
        }
    )
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    assert str(validates_on_test(config)) == said
