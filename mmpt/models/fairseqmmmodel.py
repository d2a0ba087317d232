"""fairseq's view of a model: `--arch mmarch`."""

from fairseq.models import (
    BaseFairseqModel,
    register_model,
    register_model_architecture,
)

from mmpt.io.checkpoints import load_state, model_state
from mmpt.io.fairseqmm_checkpoints import last_read


@register_model("mmmodel")
class FairseqMMModel(BaseFairseqModel):
    """Wraps the task's model as `mmmodel`, the prefix of every name in a checkpoint."""

    def __init__(self, mmmodel):
        super().__init__()
        self.mmmodel = mmmodel

    @classmethod
    def build_model(cls, args, task) -> "FairseqMMModel":
        return cls(task.mmtask.build_model())

    def forward(self, *args, **kwargs):
        return self.mmmodel(*args, **kwargs)

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """Loads what fits and says in one line each what does not, whatever `strict` says.

        So a VideoCLIP checkpoint starts a fine-tuning model that has a classifier on top.
        """
        source = last_read()
        return load_state(self.mmmodel, model_state({"model": state_dict}, source), source)


@register_model_architecture("mmmodel", "mmarch")
def mmarch(args) -> None:
    """All sizes come from the job file."""
