"""VideoCLIP's dual encoder: video and text encoded apart, one pooled vector each.

Paper: VideoCLIP (Xu et al., EMNLP 2021), section 3; Norton keeps it unchanged.
"""

import torch
from torch import Tensor

from mmpt.models.fusion import Encoded, MMFusion, every_frame, masked_mean, pair_outputs


class MMFusionShare(MMFusion):
    """One encoder, `mm_encoder`, which sees frames or words, never both at once.

    Captions come as `[CLS] [SEP] words... [SEP] [PAD]...`: the first [SEP] closes the video
    sequence, the rest belongs to the text.  Words have token type 1, all else 0.
    """

    one_encoder = True
    encoders = ("MMBertForEncoder", "MMBertForJoint")

    def forward(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        **ignored,
    ) -> dict[str, Tensor]:
        """Encodes a batch of pairs.

        Args:
            caps: int64 [B, T]; cmasks: bool [B, T].
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V].

        Returns:
            `pooled_video`, `pooled_text` [B, hidden]; `video_outputs` [B, V+2, hidden],
            `text_outputs` [B, T-1, hidden]; `video_mask_outputs`, `text_mask_outputs` bool.
        """
        video = self.forward_video(vfeats, vmasks, caps, cmasks)
        return pair_outputs(video, self.forward_text(caps, cmasks))

    def forward_video(
        self,
        vfeats: Tensor,
        vmasks: Tensor,
        caps: Tensor,
        cmasks: Tensor,
        output_hidden_states: bool = False,
        **ignored,
    ) -> Encoded | Tensor:
        """Encodes clips; of `caps` only the first two ids ([CLS], [SEP]) and their masks are used.

        Pooled over the valid frames *and* the [SEP], without [CLS]: a clip without any frame is
        legal.  `output_hidden_states=True` returns the states alone.
        """
        vmasks, cmasks = vmasks.bool(), cmasks.bool()
        attention_mask = torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:2]], dim=1)
        states = self._video_states(caps[:, :2], vfeats, attention_mask)
        if output_hidden_states:
            return states
        mask = torch.cat([torch.zeros_like(cmasks[:, :1]), vmasks, cmasks[:, 1:2]], dim=1)
        return Encoded(masked_mean(states, mask), states, mask)

    def forward_text(
        self,
        caps: Tensor,
        cmasks: Tensor,
        output_hidden_states: bool = False,
        **ignored,
    ) -> Encoded | Tensor:
        """Encodes captions: [CLS] and all after the first [SEP]; pooled without [CLS]."""
        cmasks = cmasks.bool()
        input_ids = torch.cat([caps[:, :1], caps[:, 2:]], dim=1)
        attention_mask = torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1)
        states = self._text_states(input_ids, attention_mask)
        if output_hidden_states:
            return states
        mask = torch.cat([torch.zeros_like(cmasks[:, :1]), cmasks[:, 2:]], dim=1)
        return Encoded(masked_mean(states, mask), states, mask)

    def encode_video(self, vfeats: Tensor, vmasks: Tensor | None = None) -> Encoded:
        """Encodes clips that come without captions.

        Args:
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V], all frames where None.
        """
        caps = self.closing_tokens(len(vfeats), vfeats.device)
        cmasks = torch.ones_like(caps, dtype=torch.bool)
        return self.forward_video(vfeats, every_frame(vfeats, vmasks), caps, cmasks)

    def encode_text(self, caps: Tensor, cmasks: Tensor) -> Encoded:
        """Encodes captions that come without clips; the form of `caps` is the class's."""
        return self.forward_text(caps, cmasks)

    def _video_states(self, input_ids: Tensor, vfeats: Tensor, mask: Tensor) -> Tensor:
        return self.mm_encoder(input_ids, vfeats, mask).last_hidden_state

    def _text_states(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        token_types = torch.ones_like(input_ids)
        token_types[:, 0] = 0
        output = self.mm_encoder(input_ids, None, mask, token_type_ids=token_types)
        return output.last_hidden_state


class MMFusionSeparate(MMFusionShare):
    """Two encoders: `video_encoder` (MMBertForEncoder) and `text_encoder` (BertModel).

    Token types are 0 throughout.
    """

    one_encoder = False
    encoders = ()

    def _video_states(self, input_ids: Tensor, vfeats: Tensor, mask: Tensor) -> Tensor:
        return self.video_encoder(input_ids, vfeats, mask).last_hidden_state

    def _text_states(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        return self.text_encoder(input_ids, attention_mask=mask).last_hidden_state
