"""Trained models for programs: from a video file and a sentence to a score.

    from mmpt import api

    norton = api.load("projects/retri/norton/test_vtt_zs.yaml")
    norton.score(["a man slices an onion"], ["kitchen.mp4", "garage.mp4"])   # [texts, videos]

Encoding frames that are tensors already: `mmpt.models.MMPTModel`.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmpt.config import load_config
from mmpt.config.access import setting
from mmpt.errors import CheckpointError, ConfigError, DataError
from mmpt.io.checkpoints import load_model
from mmpt.models import build_model
from mmpt.models.s3d_clips import ClipNetwork
from mmpt.models.s3d_weights import WEIGHTS, load_s3d
from mmpt.ops.window_merge import merge_windows
from mmpt.processors.downstream.windows import cover, cut
from mmpt.processors.processor import DEFAULT_WIDTH, Aligner, check_features, config_tokenizer
from mmpt.utils.devices import pick_device

logger = logging.getLogger(__name__)

BEST = "checkpoint_best.pt"
CLIPS_AT_ONCE = 4
"""Seconds of a video that go through S3D together."""
ROWS_AT_ONCE = 64
"""Texts, or windows of a video, that are encoded together."""


class Parts(NamedTuple):
    """What a job file describes, loaded; the model in evaluation mode, on the CPU."""

    config: Any
    model: nn.Module
    tokenizer: Any
    aligner: Aligner


class EncodedVideo(NamedTuple):
    """A video of L seconds, encoded; on the CPU, float32.

    Attributes:
        pooled: [d]; of a video in several windows their mean, each weighted with its seconds.
        states: [L, d], the last layer's state of every second.
        times: [L], the second at which each begins.
    """

    pooled: Tensor
    states: Tensor
    times: Tensor


def load(
    job: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    *,
    video_weights: str | os.PathLike = WEIGHTS,
    device: str | torch.device | None = None,
) -> "VideoTextModel":
    """A trained model, ready to encode.

    Args:
        job: a job file, of a training or an evaluation, or the folder of a run.
        checkpoint: a path, or a file name in `eval.save_path`; None: the file that
            `fairseq.common_eval.path` names, else `checkpoint_best.pt` in `eval.save_path`.
        video_weights: S3D's; read when the first video file is encoded.
        device: None: CUDA where there is one.

    Raises:
        ConfigError, DataError, CheckpointError: the line says what is missing or wrong.
    """
    return VideoTextModel(load_parts(job, checkpoint), video_weights, device)


def load_parts(job: str | os.PathLike, checkpoint: str | os.PathLike | None = None) -> Parts:
    """The config, fusion model, tokenizer and aligner of a job; arguments and errors as `load`."""
    path = Path(job)
    if path.is_dir():
        folder, path = path, path / "config.yaml"
        if not path.is_file():
            raise ConfigError(f"{folder} holds no config.yaml: it is no run's folder")
    else:
        folder = None
    config = load_config(config_file=path)
    file = _checkpoint_file(config, folder, checkpoint)
    model = build_model(config)
    load_model(model, file)
    dataset = config.dataset
    return Parts(config, model.eval(), config_tokenizer(dataset), Aligner(dataset))


class VideoTextModel:
    """Encodes video files and texts, and compares them.

    Args:
        parts: a loaded job whose model encodes video and text apart.
        video_weights: S3D's; read when the first video file is encoded.
        device: None: CUDA where there is one.

    Attributes:
        model, tokenizer, aligner, config: the parts.
        device: where the models are.
        max_video_len: seconds of a window.

    Raises:
        ConfigError: the model does not encode video and text apart.
    """

    def __init__(
        self,
        parts: Parts,
        video_weights: str | os.PathLike = WEIGHTS,
        device: str | torch.device | None = None,
    ):
        self.config, self.model, self.tokenizer, self.aligner = parts
        if not (hasattr(self.model, "encode_text") and hasattr(self.model, "encode_video")):
            raise ConfigError(
                f"model.model_cls: {type(self.model).__name__} does not encode video and text "
                "apart; use MMFusionSeparate"
            )
        self.device = torch.device(pick_device(None if device is None else str(device), "device"))
        self.model.to(self.device)
        self.max_video_len = self.aligner.max_video_len
        self.width: int = setting(self.config, "dataset.vfeat_dim", DEFAULT_WIDTH)
        self.video_weights = Path(video_weights)
        self._clip_network: ClipNetwork | None = None

    def encode_video(self, path: str | os.PathLike, step: int | None = None) -> EncodedVideo:
        """Encodes a video file of any length.

        Args:
            path: anything that FFmpeg decodes.
            step: seconds from one window of `max_video_len` seconds to the next, at most that;
                None: windows do not overlap.  A second's state is its mean over its windows.

        Raises:
            ConfigError: the model takes features of another width than S3D's.
            DataError: nothing of the file can be decoded, or `step` is out of range.
            CheckpointError: S3D's weights are missing or damaged.
        """
        return self.encode_features(self.video_features(path), step)

    @torch.inference_mode()
    def video_features(self, path: str | os.PathLike) -> np.ndarray:
        """The features of a file, float32 [seconds, width], rows of length 1; errors as above."""
        from mmpt.extraction.reading import VideoReader

        if self.width != DEFAULT_WIDTH:
            raise ConfigError(
                f"dataset.vfeat_dim: this model takes features of width {self.width}, S3D's have "
                f"{DEFAULT_WIDTH}; extract features with its own network and use encode_features"
            )
        network = self._network()
        rows, held = [], []
        for second in VideoReader(path):
            held.append(torch.from_numpy(second))
            if len(held) == CLIPS_AT_ONCE:
                rows.append(network(torch.stack(held).to(self.device)))
                held = []
        if held:
            rows.append(network(torch.stack(held).to(self.device)))
        return F.normalize(torch.cat(rows), dim=-1).cpu().numpy()

    @torch.inference_mode()
    def encode_features(
        self, features: np.ndarray | Tensor, step: int | None = None
    ) -> EncodedVideo:
        """Encodes a video whose features are there: the content of `VIDEO_ID.npy`.

        Args:
            features: [seconds, width], float.
            step: as `encode_video`.

        Raises:
            DataError: another shape, NaN or inf, or `step` is out of range.
        """
        features = np.asarray(features)
        check_features(features, self.width, "features")
        size = self.max_video_len
        step = size if step is None else step
        if not isinstance(step, int) or not 1 <= step <= size:
            raise DataError(
                f"step: got {step!r}; allowed: 1 to {size} whole seconds, the windows' size"
            )
        windows = cover(len(features), step, size)
        vfeats = torch.from_numpy(cut(features.astype(np.float32), windows, size, 0))
        lengths = torch.from_numpy(windows.ends - windows.starts)
        vmasks = torch.arange(size) < lengths[:, None]
        pooled, states = self._encode_windows(vfeats, vmasks)
        weights = (lengths / lengths.sum()).float()
        return EncodedVideo(
            pooled=weights @ pooled,
            states=merge_windows(states, vmasks, torch.from_numpy(windows.starts), len(features)),
            times=torch.arange(len(features), dtype=torch.float32),
        )

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Pooled vectors of texts, float32 [N, d] on the CPU; what is too long is cut, and said.

        Raises:
            DataError: no list of texts, or an empty one.
        """
        if not isinstance(texts, str):
            texts = list(texts)
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"texts: a list of texts is needed, got {texts!r:.80}")
        if not texts:
            raise DataError("texts: the list is empty")
        # halves of surrogate pairs are no characters, and no tokenizer takes them
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        ids = self.tokenizer(whole, add_special_tokens=False)["input_ids"]
        too_long = sum(len(tokens) > self.aligner.max_text_len for tokens in ids)
        if too_long:
            logger.warning(
                "%d of %d texts have more than %d tokens and are cut",
                too_long,
                len(ids),
                self.aligner.max_text_len,
            )
        rows = [self.aligner._build_text_seq(tokens) for tokens in ids]
        caps = torch.stack([row[0] for row in rows]).to(self.device)
        cmasks = torch.stack([row[1] for row in rows]).to(self.device)
        parts = zip(caps.split(ROWS_AT_ONCE), cmasks.split(ROWS_AT_ONCE), strict=True)
        return torch.cat([self.model.encode_text(c, m).pooled.float().cpu() for c, m in parts])

    def score(
        self,
        texts: Sequence[str] | Tensor,
        videos: Sequence[str | os.PathLike | EncodedVideo],
    ) -> Tensor:
        """Dot products of texts and videos, as retrieval ranks them.

        Args:
            texts: N texts, or what `encode_text` gave for them.
            videos: M files, or what `encode_video` gave for them.

        Returns:
            float32 [N, M].

        Raises:
            DataError, CheckpointError: as the methods that encode.
        """
        if isinstance(videos, str | os.PathLike | EncodedVideo) or not len(videos):
            raise DataError(
                f"videos: a list of files or encoded videos is needed, got {videos!r:.80}"
            )
        pooled = torch.stack([self._encoded(video).pooled for video in videos])
        return self._pooled(texts, pooled) @ pooled.T

    def align(
        self, texts: Sequence[str] | Tensor, video: str | os.PathLike | EncodedVideo
    ) -> Tensor:
        """Cosines of texts with the seconds of a video, float32 [N, seconds]; takes and raises what
        `score` does."""
        states = self._encoded(video).states
        return F.normalize(self._pooled(texts, states), dim=-1) @ F.normalize(states, dim=-1).T

    def _encoded(self, video: str | os.PathLike | EncodedVideo) -> EncodedVideo:
        return video if isinstance(video, EncodedVideo) else self.encode_video(video)

    def _pooled(self, texts: Sequence[str] | Tensor, like: Tensor) -> Tensor:
        """Pooled texts of the width of video vectors."""
        pooled = texts if isinstance(texts, Tensor) else self.encode_text(texts)
        if pooled.dim() != 2 or pooled.shape[1] != like.shape[1]:
            raise DataError(
                f"texts: vectors of shape {list(pooled.shape)}; [texts, {like.shape[1]}] is "
                "needed, as encode_text gives them"
            )
        return pooled

    def _network(self) -> ClipNetwork:
        if self._clip_network is None:
            self._clip_network = ClipNetwork(load_s3d(self.video_weights)).to(self.device)
        return self._clip_network

    def _encode_windows(self, vfeats: Tensor, vmasks: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors [W, d] and the states of the slots [W, V, d]; float32, on the CPU."""
        pooled, states = [], []
        for part, mask in zip(vfeats.split(ROWS_AT_ONCE), vmasks.split(ROWS_AT_ONCE), strict=True):
            encoded = self.model.encode_video(part.to(self.device), mask.to(self.device))
            pooled.append(encoded.pooled.float().cpu())
            states.append(encoded.states[:, 1:-1].float().cpu())
        return torch.cat(pooled), torch.cat(states)


def _checkpoint_file(config: Any, folder: Path | None, name: str | os.PathLike | None) -> Path:
    """The file that a checkpoint's name means; see `load`."""
    named = setting(config, "fairseq.common_eval.path")
    if name is None and named and folder is None:
        return Path(named)
    name = Path(name or BEST)
    saved = folder or setting(config, "eval.save_path")
    in_saved = None if saved is None else Path(saved) / name
    if in_saved is not None and (in_saved.is_file() or len(name.parts) == 1):
        return in_saved
    if in_saved is None and not name.is_file():
        raise CheckpointError(
            f"checkpoint {name}: no such file, and eval.save_path is not set; give a path"
        )
    return name
