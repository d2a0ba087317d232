"""The networks that features can be made with: `--type` picks one by its name.

A network turns one second of video, uint8 [B, rate, size, size, 3], into float32 [B, width].  A
clip's vector must not depend on the others of its batch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmpt.models.s3d_clips import ClipNetwork
from mmpt.models.s3d_weights import WEIGHTS, load_s3d, random_s3d, save_random


class Network(NamedTuple):
    """An entry of the registry.

    Attributes:
        rate: frames a second.
        size: edge of the frames in pixels.
        width: of a vector.
        build: makes the network, in evaluation mode on the CPU, from the file of its weights (None
            for one without).
        weights: where the public weights are expected; None for a network without weights.
        randomise: writes random weights for a seed, with statistics of clips (uint8
            [B, rate, size, size, 3]), to a file that `build` reads.
    """

    rate: int
    size: int
    width: int
    build: Callable[[Path | None], nn.Module]
    weights: Path | None = None
    randomise: Callable[[int, Tensor, Path], None] | None = None


class ColourGrid(nn.Module):
    """Mean colours of the cells of an 8 x 8 grid, and how they change from half to half second.

    It needs no weights: for trying a pipeline, and as the plainest baseline.  Sums are of whole
    numbers, so that every device gives the same bits.
    """

    CELLS = 8
    WIDTH = 2 * 3 * CELLS**2

    def forward(self, clips: Tensor) -> Tensor:
        """uint8 [B, T, H, W, 3], T even, H and W multiples of 8 -> float32 [B, 384]: means in
        [0, 1], then second minus first half in [-1, 1]."""
        batch, frames, height, width, colours = clips.shape
        cells = self.CELLS
        pixels = clips.reshape(
            batch, 2, frames // 2, cells, height // cells, cells, width // cells, colours
        )
        halves = pixels.sum(dim=(2, 4, 6), dtype=torch.int32).flatten(2)
        brightest = 255.0 * clips[0, ..., 0].numel() / (2 * cells**2)
        means = halves.sum(dim=1) / (2 * brightest)
        change = (halves[:, 1] - halves[:, 0]) / brightest
        return torch.cat([means, change], dim=1)


def _build_s3d(weights: Path | None) -> nn.Module:
    return ClipNetwork(load_s3d(weights or WEIGHTS))


def _randomise_s3d(seed: int, clips: Tensor, path: Path) -> None:
    save_random(random_s3d(seed, clips), seed, path)


NETWORKS: dict[str, Network] = {
    "s3d": Network(30, 224, 512, _build_s3d, WEIGHTS, _randomise_s3d),
    "colour_grid": Network(30, 224, ColourGrid.WIDTH, lambda _: ColourGrid().eval()),
}
"""Name -> network."""
