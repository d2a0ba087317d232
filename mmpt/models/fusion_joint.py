"""Frames and words in one sequence of one encoder, the modalities apart in the first layers.

The sequence is `[CLS] frames... [SEP] words... [SEP]`, words of token type 1.
"""

from typing import ClassVar

import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError
from mmpt.models.fusion import Encoded, MMFusion, every_frame, masked_mean, pair_outputs
from mmpt.models.fusion_windows import flat_windows, one_video


def joint_mask(cmasks: Tensor, vmasks: Tensor) -> Tensor:
    """Bool [B, V + T]: the valid positions of the joint sequence."""
    return torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:]], dim=1)


def isolating_mask(cmasks: Tensor, vmasks: Tensor) -> Tensor:
    """Bool [B, P, P], rows the positions that look: each modality sees itself alone.

    [CLS] sees itself, frames and their [SEP] see each other, words see words.
    """
    kinds = torch.ones(vmasks.size(1) + cmasks.size(1), dtype=torch.long, device=vmasks.device)
    kinds[0], kinds[vmasks.size(1) + 2 :] = 0, 2
    valid = joint_mask(torch.cat([torch.ones_like(cmasks[:, :1]), cmasks[:, 1:]], 1), vmasks)
    return (kinds[:, None] == kinds[None, :]) & valid[:, None, :]


def token_types(cmasks: Tensor, vmasks: Tensor) -> Tensor:
    """int64 [B, V + T]: 0 for [CLS], the frames and their [SEP], 1 for the words."""
    first = vmasks.size(1) + 2
    types = torch.zeros(len(vmasks), vmasks.size(1) + cmasks.size(1), dtype=torch.long)
    types[:, first:] = 1
    return types.to(vmasks.device)


class JointFusion(MMFusion):
    """One encoder `mm_encoder` of frames and words together.

    `dataset.num_iso_layer` k keeps the modalities apart in the first k layers; hidden state k is
    what is pooled then, the last one where k is not set.

    Raises:
        ConfigError: `num_iso_layer` below 0 or above the number of layers; more positions needed
            than BERT has.
    """

    one_encoder = True
    encoders: ClassVar[tuple[str, ...]] = ("MMBertForJoint", "MMBertForEncoder")

    def __init__(self, config):
        super().__init__(config)
        self.num_layers = self.mm_encoder.config.num_hidden_layers
        self.num_iso_layer = setting(config, "dataset.num_iso_layer", 0)
        if not 0 <= self.num_iso_layer <= self.num_layers:
            raise ConfigError(
                f"dataset.num_iso_layer: got {self.num_iso_layer}, 0 to {self.num_layers} (the "
                f"layers of {self.bert_name}) are allowed"
            )

    @property
    def pooled_layer(self) -> int:
        """The hidden state that is pooled: how many layers lead to it."""
        return self.num_iso_layer or self.num_layers

    def attention(self, cmasks: Tensor, vmasks: Tensor) -> Tensor:
        """Who may look at whom: bool [B, P], or [B, layers, P, P] with isolated layers."""
        seen = joint_mask(cmasks, vmasks)
        if not self.num_iso_layer:
            return seen
        iso = isolating_mask(cmasks, vmasks)
        masks = [iso] * self.num_iso_layer
        masks += [seen[:, None, :].expand_as(iso)] * (self.num_layers - self.num_iso_layer)
        return torch.stack(masks, dim=1)

    def sequence_inputs(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        attention_mask: Tensor | None = None,
    ) -> dict:
        """The encoder's arguments for a batch of pairs, masks bool.

        Args:
            attention_mask: see `MMBertModel.forward`; None: as `attention` gives it.
        """
        if attention_mask is None:
            attention_mask = self.attention(cmasks, vmasks)
        return {
            "input_ids": caps,
            "vfeats": vfeats,
            "attention_mask": attention_mask.bool(),
            "token_type_ids": token_types(cmasks, vmasks),
        }

    def modalities(self, states: Tensor, cmasks: Tensor, vmasks: Tensor) -> tuple[Encoded, Encoded]:
        """Cuts states [B, V + T, hidden] into video and text, pooled without [CLS]."""
        first = vmasks.size(1) + 2
        mask = torch.cat([torch.zeros_like(cmasks[:, :1]), vmasks, cmasks[:, 1:]], dim=1)
        halves = []
        for part in (slice(None, first), slice(first, None)):
            piece, valid = states[:, part], mask[:, part]
            halves.append(Encoded(masked_mean(piece, valid), piece, valid))
        return tuple(halves)


class MMFusionJoint(JointFusion):
    """Retrieval with one encoder that sees both modalities in training.

    In evaluation the two halves are encoded apart, so that one modality's vectors do not depend on
    what they are compared with.
    """

    def forward(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        attention_mask: Tensor | None = None,
        **ignored,
    ) -> dict[str, Tensor]:
        """Encodes a batch of pairs.

        Args:
            caps: int64 [B, T]; cmasks: bool [B, T].
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V].
            attention_mask: see `MMBertModel.forward`; None: as `attention` gives it.

        Returns:
            `pooled_video`, `pooled_text` [B, hidden]; `video_outputs` [B, V+2, hidden],
            `text_outputs` [B, T-2, hidden] with their masks, of the layer that is pooled.
        """
        cmasks, vmasks = cmasks.bool(), vmasks.bool()
        split = None if self.training else vmasks.size(1) + 2
        states = self._states(caps, cmasks, vfeats, vmasks, split, attention_mask)
        return pair_outputs(*self.modalities(states, cmasks, vmasks))

    def encode_video(self, vfeats: Tensor, vmasks: Tensor | None = None) -> Encoded:
        """Encodes clips that come without captions.

        Args:
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V], all frames where None.
        """
        vmasks = every_frame(vfeats, vmasks)
        caps = self.closing_tokens(len(vfeats), vfeats.device)
        cmasks = torch.ones_like(caps, dtype=torch.bool)
        states = self._states(caps, cmasks, vfeats, vmasks, split=None)
        return self.modalities(states, cmasks, vmasks)[0]

    def encode_text(self, caps: Tensor, cmasks: Tensor) -> Encoded:
        """Encodes captions [B, T] that come without clips: their words, without [CLS]."""
        vfeats = self.mm_encoder.videomlp.linear1.weight.new_zeros(
            len(caps), 0, self.mm_encoder.videomlp.linear1.in_features
        )
        cmasks, vmasks = cmasks.bool(), cmasks[:, :0].bool()
        states = self._states(caps, cmasks, vfeats, vmasks, split=2)
        return self.modalities(states, cmasks, vmasks)[1]

    def _states(self, caps, cmasks, vfeats, vmasks, split: int | None, attention=None) -> Tensor:
        inputs = self.sequence_inputs(caps, cmasks, vfeats, vmasks, attention)
        output = self.mm_encoder(**inputs, split=split, layers=self.pooled_layer)
        return output.last_hidden_state


class MMFusionActionSegmentation(JointFusion):
    """Classifies every frame of a video's windows: an MMBertForTokenClassification."""

    encoders = ("MMBertForTokenClassification",)

    def forward(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        attention_mask: Tensor | None = None,
        **ignored,
    ) -> dict[str, Tensor]:
        """`logits` [windows, V, labels] of the frames.

        Args:
            caps: int64 [B, W, T]; cmasks: bool [B, W, T].
            vfeats: float [B, W, V, vfeat_dim]; vmasks: bool [B, W, V].
            attention_mask: that of `MMBertModel.forward` for every window, [B, W, ...]; None: as
                `attention` gives it.
        """
        if attention_mask is not None and vfeats.dim() == 4:
            attention_mask = attention_mask.flatten(0, 1)
        caps, cmasks = flat_windows(caps, 1), flat_windows(cmasks, 1).bool()
        vfeats, vmasks = flat_windows(vfeats, 2), flat_windows(vmasks, 1).bool()
        inputs = self.sequence_inputs(caps, cmasks, vfeats, vmasks, attention_mask)
        return {"logits": self.mm_encoder(**inputs).logits[:, 1 : 1 + vmasks.size(1)]}


class MMFusionActionLocalization(JointFusion):
    """Scores every frame of a video against the texts of its steps (CrossTask).

    Windows meet a constant caption [CLS] [SEP] [PAD] [SEP] of which [CLS] and [PAD] are masked;
    step texts meet one frame of zeros.
    """

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
        caps, cmasks = one_video("caps", caps, 1), one_video("cmasks", cmasks, 1).bool()
        vfeats, vmasks = one_video("vfeats", vfeats, 2), one_video("vmasks", vmasks, 1).bool()
        cls, sep = self.closing_tokens(1, caps.device)[0]
        constant = torch.stack([cls, sep, torch.zeros_like(cls), sep]).expand(len(vfeats), -1)
        shown = torch.tensor([False, True, False, True], device=caps.device)
        states = self._states(constant, shown.expand(len(vfeats), -1), vfeats, vmasks)
        frames = states[:, 1 : 1 + vmasks.size(1)][vmasks]
        blank = vfeats.new_zeros(len(caps), 1, vfeats.size(-1))
        one = torch.ones_like(cmasks[:, :1])
        _, text = self.modalities(self._states(caps, cmasks, blank, one), cmasks, one)
        return {"logits": frames @ text.pooled.T}

    def _states(self, caps, cmasks, vfeats, vmasks) -> Tensor:
        inputs = self.sequence_inputs(caps, cmasks, vfeats, vmasks)
        return self.mm_encoder(**inputs, layers=self.pooled_layer).last_hidden_state
