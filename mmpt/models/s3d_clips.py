"""S3D's video half in the form that is run over many clips: frozen, folded, channels last."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmpt.models.s3dg import CELL, S3D, STConv3D, check_clips

BRIGHTEST = 255
"""Of a pixel: what 1.0 is in bytes."""


class ClipNetwork(nn.Module):
    """Clips as bytes -> vectors; equals `S3D` on the same pixels but for rounding.

    Batch norms are folded into their convolutions and weights lie channels last, which on a CPU
    takes about half of the time.  A clip's vector does not depend on the others of its batch, to
    the last bit within batches of one size, 1 or a multiple of 4.

    Args:
        model: copied, not changed; its text half is left out.
    """

    def __init__(self, model: S3D):
        super().__init__()
        words, model.text_module = model.text_module, None  # 20 million words need no copy
        try:
            net = copy.deepcopy(model).eval()
        finally:
            model.text_module = words
        for part in net.modules():
            if isinstance(part, STConv3D):
                _fold(part)
        self.net = net.to(memory_format=torch.channels_last_3d).requires_grad_(False)

    def forward(self, clips: Tensor) -> Tensor:
        """Encodes clips.

        Args:
            clips: uint8 [B, T, H, W, 3], RGB, on the network's device; T, H and W even.

        Returns:
            float32 [B, 512].

        Raises:
            DataError: another shape.
        """
        check_clips(clips.shape[1:4] if clips.dim() == 5 and clips.shape[4] == 3 else (), clips)
        cells = cells_of(clips).to(self.net.fc.weight.dtype) / BRIGHTEST
        return self.net.from_cells(cells)["video_embedding"].float()


def cells_of(clips: Tensor) -> Tensor:
    """`space_to_depth` of [B, T, H, W, C] -> [B, 8 C, T/2, H/2, W/2], channels last in memory."""
    batch, *size, colours = clips.shape
    t, h, w = (edge // CELL for edge in size)
    blocks = clips.reshape(batch, t, CELL, h, CELL, w, CELL, colours)
    blocks = blocks.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, t, h, w, CELL**3 * colours)
    return blocks.permute(0, 4, 1, 2, 3)


def _fold(part: STConv3D) -> None:
    part.conv1, part.bn1 = fuse_conv_bn_eval(part.conv1, part.bn1), nn.Identity()
    if part.separable:
        part.conv2, part.bn2 = fuse_conv_bn_eval(part.conv2, part.bn2), nn.Identity()
