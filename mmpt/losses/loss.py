"""The base of all losses, and the small ones.

Norton's own loss, `MMContraLoss`, and its video-paragraph part, `SequenceContrastLoss`, are in
`nce.py`; those of masked frames and words in `masked.py`; fairseq's view of a loss is in
`fairseqmmloss.py`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mmpt.errors import DataError

from .checks import check_finite, check_pairs, check_rows, check_same_shape, check_scores

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
        """Let NaN and infinity through: a training decides itself what becomes of such a batch."""

    def evaluate(self, **inputs: Tensor) -> LossOutput:
        """The loss of the tensors in `needs`, given by keyword."""
        raise NotImplementedError

    def compute(self, **sample: Any) -> LossOutput:
        """The loss and its parts.

        Automatic mixed precision is off inside: half precision inputs are computed in float32.

        Raises:
            DataError: a tensor is missing, no tensor, not finite, or does not have the form it must
                have.
        """
        missing = [name for name in self.needs if sample.get(name) is None]
        if missing:
            raise DataError(
                f"{type(self).__name__} needs {', '.join(missing)}, which neither the batch nor "
                f"the model's output has; present: {', '.join(sorted(sample)) or 'nothing'}"
            )
        inputs = {name: sample[name] for name in self.needs}
        for name, value in inputs.items():
            if not isinstance(value, Tensor):
                raise DataError(
                    f"{type(self).__name__} needs {name} as a tensor, got {type(value).__name__}"
                )
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


def cross_entropy(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of [rows, C] and [rows]; targets of -100 are ignored.

    Args:
        name: what the targets are called, for the message.

    Raises:
        DataError: targets that are not whole numbers, not as many as there are rows, none that
            counts, or a class that there is not.
    """
    classes = logits.shape[-1]
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise DataError(f"{name}: got {targets.dtype}, classes as whole numbers are needed")
    if len(logits) != len(targets):
        raise DataError(
            f"logits {tuple(logits.shape)} and {name} {tuple(targets.shape)} do not fit: one "
            "target for every row of class scores is needed"
        )
    counted = targets[targets != IGNORED_TARGET]
    if len(counted) == 0:
        raise DataError(f"{name}: all {len(targets)} are {IGNORED_TARGET} (ignored)")
    low, high = counted.min().item(), counted.max().item()
    if low < 0 or high >= classes:
        raise DataError(f"{name}: got classes from {low} to {high}, 0 to {classes - 1} are allowed")
    logits = full_precision(logits)
    return functional.cross_entropy(logits, targets.long(), ignore_index=IGNORED_TARGET)


class CrossEntropy(Loss):
    """Cross-entropy of flattened `logits` [..., C] and `targets` [...]; -100 is ignored."""

    needs = ("logits", "targets")

    def evaluate(self, logits: Tensor, targets: Tensor) -> LossOutput:
        check_scores("logits", logits)
        classes = logits.shape[-1]
        if logits.numel() != targets.numel() * classes:
            raise DataError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} do not fit: one "
                "target for every row of class scores is needed"
            )
        flat = logits.reshape(-1, classes)
        return LossOutput(cross_entropy("targets", flat, targets.reshape(-1)), {})


class ArgmaxCrossEntropy(Loss):
    """Cross-entropy of `logits` [B, C]; the class is the largest entry of `targets` [B, C].

    One-hot targets are meant; of equal entries the first is the class.
    """

    needs = ("logits", "targets")

    def evaluate(self, logits: Tensor, targets: Tensor) -> LossOutput:
        check_rows("logits", logits)
        check_same_shape("logits", logits, "targets", targets)
        # torch's argmax leaves open which of several equal entries it takes
        first = (targets == targets.amax(dim=1, keepdim=True)).int().argmax(dim=1)
        return LossOutput(functional.cross_entropy(full_precision(logits), first), {})


class NLGLoss(Loss):
    """Cross-entropy of words: `logits` [M, vocabulary] at the M places of `text_label` [B, T] that
    are not -100, in reading order.
    """

    needs = ("logits", "text_label")

    def evaluate(self, logits: Tensor, text_label: Tensor) -> LossOutput:
        check_rows("logits", logits)
        labels = text_label[text_label != IGNORED_TARGET]
        return LossOutput(cross_entropy("text_label", logits, labels), {})


class NCE(Loss):
    """Noise-contrastive estimation over scores of aligned and not aligned pairs.

    `align_scores` [2B, 2]: column 0 counts; the first B rows are matched pairs, the last B are
    negatives shared by all: every matched pair is contrasted with all of them.

    No wrapper that comes with the project yields `align_scores`: it takes a model of your own with
    an `AlignHead` (`mmpt/models/heads.py`).
    """

    needs = ("align_scores",)

    def evaluate(self, align_scores: Tensor) -> LossOutput:
        rows, columns = align_scores.shape if align_scores.ndim == 2 else (0, 0)
        if rows < 2 or rows % 2 or columns != 2:
            raise DataError(
                f"align_scores {tuple(align_scores.shape)}: [2B, 2] is needed, B matched pairs "
                "before B others"
            )
        positive, negative = full_precision(align_scores[:, 0]).chunk(2)
        logits = torch.cat([positive[:, None], negative.expand(len(positive), -1)], dim=1)
        return LossOutput(-logits.log_softmax(dim=1)[:, 0].mean(), {})


class BCE(Loss):
    """Binary cross-entropy of sigmoid(`logits`) and `targets` in [0, 1], the mean over all entries.

    Targets of a one-video batch carry a leading 1 that logits lack: it is taken off.
    """

    needs = ("logits", "targets")

    def evaluate(self, logits: Tensor, targets: Tensor) -> LossOutput:
        if targets.shape != logits.shape and targets.ndim and targets.shape[0] == 1:
            targets = targets.squeeze(0)
        check_same_shape("logits", logits, "targets", targets)
        logits = full_precision(logits)
        targets = targets.to(logits.dtype)
        low, high = targets.min().item(), targets.max().item()
        if low < 0 or high > 1:
            raise DataError(f"targets: got values from {low:g} to {high:g}, 0 to 1 are allowed")
        return LossOutput(functional.binary_cross_entropy_with_logits(logits, targets), {})


class ElementwiseLoss(Loss):
    """The mean of a function of `logits` and `targets`, tensors of one shape."""

    needs = ("logits", "targets")
    function: ClassVar[Callable[[Tensor, Tensor], Tensor]]

    def evaluate(self, logits: Tensor, targets: Tensor) -> LossOutput:
        check_same_shape("logits", logits, "targets", targets)
        logits = full_precision(logits)
        return LossOutput(type(self).function(logits, targets.to(logits.dtype)), {})


class MSE(ElementwiseLoss):
    """Mean squared difference."""

    function = staticmethod(functional.mse_loss)


class L1(ElementwiseLoss):
    """Mean absolute difference; its gradient at equality is 0."""

    function = staticmethod(functional.l1_loss)


class SmoothL1(ElementwiseLoss):
    """Mean of d^2 / 2 where the difference d is below 1, of d - 1/2 elsewhere."""

    function = staticmethod(functional.smooth_l1_loss)


class DummyLoss(CrossEntropy):
    """`CrossEntropy` under the name that trials of a pipeline use."""


class DummyK400Loss(Loss):
    """Cross-entropy of `logits` [B, C] against classes drawn anew from Kinetics' 400.

    It measures the speed of a classifier of clips whose labels are not at hand; nothing is learned.
    """

    needs = ("logits",)
    classes: ClassVar[int] = 400

    def evaluate(self, logits: Tensor) -> LossOutput:
        check_rows("logits", logits)
        if logits.shape[1] < self.classes:
            raise DataError(
                f"logits {tuple(logits.shape)}: DummyK400Loss draws from {self.classes} classes, "
                "at least as many columns are needed"
            )
        drawn = torch.randint(self.classes, (len(logits),), device=logits.device)
        return LossOutput(functional.cross_entropy(full_precision(logits), drawn), {})
