"""The registry's networks, and batches that a clip's vector does not depend on."""

import numpy as np
import pytest
import torch

from mmpt.extraction.batching import Batches, steady_size
from mmpt.extraction.networks import NETWORKS, ColourGrid
from mmpt.models.s3d_clips import ClipNetwork
from mmpt.models.s3d_weights import random_s3d


def random_clips(count, frames=4, size=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, frames, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def s3d():
    return ClipNetwork(random_s3d(0, torch.from_numpy(random_clips(8))))


def vectors(network, clips, size, order):
    """The vector of each clip, computed in this order and in batches of this size."""
    batches = Batches(network, size, clips.shape[1:], "cpu", torch.float32)
    rows = []
    for clip in order:
        rows += batches.add(int(clip), clips[clip])
    rows += batches.flush()
    assert [owner for owner, _ in rows] == list(order)
    assert batches.clips == len(order)
    return dict(rows)


@pytest.mark.parametrize("asked", [1, 3, 4, 6, 9])
def test_a_vector_is_the_same_bits_wherever_the_clip_stands(asked, s3d):
    clips, size = random_clips(12, seed=1), steady_size(asked)
    rng = np.random.default_rng(2)
    first = vectors(s3d, clips, size, np.arange(12))
    for _ in range(4):
        again = vectors(s3d, clips, size, rng.permutation(12)[: rng.integers(1, 12)])
        for clip, vector in again.items():
            np.testing.assert_array_equal(vector, first[clip])


def test_sizes_are_rounded_up_to_steady_ones():
    assert [steady_size(clips) for clips in (1, 2, 4, 5, 64)] == [1, 4, 4, 8, 64]


def test_the_colour_grid_by_hand():
    clips = np.zeros((1, 4, 16, 16, 3), np.uint8)
    clips[0, :, :2, :2, 0] = 255  # red in the first cell, all the time
    clips[0, 2:, 14:, 14:, 2] = 51  # blue in the last, in the second half
    row = ColourGrid()(torch.from_numpy(clips))[0].reshape(2, 8, 8, 3)
    expected = torch.zeros(2, 8, 8, 3)
    expected[0, 0, 0, 0] = 1
    expected[0, 7, 7, 2] = 0.1
    expected[1, 7, 7, 2] = 0.2
    torch.testing.assert_close(row, expected)


def test_the_registry_tells_the_truth():
    network = NETWORKS["colour_grid"]
    clip = torch.randint(0, 256, (2, network.rate, network.size, network.size, 3)).byte()
    assert network.build(None)(clip).shape == (2, network.width)
    assert (NETWORKS["s3d"].rate, NETWORKS["s3d"].size, NETWORKS["s3d"].width) == (30, 224, 512)


def test_random_weights_come_back_from_their_file(tmp_path):
    clips = torch.from_numpy(random_clips(4))
    NETWORKS["s3d"].randomise(3, clips, tmp_path / "a.pth")
    network = NETWORKS["s3d"].build(tmp_path / "a.pth")
    with torch.inference_mode():
        rows = network(clips)
    assert rows.shape == (4, 512) and rows.dtype == torch.float32
    assert torch.cdist(rows, rows).triu(1)[0, 1:].min() > 0
