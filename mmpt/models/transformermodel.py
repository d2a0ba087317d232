"""Encoders of frames, by the names that job files use.

Each is `videomlp` (features to BERT's width), `bert` and, where it has one, a head
(`heads.py`). The BERT itself is in `mmbert.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertForPreTraining, BertModel
from transformers.utils import ModelOutput

from mmpt.models.bert import copy_bert
from mmpt.models.heads import AlignHead, MFMMLMHead, MTMHead
from mmpt.models.mmbert import MMBertModel, MultiLayerAttentionMaskBertEncoder
from mmpt.modules.mm import VideoTokenMLP

COIN_LABELS = 779
"""COIN's 778 steps and the background: the width of the published classifier."""


class MMBertForEncoder(nn.Module):
    """`videomlp` and `bert`: features and ids in, hidden states out."""

    source_cls: type = BertModel
    """The Hugging Face class that `start_from` takes the weights of."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.videomlp = VideoTokenMLP(config)
        self.bert = MMBertModel(config)
        for linear in (self.videomlp.linear1, self.videomlp.linear2):
            self._init_linear(linear)

    def _init_linear(self, linear: nn.Linear) -> None:
        nn.init.normal_(linear.weight, std=self.config.initializer_range)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)

    def start_from(self, source: nn.Module) -> None:
        """Copies what fits of a `source_cls`; `videomlp` keeps its fresh weights."""
        copy_bert(source, self.bert)

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


class MMBertForJoint(MMBertForEncoder):
    """Frames and words in one sequence; masks of each layer and `split` keep them apart."""


@dataclass
class ClassifiedTokens(ModelOutput):
    """`logits` [B, positions, labels or words]; `last_hidden_state` [B, positions, hidden]."""

    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


class MMBertForTokenClassification(MMBertForEncoder):
    """An encoder with a linear classifier on every position.

    As many labels as `config.frame_labels` says (`dataset.num_labels` of a job file), COIN's 779
    by default.  The dropout is declared and never applied: published results were made so.
    """

    def __init__(self, config):
        super().__init__(config)
        labels = getattr(config, "frame_labels", COIN_LABELS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, labels)
        self._init_linear(self.classifier)

    def forward(self, *args, **kwargs) -> ClassifiedTokens:
        """Args as `MMBertForEncoder.forward`."""
        states = super().forward(*args, **kwargs).last_hidden_state
        return ClassifiedTokens(self.classifier(states), states)


def states_of_ids(states: Tensor, length: int) -> Tensor:
    """States [B, frames + T, hidden] at the T ids' places: [CLS], and all after the frames."""
    return torch.cat([states[:, :1], states[:, states.size(1) - length + 1 :]], dim=1)


@dataclass
class MaskedPredictions(ModelOutput):
    """What is predicted at masked positions, R frames and M words of the whole batch.

    `video_logits` [R, candidates] and `text_logits` [M, candidates], None without labels;
    `last_hidden_state` [B, positions, hidden].
    """

    video_logits: Tensor | None = None
    text_logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


class MMBertForMFMMLM(MMBertForEncoder):
    """Predicts masked frames and masked words (VLM, Xu et al., ACL Findings 2021).

    A masked frame is told from the frames of the batch that are not masked, a masked word from
    the vocabulary, whose output table is the input table.
    """

    source_cls = BertForPreTraining
    head_cls: type = MFMMLMHead

    def __init__(self, config):
        super().__init__(config)
        self.cls = self.head_cls(config)
        self._init_linear(self.cls.predictions.transform.dense)
        self.cls.predictions.tie(self.bert.embeddings.word_embeddings)

    def start_from(self, source: nn.Module) -> None:
        copy_bert(source.bert, self.bert)
        copy_bert(source.cls, self.cls)

    def forward(
        self,
        input_ids: Tensor,
        vfeats: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        video_label: Tensor | None = None,
        text_label: Tensor | None = None,
        vmasks: Tensor | None = None,
        **kwargs,
    ) -> MaskedPredictions:
        """Args as `MMBertModel.forward`, and for predictions:

        Args:
            vfeats: float [B, V, input_dim], the true features; masked ones are seen as zeros.
            video_label: bool [B, V], True at a masked frame.
            text_label: int64 [B, T], the true id at a masked word, -100 elsewhere.
            vmasks: bool [B, V], the valid frames.
        """
        shown = vfeats
        if video_label is not None:
            shown = vfeats.masked_fill(video_label.unsqueeze(-1), 0.0)
        frames = self.videomlp(shown)
        states = self.bert(
            input_ids,
            attention_mask,
            video_embeds=frames,
            token_type_ids=token_type_ids,
            **kwargs,
        ).last_hidden_state
        if video_label is None or text_label is None:
            return MaskedPredictions(last_hidden_state=states)
        words = states_of_ids(states, input_ids.size(1))
        video_logits, text_logits = self.cls(
            masked_frames=states[:, 1 : 1 + vfeats.size(1)][video_label],
            true_frames=self.videomlp(vfeats[video_label]),
            other_frames=frames[vmasks & ~video_label],
            masked_words=words[text_label != -100],
        )
        return MaskedPredictions(video_logits, text_logits, states)


class MMBertForMTM(MMBertForMFMMLM):
    """As `MMBertForMFMMLM`, with one vocabulary of frames and words (masked token modelling)."""

    head_cls = MTMHead


class MMBertForNLG(MMBertForMFMMLM):
    """Predicts the words of a text, with the head that predicts masked words."""

    def forward(
        self,
        input_ids: Tensor,
        vfeats: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        text_label: Tensor | None = None,
        **kwargs,
    ) -> ClassifiedTokens:
        """`logits` [M, vocabulary] where `text_label` is not -100; [B, T, vocabulary] without it.

        Args as `MMBertModel.forward`, `text_label`: int64 [B, T].
        """
        states = self.bert(
            input_ids,
            attention_mask,
            video_embeds=self.videomlp(vfeats),
            token_type_ids=token_type_ids,
            **kwargs,
        ).last_hidden_state
        words = states_of_ids(states, input_ids.size(1))
        if text_label is not None:
            words = words[text_label != -100]
        return ClassifiedTokens(self.cls.word_scores(words), states)


VIDEO_ENCODERS = {
    "MMBertForEncoder": MMBertForEncoder,
    "MMBertForTokenClassification": MMBertForTokenClassification,
}
TEXT_ENCODERS = {"BertModel": BertModel}
MM_ENCODERS = {
    **VIDEO_ENCODERS,
    "MMBertForJoint": MMBertForJoint,
    "MMBertForMFMMLM": MMBertForMFMMLM,
    "MMBertForMTM": MMBertForMTM,
    "MMBertForNLG": MMBertForNLG,
}

__all__ = [
    "COIN_LABELS",
    "MM_ENCODERS",
    "TEXT_ENCODERS",
    "VIDEO_ENCODERS",
    "AlignHead",
    "ClassifiedTokens",
    "MMBertForEncoder",
    "MMBertForJoint",
    "MMBertForMFMMLM",
    "MMBertForMTM",
    "MMBertForNLG",
    "MMBertForTokenClassification",
    "MMBertModel",
    "MaskedPredictions",
    "MultiLayerAttentionMaskBertEncoder",
]
