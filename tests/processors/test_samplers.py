"""The samplers as objects, and the draws below them."""

import random

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.processors import (
    TextClipSamplingProcessor,
    VariedLenAligner,
    VideoClipSamplingProcessor,
)
from mmpt.processors.sampling import randint
from mmpt.processors.sequences import CaptionTokens

CAPTIONS = {
    "start": [0.0, 10.0, 20.0, 30.0, 40.0],
    "end": [10.0, 20.0, 30.0, 40.0, 50.0],
    "cap": [[1] * 4] * 5,
}


@pytest.mark.parametrize("low", [0, -3, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 64, 1000])
def test_randint_draws_what_python_draws(low, width):
    random.seed(width)
    expected = [random.randint(low, low + width - 1) for _ in range(50)]
    state = random.getstate()
    random.seed(width)
    assert [randint(low, low + width - 1) for _ in range(50)] == expected
    assert random.getstate() == state


@pytest.mark.parametrize("pack", [list, CaptionTokens.from_lists])
def test_text_sampler_takes_whole_neighbouring_captions(pack):
    captions = {**CAPTIONS, "cap": pack(CAPTIONS["cap"])}
    sampler = TextClipSamplingProcessor(max_text_len=9)
    seen = set()
    for seed in range(60):
        random.seed(seed)
        chosen = tuple(sampler(captions))
        assert chosen == tuple(range(chosen[0], chosen[-1] + 1))
        assert len(chosen) == 3  # 12 tokens: the last caption may pass the limit of 9
        seen.add(chosen[0])
    assert seen == {0, 1, 2}


def test_text_sampler_from_a_given_caption():
    sampler = TextClipSamplingProcessor(max_text_len=9)
    random.seed(0)
    assert {tuple(sampler(CAPTIONS, 0)) for _ in range(20)} == {(0, 1, 2)}
    assert sampler(CAPTIONS, 3, max_text_len=4) == [3]
    assert {len(sampler(CAPTIONS, 2, 99, max_video_len=15.0)) for _ in range(20)} == {2}


def test_text_sampler_skips_captions_with_keep_prob():
    sampler = TextClipSamplingProcessor(max_text_len=9, keep_prob=0.0)
    random.seed(0)
    # the neighbour is skipped wherever there is one behind it
    assert sampler(CAPTIONS, 0) == [0, 2, 4]


@pytest.mark.parametrize("centre", [-1, 5])
def test_text_sampler_refuses_captions_that_are_not_there(centre):
    with pytest.raises(DataError, match=f"caption {centre} was asked for, the video has 5"):
        TextClipSamplingProcessor(9)(CAPTIONS, centre)
    with pytest.raises(DataError, match="without a caption"):
        TextClipSamplingProcessor(9)({"start": [], "end": [], "cap": []})


def test_video_sampler_grows_around_a_second():
    sampler = VideoClipSamplingProcessor()
    random.seed(0)
    for _ in range(100):
        clip = sampler(video_len=20, max_video_len=6, center=10)
        (start,), (end,) = clip["start"], clip["end"]
        assert end - start == 6
        assert start <= 10 <= end
    assert sampler(4, 6, 2) == {"start": [0], "end": [4]}
    with pytest.raises(DataError, match="second 4 was asked for, the video has 4"):
        sampler(4, 6, 4)


def test_an_aligner_may_hold_another_sampler(tinybert):
    class Last:
        def __call__(self, text_feature, centerclip=None, max_text_len=None):
            return [len(text_feature["start"]) - 1]

    class Mine(VariedLenAligner):
        def __init__(self, config):
            super().__init__(config)
            self.text_clip_sampler = Last()

    config = {
        "bert_name": str(tinybert),
        "max_video_len": 4,
        "max_len": 16,
        "clip_per_video": 2,
        "sampled_min_len": 1,
        "sampled_max_len": 4,
    }
    item = Mine(config)("v", np.zeros((60, 2), np.float16), CAPTIONS)
    assert item["text_start"].tolist() == [4, 4]
    assert item["video_start"].tolist() == [40, 40]
