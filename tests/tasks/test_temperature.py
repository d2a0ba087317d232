"""`learn_temperature` through real trainings: in the optimizer, saved, resumed, kept in range."""

import logging
import math
import re

import pytest
import torch
from fairseq.optim.fp16_optimizer import FP16Optimizer
from omegaconf import OmegaConf

from mmpt.io.checkpoints import read_checkpoint
from mmpt.losses import SequenceContrastLoss
from mmpt_cli import train

START = math.log(1 / 0.07)
LEARN = {"sequence_contrast": {"learn_temperature": True}}
NAME = "mmloss.sequence_contrast.logit_scale"


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


LR = 0.1


def half_optimizer(parameters, bf16):
    """fairseq's Adam over a float32 copy: with fp16 one flat vector, with bf16 tensor by tensor."""
    adam = {"_name": "adam", "adam_betas": "(0.9, 0.98)", "adam_eps": 1e-8, "lr": [LR]}
    adam |= {"weight_decay": 0.0, "use_old_adam": True, "fp16_adam_stats": False, "tpu": False}
    scaler = {"fp16_scale_window": 128, "fp16_init_scale": 128, "fp16_scale_tolerance": 0.0}
    scaler |= {"threshold_loss_scale": None, "min_loss_scale": 1e-4}
    config = {"common": {"bf16": bf16, **scaler}, "optimizer": adam}
    return FP16Optimizer.build_optimizer(OmegaConf.create(config), parameters)


def masters(optimizer):
    """The float32 copies one after the other."""
    copies = optimizer.fp32_params
    copies = copies.values() if isinstance(copies, dict) else copies
    return torch.cat([copy.detach().flatten() for copy in copies])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_optimizers_keep_the_temperature_in_range(kind, monkeypatch):
    """Paragraphs beside the wrong videos push it down to 1, then the right ones up again."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)  # as a CPU tensor's index
    config = {"loss": {"sequence_contrast": {**LEARN["sequence_contrast"], "threshold": 4}}}
    loss = SequenceContrastLoss(config).to(kind)
    weight = torch.nn.Parameter(torch.ones(3, dtype=kind))
    optimizer = half_optimizer([weight, *loss.parameters()], bf16=kind == torch.bfloat16)
    assert masters(optimizer)[3] == torch.tensor(START)

    torch.manual_seed(0)
    clips = torch.randn(8, 1, 6)
    mask = torch.ones(8, 2, dtype=torch.bool)
    used, kept = [], []
    for update in range(120):
        order = clips.roll(4, 0) if update < 60 else clips
        tokens = {"video": clips.expand(8, 2, 6), "text": order.expand(8, 2, 6)}
        sample = {f"{side}_outputs": x.to(kind) for side, x in tokens.items()}
        sample |= {f"pooled_{side}": x[:, 0].to(kind) for side, x in tokens.items()}
        optimizer.zero_grad()
        output = loss.compute(**sample, video_mask_outputs=mask, text_mask_outputs=mask)
        optimizer.backward(output.total)
        optimizer.clip_grad_norm(2.0)
        optimizer.step()
        used.append(output.parts["temperature"].item())
        kept.append(masters(optimizer)[3].item())
    assert used[0] == pytest.approx(1 / 0.07, rel=1e-6)
    assert all(1.0 <= value <= 100.01 for value in used)
    assert used[59] == 1.0 and used[119] > 2.0
    assert min(kept) > -12 * LR  # Adam's momentum after the last gradient; without end otherwise
