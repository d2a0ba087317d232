"""A BERT whose first words are seconds of video, with attention masks of any rank."""

import torch
from torch import Tensor, nn
from transformers import BertModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    BaseModelOutputWithPooling,
)
from transformers.models.bert.modeling_bert import BertEncoder

from mmpt.modules.mm import MMBertEmbeddings


class MultiLayerAttentionMaskBertEncoder(BertEncoder):
    """BERT's layers, each with an attention mask of its own where the mask has one for each.

    Args:
        config: a BERT config.
        layers: the layers of a `BertEncoder` that is already built; None: new ones.
    """

    def __init__(self, config, layers: nn.ModuleList | None = None):
        if layers is None:
            super().__init__(config)
        else:
            nn.Module.__init__(self)
            self.config = config
            self.layer = layers

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        layers: int | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """As BERT's, apart from:

        Args:
            attention_mask: None, or [B, 1 or number of layers, P, P] as attention takes it.
            layers: run only the first so many; None: all.
        """
        # layers are called as `BertEncoder` calls them, and without positions, which none of them
        # reads: one compiled layer then serves frames and words
        others = kwargs.pop("encoder_hidden_states", None)
        for i, layer in enumerate(self.layer[:layers]):
            mask = attention_mask
            if mask is not None and mask.dim() == 4 and mask.size(1) > 1:
                mask = mask[:, i : i + 1]
            hidden_states = layer(hidden_states, mask, others, position_ids=None, **kwargs)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=hidden_states)


class MMBertModel(BertModel):
    """A Hugging Face `BertModel` that takes frames as well as word ids.

    Only the embeddings and the choice of a mask for each layer differ, so every fast path of the
    library (sdpa, compile, checkpointing) and every parameter name stays BERT's.
    """

    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        self.embeddings = MMBertEmbeddings(config)
        self.encoder = MultiLayerAttentionMaskBertEncoder(config, self.encoder.layer)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        video_embeds: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        split: int | None = None,
        **kwargs,
    ):
        """See `MMBertEmbeddings.sequence` for the layout.

        Args:
            input_ids: int64 [B, T].
            attention_mask: bool, P = frames + T: [B, P], True where a position may be attended to;
                or [B, P, P], rows the positions that look; or [B, layers, P, P].
            video_embeds: [B, frames, hidden] or None.
            token_type_ids: int64 [B, P]; zeros where None.
            split: encode the positions before and from this one on apart; the result is put
                together again, and `pooler_output` is the first part's.
        """
        inputs_embeds, position_ids = self.embeddings.sequence(input_ids, video_embeds)
        if attention_mask.dim() == 3:
            attention_mask = attention_mask.unsqueeze(1)
        sequence = {
            "inputs_embeds": inputs_embeds,
            "position_ids": position_ids,
            "token_type_ids": token_type_ids,
        }
        if split is None:
            return self._encode(sequence, attention_mask, **kwargs)
        parts = []
        for part in (slice(None, split), slice(split, None)):
            mask = attention_mask[..., part]
            mask = mask if mask.dim() == 2 else mask[..., part, :]
            piece = {k: None if v is None else v[:, part] for k, v in sequence.items()}
            parts.append(self._encode(piece, mask, **kwargs))
        return _joined(*parts)

    def _encode(self, sequence: dict[str, Tensor | None], mask: Tensor, **kwargs):
        if mask.dim() == 4 and self.config._attn_implementation == "eager":
            # eager attention adds the mask to the scores; a mask of rank 4 is taken as it is
            dtype = sequence["inputs_embeds"].dtype
            closed = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=mask.device)
            mask = torch.where(mask, torch.zeros_like(closed), closed)
        return super().forward(attention_mask=mask, **sequence, **kwargs)


def _joined(first, second) -> BaseModelOutputWithPooling:
    hidden = None
    if first.hidden_states is not None:
        pairs = zip(first.hidden_states, second.hidden_states, strict=True)
        hidden = tuple(torch.cat(pair, dim=1) for pair in pairs)
    states = torch.cat([first.last_hidden_state, second.last_hidden_state], dim=1)
    return BaseModelOutputWithPooling(states, first.pooler_output, hidden)
