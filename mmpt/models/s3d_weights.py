"""S3D with weights: MIL-NCE's, or random ones to try the pipeline with.

The public files are `pretrained_models/s3d_howto100m.pth` and `pretrained_models/s3d_dict.npy`.
"""

import logging
import math
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from mmpt.errors import CheckpointError, first_few
from mmpt.io.atomic import atomic_write
from mmpt.io.checkpoints import load_state, model_state, read_checkpoint
from mmpt.models.s3d_clips import BRIGHTEST, cells_of
from mmpt.models.s3dg import S3D

logger = logging.getLogger(__name__)

WEIGHTS = Path("pretrained_models/s3d_howto100m.pth")
"""MIL-NCE's weights, float32, 125 MB."""
WORDS = Path("pretrained_models/s3d_dict.npy")
"""The dictionary of its text half; the video half does without."""
TEXT_HALF = "text_module."
RANDOM_MARK = "random_seed"
"""What a file of random weights holds beside them."""


def load_s3d(weights: str | os.PathLike = WEIGHTS, words: str | os.PathLike | None = None) -> S3D:
    """S3D with the weights of a file, in evaluation mode, on the CPU.

    Args:
        weights: MIL-NCE's file, one of the same names, or one that `save_random` wrote.
        words: the dictionary; None: without the text half.

    Raises:
        CheckpointError: the weights are missing, damaged or another network's.
        DataError: the dictionary is missing or damaged.
    """
    path = Path(weights)
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such file: S3D's weights (MIL-NCE's s3d_howto100m.pth); DATASET.md, "
            "section 'S3D', says how to get them; to try things out without, take the random ones "
            "that mmpt extract --random-weights SEED keeps beside the features"
        )
    content = read_checkpoint(path)
    model = S3D(words)
    state = model_state(content, str(path))
    if words is None:
        state = {n: v for n, v in state.items() if not n.startswith(TEXT_HALF)}
    missing = load_state(model, state, str(path), hint="").missing
    if missing:
        raise CheckpointError(
            f"checkpoint {path} is not of S3D: it lacks {len(missing)} of the {len(state)} tensors "
            f"that are needed ({first_few(missing)})"
        )
    if RANDOM_MARK in content:
        warn_of_random(content[RANDOM_MARK])
    return model.eval()


def random_s3d(seed: int, clips: Tensor) -> S3D:
    """S3D's video half with random weights whose outputs tell clips apart, for trying things out.

    Convolutions and linear maps are drawn with He's and LeCun's deviations.  The statistics of
    the batch norms are those of the clips, and the embedding is centred on them: otherwise all
    clips would get nearly the same vector.

    Args:
        seed: of the weights.
        clips: uint8 [B, T, H, W, 3], RGB; a handful of different ones, T, H and W even.
    """
    model = S3D(None)
    source = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Conv3d | nn.Linear):
            gain = 2.0 if isinstance(part, nn.Conv3d) else 1.0
            deviation = math.sqrt(gain / part.weight[0].numel())
            nn.init.normal_(part.weight, std=deviation, generator=source)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    _set_statistics(model, clips)
    return model


def save_random(model: S3D, seed: int, path: str | os.PathLike) -> None:
    """Writes random weights to a file for `load_s3d`, atomically."""
    with atomic_write(path) as file:
        torch.save({"state_dict": model.state_dict(), RANDOM_MARK: seed}, file)


def warn_of_random(seed: int) -> None:
    """The line that no run with random weights is without."""
    logger.warning(
        "S3D HAS RANDOM WEIGHTS (seed %d): its features mean nothing, this is for trying the "
        "pipeline only",
        seed,
    )


@torch.no_grad()
def _set_statistics(model: S3D, clips: Tensor) -> None:
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics become those of the one batch that runs now
    model.train()
    pooled = model.from_cells(cells_of(clips) / BRIGHTEST)["mixed_5c"]
    model.fc.bias.copy_(-model.fc(pooled).mean(dim=0))
    model.eval()
