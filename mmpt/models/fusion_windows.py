"""Whole videos cut into windows: segmentation (COIN), localisation (CrossTask), full retrieval.

The data of one video comes as a batch of one item: windows [1, W, ...], captions [1, K, ...].
"""

import torch
from torch import Tensor

from mmpt.errors import DataError
from mmpt.models.fusion_dual import MMFusionSeparate, MMFusionShare


def flat_windows(tensor: Tensor, item_axes: int) -> Tensor:
    """[B, W, ...] -> [B * W, ...] where `...` has `item_axes` axes; [W, ...] stays as it is."""
    return tensor.flatten(0, 1) if tensor.dim() == item_axes + 2 else tensor


def one_video(name: str, tensor: Tensor, item_axes: int) -> Tensor:
    """[1, W, ...] -> [W, ...] where `...` has `item_axes` axes; [W, ...] stays as it is.

    Raises:
        DataError: more than one video.
    """
    if tensor.dim() == item_axes + 2 and tensor.size(0) != 1:
        raise DataError(
            f"{name} {tuple(tensor.shape)}: windows and captions of one video at a time are "
            "needed; set fairseq.dataset.batch_size: 1"
        )
    return flat_windows(tensor, item_axes)


class MMFusionSeparateActionSegmentation(MMFusionSeparate):
    """Classifies every frame of a video's windows (COIN): an MMBertForTokenClassification."""

    encoders = ("MMBertForTokenClassification",)

    def forward(
        self, caps: Tensor, cmasks: Tensor, vfeats: Tensor, vmasks: Tensor, **ignored
    ) -> dict[str, Tensor]:
        """`logits` [windows, V, labels] of the frames.

        Args:
            caps: int64 [B, W, T]; cmasks: bool [B, W, T]; only the first two positions are used.
            vfeats: float [B, W, V, vfeat_dim]; vmasks: bool [B, W, V].
        """
        caps, cmasks = flat_windows(caps, 1), flat_windows(cmasks, 1).bool()
        vfeats, vmasks = flat_windows(vfeats, 2), flat_windows(vmasks, 1).bool()
        attention_mask = torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:2]], dim=1)
        logits = self.video_encoder(caps[:, :2], vfeats, attention_mask).logits
        return {"logits": logits[:, 1:-1]}


class _OneVideo(MMFusionShare):
    """Windows and captions of one video, encoded apart; windows under a constant caption.

    That caption is [CLS] [SEP] with [CLS] masked: nothing attends to it, as in the data of the
    tasks that come in windows.
    """

    def _windows(self, vfeats: Tensor, vmasks: Tensor, output_hidden_states: bool = False):
        caps = self.closing_tokens(len(vfeats), vfeats.device)
        cmasks = torch.ones_like(caps, dtype=torch.bool)
        cmasks[:, 0] = False
        return self.forward_video(vfeats, vmasks, caps, cmasks, output_hidden_states)


class MMFusionSeparateFullVideoBGRetrieval(_OneVideo, MMFusionSeparate):
    """Windows of a whole video, background included, and the video's captions."""

    def forward(
        self, caps: Tensor, cmasks: Tensor, vfeats: Tensor, vmasks: Tensor, **ignored
    ) -> dict[str, Tensor]:
        """`pooled_video` [W, hidden] and `pooled_text` [K, hidden] of one video.

        Args:
            caps: int64 [1, K, T]; cmasks: bool [1, K, T].
            vfeats: float [1, W, V, vfeat_dim]; vmasks: bool [1, W, V].

        Raises:
            DataError: more than one video.
        """
        video = self._windows(one_video("vfeats", vfeats, 2), one_video("vmasks", vmasks, 1))
        text = self.forward_text(one_video("caps", caps, 1), one_video("cmasks", cmasks, 1))
        return {"pooled_video": video.pooled, "pooled_text": text.pooled}


class MMFusionShareActionLocalization(_OneVideo):
    """Scores every frame of a video against the texts of its steps (CrossTask)."""

    def forward(
        self, caps: Tensor, cmasks: Tensor, vfeats: Tensor, vmasks: Tensor, **ignored
    ) -> dict[str, Tensor]:
        """`logits` [frames, K]: states of the valid frames, window after window, times step texts.

        Args:
            caps: int64 [1, K, T]; cmasks: bool [1, K, T]: one caption a step.
            vfeats: float [1, W, V, vfeat_dim]; vmasks: bool [1, W, V].

        Raises:
            DataError: more than one video.
        """
        text = self.forward_text(one_video("caps", caps, 1), one_video("cmasks", cmasks, 1))
        return {"logits": self.localize(vfeats, vmasks, text.pooled)}

    def localize(self, vfeats: Tensor, vmasks: Tensor, text: Tensor) -> Tensor:
        """The logits of `forward` for steps that are encoded already.

        Args:
            vfeats: float [1, W, V, vfeat_dim]; vmasks: bool [1, W, V].
            text: float [K, hidden], pooled, on any device.

        Returns:
            [frames, K].

        Raises:
            DataError: more than one video.
        """
        vmasks = one_video("vmasks", vmasks, 1).bool()
        states = self._windows(one_video("vfeats", vfeats, 2), vmasks, output_hidden_states=True)
        return states[:, 1:-1][vmasks] @ text.to(states).T


class MMFusionSeparateActionLocalization(MMFusionShareActionLocalization, MMFusionSeparate):
    """`MMFusionShareActionLocalization` with an encoder for each modality."""
