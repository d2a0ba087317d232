"""Losses of masked frames and words (VLM, Xu et al., ACL Findings 2021).

Logits are those of `mmpt.models.heads`: R masked frames and M masked words of the whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mmpt.errors import DataError

from .checks import check_rows
from .loss import IGNORED_TARGET, Loss, LossOutput, cross_entropy, full_precision


class MFMMLM(Loss):
    """Masked frames among frames plus masked words among words.

    `video_logits` [R, 1 + frames]: the true frame is column 0. `text_logits` [M, vocabulary]: the
    true words are the entries of `text_label` [B, T] that are not -100, in reading order. A batch
    in which no frame, or no word, is masked has nothing to learn on that side, which adds 0.

    Raises:
        DataError: nothing is masked at all, or shapes or labels do not fit.
    """

    needs = ("video_logits", "text_logits", "text_label")

    def evaluate(self, video_logits: Tensor, text_logits: Tensor, text_label: Tensor) -> LossOutput:
        labels = masked_labels(video_logits, text_logits, text_label)
        first = torch.zeros(len(video_logits), dtype=torch.long, device=video_logits.device)
        frames, words = full_precision(video_logits).sum(), full_precision(text_logits).sum()
        if len(video_logits):
            check_rows("video_logits", video_logits)
            frames = functional.cross_entropy(full_precision(video_logits), first)
        if len(text_logits):
            words = cross_entropy("text_label", text_logits, labels)
        parts = {"loss_mfm": frames.detach(), "loss_mlm": words.detach()}
        return LossOutput(frames + words, parts)


class MTM(Loss):
    """Masked frames and words in one cross-entropy, every row of equal weight.

    `video_logits` [R, C + 1]: the true frame is column 0. `text_logits` [M, C]: the true words are
    the entries of `text_label` [B, T] that are not -100. A text row gets one more column of score
    0, so that the rows can be stacked: [R + M, C + 1].

    Raises:
        DataError: nothing is masked at all, or shapes or labels do not fit.
    """

    needs = ("video_logits", "text_logits", "text_label")

    def evaluate(self, video_logits: Tensor, text_logits: Tensor, text_label: Tensor) -> LossOutput:
        labels = masked_labels(video_logits, text_logits, text_label)
        if video_logits.shape[1] != text_logits.shape[1] + 1:
            raise DataError(
                f"video_logits {tuple(video_logits.shape)} and text_logits "
                f"{tuple(text_logits.shape)} do not fit: the video's rows have one column more"
            )
        words = functional.pad(full_precision(text_logits), (0, 1))
        rows = torch.cat([full_precision(video_logits), words])
        targets = torch.cat([labels.new_zeros(len(video_logits)), labels])
        return LossOutput(cross_entropy("text_label", rows, targets), {})


def masked_labels(video_logits: Tensor, text_logits: Tensor, text_label: Tensor) -> Tensor:
    """The M true words of a batch, after a check of what both losses take.

    Raises:
        DataError: see the losses.
    """
    for name, logits in (("video_logits", video_logits), ("text_logits", text_logits)):
        if logits.ndim != 2:
            raise DataError(f"{name} {tuple(logits.shape)}: [masked positions, scores] is needed")
    labels = text_label[text_label != IGNORED_TARGET]
    if len(labels) != len(text_logits):
        raise DataError(
            f"text_logits {tuple(text_logits.shape)} and text_label {tuple(text_label.shape)} do "
            f"not fit: {len(labels)} labels are not {IGNORED_TARGET}, one row for each is needed"
        )
    if not len(video_logits) and not len(text_logits):
        raise DataError("video_logits and text_logits: no frame and no word of the batch is masked")
    return labels
