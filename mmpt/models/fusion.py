"""What all fusion models share: their encoders, built from the job file, and masked pooling.

The wrappers themselves: `fusion_dual.py` (video and text encoded apart), `fusion_windows.py` (whole
videos in windows), `fusion_joint.py` (one sequence of frames and words), `fusion_masked.py` (masked
modelling) and `fusion_nlg.py` (captioning); `mmfusion.py` has all their names.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mmpt.config.access import lookup, setting
from mmpt.errors import ConfigError
from mmpt.models.bert import bert_config, load_bert
from mmpt.models.execution import set_execution
from mmpt.models.transformermodel import COIN_LABELS, MM_ENCODERS, TEXT_ENCODERS, VIDEO_ENCODERS
from mmpt.utils.bert import special_token_ids


class Encoded(NamedTuple):
    """One modality, encoded.

    pooled: [B, hidden]; states: [B, positions, hidden], special tokens included; mask: bool
    [B, positions], True where a position counts (padding and the leading [CLS] do not).
    """

    pooled: Tensor
    states: Tensor
    mask: Tensor


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of `states` [B, P, D] over the True positions of `mask` [B, P] -> [B, D]."""
    weights = mask.to(states.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights.unsqueeze(1), states).squeeze(1)


def pair_outputs(video: Encoded, text: Encoded) -> dict[str, Tensor]:
    """The outputs of a pair of modalities by the names that losses and predictors take."""
    return {
        "pooled_video": video.pooled,
        "pooled_text": text.pooled,
        "video_outputs": video.states,
        "text_outputs": text.states,
        "video_mask_outputs": video.mask,
        "text_mask_outputs": text.mask,
    }


def train_layernorm_only(model: nn.Module) -> None:
    """Leaves only the parameters of modules called `LayerNorm` trainable (Norton, section 4.1)."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[-2:-1] == ["LayerNorm"])


class MMFusion(nn.Module):
    """Base of the fusion models: builds the encoders that the job file names.

    `model.mm_encoder_cls` names one encoder for both modalities, kept as `mm_encoder`; else
    `model.video_encoder_cls` and `model.text_encoder_cls` name two, `video_encoder` and
    `text_encoder`.  A subclass says which of the two forms it can use, and which encoders.

    Args:
        config: a job config.  Read: `dataset.bert_name`, `dataset.max_video_len`,
            `dataset.max_len`, `dataset.vfeat_dim`, `dataset.num_labels`, the section `model`.

    Raises:
        ConfigError: no encoder named, an unknown one, or one that the class cannot use;
            `model.compile` on a machine that cannot.
        DataError: `dataset.bert_name` cannot be had.
    """

    one_encoder: ClassVar[bool | None] = None
    """True: needs `mm_encoder`; False: needs two encoders; None: takes what is named."""
    encoders: ClassVar[tuple[str, ...]] = ()
    """The encoders of frames that the class can use; empty: all."""

    def __init__(self, config):
        super().__init__()
        self.bert_name = setting(config, "dataset.bert_name", "bert-base-uncased")
        self.max_video_len = setting(config, "dataset.max_video_len", 32)
        if self._uses_one_encoder(config):
            self._build_one(config)
        else:
            self._build_two(config)
        if setting(config, "model.layernorm_only", False):
            train_layernorm_only(self)
        set_execution(self, config)

    def forward(self, *args, **kwargs) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} has encoders, but no forward pass")

    def _uses_one_encoder(self, config) -> bool:
        named = setting(config, "model.mm_encoder_cls") is not None
        if self.one_encoder is None:
            if not named and setting(config, "model.video_encoder_cls") is None:
                raise ConfigError(
                    "model: no encoder is named; set model.mm_encoder_cls, or "
                    "model.video_encoder_cls and model.text_encoder_cls"
                )
            return named
        if named and not self.one_encoder:
            raise ConfigError(
                f"model.mm_encoder_cls: {type(self).__name__} encodes video and text apart; set it "
                "to null and name model.video_encoder_cls and model.text_encoder_cls"
            )
        if not named and self.one_encoder:
            raise ConfigError(
                f"model.mm_encoder_cls is not set: {type(self).__name__} has one encoder for video "
                f"and text; known names: {', '.join(self.encoders or sorted(MM_ENCODERS))}"
            )
        return self.one_encoder

    def _frame_encoder(self, config, key: str, registry: dict[str, type]) -> type:
        found = lookup(registry, setting(config, key), key)
        if self.encoders and found.__name__ not in self.encoders:
            raise ConfigError(
                f"{key}: {type(self).__name__} cannot use {found.__name__}; known names: "
                f"{', '.join(self.encoders)}"
            )
        return found

    def _build_one(self, config) -> None:
        encoder = self._frame_encoder(config, "model.mm_encoder_cls", MM_ENCODERS)
        encoder_config = bert_config(self.bert_name, **self._frame_settings(config))
        self._check_positions(config, encoder_config.max_position_embeddings)
        bert = load_bert(self.bert_name, bert_config(self.bert_name), encoder.source_cls)
        self.mm_encoder = encoder(encoder_config)
        self.mm_encoder.start_from(bert)

    def _build_two(self, config) -> None:
        video_encoder = self._frame_encoder(config, "model.video_encoder_cls", VIDEO_ENCODERS)
        text_name = setting(config, "model.text_encoder_cls")
        text_encoder = lookup(TEXT_ENCODERS, text_name, "model.text_encoder_cls")
        text_config = bert_config(self.bert_name)
        layers = setting(config, "model.num_hidden_video_layers", text_config.num_hidden_layers)
        video_config = bert_config(
            self.bert_name, num_hidden_layers=layers, **self._frame_settings(config)
        )
        self._check_positions(config, text_config.max_position_embeddings)
        bert = load_bert(self.bert_name, text_config)
        self.video_encoder = video_encoder(video_config)
        self.video_encoder.start_from(bert)
        self.text_encoder = bert if type(bert) is text_encoder else text_encoder(text_config)

    def _frame_settings(self, config) -> dict:
        """What an encoder of frames needs beyond BERT's own config."""
        return {
            "max_video_len": self.max_video_len,
            "input_dim": setting(config, "dataset.vfeat_dim", 512),
            "use_seg_emb": setting(config, "model.use_seg_emb", False),
            "frame_labels": setting(config, "dataset.num_labels", COIN_LABELS),
        }

    def _check_positions(self, config, available: int) -> None:
        needed = max(setting(config, "dataset.max_len", 0), self.max_video_len + 2)
        if needed > available:
            raise ConfigError(
                f"dataset.max_len: {needed} positions are needed, {self.bert_name} has {available}"
            )

    def closing_tokens(self, rows: int, device: torch.device) -> Tensor:
        """[CLS] [SEP], int64 [rows, 2]: what closes a sequence of frames without words."""
        ids = torch.tensor([special_token_ids(self.bert_name)], device=device)
        return ids.expand(rows, -1)


def every_frame(vfeats: Tensor, vmasks: Tensor | None) -> Tensor:
    """`vmasks` as bool, or all True [B, V] where it is None."""
    if vmasks is None:
        return torch.ones(vfeats.shape[:2], dtype=torch.bool, device=vfeats.device)
    return vmasks.bool()
