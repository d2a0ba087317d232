"""Texts from video: the words of a caption one after the other (VLM's captioning)."""

import torch
from torch import Tensor

from mmpt.config.access import setting
from mmpt.errors import ConfigError
from mmpt.models.fusion import every_frame
from mmpt.models.fusion_joint import JointFusion, joint_mask


def generation_mask(cmasks: Tensor, vmasks: Tensor) -> Tensor:
    """Bool [B, P, P], rows the positions that look: words see the video and the words before them.

    [CLS], the frames and their [SEP] see each other and no word.
    """
    valid = joint_mask(cmasks, vmasks)
    place = torch.arange(valid.size(1), device=valid.device)
    place = (place - vmasks.size(1) - 1).clamp(min=0)  # 0 for the video, 1, 2, ... for the words
    return (place[None, :] <= place[:, None]) & valid[:, None, :]


class MMFusionNLG(JointFusion):
    """Predicts each word of a caption from the video and the words before it.

    The state of the frames' [SEP] predicts the first word, that of a word the next one.

    Raises:
        ConfigError: `gen_param` asks for more than greedy decoding.
    """

    encoders = ("MMBertForNLG",)

    def __init__(self, config):
        super().__init__(config)
        longest = setting(config, "dataset.max_len", 96) - self.max_video_len - 3
        self.max_length = min(setting(config, "model.max_decode_length", longest), longest)
        wanted = dict(setting(config, "gen_param", {}))
        if wanted and wanted != {"num_beams": 1}:
            raise ConfigError(
                f"gen_param: got {wanted}, only greedy decoding is available: leave it out, or "
                "num_beams: 1"
            )

    def forward(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        attention_mask: Tensor | None = None,
        text_label: Tensor | None = None,
        **ignored,
    ) -> dict[str, Tensor]:
        """`logits` [M, vocabulary] at the M places where `text_label` is not -100.

        Args:
            caps: int64 [B, T]; cmasks: bool [B, T].
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V].
            attention_mask: bool [B, V + T, V + T]; None: `generation_mask`.
            text_label: int64 [B, T], the id to predict at each place; None: `logits` [B, T,
                vocabulary] at all places.
        """
        cmasks, vmasks = cmasks.bool(), vmasks.bool()
        if attention_mask is None:
            attention_mask = generation_mask(cmasks, vmasks)
        inputs = self.sequence_inputs(caps, cmasks, vfeats, vmasks, attention_mask)
        return {"logits": self.mm_encoder(**inputs, text_label=text_label).logits}

    @torch.no_grad()
    def generate(
        self, vfeats: Tensor, vmasks: Tensor | None = None, max_length: int | None = None
    ) -> list[list[int]]:
        """The most likely next word, again and again, until [SEP] or `max_length` words.

        Args:
            vfeats: float [B, V, vfeat_dim]; vmasks: bool [B, V], all frames where None.
            max_length: at most `model.max_decode_length`, which is also the default.

        Returns:
            The word ids of each clip, without special tokens.
        """
        vmasks = every_frame(vfeats, vmasks)
        caps = self.closing_tokens(len(vfeats), vfeats.device)
        end, done = caps[0, 1], torch.zeros_like(caps[:, 0], dtype=torch.bool)
        words: list[list[int]] = [[] for _ in range(len(vfeats))]
        for _ in range(min(max_length or self.max_length, self.max_length)):
            cmasks = torch.ones_like(caps, dtype=torch.bool)
            following = self(caps, cmasks, vfeats, vmasks)["logits"][:, -1].argmax(dim=1)
            done = done | (following == end)
            if bool(done.all()):
                break
            for found, word, finished in zip(words, following.tolist(), done.tolist(), strict=True):
                if not finished:
                    found.append(word)
            caps = torch.cat([caps, following[:, None]], dim=1)
        return words
