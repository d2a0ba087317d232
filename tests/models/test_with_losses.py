"""Models and losses as job files name them: one training step of a task for every pair."""

import pytest
import torch

from mmpt.losses import LOSSES
from mmpt.models import AlignHead
from mmpt.models.bert import bert_config
from mmpt.tasks.task import Task

from .conftest import wrapper_config
from .test_nlg import shifted
from .test_wrappers import one_item, pairs_of

NORTON = {
    "sinkhorn_iterations": 5,
    "sequence_contrast": {"sequence_contrast_weight": 0.1, "threshold": 1, "prompt_ratio": 0.3},
}


def retrieval(others):
    return pairs_of(others)


def masked(others):
    labels = {n: others[f"MMFusionMFMMLM.train.{n}"] for n in ("video_label", "text_label")}
    return {**pairs_of(others), **labels}


def captions(others):
    return {**pairs_of(others), "text_label": shifted(others["in_caps"], others["in_cmasks"])}


def segments(others):
    targets = torch.arange(40).view(1, 5, 8)
    return {**one_item(pairs_of(others)), "targets": targets}


def steps(others):
    return {**one_item(pairs_of(others)), "targets": torch.eye(18)[None, :, :5]}


@pytest.mark.parametrize(
    ("model", "loss", "make"),
    [
        ("MMFusionShare", "MMContraLoss", retrieval),
        ("MMFusionJoint", "MMContraLoss", retrieval),
        ("MMFusionSeparate", "T2VContraLoss", retrieval),
        ("MMFusionMFMMLM", "MFMMLM", masked),
        ("MMFusionMTM", "MTM", masked),
        ("MMFusionNLG", "NLGLoss", captions),
        ("MMFusionActionSegmentation", "CrossEntropy", segments),
        ("MMFusionSeparateActionSegmentation", "CrossEntropy", segments),
        ("MMFusionSeparateActionLocalization", "BCE", steps),
        ("MMFusionActionLocalization", "BCE", steps),
    ],
)
def test_one_step(tinybert, others, model, loss, make):
    config = wrapper_config(tinybert, model)
    config.loss = {"loss_cls": loss, **(NORTON if loss == "MMContraLoss" else {})}
    task = Task(config)
    built, criterion = task.build_model().train(), task.build_loss()
    assert type(criterion) is LOSSES[loss]
    parameters = [p for p in built.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    torch.manual_seed(0)
    before = task(built, make(others)).total
    before.backward()
    optimizer.step()
    torch.manual_seed(0)  # the same dropout
    after = task(built, make(others)).total
    assert before.dtype == torch.float32 and before.isfinite()
    assert after < before


def test_align_head_with_nce(config_of):
    """A head that is told matched pairs from others learns to tell them."""
    torch.manual_seed(0)
    head = AlignHead(bert_config(str(config_of().dataset.bert_name)))
    assert [n for n, _ in head.named_parameters()] == [
        "seq_relationship.weight",
        "seq_relationship.bias",
    ]
    pooled = torch.randn(12, 32)
    pooled[:6, :4] += 2.0
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(LOSSES["NCE"]()(align_scores=head(pooled)))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
