"""The temperature of the video-paragraph contrast: a constant, or learned within a range."""

import math

import pytest
import torch

from mmpt.losses import MMContraLoss
from mmpt.losses.nce import LOGIT_SCALE_RANGE, in_range

from .test_norton_options import FEATURES, assert_finite, batch, job, run


def test_temperature_is_a_constant_by_default():
    loss = MMContraLoss(job())
    assert not list(loss.parameters()) and not loss.state_dict()
    assert loss.half().sequence_contrast.logit_scale.exp().item() == pytest.approx(1 / 0.07)


def test_learned_temperature_trains_is_saved_and_clamped():
    config = job({"sequence_contrast.learn_temperature": True})
    loss = MMContraLoss(config)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    loss(**batch()).backward()
    optimizer.step()
    learned = loss.sequence_contrast.logit_scale.item()
    assert learned != pytest.approx(math.log(1 / 0.07))
    other = MMContraLoss(config)
    other.load_state_dict(loss.state_dict())
    assert other.sequence_contrast.logit_scale.item() == learned
    for start, end in ((-3.0, 0.0), (9.0, 4.6052)):
        with torch.no_grad():
            loss.sequence_contrast.logit_scale.fill_(start)
        parts = loss.compute(**batch()).parts
        assert parts["temperature"].item() == pytest.approx(math.exp(end))
        assert loss.sequence_contrast.logit_scale.item() == pytest.approx(end)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_learned_temperature_in_half_precision(dtype):
    """A trainer halves its criterion; the temperature keeps its type and every digit."""
    loss = MMContraLoss(job({"sequence_contrast.learn_temperature": True}))
    built = loss.state_dict()["sequence_contrast.logit_scale"].clone()
    for cast in (dtype, torch.float64, dtype):
        loss.to(dtype=cast)
        kept = loss.state_dict()["sequence_contrast.logit_scale"]
        assert kept.dtype == torch.float32 and torch.equal(kept, built) and kept.shape == (1,)
    total, parts, gradients = run(loss, batch(dtype=dtype), loss_scale=1024)
    assert_finite(total, parts, gradients)
    assert total.dtype == torch.float32
    assert parts["temperature"].item() == pytest.approx(1 / 0.07, rel=1e-6)
    gradient = loss.sequence_contrast.logit_scale.grad
    assert gradient.dtype == torch.float32 and gradient.isfinite() and gradient != 0
    loss.half()
    assert loss.sequence_contrast.logit_scale.grad.dtype == torch.float32
    assert isinstance(loss.sequence_contrast.logit_scale, torch.nn.Parameter)
    saved = {"sequence_contrast.logit_scale": torch.tensor([2.0001])}
    loss.load_state_dict(saved)
    assert loss.sequence_contrast.logit_scale.item() == torch.tensor(2.0001).item()


def test_learned_temperature_moves_between_devices():
    loss = MMContraLoss(job({"sequence_contrast.learn_temperature": True}))
    moved = loss.to(device="meta", dtype=torch.bfloat16).sequence_contrast.logit_scale
    assert (moved.device.type, moved.dtype) == ("meta", torch.float32)


@pytest.mark.parametrize(
    ("value", "gradient", "passed"),
    [
        (2.0, -1.0, -1.0),
        (2.0, 1.0, 1.0),
        (4.6052, -1.0, 0.0),  # a step against it would go up
        (4.6052, 1.0, 1.0),
        (9.0, -1.0, 0.0),
        (9.0, 1.0, 1.0),
        (0.0, 1.0, 0.0),
        (0.0, -1.0, -1.0),
        (-3.0, 1.0, 0.0),
        (-3.0, -1.0, -1.0),
    ],
)
def test_no_gradient_leads_out_of_the_temperatures_range(value, gradient, passed):
    parameter = torch.tensor([value], requires_grad=True)
    used = in_range(parameter, *LOGIT_SCALE_RANGE)
    assert used.item() == pytest.approx(min(max(value, 0.0), 4.6052))
    used.backward(torch.tensor([gradient]))
    assert parameter.grad.item() == passed


def test_gradient_of_the_temperature_by_differences():
    loss = MMContraLoss(job({"sequence_contrast.learn_temperature": True}))
    sample = {
        name: value.detach().double() if name in FEATURES else value
        for name, value in batch().items()
    }
    scale = loss.sequence_contrast.logit_scale
    loss(**sample).backward()
    around = []
    for step in (2**-8, -(2**-8)):
        with torch.no_grad():
            scale.add_(step)
            around.append(loss(**sample).item())
            scale.sub_(step)
    assert scale.grad.item() == pytest.approx((around[0] - around[1]) / 2**-7, rel=1e-3)


def test_updates_of_several_batches_share_one_backward_pass():
    """The clamp writes into the parameter between the two forward passes."""
    loss = MMContraLoss(job({"sequence_contrast.learn_temperature": True}))
    (loss(**batch(seed=1)) + loss(**batch(seed=2))).backward()
    assert loss.sequence_contrast.logit_scale.grad != 0
