"""S3D-G, the video network whose outputs are the features of a second, and its text half.

Architecture: Xie et al., ECCV 2018 (separable convolutions, self-gating); training on HowTo100M:
Miech et al., CVPR 2020 (MIL-NCE), whose weights, `s3d_howto100m.pth` and `s3d_dict.npy`, load here
under their own names.  Loading them: s3d_weights.py; the form that is run fast: s3d_clips.py.
"""

import os
import re
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmpt.errors import DataError
from mmpt.io.files import no_file

WORDS_KNOWN = 66_250
"""Rows of the word table: one for padding and unknown words, the others for the dictionary's."""
WORDS_READ = 16
"""So many known words of a sentence are read."""
CELL = 2
"""Edge of the blocks of pixels and frames that become channels (space to depth)."""

Size3 = tuple[int, int, int]
ONE: Size3 = (1, 1, 1)


class STConv3D(nn.Module):
    """A convolution without bias, batch norm and ReLU; separable: in space first, then in time.

    Args:
        inputs, outputs: channels.
        kernel: its size in time, height and width.
        padding: of each axis, as `kernel`.
        separable: two convolutions, `conv1` over height and width and `conv2` over time.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Size3 = ONE,
        padding: Size3 = (0, 0, 0),
        separable: bool = False,
    ):
        super().__init__()
        first, first_padding = kernel, padding
        if separable:
            first, first_padding = (1, *kernel[1:]), (0, *padding[1:])
        self.conv1 = nn.Conv3d(inputs, outputs, first, padding=first_padding, bias=False)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.separable = separable
        if separable:
            self.conv2 = nn.Conv3d(
                outputs, outputs, (kernel[0], 1, 1), padding=(padding[0], 0, 0), bias=False
            )
            self.bn2 = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True) if self.separable else x


class SelfGating(nn.Module):
    """Scales channels by a sigmoid of a linear map of their own averages (the G of S3D-G)."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))
        return x * gates[:, :, None, None, None]


class InceptionBlock(nn.Module):
    """Four gated branches, joined along the channels.

    Args:
        inputs: channels.
        single: outputs of branch 0, one 1x1x1 convolution.
        wide: outputs of branch 1, reduced and full.
        narrow: outputs of branch 2, reduced and full.
        pooled: outputs of branch 3, after max pooling.
    """

    def __init__(
        self, inputs: int, single: int, wide: tuple[int, int], narrow: tuple[int, int], pooled: int
    ):
        super().__init__()
        cube: Size3 = (3, 3, 3)
        self.conv_b0 = STConv3D(inputs, single)
        self.conv_b1_a = STConv3D(inputs, wide[0])
        self.conv_b1_b = STConv3D(*wide, cube, padding=ONE, separable=True)
        self.conv_b2_a = STConv3D(inputs, narrow[0])
        self.conv_b2_b = STConv3D(*narrow, cube, padding=ONE, separable=True)
        self.maxpool_b3 = nn.MaxPool3d(3, stride=1, padding=1)
        self.conv_b3_b = STConv3D(inputs, pooled)
        self.gating_b0 = SelfGating(single)
        self.gating_b1 = SelfGating(wide[1])
        self.gating_b2 = SelfGating(narrow[1])
        self.gating_b3 = SelfGating(pooled)
        self.output_dim = single + wide[1] + narrow[1] + pooled

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.gating_b0(self.conv_b0(x)),
            self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
            self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
            self.gating_b3(self.conv_b3_b(self.maxpool_b3(x))),
        )
        return torch.cat(branches, dim=1)


class MaxPool3dTFPadding(nn.Module):
    """Max pooling with TensorFlow's SAME padding: zeros count, and a last odd row is kept."""

    def __init__(self, kernel: Size3, stride: Size3):
        super().__init__()
        # the larger half of an odd padding goes behind; F.pad counts from the last axis
        self.padding = [
            side
            for size, step in zip(reversed(kernel), reversed(stride), strict=True)
            for side in (max(size - step, 0) // 2, (max(size - step, 0) + 1) // 2)
        ]
        self.pool = nn.MaxPool3d(kernel, stride, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, self.padding))


class SentenceEmbedding(nn.Module):
    """The text half of MIL-NCE: known words embedded, mapped, their maximum mapped again.

    Args:
        width: of the result.
        words: the dictionary; word i has row i + 1 of the table.
    """

    def __init__(self, width: int, words: Sequence[str]):
        super().__init__()
        self.rows = {str(word): row for row, word in enumerate(words, start=1)}
        self.word_embd = nn.Embedding(WORDS_KNOWN, 300)
        self.fc1 = nn.Linear(300, 2048)
        self.fc2 = nn.Linear(2048, width)

    def token_ids(self, sentences: Sequence[str]) -> Tensor:
        """The rows of the first 16 known words of each sentence, then zeros; int64 [N, 16]."""
        ids = torch.zeros(len(sentences), WORDS_READ, dtype=torch.int64)
        for place, sentence in zip(ids, sentences, strict=True):
            found = re.findall(r"[\w']+", sentence.lower())
            known = [self.rows[word] for word in found if word in self.rows][:WORDS_READ]
            place[: len(known)] = torch.tensor(known, dtype=torch.int64)
        return ids

    def forward(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """`text_embedding` [N, width] of N sentences."""
        ids = self.token_ids(sentences).to(self.word_embd.weight.device)
        words = F.relu(self.fc1(self.word_embd(ids)))
        return {"text_embedding": self.fc2(words.amax(dim=1))}


class S3D(nn.Module):
    """S3D-G with MIL-NCE's text half; `text_module(sentences)` runs the latter.

    Args:
        dict_path: the dictionary, `s3d_dict.npy`, an array of words; None: no text half.
        num_classes: width of both embeddings, 512 in the public weights.

    Raises:
        DataError: the dictionary is missing, damaged or too large.
    """

    def __init__(self, dict_path: str | os.PathLike | None, num_classes: int = 512):
        super().__init__()
        self.conv1 = STConv3D(3 * CELL**3, 64, (2, 4, 4), padding=(1, 2, 2))
        self.maxpool_2a = MaxPool3dTFPadding((1, 3, 3), (1, 2, 2))
        self.conv_2b = STConv3D(64, 64)
        self.conv_2c = STConv3D(64, 192, (3, 3, 3), padding=ONE, separable=True)
        self.gating = SelfGating(192)
        self.maxpool_3a = MaxPool3dTFPadding((1, 3, 3), (1, 2, 2))
        self.mixed_3b = InceptionBlock(192, 64, (96, 128), (16, 32), 32)
        self.mixed_3c = InceptionBlock(256, 128, (128, 192), (32, 96), 64)
        self.maxpool_4a = MaxPool3dTFPadding((3, 3, 3), (2, 2, 2))
        self.mixed_4b = InceptionBlock(480, 192, (96, 208), (16, 48), 64)
        self.mixed_4c = InceptionBlock(512, 160, (112, 224), (24, 64), 64)
        self.mixed_4d = InceptionBlock(512, 128, (128, 256), (24, 64), 64)
        self.mixed_4e = InceptionBlock(512, 112, (144, 288), (32, 64), 64)
        self.mixed_4f = InceptionBlock(528, 256, (160, 320), (32, 128), 128)
        self.maxpool_5a = MaxPool3dTFPadding((2, 2, 2), (2, 2, 2))
        self.mixed_5b = InceptionBlock(832, 256, (160, 320), (32, 128), 128)
        self.mixed_5c = InceptionBlock(832, 384, (192, 384), (48, 128), 128)
        self.fc = nn.Linear(self.mixed_5c.output_dim, num_classes)
        words = None if dict_path is None else read_words(dict_path)
        self.text_module = None if words is None else SentenceEmbedding(num_classes, words)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """Encodes clips.

        Args:
            video: float [B, 3, T, H, W], RGB in [0, 1]; T, H and W even.

        Returns:
            `video_embedding` [B, num_classes] and `mixed_5c` [B, 1024], the averaged features
            that it is a linear map of.

        Raises:
            DataError: another shape.
        """
        check_clips(video.shape[2:] if video.dim() == 5 and video.shape[1] == 3 else (), video)
        return self.from_cells(space_to_depth(video))

    def from_cells(self, cells: Tensor) -> dict[str, Tensor]:
        """As `forward`, of clips that went through `space_to_depth`."""
        x = self.conv1(cells)[:, :, 1:, 1:, 1:]
        for stage in self.stages():
            x = stage(x)
        pooled = x.mean(dim=(2, 3, 4))
        return {"video_embedding": self.fc(pooled), "mixed_5c": pooled}

    def stages(self) -> list[nn.Module]:
        """What runs after the stem, in order."""
        return [
            self.maxpool_2a,
            self.conv_2b,
            self.conv_2c,
            self.gating,
            self.maxpool_3a,
            self.mixed_3b,
            self.mixed_3c,
            self.maxpool_4a,
            self.mixed_4b,
            self.mixed_4c,
            self.mixed_4d,
            self.mixed_4e,
            self.mixed_4f,
            self.maxpool_5a,
            self.mixed_5b,
            self.mixed_5c,
        ]


def space_to_depth(video: Tensor) -> Tensor:
    """[B, C, T, H, W] -> [B, 8 C, T/2, H/2, W/2]: blocks of 2x2x2 become channels.

    The order of the channels is time, height, width, colour, the colour fastest.
    """
    batch, colours, *size = video.shape
    t, h, w = (edge // CELL for edge in size)
    blocks = video.reshape(batch, colours, t, CELL, h, CELL, w, CELL)
    blocks = blocks.permute(0, 3, 5, 7, 1, 2, 4, 6)
    return blocks.reshape(batch, CELL**3 * colours, t, h, w)


def check_clips(size: Sequence[int], clips: Tensor) -> None:
    """Checks the size in time, height and width of clips.

    Raises:
        DataError: it is none, zero or odd.
    """
    if len(size) != 3 or any(edge < CELL or edge % CELL for edge in size):
        raise DataError(
            f"S3D: clips of shape {list(clips.shape)}; 3 colours and even numbers of frames, rows "
            "and columns are needed"
        )


def read_words(path: str | os.PathLike) -> list[str]:
    """The dictionary of the text half, in order.

    Raises:
        DataError: the file is missing, damaged, no list of words, or longer than the table.
    """
    other = no_file(path)
    if other is not None:
        raise DataError(f"{path}: {other}, where the words of S3D's text half are needed")
    try:
        words = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file: the words of S3D's text half (MIL-NCE's s3d_dict.npy); "
            "DATASET.md, section 'S3D', says how to get it"
        ) from None
    except (ValueError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: truncated or no array of words ({reason})") from error
    if not isinstance(words, np.ndarray) or words.ndim != 1 or words.dtype.kind != "U":
        raise DataError(f"{path}: expected one array of words, text of one axis")
    if len(words) >= WORDS_KNOWN:
        raise DataError(f"{path}: {len(words)} words; the table has room for {WORDS_KNOWN - 1}")
    return words.tolist()
