"""torch's DistributedDataParallel as fairseq builds it for `--ddp-backend c10d`, on the CPU."""

from argparse import Namespace

import pytest
import torch
from fairseq import models
from torch import nn

from mmpt.tasks.fairseqmm_ddp import make_c10d_work, parameters_behind

from ..ranks import run_ranks

SETTINGS = Namespace(
    tpu=False,
    ddp_backend="c10d",
    device_id=0,
    broadcast_buffers=False,
    bucket_cap_mb=25,
    find_unused_parameters=False,
    gradient_as_bucket_view=False,
    ddp_comm_hook="none",
    heartbeat_timeout=-1,
)


class WithPooler(nn.Module):
    """One layer that is used, one that never is."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 1, bias=False)
        self.pooler = nn.Linear(3, 3)
        nn.init.ones_(self.dense.weight)

    def forward(self, rows):
        return self.dense(rows)


def averaged(rank, spoilt_rank):
    """The gradient of one step; in one rank the batch's loss is NaN, and is left out as the task
    does it."""
    make_c10d_work()
    module = WithPooler()
    model = models.DistributedFairseqModel(
        SETTINGS, module, torch.distributed.group.WORLD, torch.device("cpu")
    )
    for _ in range(2):
        module.zero_grad()
        loss = model(torch.full((2, 3), rank + 1.0)).sum()
        if rank == spoilt_rank:
            loss = loss * float("nan")
            parameters = parameters_behind(loss)
            assert [id(p) for p in parameters] == [id(module.dense.weight)]
            loss = sum((p.sum() * 0 for p in parameters), start=loss.new_zeros(()))
        loss.backward()
    assert module.pooler.weight.grad is None
    return module.dense.weight.grad.tolist()


@pytest.mark.parametrize(
    ("spoilt_rank", "gradient"),
    [(None, 3.0), (0, 2.0), (1, 1.0)],  # rank 0 has 2 x 1, rank 1 has 2 x 2; the mean over both
)
def test_gradients_are_averaged_whatever_takes_no_part(spoilt_rank, gradient):
    for got in run_ranks(2, averaged, spoilt_rank):
        assert got == [[gradient] * 3]
