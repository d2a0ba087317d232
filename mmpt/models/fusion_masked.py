"""Masked frames and words (VLM, Xu et al., ACL Findings 2021): what the masked losses train."""

from torch import Tensor

from mmpt.errors import DataError
from mmpt.models.fusion import pair_outputs
from mmpt.models.fusion_joint import JointFusion


class MMFusionMFMMLM(JointFusion):
    """Predicts masked frames among the batch's frames and masked words among the vocabulary.

    Without labels, as in evaluation, it pools the two modalities like `MMFusionJoint`, both in one
    sequence.
    """

    encoders = ("MMBertForMFMMLM",)

    def forward(
        self,
        caps: Tensor,
        cmasks: Tensor,
        vfeats: Tensor,
        vmasks: Tensor,
        attention_mask: Tensor | None = None,
        video_label: Tensor | None = None,
        text_label: Tensor | None = None,
        **ignored,
    ) -> dict[str, Tensor]:
        """With both labels, R masked frames and M masked words: `video_logits` and `text_logits`.

        Args:
            caps: int64 [B, T], masked words already replaced; cmasks: bool [B, T].
            vfeats: float [B, V, vfeat_dim], nothing masked; vmasks: bool [B, V].
            attention_mask: see `MMBertModel.forward`; None: as `attention` gives it.
            video_label: bool [B, V], True at a frame to mask and predict.
            text_label: int64 [B, T], the true id at a masked word, -100 elsewhere.

        Returns:
            `video_logits` [R, 1 + valid frames that are not masked], `text_logits` [M, vocabulary];
            without labels what `MMFusionJoint` returns.

        Raises:
            DataError: one of the two labels alone.
        """
        if (video_label is None) != (text_label is None):
            raise DataError(
                "video_label and text_label: one is given alone; both or none is needed"
            )
        cmasks, vmasks = cmasks.bool(), vmasks.bool()
        inputs = self.sequence_inputs(caps, cmasks, vfeats, vmasks, attention_mask)
        if video_label is None:
            states = self.mm_encoder(**inputs, layers=self.pooled_layer).last_hidden_state
            return pair_outputs(*self.modalities(states, cmasks, vmasks))
        labels = {"video_label": video_label.bool(), "text_label": text_label}
        predicted = self.mm_encoder(**inputs, **labels, vmasks=vmasks)
        return {"video_logits": predicted.video_logits, "text_logits": predicted.text_logits}


class MMFusionMTM(MMFusionMFMMLM):
    """`MMFusionMFMMLM` with one vocabulary of frames and words.

    `video_logits` [R, 1 + frames not masked + vocabulary]; `text_logits` [M, vocabulary + frames
    not masked].
    """

    encoders = ("MMBertForMTM",)
