"""Many sequences written at once are what one at a time gives."""

import numpy as np
import pytest

from mmpt.processors.sequences import (
    CaptionTokens,
    write_clips,
    write_text,
    write_texts,
    write_video,
)

SPECIAL = (2, 3, 0)


def test_texts_at_once_are_the_texts_one_by_one():
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 99, length).astype(np.int32) for length in (0, 1, 4, 5, 6, 30, 0)]
    caps, masks = np.full((7, 8), -7, np.int64), np.zeros((7, 8), bool)
    write_texts(texts, SPECIAL, caps, masks)
    for row, text in enumerate(texts):
        one, mask = np.empty(8, np.int64), np.empty(8, bool)
        write_text(text, SPECIAL, one, mask)
        np.testing.assert_array_equal(caps[row], one)
        np.testing.assert_array_equal(masks[row], mask)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_clips_at_once_are_the_clips_one_by_one(dtype):
    features = np.random.default_rng(0).standard_normal((10, 3)).astype(dtype)
    features.flags.writeable = False  # as a mapped file
    spans = [(0, 3), (8, 10), (2, 9), (4, 5), (10, 10), (0, 0), (-2, 2), (7, 14)]
    starts, ends = np.array(spans).T
    vfeats, masks = np.full((8, 4, 3), np.nan, np.float32), np.zeros((8, 4), bool)
    assert write_clips(features, starts, ends, vfeats, masks)
    for row, (start, end) in enumerate(spans):
        one, mask = np.empty((4, 3), np.float32), np.empty(4, bool)
        write_video(features, (start,), (end,), one, mask)
        np.testing.assert_array_equal(vfeats[row], one)
        np.testing.assert_array_equal(masks[row], mask)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_numbers_that_are_not_finite_are_noticed_where_they_are_used(bad, dtype):
    features = np.ones((10, 3), dtype)
    features[6, 1] = bad
    vfeats, masks = np.empty((2, 4, 3), np.float32), np.empty((2, 4), bool)
    assert not write_clips(features, np.array([0, 5]), np.array([2, 7]), vfeats, masks)
    assert write_clips(features, np.array([0, 2]), np.array([2, 6]), vfeats, masks)


def test_large_features_are_not_taken_for_infinite():
    features = np.full((10, 3), 6e4, np.float16)
    vfeats, masks = np.empty((2, 4, 3), np.float32), np.empty((2, 4), bool)
    assert write_clips(features, np.array([0, 5]), np.array([2, 7]), vfeats, masks)


def test_padding_may_stand_between_the_ids():
    tokens = CaptionTokens.from_padded(np.array([[-1, 5, -1, 6]], dtype=np.int32))
    assert list(tokens) == [[5, 6]]
