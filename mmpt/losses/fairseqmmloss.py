"""fairseq's view of a loss: `--criterion mmloss`."""

import logging

from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.logging import metrics

logger = logging.getLogger(__name__)

ROUND = 4
COUNTS = {"nsentences", "ntokens", "sample_size"}


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
        # an overflow in half precision is fairseq's to handle: it skips that update
        half = getattr(task.args, "fp16", False) or getattr(task.args, "amp", False)
        if self.mmloss is not None and half:
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
            "ntokens": sample["caps"].numel() // sample["caps"].size(-1),
            "sample_size": 1,
        }
        logged.update({name: value.detach() for name, value in output.parts.items()})
        return output.total, 1, logged

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Logs the mean over batches, as plain floats: a tensor would be pickled into checkpoints
        in a form that safe loading refuses."""
        batches = sum(float(log.get("sample_size", 0)) for log in logging_outputs)
        for name in logging_outputs[0] if batches else ():
            if name not in COUNTS:
                total = sum(float(log[name]) for log in logging_outputs)
                metrics.log_scalar(name, total / batches, weight=batches, round=ROUND)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True
