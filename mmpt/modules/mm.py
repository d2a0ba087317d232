"""The two parts that turn frames and words into one BERT input sequence (VideoCLIP, section 3)."""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.models.bert.modeling_bert import BertEmbeddings

from mmpt.errors import DataError

SEGMENT_TABLE_ROWS = 256


class VideoTokenMLP(nn.Module):
    """Maps S3D vectors to the width of BERT: linear, activation, LayerNorm, linear.

    The LayerNorm keeps torch's epsilon 1e-5 (BERT's own is 1e-12): checkpoints were trained so.

    Args:
        config: a BERT config; `input_dim` (default 512) is the width of a feature row.
    """

    def __init__(self, config):
        super().__init__()
        input_dim = getattr(config, "input_dim", 512)
        self.linear1 = nn.Linear(input_dim, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.linear2 = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, vfeats: Tensor) -> Tensor:
        """[B, frames, input_dim] -> [B, frames, hidden]."""
        return self.linear2(self.LayerNorm(self.activation(self.linear1(vfeats))))


class MMBertEmbeddings(BertEmbeddings):
    """BERT's embeddings plus the layout of a sequence of frames and words.

    A sequence is `[CLS] frame... [SEP] word... [SEP]`.  Its positions do not depend on how many
    frames there are: [CLS] and the frames take 0, 1, 2..., the frames' [SEP] always takes
    `max_video_len + 1` and the words start at `max_video_len + 2`, so that a model meets the same
    position for [SEP] in every clip.

    Args:
        config: a BERT config with `max_video_len` (seconds), and `use_seg_emb` for checkpoints of
            VideoCLIP that carry a (never used) segment table.
    """

    def __init__(self, config):
        super().__init__(config)
        self.max_video_len = config.max_video_len
        if getattr(config, "use_seg_emb", False):
            self.seg_embeddings = nn.Embedding(SEGMENT_TABLE_ROWS, config.hidden_size)

    def sequence(
        self, input_ids: Tensor, video_embeds: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Lays out one batch.

        Args:
            input_ids: int64 [B, T]: `[CLS] [SEP] words... [SEP]` with frames, `[CLS] words...
                [SEP]` without.  Two ids alone give the video-only sequence.
            video_embeds: [B, frames, hidden], the output of `VideoTokenMLP`, or None.

        Returns:
            inputs_embeds [B, frames + T, hidden] (word rows not yet position-encoded) and
            position_ids int64 [1, frames + T], both as `BertModel` takes them.

        Raises:
            DataError: more than `max_video_len` frames, which would take the words' positions.
        """
        words = self.word_embeddings(input_ids)
        frames = 0 if video_embeds is None else video_embeds.size(1)
        if frames > self.max_video_len:
            raise DataError(
                f"vfeats: {frames} frames a clip, the model has positions for {self.max_video_len} "
                "(dataset.max_video_len): cut the clips, or set the key higher"
            )
        if video_embeds is not None:
            words = torch.cat([words[:, :1], video_embeds.to(words.dtype), words[:, 1:]], dim=1)
        first = self.max_video_len + (1 if video_embeds is not None else 2)
        after = torch.arange(first, first + input_ids.size(1) - 1, device=input_ids.device)
        before = torch.arange(frames + 1, device=input_ids.device)
        return words, torch.cat([before, after]).unsqueeze(0)
