"""Batches drawn from neighbours: sizes, anchors, no video twice, and how hard they are."""

import random

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.modules.hardbatches import draw_batches, mates_similarity

IDS = [f"v{i}" for i in range(40)]


def ring(video_ids, k):
    """On a ring the nearest are those beside."""
    places = [0, *(side * step for step in range(1, 40) for side in (1, -1))]
    return [[f"v{(int(v[1:]) + p) % 40}" for p in places[:k]] for v in video_ids]


def scarce(video_ids, k):
    return [row[:3] for row in ring(video_ids, k)]


@pytest.mark.parametrize("search", [ring, scarce])
@pytest.mark.parametrize("keep_anchor", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_batches_are_full_and_hold_no_video_twice(search, keep_anchor, seed):
    batches = draw_batches(IDS, 6, 10, search, random.Random(seed), keep_anchor)
    assert len(batches) == 40 // 6
    for batch in batches:
        assert len(batch) == len(set(batch)) == 6 and set(batch) <= set(IDS)
    again = draw_batches(IDS, 6, 10, search, random.Random(seed), keep_anchor)
    assert batches == again


def test_the_anchor_is_kept_and_its_mates_are_near():
    batches = draw_batches(IDS, 6, 10, ring, random.Random(0))
    anchors = [batch[0] for batch in batches]
    assert anchors == random.Random(0).sample(IDS, 6)
    for anchor, batch in zip(anchors, batches, strict=True):
        assert set(batch) <= set(ring([anchor], 10)[0])
    dropped = [
        anchor not in batch
        for seed in range(20)
        for anchor, batch in zip(
            random.Random(seed).sample(IDS, 6),
            draw_batches(IDS, 6, 10, ring, random.Random(seed), keep_anchor=False),
            strict=True,
        )
    ]
    assert 0.2 < np.mean(dropped) < 0.6  # published: drawn like any other, 4 of 10 are left out


def test_as_many_candidates_as_a_batch():
    for batch in draw_batches(IDS, 6, 6, ring, random.Random(0)):
        assert set(batch) == set(ring(batch[:1], 6)[0])


def test_too_few():
    with pytest.raises(DataError, match="40 videos do not fill one batch of 41"):
        draw_batches(IDS, 41, 50, ring, random.Random(0))
    with pytest.raises(DataError, match="5 candidates do not fill a batch of 6 videos"):
        draw_batches(IDS, 6, 5, ring, random.Random(0))


def test_similarity_of_batch_mates():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 5)).astype(np.float32)
    batches = [[0, 1, 2, 3], [4, 5], [6, 7, 8]]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [units[i] @ units[j] for b in batches for i in b for j in b if i != j]
    assert mates_similarity(vectors, batches) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert mates_similarity(np.ones((4, 3)), [[0, 1], [2, 3]]) == pytest.approx(1.0)
    assert np.isnan(mates_similarity(vectors, [[0], [1]]))
    assert mates_similarity(np.zeros((4, 3)), [[0, 1]]) == 0
