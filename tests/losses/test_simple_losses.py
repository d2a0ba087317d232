"""The small losses: stored cases, half precision, errors; the registry and the base class."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config.access import lookup
from mmpt.errors import ConfigError, DataError
from mmpt.losses import LOSSES, CrossEntropy, Loss, T2VContraLoss, V2TContraLoss

CASES = ["T2VContraLoss", "V2TContraLoss", "CrossEntropy", "CrossEntropy_2d"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("case", CASES)
def test_stored_cases(golden, case, dtype):
    arrays = golden(f"losses_metrics/loss_{case}.npz")
    loss = LOSSES[arrays["settings"]["loss"]](OmegaConf.create({"loss": {}}))
    sample = {}
    for name, value in arrays.items():
        if name.startswith("in_"):
            tensor = torch.from_numpy(value)
            if tensor.is_floating_point():
                tensor = tensor.to(dtype).requires_grad_()
            sample[name.removeprefix("in_")] = tensor
    total = loss(**sample, video_id=["ignored"])
    total.backward()
    found = {"total": total}
    found.update((f"grad_{n}", t.grad) for n, t in sample.items() if t.grad is not None)
    stored = {n.removeprefix("out64_"): v for n, v in arrays.items() if n.startswith("out64_")}
    assert found.keys() == stored.keys()
    for name, value in found.items():
        deviation = np.abs(value.detach().double().numpy() - stored[name]).max()
        limit = 1e-9 if dtype == torch.float64 else 1e-5
        assert deviation <= limit * np.abs(stored[name]).max(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_single_precision_loss(dtype):
    video, text = torch.randn(6, 32).to(dtype), torch.randn(6, 32).to(dtype)
    for kind in (T2VContraLoss, V2TContraLoss):
        found = kind()(pooled_video=video, pooled_text=text)
        truth = kind()(pooled_video=video.double(), pooled_text=text.double())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-5)


def test_autocast_does_not_lower_the_precision():
    video, text = torch.randn(6, 32), torch.randn(6, 32)
    plain = T2VContraLoss()(pooled_video=video, pooled_text=text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = T2VContraLoss()(pooled_video=video, pooled_text=text)
    assert mixed.dtype == torch.float32 and mixed == plain


def test_errors():
    with pytest.raises(DataError, match=r"T2VContraLoss needs pooled_text.*present: pooled_video"):
        T2VContraLoss()(pooled_video=torch.rand(2, 3))
    with pytest.raises(DataError, match=r"pooled_video \(2, 3\) and pooled_text \(3, 3\)"):
        V2TContraLoss()(pooled_video=torch.rand(2, 3), pooled_text=torch.rand(3, 3))
    logits = torch.rand(2, 4, 5)
    with pytest.raises(DataError, match=r"logits \(2, 4, 5\) and targets \(7,\)"):
        CrossEntropy()(logits=logits, targets=torch.zeros(7, dtype=torch.long))
    with pytest.raises(DataError, match="all 8 are -100"):
        CrossEntropy()(logits=logits, targets=torch.full((2, 4), -100))
    with pytest.raises(DataError, match="classes from 0 to 5, 0 to 4 are allowed"):
        CrossEntropy()(logits=logits, targets=torch.arange(8).view(2, 4) % 6)


def test_registry():
    assert all(issubclass(kind, Loss) and name == kind.__name__ for name, kind in LOSSES.items())
    message = r"loss.loss_cls: unknown name 'MMContrLoss'.*MMContraLoss"
    with pytest.raises(ConfigError, match=message):
        lookup(LOSSES, "MMContrLoss", "loss.loss_cls")
