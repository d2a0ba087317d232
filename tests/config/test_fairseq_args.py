"""From YAML to the trainer's arguments."""

import pytest
from omegaconf import OmegaConf

from mmpt.config import fairseq_args, trainer_settings
from mmpt.config.fairseq_args import (
    argument_key,
    for_cpu,
    to_arguments,
    with_extras,
    without_restore,
)

ALWAYS = ["--required-batch-size-multiple", "1"]


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ({"fp16": True}, ["--fp16"]),
        ({"fp16": False}, []),
        ({"seed": None}, []),
        ({"num_workers": 0}, ["--num-workers", "0"]),
        ({"weight_decay": 0.0}, ["--weight-decay", "0.0"]),
        ({"lr": [1.0e-05]}, ["--lr", "1e-05"]),
        ({"lr": [0.1, 0.05]}, ["--lr", "0.1,0.05"]),
        ({"lr": 0.1}, ["--lr", "0.1"]),
        ({"update_freq": [2]}, ["--update-freq", "2"]),
        ({"adam_betas": "(0.9, 0.98)"}, ["--adam-betas", "(0.9, 0.98)"]),
        ({"keep_last_epochs": -1}, ["--keep-last-epochs", "-1"]),
        ({"checkpoint_suffix": "-a"}, ["--checkpoint-suffix=-a"]),
        ({"checkpoint_suffix": ""}, ["--checkpoint-suffix", ""]),
        ({"path": "x.pt", "results_path": "y", "quiet": True}, []),
    ],
)
def test_one_leaf(leaf, expected):
    assert to_arguments(leaf) == expected
    assert fairseq_args({"fairseq": {"common": leaf}}) == expected + ALWAYS


def test_groups_keep_the_order_of_the_file():
    config = OmegaConf.create(
        {
            "fairseq": {
                "checkpoint": {"save_dir": "runs/x"},
                "common": None,
                "dataset": {"batch_size": 2, "valid_subset": None},
            }
        }
    )
    assert fairseq_args(config) == ["--save-dir", "runs/x", "--batch-size", "2", *ALWAYS]
    assert fairseq_args({}) == ALWAYS


def test_subsampling_divides_the_batch_size():
    config = {"dataset": {"subsampling": 8}, "fairseq": {"dataset": {"batch_size": 32}}}
    assert trainer_settings(config) == {"batch_size": 4}
    assert trainer_settings({"dataset": {"subsampling": 8}}) == {}
    clips = {"dataset": {"clip_per_video": 8}, "fairseq": {"dataset": {"batch_size": 32}}}
    assert trainer_settings(clips) == {"batch_size": 32}


def test_a_file_overrules_the_extras():
    config = {"fairseq": {"dataset": {"required_batch_size_multiple": 8}}}
    assert fairseq_args(config) == ["--required-batch-size-multiple", "8"]
    assert with_extras({}, processes=2) == {
        "required_batch_size_multiple": 1,
        "load_checkpoint_on_all_dp_ranks": True,
    }


def test_for_cpu_drops_half_precision_and_names_it():
    settings = {"fp16": True, "bf16": False, "lr": [0.1], "memory_efficient_fp16": True}
    assert for_cpu(settings) == (
        {"lr": [0.1], "cpu": True},
        ["fp16", "memory_efficient_fp16"],
    )


def test_without_restore_resets_nothing():
    settings = {"restore_file": "x.pt", "reset_optimizer": True, "save_dir": "runs/x"}
    assert without_restore(settings) == {"save_dir": "runs/x"}


def test_messages_name_the_group_of_the_file():
    config = OmegaConf.create({"fairseq": {"dataset": None, "common": {"lr": 0.1}}})
    assert argument_key(config, "lr") == "fairseq.common.lr"
    assert argument_key({}, "lr") == "fairseq.optimization.lr"
