"""fairseq's view of a loss: `--criterion mmloss`."""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.logging import metrics

logger = logging.getLogger(__name__)

ROUND = 4
COUNTS = {"nsentences", "sample_size", "clips", "wait_s", "passed_s"}
"""Sums, everything else that is logged being a mean over batches."""


@register_criterion("mmloss")
class MMCriterion(FairseqCriterion):
    """Runs the model it is given and the loss of the job file, and logs the loss's parts.

    A batch counts as one sample, so gradients are averaged over batches and workers.  A loss with
    parameters of its own (a learned temperature) is a submodule here: fairseq trains, saves and
    restores it with the criterion.
    """

    def __init__(self, task):
        super().__init__(task)
        self.mmloss = task.mmtask.loss
        # the task decides what becomes of a batch whose loss is not finite
        if self.mmloss is not None:
            self.mmloss.allow_non_finite = True

    def load_state_dict(self, state_dict, strict: bool = True):
        """Restores a learned temperature; a checkpoint that has none leaves it as it is."""
        if not state_dict:
            logger.warning("the checkpoint holds no state of the loss: it starts as built")
            return None
        return super().load_state_dict(state_dict, strict)

    def forward(self, model, sample, reduce: bool = True):
        """One batch -> (loss, sample size 1, what is logged)."""
        output = self.task.mmtask(model, sample)
        logged = {
            "loss": output.total.detach(),
            "nsentences": sample["caps"].size(0),
            "sample_size": 1,
        }
        if model.training:
            logged.update(clips=clip_count(sample), **self.task.telemetry.wait.take())
        logged.update({name: value.detach() for name, value in output.parts.items()})
        return output.total, 1, logged

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Logs the mean over batches, as plain floats: a tensor would be pickled into checkpoints
        in a form that safe loading refuses."""
        totals = sums(logging_outputs)
        batches = totals.get("sample_size", 0)
        if not batches:
            return
        for name, total in totals.items():
            if name not in COUNTS:
                metrics.log_scalar(name, total / batches, weight=batches, round=ROUND)
        metrics.log_scalar("bsz", totals["nsentences"], priority=190, round=1)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def clip_count(sample: Mapping[str, Any]) -> int:
    """The clips of a batch, however they are grouped: `vfeats` is [..., frames, width], where
    there are none `caps` is [..., words]."""
    shape = sample["vfeats"].shape[:-2] if "vfeats" in sample else sample["caps"].shape[:-1]
    return math.prod(shape)


def sums(logging_outputs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Each number's sum over batches (or over what the processes have summed already).

    The device is waited for once, not once a number.
    """
    logging_outputs = list(logging_outputs)
    on_device = [
        value
        for logged in logging_outputs
        for value in logged.values()
        if torch.is_tensor(value) and value.device.type != "cpu"
    ]
    if on_device:
        read = torch.stack([value.double().reshape(()) for value in on_device]).tolist()
        known = dict(zip(map(id, on_device), read, strict=True))
    else:
        known = {}
    totals: dict[str, float] = {}
    for logged in logging_outputs:
        for name, value in logged.items():
            number = known[id(value)] if id(value) in known else float(value)
            totals[name] = totals.get(name, 0.0) + number
    return totals
