"""Items drawn from the golden corpus equal the stored ones, draw by draw."""

import hashlib
import json
import random

import numpy as np
import pytest
import torch

from benchmarks.plain_loader import PlainBatches
from mmpt.processors import (
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
    ShardedTextProcessor,
    ShardedVideoProcessor,
)
from mmpt.processors.how2retriprocessor import group_videos
from mmpt.utils.seeds import set_seed

TENSORS = ("caps", "cmasks", "vmasks", "video_start", "video_end", "text_start", "text_end")


@pytest.mark.parametrize("name", ["item0", "item1", "item2"])
def test_item_equals_the_stored_one(name, how2_config, build, golden, stored_items):
    facts, arrays = stored_items[name], golden("models_data/dataset_items.npz")
    data = build(how2_config())
    set_seed(facts["seed"])
    item = data[facts["idx"]]
    assert random.random() == facts["next_random"]
    assert item["idx"] == facts["idx"]
    assert item["video_id"] == facts["video_id"]
    assert set(item) == set(facts["keys"])
    for key in TENSORS:
        np.testing.assert_array_equal(item[key].numpy(), arrays[f"{name}.{key}"], err_msg=key)
    for key, value in item.items():
        if isinstance(value, torch.Tensor):
            assert list(value.shape) == facts["keys"][key]["shape"]
            assert str(value.dtype) == facts["keys"][key]["dtype"]
    digest = hashlib.sha256(item["vfeats"].contiguous().numpy().tobytes()).hexdigest()
    assert digest == facts["vfeats_sha256_float32_C"]


def test_first_item_features(how2_config, build, golden):
    set_seed(0)
    expected = golden("models_data/dataset_items.npz")["item0.vfeats"].astype(np.float32)
    np.testing.assert_array_equal(build(how2_config())[0]["vfeats"].numpy(), expected)


def test_forty_drawn_items_have_the_stored_bounds(how2_config, build, golden):
    data = build(how2_config())
    expected = golden("models_data/dataset_items.npz")["sweep_bounds"]
    assert len(expected) == 40
    for step, bounds in enumerate(expected):
        set_seed(1000 + step)
        item = data[step % 8]
        keys = ("text_start", "text_end", "video_start", "video_end")
        np.testing.assert_array_equal(np.stack([item[k].numpy() for k in keys], axis=-1), bounds)


def test_item_of_one_video_with_the_clip_of_the_text(how2_config, build, golden, stored_items):
    facts, arrays = stored_items["retri_item"], golden("models_data/dataset_items.npz")
    config = how2_config(
        meta_processor="ShardedHow2MetaProcessor",
        video_processor="ShardedVideoProcessor",
        text_processor="ShardedTextProcessor",
        aligner="VariedLenAligner",
    )
    data = build(config)
    set_seed(facts["seed"])
    item = data[facts["idx"]]
    assert item["video_id"] == facts["video_id"]
    assert set(item) == set(facts["keys"])
    for key in TENSORS:
        np.testing.assert_array_equal(item[key].numpy(), arrays[f"retri_item.{key}"], err_msg=key)
    # the features are those seconds of the video, cut at max_video_len
    source = data.video_processor(data.meta_processor[facts["idx"]][0])
    for clip in range(8):
        rows = source[item["video_start"][clip] : item["video_end"][clip]][:16]
        np.testing.assert_array_equal(item["vfeats"][clip, : len(rows)].numpy(), rows)
        assert item["vmasks"][clip].sum() == len(rows)
        assert not item["vfeats"][clip, len(rows) :].any()


def test_batches_of_the_benchmark_are_the_same_built_clip_by_clip(how2_config, build):
    config = how2_config()
    data = build(config)
    plain = PlainBatches(config, [data.meta_processor[i][0] for i in range(len(data))])
    for index in range(len(data)):
        batches = []
        for source in (plain, data):
            set_seed(index)
            batches.append(source.collater([source[index]]))
        assert list(batches[0]) == list(batches[1])
        for key, expected in batches[0].items():
            got = batches[1][key]
            same = torch.equal(got, expected) if torch.is_tensor(got) else got == expected
            assert same, key


def test_random_groups_equal_the_stored_ones(how2_config, stored_items):
    meta = ShardedHow2VideoRetriMetaProcessor(how2_config())
    random.seed(7)
    meta.random_candidates()
    assert meta.cands == stored_items["random_candidates_seed7"]


def test_first_groups_are_consecutive_as_published_where_8_divides_them(how2_config):
    config = how2_config()
    meta = ShardedHow2VideoRetriMetaProcessor(config)
    ids = ShardedHow2MetaProcessor(config).data
    assert len(ids) == 16
    assert meta.cands == group_videos(ids, 2, multiple=8)
    assert meta.cands == [ids[i : i + 2] for i in range(0, 16, 2)]


def test_text_shard_equals_the_stored_example(how2_config, golden_dir):
    path = golden_dir / "models_data/sharded_text_example.json"
    expected = json.loads(path.read_text())
    text = ShardedTextProcessor(how2_config())(("any", -1, 0, 1))
    assert text["start"] == expected["start"]
    assert text["end"] == expected["end"]
    assert text["cap"] == expected["cap"] and text["cap"] != expected["cap"][1:]


@pytest.mark.parametrize(
    ("split", "disk", "name"), [("train", "train", "trainVid"), ("valid", "val", "valVid")]
)
def test_the_whole_corpus_reads(split, disk, name, how2_config, golden_dir):
    config = how2_config(split)
    meta = ShardedHow2MetaProcessor(config)
    assert len(meta) == 16
    video, text = ShardedVideoProcessor(config), ShardedTextProcessor(config)
    folder = golden_dir / "models_data/corpus/feat/feat_how2_s3d_shard_small"
    for index in range(16):
        key, text_key = meta[index]
        assert key == text_key
        video_id, position_in_list, shard, position = key
        assert position_in_list == index
        assert video_id == f"{name}_{index:03d}-x"
        starts = np.load(folder / f"{disk}_{shard}_starts.npy")
        rows = np.load(folder / f"{disk}_{shard}_data.npy")[starts[position] : starts[position + 1]]
        np.testing.assert_array_equal(video(key), rows)
        captions = text(text_key)
        assert len(captions["start"]) == len(captions["end"]) == len(captions["cap"])


def test_an_empty_caption_is_legal(how2_config):
    # training video 002 has a caption without tokens
    text = ShardedTextProcessor(how2_config())(("trainVid_002-x", -1, 0, 2))
    assert [] in [text["cap"][i] for i in range(len(text["cap"]))]
