"""The base of all losses, and the small ones.

Norton's own loss, `MMContraLoss`, and its video-paragraph part, `SequenceContrastLoss`, are in
`nce.py`; fairseq's view of a loss is in `fairseqmmloss.py`.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mmpt.errors import DataError

from .checks import check_finite, check_pairs

IGNORED_TARGET = -100


class LossOutput(NamedTuple):
    total: Tensor
    """[], what is minimised; float32, or float64 for float64 inputs."""
    parts: dict[str, Tensor]
    """Numbers worth logging, each [], without gradient."""


class Loss(torch.nn.Module):
    """A loss is built with the whole job config and called with a whole sample.

    A subclass lists the tensors it takes in `needs` and computes with them in `evaluate`; all else
    in the sample is ignored.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any = None):
        super().__init__()
        self.allow_non_finite = False
        """Let NaN and infinity through: a trainer in half precision skips such updates itself."""

    def evaluate(self, **inputs: Tensor) -> LossOutput:
        """The loss of the tensors in `needs`, given by keyword."""
        raise NotImplementedError

    def compute(self, **sample: Any) -> LossOutput:
        """The loss and its parts.

        Automatic mixed precision is off inside: half precision inputs are computed in float32.

        Raises:
            DataError: a tensor is missing, not finite, or does not have the form it must have.
        """
        missing = [name for name in self.needs if sample.get(name) is None]
        if missing:
            raise DataError(
                f"{type(self).__name__} needs {', '.join(missing)}, which neither the batch nor "
                f"the model's output has; present: {', '.join(sorted(sample)) or 'nothing'}"
            )
        inputs = {name: sample[name] for name in self.needs}
        if not self.allow_non_finite:
            check_finite(**{n: x for n, x in inputs.items() if x.is_floating_point()})
        device = inputs[self.needs[0]].device.type
        with torch.autocast(device, enabled=False):
            return self.evaluate(**inputs)

    def forward(self, **sample: Any) -> Tensor:
        """The scalar to minimise."""
        return self.compute(**sample).total


def full_precision(tensor: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def diagonal_cross_entropy(logits: Tensor) -> Tensor:
    """Mean cross-entropy over the rows of [N, N], row i's class being column i."""
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class T2VContraLoss(Loss):
    """Captions choose their clip: contrast over the rows of text times video.

    `pooled_video`, `pooled_text`: [N, d], neither normalised nor scaled by a temperature.
    """

    needs = ("pooled_video", "pooled_text")

    def evaluate(self, pooled_video: Tensor, pooled_text: Tensor) -> LossOutput:
        check_pairs("pooled_video", pooled_video, "pooled_text", pooled_text)
        logits = full_precision(pooled_text) @ full_precision(pooled_video).T
        return LossOutput(diagonal_cross_entropy(logits), {})


class V2TContraLoss(Loss):
    """Clips choose their caption: `T2VContraLoss` with the roles exchanged."""

    needs = ("pooled_video", "pooled_text")

    def evaluate(self, pooled_video: Tensor, pooled_text: Tensor) -> LossOutput:
        check_pairs("pooled_video", pooled_video, "pooled_text", pooled_text)
        logits = full_precision(pooled_video) @ full_precision(pooled_text).T
        return LossOutput(diagonal_cross_entropy(logits), {})


class CrossEntropy(Loss):
    """Cross-entropy of flattened `logits` [..., C] and `targets` [...]; -100 is ignored."""

    needs = ("logits", "targets")

    def evaluate(self, logits: Tensor, targets: Tensor) -> LossOutput:
        classes = logits.shape[-1]
        targets = targets.reshape(-1)
        if logits.numel() != len(targets) * classes:
            raise DataError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} do not fit: one "
                "target for every row of class scores is needed"
            )
        counted = targets[targets != IGNORED_TARGET]
        if len(counted) == 0:
            raise DataError(f"targets: all {len(targets)} are {IGNORED_TARGET} (ignored)")
        low, high = counted.min().item(), counted.max().item()
        if low < 0 or high >= classes:
            raise DataError(
                f"targets: got classes from {low} to {high}, 0 to {classes - 1} are allowed"
            )
        flat = full_precision(logits).reshape(-1, classes)
        return LossOutput(functional.cross_entropy(flat, targets, ignore_index=IGNORED_TARGET), {})
