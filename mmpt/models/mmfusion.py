"""VideoCLIP's dual encoder: video and text encoded apart, one pooled vector each.

Paper: VideoCLIP (Xu et al., EMNLP 2021), section 3; Norton keeps it unchanged.
"""

import logging
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmpt.config.access import lookup, setting
from mmpt.errors import ConfigError
from mmpt.models.bert import bert_config, copy_bert, load_bert
from mmpt.models.transformermodel import TEXT_ENCODERS, VIDEO_ENCODERS
from mmpt.utils.bert import special_token_ids

logger = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """One modality, encoded.

    pooled: [B, hidden]; states: [B, positions, hidden], the last layer, special tokens included;
    mask: bool [B, positions], True where a position counts (padding and the leading [CLS] do not).
    """

    pooled: Tensor
    states: Tensor
    mask: Tensor


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of `states` [B, P, D] over the True positions of `mask` [B, P] -> [B, D]."""
    weights = mask.to(states.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights.unsqueeze(1), states).squeeze(1)


def train_layernorm_only(model: nn.Module) -> None:
    """Leaves only the parameters of modules called `LayerNorm` trainable (Norton, section 4.1)."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[-2:-1] == ["LayerNorm"])


class MMFusion(nn.Module):
    """Base of the fusion models: builds the encoders that the job file names.

    Args:
        config: a job config.  Read: `dataset.bert_name`, `dataset.max_video_len`,
            `dataset.max_len`, `dataset.vfeat_dim`, and the section `model`.

    Raises:
        ConfigError: no encoder named, or an unknown one.
        DataError: `dataset.bert_name` cannot be had.
    """

    def __init__(self, config):
        super().__init__()
        self.bert_name = setting(config, "dataset.bert_name", "bert-base-uncased")
        self.max_video_len = setting(config, "dataset.max_video_len", 32)
        self._build_encoders(config)
        if setting(config, "model.layernorm_only", False):
            train_layernorm_only(self)

    def _build_encoders(self, config) -> None:
        video_cls = setting(config, "model.video_encoder_cls")
        text_cls = setting(config, "model.text_encoder_cls")
        if setting(config, "model.mm_encoder_cls") is not None:
            raise ConfigError(
                f"model.mm_encoder_cls: {type(self).__name__} encodes video and text apart; set it "
                "to null and name model.video_encoder_cls and model.text_encoder_cls"
            )
        video_encoder = lookup(VIDEO_ENCODERS, video_cls, "model.video_encoder_cls")
        text_encoder = lookup(TEXT_ENCODERS, text_cls, "model.text_encoder_cls")
        text_config = bert_config(self.bert_name)
        video_config = bert_config(
            self.bert_name,
            max_video_len=self.max_video_len,
            input_dim=setting(config, "dataset.vfeat_dim", 512),
            use_seg_emb=setting(config, "model.use_seg_emb", False),
            num_hidden_layers=setting(
                config, "model.num_hidden_video_layers", text_config.num_hidden_layers
            ),
        )
        self._check_positions(config, text_config.max_position_embeddings)
        bert = load_bert(self.bert_name, text_config)
        self.video_encoder = video_encoder(video_config)
        copy_bert(bert, self.video_encoder.bert)
        self.text_encoder = bert if type(bert) is text_encoder else text_encoder(text_config)

    def _check_positions(self, config, available: int) -> None:
        needed = max(setting(config, "dataset.max_len", 0), self.max_video_len + 2)
        if needed > available:
            raise ConfigError(
                f"dataset.max_len: {needed} positions are needed, {self.bert_name} has {available}"
            )


class MMFusionSeparate(MMFusion):
    """Two encoders: `video_encoder` (MMBertForEncoder) and `text_encoder` (BertModel).

    Captions come as `[CLS] [SEP] words... [SEP] [PAD]...`: the first [SEP] closes the video
    sequence, the rest belongs to the text.
    """

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
        text = self.forward_text(caps, cmasks)
        return {
            "pooled_video": video.pooled,
            "pooled_text": text.pooled,
            "video_outputs": video.states,
            "text_outputs": text.states,
            "video_mask_outputs": video.mask,
            "text_mask_outputs": text.mask,
        }

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
        states = self.video_encoder(caps[:, :2], vfeats, attention_mask).last_hidden_state
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
        states = self.text_encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        if output_hidden_states:
            return states
        mask = torch.cat([torch.zeros_like(cmasks[:, :1]), cmasks[:, 2:]], dim=1)
        return Encoded(masked_mean(states, mask), states, mask)

    def encode_video(self, vfeats: Tensor, vmasks: Tensor | None = None) -> Encoded:
        """Encodes clips that come without captions.

        Args:
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V], all frames where None.
        """
        if vmasks is None:
            vmasks = torch.ones(vfeats.shape[:2], dtype=torch.bool, device=vfeats.device)
        caps = torch.tensor([special_token_ids(self.bert_name)], device=vfeats.device)
        caps = caps.expand(vfeats.size(0), -1)
        return self.forward_video(vfeats, vmasks, caps, torch.ones_like(caps, dtype=torch.bool))

    def encode_text(self, caps: Tensor, cmasks: Tensor) -> Encoded:
        """Encodes captions that come without clips; the form of `caps` is the class's."""
        return self.forward_text(caps, cmasks)
