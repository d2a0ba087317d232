"""The video encoder: a BERT whose first words are seconds of video."""

from torch import Tensor, nn
from transformers import BertModel

from mmpt.modules.mm import MMBertEmbeddings, VideoTokenMLP


class MMBertModel(BertModel):
    """A Hugging Face `BertModel` that takes frames as well as word ids.

    Only the embeddings differ, so every fast path of the library (sdpa, compile, checkpointing)
    and every parameter name stays BERT's.
    """

    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        self.embeddings = MMBertEmbeddings(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        video_embeds: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **kwargs,
    ):
        """See `MMBertEmbeddings.sequence` for the layout.

        Args:
            input_ids: int64 [B, T].
            attention_mask: bool [B, frames + T], True where a position may be attended to.
            video_embeds: [B, frames, hidden] or None.
            token_type_ids: int64 [B, frames + T]; zeros where None.
        """
        inputs_embeds, position_ids = self.embeddings.sequence(input_ids, video_embeds)
        return super().forward(
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            **kwargs,
        )


class MMBertForEncoder(nn.Module):
    """`videomlp` and `bert`: features and ids in, hidden states out."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.videomlp = VideoTokenMLP(config)
        self.bert = MMBertModel(config)
        self._init_videomlp()

    def _init_videomlp(self) -> None:
        for linear in (self.videomlp.linear1, self.videomlp.linear2):
            nn.init.normal_(linear.weight, std=self.config.initializer_range)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        input_ids: Tensor,
        vfeats: Tensor | None,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        **kwargs,
    ):
        """Args as `MMBertModel.forward`, with raw features `vfeats` [B, frames, input_dim]."""
        video_embeds = None if vfeats is None else self.videomlp(vfeats)
        return self.bert(
            input_ids,
            attention_mask,
            video_embeds=video_embeds,
            token_type_ids=token_type_ids,
            **kwargs,
        )


VIDEO_ENCODERS = {"MMBertForEncoder": MMBertForEncoder}
TEXT_ENCODERS = {"BertModel": BertModel}
