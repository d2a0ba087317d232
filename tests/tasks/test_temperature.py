"""`learn_temperature` through real trainings: in the optimizer, saved, resumed, kept in range."""

import logging
import math
import re

import pytest
import torch

from mmpt.io.checkpoints import read_checkpoint
from mmpt_cli import train

START = math.log(1 / 0.07)
LEARN = {"sequence_contrast": {"learn_temperature": True}}
NAME = "mmloss.sequence_contrast.logit_scale"


@pytest.fixture(autouse=True)
def _fresh_trainer():
    """fairseq keeps the best score of a run as an attribute of a function."""
    from fairseq import checkpoint_utils

    if hasattr(checkpoint_utils.save_checkpoint, "best"):
        del checkpoint_utils.save_checkpoint.best


def trained(workspace, job, folder, updates, **changes):
    """The newest checkpoint of a run after so many updates."""
    arguments = {"num_workers": 0, "lr": 0.02, "disable_validation": None, **changes}
    train.main(workspace.arguments(job, folder, max_update=updates, **arguments))
    return read_checkpoint(f"{folder}/checkpoint_last.pt")


def optimized(checkpoint):
    """Adam's states, one a parameter, in the order that fairseq collected them."""
    state = checkpoint["last_optimizer_state"]
    (group,) = state["param_groups"]
    return [state["state"][index] for index in group["params"]]


def test_trained_saved_and_resumed_to_the_bit(workspace):
    job = workspace.job(loss=LEARN)
    whole = trained(workspace, job, "runs/whole", 4)
    part = trained(workspace, job, "runs/parts", 2)
    assert set(whole["criterion"]) == {NAME}
    halfway, end = part["criterion"][NAME], whole["criterion"][NAME]
    assert len({START, halfway.item(), end.item()}) == 3

    # the last of Adam's states is the temperature's: fairseq collects the criterion after the model
    states = optimized(whole)
    norms = [name for name in whole["model"] if name.split(".")[-2] == "LayerNorm"]
    assert len(states) == len(norms) + 1  # layernorm_only
    assert states[-1]["exp_avg"].numel() == 1 and states[-1]["exp_avg_sq"] > 0
    assert states[-1]["step"] == 4

    resumed = trained(workspace, job, "runs/parts", 4)
    assert torch.equal(resumed["criterion"][NAME], end)
    for mine, theirs in zip(optimized(resumed), states, strict=True):
        assert torch.equal(mine["exp_avg"], theirs["exp_avg"])
    assert all(torch.equal(resumed["model"][n], value) for n, value in whole["model"].items())


def test_temperature_stays_in_range(workspace, caplog):
    """Steps of 3 throw the logarithm far out of [0, 4.6052]; what is used never leaves it."""
    caplog.set_level(logging.INFO)
    trained(workspace, workspace.job(loss=LEARN), "runs/far", 5, lr=3.0)
    used = [float(value) for value in re.findall(r"\btemperature=([\d.]+)", caplog.text)]
    assert len(used) >= 4 and used[0] == pytest.approx(1 / 0.07, abs=1e-3)
    assert all(1.0 <= value <= 100.01 for value in used)
    assert any(value in (1.0, pytest.approx(100.0, abs=0.01)) for value in used)
