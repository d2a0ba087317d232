"""Sequences, the aligners' settings, and the downstream aligner against its golden items."""

import json

import numpy as np
import pytest
import torch

from mmpt.errors import ConfigError, DataError
from mmpt.processors import (
    Aligner,
    DSAligner,
    FixedLenAligner,
    OverlappedAligner,
    StartClipAligner,
    TextProcessor,
    VariedLenAligner,
    VideoRetriAligner,
    VideoRetriOverlappedAligner,
)
from mmpt.processors.sequences import CaptionTokens
from mmpt.utils.seeds import set_seed

CAPTIONS = {
    "start": [0.0, 2.0, 4.0],
    "end": [2.0, 4.0, 6.0],
    "cap": [[10, 11, 12], [], [13, 14]],
}


@pytest.fixture
def config(tinybert):
    """`config(**changes)`: the smallest section an aligner accepts."""

    def make(**changes):
        return {"bert_name": str(tinybert), "max_video_len": 4, "max_len": 12, **changes}

    return make


def drawing(**changes):
    return {
        "clip_per_video": 3,
        "sampled_min_len": 2,
        "sampled_max_len": 4,
        "sampled_video_min_len": 1,
        "sampled_video_max_len": 4,
        **changes,
    }


@pytest.mark.parametrize("case", range(5))
def test_dsaligner_equals_the_stored_item(case, tinybert, golden, golden_dir):
    arrays = golden("models_data/aligners.npz")
    facts = json.loads((golden_dir / "models_data/aligners.json").read_text())[f"ds{case}"]
    aligner = DSAligner({"bert_name": str(tinybert), "max_video_len": 32, "max_len": 96})
    name = f"ds{case}"
    item = aligner(
        facts["video_id"], arrays[f"{name}.in_feat"], arrays[f"{name}.in_tokens"].tolist()
    )
    assert list(item) == facts["keys"]
    assert item["video_id"] == facts["video_id"]
    for key in ("caps", "cmasks", "vfeats", "vmasks"):
        expected = arrays[f"{name}.{key}"]
        assert item[key].numpy().dtype == expected.dtype
        np.testing.assert_array_equal(item[key].numpy(), expected, err_msg=key)


def test_special_tokens_come_from_the_tokenizer(config):
    aligner = Aligner(config())
    ids = (
        aligner.pad_token_id,
        aligner.cls_token_id,
        aligner.sep_token_id,
        aligner.mask_token_id,
    )
    assert ids == (0, 2, 3, 4)


def test_text_sequence(config):
    aligner = Aligner(config())  # 8 positions, 5 of them for tokens
    caps, cmasks = aligner._build_text_seq([7, 8])
    assert caps.tolist() == [2, 3, 7, 8, 3, 0, 0, 0]
    assert cmasks.tolist() == [True] * 5 + [False] * 3
    assert (caps.dtype, cmasks.dtype) == (torch.int64, torch.bool)
    caps, cmasks = aligner._build_text_seq(list(range(20, 40)))
    assert caps.tolist() == [2, 3, 20, 21, 22, 23, 24, 3]
    assert cmasks.all()
    assert aligner._build_text_seq([])[0].tolist() == [2, 3, 3, 0, 0, 0, 0, 0]


def test_text_sequence_of_chosen_captions(config):
    aligner = Aligner(config())
    assert aligner._build_text_seq(CAPTIONS)[0].tolist() == [2, 3, 10, 11, 12, 3, 0, 0]
    assert aligner._build_text_seq(CAPTIONS, [0, 2])[0].tolist() == [2, 3, 10, 11, 12, 13, 14, 3]
    assert aligner._build_text_seq(CAPTIONS, [1])[0].tolist() == [2, 3, 3, 0, 0, 0, 0, 0]


def test_video_sequence(config):
    aligner = Aligner(config())
    features = np.arange(14, dtype=np.float16).reshape(7, 2)
    vfeats, vmasks = aligner._build_video_seq(features)
    assert vfeats.tolist() == features[:4].tolist()
    assert (vfeats.dtype, vmasks.dtype) == (torch.float32, torch.bool)
    assert vmasks.all()
    vfeats, vmasks = aligner._build_video_seq(features, {"start": [6, 0], "end": [7, 2]})
    assert vfeats.tolist() == [[12, 13], [0, 1], [2, 3], [0, 0]]
    assert vmasks.tolist() == [True, True, True, False]
    # the second clip is cut, the third finds no room
    vfeats, vmasks = aligner._build_video_seq(features, {"start": [0, 4, 6], "end": [3, 6, 7]})
    assert vfeats.tolist() == [[0, 1], [2, 3], [4, 5], [8, 9]]
    assert not aligner._build_video_seq(features[:0])[1].any()


def test_caption_tokens_pack_and_join():
    padded = np.array([[5, 6, -1], [-1, -1, -1], [7, 8, 9]], dtype=np.int32)
    tokens = CaptionTokens.from_padded(padded)
    assert list(tokens) == [[5, 6], [], [7, 8, 9]]
    assert tokens.lengths == [2, 0, 3]
    assert tokens[-1] == [7, 8, 9]
    assert tokens.join((0, 1, 2)).tolist() == [5, 6, 7, 8, 9]
    assert tokens.join((0, 2)).tolist() == [5, 6, 7, 8, 9]
    assert tokens.join((1,)).tolist() == []
    same = CaptionTokens.from_lists([[5, 6], [], [7, 8, 9]])
    assert (list(same), same.lengths) == (list(tokens), tokens.lengths)
    with pytest.raises(IndexError):
        tokens[3]


def test_fixed_length_clip_is_the_span_of_its_text(config):
    aligner = FixedLenAligner(config(subsampling=5))
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    set_seed(0)
    item = aligner("v", features, CAPTIONS)
    # 5 tokens fit, so every text is the whole of it
    assert item["caps"].tolist() == [[2, 3, 10, 11, 12, 13, 14, 3]] * 5
    assert item["video_start"].tolist() == [0] * 5
    assert item["video_end"].tolist() == [6] * 5
    assert item["vfeats"].tolist() == [features[:4].tolist()] * 5


def test_clip_per_video_goes_before_subsampling(config):
    both = FixedLenAligner(config(subsampling=5, clip_per_video=2))
    assert both("v", np.zeros((6, 2), np.float16), CAPTIONS)["caps"].shape == (2, 8)


def test_overlapped_clips_keep_to_the_limits_and_are_sorted(config):
    aligner = OverlappedAligner(config(**drawing(clip_per_video=200)))
    set_seed(1)
    item = aligner("v", np.ones((6, 2), np.float16), CAPTIONS)
    seconds = item["video_end"] - item["video_start"]
    assert set(seconds.tolist()) == {1, 2, 3, 4}
    torch.testing.assert_close(item["vmasks"].sum(1), seconds)
    assert (item["video_start"] >= 0).all()
    assert (item["video_end"] <= 6).all()
    keys = ("text_start", "video_start", "text_end", "video_end")
    rows = list(zip(*(item[key].tolist() for key in keys), strict=True))
    assert rows == sorted(rows)


def test_skipped_captions_leave_a_gap_in_the_text(config):
    aligner = VariedLenAligner(config(**drawing(keep_prob=0.01, clip_per_video=50)))
    captions = {"start": [0, 1, 2, 3], "end": [1, 2, 3, 4], "cap": [[10], [11], [12], [13]]}
    set_seed(0)
    item = aligner("v", np.ones((6, 2), np.float16), captions)
    texts = {
        tuple(row[mask].tolist()) for row, mask in zip(item["caps"], item["cmasks"], strict=True)
    }
    assert (2, 3, 10, 12, 3) in texts


def test_texts_of_the_start_clip_aligner_begin_with_the_first_caption(config):
    aligner = StartClipAligner(config(**drawing(clip_per_video=20, sampled_max_len=5)))
    set_seed(0)
    item = aligner("v", np.arange(12, dtype=np.float32).reshape(6, 2), CAPTIONS)
    assert item["text_start"].tolist() == item["video_start"].tolist() == [0] * 20
    # 2 or 3 tokens are one caption; 4 or 5 need the third, since the second is empty
    assert set(item["text_end"].tolist()) == {1, 3}
    assert item["caps"][0].tolist() == [2, 3, 10, 11, 12, 3, 0, 0]
    # a text of n captions is a clip of their 2 n seconds, of which 4 fit
    assert (item["video_end"] == 2 * item["text_end"]).all()
    torch.testing.assert_close(item["vmasks"].sum(1), item["video_end"].clamp_max(4))


@pytest.mark.parametrize(
    ("one", "several"),
    [(VariedLenAligner, VideoRetriAligner), (OverlappedAligner, VideoRetriOverlappedAligner)],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_list_of_videos_is_drawn_one_after_the_other(one, several, dtype, config):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((seconds, 2)).astype(dtype) for seconds in (6, 1, 30)]
    settings = config(**drawing())
    set_seed(3)
    batch = several(settings)([("a", -1, 0, 0), "b", ("c", -1, 0, 2)], videos, [CAPTIONS] * 3)
    set_seed(3)
    single = [
        one(settings)(name, video, CAPTIONS) for name, video in zip("abc", videos, strict=True)
    ]
    assert batch.pop("video_id") == [item.pop("video_id") for item in single] == ["a", "b", "c"]
    assert list(batch) == list(single[0])
    for key, value in batch.items():
        torch.testing.assert_close(value, torch.stack([item[key] for item in single]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_len": 7}, "dataset.max_len: got 7; with max_video_len 4 at least 8"),
        ({"max_len": None}, "dataset.max_len is not set"),
        ({"bert_name": None}, "dataset.bert_name is not set"),
        ({"clip_per_video": None}, "dataset.clip_per_video (or subsampling): at least 1 clip"),
        ({"clip_per_video": -1}, "got -1"),
        ({"sampled_max_len": None}, "dataset.sampled_max_len is not set"),
        ({"sampled_video_min_len": None}, "dataset.sampled_video_min_len is not set"),
        ({"split": "val"}, "dataset.split: got 'val'; allowed: train, valid, test"),
    ],
)
def test_bad_settings(changes, message, config):
    with pytest.raises(ConfigError) as caught:
        OverlappedAligner(config(**drawing(**changes)))
    assert message in str(caught.value)


@pytest.mark.parametrize(("seconds", "captions"), [(0, 3), (5, 0)])
def test_a_video_without_seconds_or_captions_is_named(seconds, captions, config):
    aligner = OverlappedAligner(config(**drawing()))
    text = {key: value[:captions] for key, value in CAPTIONS.items()}
    with pytest.raises(DataError, match=f"video vid9: {seconds} seconds and {captions} captions"):
        aligner(("vid9", 0, 0, 0), np.zeros((seconds, 2), np.float16), text)


def test_text_processor_gives_ids_without_special_tokens(config):
    text = TextProcessor(config())
    ids = text("cut the onion")
    assert ids
    assert not {0, 2, 3} & set(ids)
    assert text.tokenizer.convert_ids_to_tokens(text("oil into pan")) == ["oil", "into", "pan"]


def test_missing_tokenizer_names_the_key_and_the_place(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.bert_name.*pretrained_models/no-such-bert"):
        Aligner(config(bert_name="no-such-bert"))
