"""From frames to scores in one module: S3D, then the dual encoder.

    job = "projects/retri/norton/how2_pretrain.yaml"
    model, tokenizer, aligner = MMPTModel.from_pretrained(job)

Videos in files, long videos and lists of texts: mmpt/api.py.
"""

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmpt.config.access import setting
from mmpt.errors import DataError
from mmpt.models.s3d_clips import BRIGHTEST
from mmpt.models.s3d_weights import WEIGHTS

CLIPS_AT_ONCE = 8
"""Seconds that go through the video network together: bounds the memory."""


class MMPTModel(nn.Module):
    """A video network and a fusion model, end to end.

    Args:
        config: a job config; `dataset.max_video_len` is read.
        model: a fusion model that gives `pooled_video` and `pooled_text`.
        video_encoder: an `S3D`.
        normalize: bring the features of a second to length 1, as the stored ones are that models
            are trained on; False: leave them as S3D gives them (the published behaviour).

    Attributes:
        model, video_encoder: as given.
        max_video_len: the most seconds of a clip.
    """

    def __init__(self, config, model: nn.Module, video_encoder: nn.Module, normalize: bool = True):
        super().__init__()
        self.max_video_len: int = setting(config, "dataset.max_video_len", 32)
        self.model = model
        self.video_encoder = video_encoder
        self.normalize = normalize

    @classmethod
    def from_pretrained(
        cls,
        config: str | os.PathLike,
        checkpoint: str | os.PathLike = "checkpoint_best.pt",
        *,
        normalize: bool = True,
        video_weights: str | os.PathLike = WEIGHTS,
    ):
        """The model of a job file, its tokenizer and its aligner, in evaluation mode.

        Args:
            config: the job file, or a run's folder.
            checkpoint: a file name in the job's `eval.save_path`, or a path.
            normalize: as the class takes it.
            video_weights: of S3D.

        Returns:
            (model, tokenizer, aligner); `aligner._build_text_seq(ids)` makes `caps` and `cmasks`.

        Raises:
            ConfigError, DataError, CheckpointError: the line says what is missing or wrong.
        """
        from mmpt.api import load_parts
        from mmpt.models.s3d_weights import load_s3d

        video_encoder = load_s3d(video_weights)  # first: what most often is not there
        parts = load_parts(config, checkpoint)
        model = cls(parts.config, parts.model, video_encoder, normalize)
        return model.eval(), parts.tokenizer, parts.aligner

    def forward(
        self,
        video_frames: Tensor,
        caps: Tensor,
        cmasks: Tensor,
        vmasks: Tensor | None = None,
        return_score: bool = False,
    ) -> dict[str, Tensor]:
        """Encodes B pairs of a clip and a text.

        Args:
            video_frames: float [B, S, T, H, W, 3], any precision: S seconds of T frames, RGB in
                [0, 1] (bytes are divided by 255); 30 frames of 224 x 224 are what the public
                weights were made with.
            caps: int64 [B, L]; cmasks: bool [B, L]: one text for each clip.
            vmasks: bool [B, S], True on seconds; None: all are.  Others are not looked at.
            return_score: whether to give the scores alone.

        Returns:
            the fusion model's outputs, or `score` [B], the dot products of the pooled vectors.

        Raises:
            DataError: a shape that does not fit, or more seconds than `max_video_len`.
        """
        device = next(self.model.parameters()).device
        caps, cmasks = caps.to(device), cmasks.to(device)
        vfeats, vmasks = self.encode_seconds(video_frames, vmasks)
        vfeats = vfeats.to(device, next(self.model.parameters()).dtype)
        vmasks = vmasks.to(device)
        if len(caps) != len(vfeats):
            raise DataError(
                f"{len(vfeats)} clips and {len(caps)} texts; they go in pairs (mmpt.api scores all "
                "texts against all videos)"
            )
        output = self.model(caps=caps, cmasks=cmasks, vfeats=vfeats, vmasks=vmasks)
        if return_score:
            return {"score": (output["pooled_video"] * output["pooled_text"]).sum(dim=-1)}
        return output

    def encode_seconds(
        self, video_frames: Tensor, vmasks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The features of every second, padded as the fusion model takes them.

        Args:
            video_frames, vmasks: as `forward`.

        Returns:
            vfeats [B, max_video_len, width] and vmasks bool [B, max_video_len].

        Raises:
            DataError: as `forward`.
        """
        vmasks = self._checked_mask(video_frames, vmasks)
        device = next(self.video_encoder.parameters()).device
        clips = video_frames[vmasks.to(video_frames.device)]
        rows = torch.cat([self._encode(part, device) for part in clips.split(CLIPS_AT_ONCE)])
        vmasks = F.pad(vmasks.to(device), (0, self.max_video_len - vmasks.shape[1]))
        vfeats = rows.new_zeros(*vmasks.shape, rows.shape[-1])
        vfeats[vmasks] = rows
        return vfeats, vmasks

    def _encode(self, clips: Tensor, device: torch.device) -> Tensor:
        """[N, T, H, W, 3] -> [N, width]."""
        clips = clips.to(device).permute(0, 4, 1, 2, 3)
        if not clips.is_floating_point():
            clips = clips / BRIGHTEST
        precision = next(self.video_encoder.parameters()).dtype
        features = self.video_encoder(clips.to(precision))["video_embedding"]
        return F.normalize(features, dim=-1) if self.normalize else features

    def _checked_mask(self, frames: Tensor, vmasks: Tensor | None) -> Tensor:
        if frames.dim() != 6 or frames.shape[-1] != 3:
            raise DataError(
                f"video_frames: shape {list(frames.shape)}; expected [clips, seconds, frames, "
                "height, width, 3]"
            )
        clips, seconds = frames.shape[:2]
        if seconds > self.max_video_len:
            raise DataError(
                f"video_frames: {seconds} seconds; dataset.max_video_len is {self.max_video_len}: "
                "cut the clips, or encode the file with mmpt.api, which takes long videos in "
                "windows"
            )
        if vmasks is None:
            vmasks = torch.ones(clips, seconds, dtype=torch.bool)
        if vmasks.shape != (clips, seconds):
            raise DataError(
                f"vmasks: shape {list(vmasks.shape)}; {[clips, seconds]} goes with video_frames"
            )
        if not bool(vmasks.any()):
            raise DataError("vmasks: no clip has a second")
        return vmasks.bool()
